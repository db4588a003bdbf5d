"""``python -m p2pchat_tui`` is the same as ``p2pchat``."""

from __future__ import annotations

import sys

from p2pchat_tui.cli import main

sys.exit(main())

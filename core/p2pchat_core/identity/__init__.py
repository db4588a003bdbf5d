"""Keys, peer ids, signed envelopes and the key file (docs/wire.md sections 2 and 7.8)."""

from __future__ import annotations

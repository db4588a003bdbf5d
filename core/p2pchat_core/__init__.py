"""The p2pchat node: everything but the screen and the relay daemon."""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"
"""Equal to the version in pyproject.toml (a test compares them)."""

"""The wire vectors of js-libp2p, by group."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

__all__ = ["vectors"]

_FILE = Path(__file__).parent.parent / "vectors" / "wire.json"


@functools.cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return document


def vectors(group: str) -> list[dict[str, Any]]:
    """Return every vector of a group, in file order.

    Raises:
        LookupError: there is no such group, so a misspelt name cannot make a test pass on nothing.
    """
    found = [entry for entry in _document()["vectors"] if entry["group"] == group]
    if not found:
        raise LookupError(f"no vectors in group {group!r}")
    return found

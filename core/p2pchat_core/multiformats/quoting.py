"""Showing text that is wrong without letting it do harm."""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ["quoted", "unprintable_character"]

_QUOTE_LIMIT: Final = 48
_HARMFUL: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"})


def quoted(text: str) -> str:
    """Return `text` in quotes, control and invisible characters escaped, the end cut off when it is long."""
    if len(text) > _QUOTE_LIMIT:
        return repr(text[:_QUOTE_LIMIT])[:-1] + "…'"
    return repr(text)


def unprintable_character(text: str) -> str | None:
    """Describe the first blank, control or invisible character of `text`, or return ``None``."""
    if text.isascii() and text.isprintable() and " " not in text:
        return None
    for position, character in enumerate(text, start=1):
        if unicodedata.category(character) in _HARMFUL:
            kind = "a blank" if character.isspace() else "an invisible or control character"
            return f"{kind} (U+{ord(character):04X}) at position {position}"
    return None

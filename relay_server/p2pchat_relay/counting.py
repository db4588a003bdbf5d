"""Counters that forget what they count none of."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections import Counter

__all__ = ["decrease"]

_Key = TypeVar("_Key")


def decrease(counter: Counter[_Key], key: _Key) -> None:
    """Count one less of `key`, and drop it with the last one."""
    counter[key] -= 1
    if not counter[key]:
        del counter[key]

"""How fast one peer may talk: an allowance that refills with time."""

from __future__ import annotations

__all__ = ["Allowance"]


class Allowance:
    """A bucket of `size` units that refills at `rate` units a second. It may go below zero once; then one waits."""

    def __init__(self, rate: float, size: float, now: float) -> None:
        self._rate = rate
        self._size = size
        self._left = size
        self._at = now

    def take(self, amount: float, now: float) -> float:
        """Use `amount` and return how many seconds to wait before using more."""
        self._left = min(self._size, self._left + max(0.0, now - self._at) * self._rate) - amount
        self._at = now
        return max(0.0, -self._left / self._rate)

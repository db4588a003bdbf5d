"""What clients may make the relay hold, all together. No I/O.

What each connection and each circuit may hold is bounded by itself (windows, queues), but thousands of connections
times that is more than any machine has. So the whole is measured every `limits.BUFFER_CHECK_INTERVAL` seconds. From
`limits.BUFFER_PRESSURE` of the budget on nobody new is let in and no circuit opened; beyond the budget the connections
that hold most are cut, the largest first, until the rest fits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from p2pchat_relay.limits import BUFFER_PRESSURE

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BufferBudget"]

_Holder = TypeVar("_Holder")


class BufferBudget:
    """The budget of one relay.

    Attributes:
        used: bytes held when it was last measured.
    """

    def __init__(self, limit: int) -> None:
        self.used = 0
        self._limit = limit

    def configure(self, limit: int) -> None:
        """Go by another budget from now on; 0 is without limit."""
        self._limit = limit

    @property
    def limit(self) -> int:
        """The budget in bytes."""
        return self._limit

    @property
    def tight(self) -> bool:
        """Whether nothing new should be begun."""
        return 0 < self._limit * BUFFER_PRESSURE <= self.used

    def measure(self, holders: Iterable[tuple[_Holder, int]], others: int = 0) -> list[_Holder]:
        """Note who holds how many bytes, and how many are held besides; return whom to cut so that it fits."""
        held = list(holders)
        self.used = others + sum(size for _, size in held)
        excess = self.used - self._limit
        if not self._limit or excess <= 0:
            return []
        cut: list[_Holder] = []
        for holder, size in sorted(held, key=lambda one: one[1], reverse=True):
            if excess <= 0 or not size:
                break
            excess -= size
            cut.append(holder)
        return cut

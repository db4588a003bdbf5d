"""A byte stream that counts what goes through it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p2pchat_core.limits import READ_CHUNK
from p2pchat_core.net.stream import ByteStream

if TYPE_CHECKING:
    from p2pchat_core.wire.circuit_budget import CircuitBudget

__all__ = ["MeteredStream"]


class MeteredStream(ByteStream):
    """Passes everything on to another stream and counts the bytes of both directions against a budget."""

    def __init__(self, inner: ByteStream, budget: CircuitBudget) -> None:
        self._inner = inner
        self._budget = budget
        self._unread = 0

    async def read(self, max_bytes: int = READ_CHUNK) -> bytes:
        """See `ByteStream.read`."""
        data = await self._inner.read(max_bytes)
        known = min(self._unread, len(data))
        self._unread -= known
        self._budget.count(len(data) - known)
        return data

    def unread(self, data: bytes) -> None:
        """See `ByteStream.unread`."""
        self._unread += len(data)
        self._inner.unread(data)

    async def write(self, data: bytes) -> None:
        """See `ByteStream.write`."""
        self._budget.count(len(data))
        await self._inner.write(data)

    async def close(self) -> None:
        """See `ByteStream.close`."""
        await self._inner.close()

    def abort(self) -> None:
        """See `ByteStream.abort`."""
        self._inner.abort()

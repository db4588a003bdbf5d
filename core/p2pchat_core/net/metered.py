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
        inner.on_readable = self.notify_readable
        inner.on_writable = self.notify_writable

    @property
    def buffered(self) -> int:
        """See `ByteStream.buffered`."""
        return self._inner.buffered

    def read_nowait(self, max_bytes: int = READ_CHUNK) -> bytes | None:
        """See `ByteStream.read_nowait`."""
        data = self._inner.read_nowait(max_bytes)
        if data:
            known = min(self._unread, len(data))
            self._unread -= known
            self._budget.count(len(data) - known)
        return data

    def unread(self, data: bytes) -> None:
        """See `ByteStream.unread`."""
        self._unread += len(data)
        self._inner.unread(data)

    def can_send(self) -> bool:
        """See `ByteStream.can_send`."""
        return self._inner.can_send()

    def send(self, data: bytes | memoryview) -> None:
        """See `ByteStream.send`."""
        self._budget.count(len(data))
        self._inner.send(data)

    async def close(self) -> None:
        """See `ByteStream.close`."""
        await self._inner.close()

    def abort(self) -> None:
        """See `ByteStream.abort`."""
        self._inner.abort()

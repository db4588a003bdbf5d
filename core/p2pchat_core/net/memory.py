"""Two byte streams joined in memory: the transport of tests and of what talks to itself."""

from __future__ import annotations

from typing import Final

from p2pchat_core.errors import ConnectionLostError
from p2pchat_core.limits import KIB, READ_CHUNK
from p2pchat_core.net.buffered import BufferedStream

__all__ = ["MemoryStream", "memory_pair"]

_CAPACITY: Final = 64 * KIB


class MemoryStream(BufferedStream):
    """One end of a `memory_pair`."""

    _remote: MemoryStream

    def __init__(self, capacity: int, max_read: int | None) -> None:
        super().__init__()
        self._capacity = capacity
        self._max_read = max_read

    def read_nowait(self, max_bytes: int = READ_CHUNK) -> bytes | None:
        """See `ByteStream.read_nowait`."""
        data = super().read_nowait(min(max_bytes, self._max_read or max_bytes))
        if data:
            self._remote.notify_writable()
        return data

    def can_send(self) -> bool:
        """See `ByteStream.can_send`."""
        self._check_open()
        if self._remote._closed:
            raise ConnectionLostError("The other side has closed the connection.")
        return len(self._remote._pending) <= self._capacity

    def send(self, data: bytes | memoryview) -> None:
        """See `ByteStream.send`."""
        self._check_open()
        self._remote._pending.append(bytes(data))
        self._remote.notify_readable()

    async def close(self) -> None:
        """End both directions; the remote still reads what was written before."""
        if self._closed or self._aborted:
            return
        self._remote._ended = True
        self._end(aborted=False)
        self._remote.notify()

    def abort(self) -> None:
        """Give up: both ends raise `StreamResetError` from now on."""
        if self._closed or self._aborted:
            return
        for end in (self, self._remote):
            end._end(aborted=True)

    def _refill(self) -> bool:
        return False


def memory_pair(
    *, capacity: int = _CAPACITY, max_read: int | None = None
) -> tuple[MemoryStream, MemoryStream]:
    """Return the two ends of a connection.

    Args:
        capacity: unread bytes after which a writer waits, as it would on a socket.
        max_read: the most bytes one `read` returns, whatever it asks for; with 1, readers have to cope with
            pieces.
    """
    left, right = MemoryStream(capacity, max_read), MemoryStream(capacity, max_read)
    left._remote, right._remote = right, left
    return left, right

"""Two byte streams joined in memory: the transport of tests and of what talks to itself."""

from __future__ import annotations

import asyncio
from typing import Final

from p2pchat_core.errors import ConnectionLostError, StreamClosedError, StreamResetError
from p2pchat_core.limits import KIB, READ_CHUNK
from p2pchat_core.net.byte_queue import ByteQueue
from p2pchat_core.net.stream import ByteStream

__all__ = ["MemoryStream", "memory_pair"]

_CAPACITY: Final = 64 * KIB


class _Pipe:
    """One direction. A writer waits while more than `capacity` bytes are unread, as it would on a socket."""

    def __init__(self, capacity: int) -> None:
        self.queue = ByteQueue()
        self.ended = False
        self._capacity = capacity
        self._changed = asyncio.Event()

    @property
    def full(self) -> bool:
        return len(self.queue) > self._capacity

    def notify(self) -> None:
        self._changed.set()

    async def wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class MemoryStream(ByteStream):
    """One end of a `memory_pair`."""

    def __init__(self, incoming: _Pipe, outgoing: _Pipe, max_read: int | None) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._max_read = max_read
        self._remote: MemoryStream | None = None
        self._closed = False
        self._reset = False

    async def read(self, max_bytes: int = READ_CHUNK) -> bytes:
        """Return what is there; see `ByteStream.read`."""
        while True:
            self._check()
            if len(self._incoming.queue):
                data = self._incoming.queue.take(min(max_bytes, self._max_read or max_bytes))
                self._incoming.notify()
                return data
            if self._incoming.ended:
                return b""
            await self._incoming.wait()

    def unread(self, data: bytes) -> None:
        """Push bytes back; the next `read` returns them first."""
        self._incoming.queue.push_front(data)

    async def write(self, data: bytes) -> None:
        """Queue `data`, then wait until the remote has read enough; see `ByteStream.write`."""
        self._check_writable()
        self._outgoing.queue.append(bytes(data))
        self._outgoing.notify()
        while self._outgoing.full:
            await self._outgoing.wait()
            self._check_writable()

    async def close(self) -> None:
        """End both directions; the remote still reads what was written before."""
        if self._closed or self._reset:
            return
        self._closed = True
        self._outgoing.ended = True
        self._incoming.queue.clear()
        self._notify()

    def abort(self) -> None:
        """Give up: both ends raise `StreamResetError` from now on."""
        if self._closed or self._reset:
            return
        self._give_up()
        if self._remote is not None:
            self._remote._give_up()

    def _give_up(self) -> None:
        self._reset = True
        self._incoming.queue.clear()
        self._notify()

    def _notify(self) -> None:
        self._incoming.notify()
        self._outgoing.notify()

    def _check(self) -> None:
        if self._closed:
            raise StreamClosedError("The connection was closed on this side.")
        if self._reset:
            raise StreamResetError("The connection was given up.")

    def _check_writable(self) -> None:
        self._check()
        if self._remote is not None and self._remote._closed:
            raise ConnectionLostError("The other side has closed the connection.")


def memory_pair(
    *, capacity: int = _CAPACITY, max_read: int | None = None
) -> tuple[MemoryStream, MemoryStream]:
    """Return the two ends of a connection.

    Args:
        capacity: unread bytes after which a writer waits.
        max_read: the most bytes one `read` returns, whatever it asks for; with 1, readers have to cope with
            pieces.
    """
    there, back = _Pipe(capacity), _Pipe(capacity)
    left, right = MemoryStream(back, there, max_read), MemoryStream(there, back, max_read)
    left._remote, right._remote = right, left
    return left, right

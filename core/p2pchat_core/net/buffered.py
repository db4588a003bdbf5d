"""What streams with a queue of received bytes have in common."""

from __future__ import annotations

from abc import abstractmethod

from p2pchat_core.errors import StreamClosedError, StreamResetError
from p2pchat_core.limits import READ_CHUNK
from p2pchat_core.net.byte_queue import ByteQueue
from p2pchat_core.net.stream import ByteStream

__all__ = ["BufferedStream"]


class BufferedStream(ByteStream):
    """Reading from `_pending`, which `_refill` fills, and what remains of a stream after its end."""

    def __init__(self, pending: ByteQueue | None = None) -> None:
        self._pending = ByteQueue() if pending is None else pending
        self._ended = self._closed = self._aborted = False

    @property
    def buffered(self) -> int:
        """See `ByteStream.buffered`; this is what was received."""
        return len(self._pending)

    def read_nowait(self, max_bytes: int = READ_CHUNK) -> bytes | None:
        """See `ByteStream.read_nowait`."""
        self._check_open()
        while not len(self._pending):
            if self._ended:
                return b""
            if not self._refill():
                return None
        return self._pending.take(max_bytes)

    def unread(self, data: bytes) -> None:
        """Push bytes back; the next `read` returns them first."""
        self._pending.push_front(data)

    @abstractmethod
    def _refill(self) -> bool:
        """Add to `_pending` or set `_ended`; return whether there was anything to do.

        Raises:
            ConnectionLostError: nothing more will come.
        """

    def _end(self, *, aborted: bool) -> None:
        """Our user gave it up: drop what nobody will read, and let those who wait see it."""
        if aborted:
            self._aborted = True
        else:
            self._closed = True
        self._pending.clear()
        self.notify()

    def _check_open(self) -> None:
        if self._closed:
            raise StreamClosedError("The connection was closed on this side.")
        if self._aborted:
            raise StreamResetError("The connection was given up.")

"""What every byte stream here promises, whatever carries it.

A `ByteStream` is a raw connection before it is upgraded (a WebSocket, a circuit, an in-memory pair). A `Stream` is one
of the many inside an upgraded connection: a yamux stream or a WebRTC data channel. Callers cannot tell which.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.limits import READ_CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from p2pchat_core.net.connection import Connection

__all__ = ["ByteStream", "Stream"]


class ByteStream(ABC):
    """An ordered, reliable, bidirectional stream of bytes.

    There are two ways to use it. `read` and `write` wait, and suit a protocol that takes turns. `read_nowait`,
    `can_send` and `send` never wait: whoever sets `on_readable` and `on_writable` is called in the same turn of the
    event loop in which bytes come or room is made, so that layers upon layers pass them on without a task in between.
    Backpressure is the same in both: what nobody takes stays where it is, and in the end with the sender.

    One task may read while another writes; two concurrent readers, or two concurrent writers, are a caller's mistake.

    Attributes:
        on_readable: called when `read_nowait` has something new to say after it returned ``None``; maybe more often,
            and also from inside other methods. Must not raise.
        on_writable: the same for `can_send`.
    """

    on_readable: Callable[[], None] | None = None
    on_writable: Callable[[], None] | None = None
    _reading: asyncio.Future[None] | None = None
    _writing: asyncio.Future[None] | None = None

    @abstractmethod
    def read_nowait(self, max_bytes: int = READ_CHUNK) -> bytes | None:
        """Return what `read` would return without waiting, or ``None``. Errors as in `read`."""

    @abstractmethod
    def unread(self, data: bytes) -> None:
        """Push bytes back; the next `read` returns them first."""

    @abstractmethod
    def can_send(self) -> bool:
        """Return whether more should be sent now. Errors as in `write`."""

    @abstractmethod
    def send(self, data: bytes | memoryview) -> None:
        """Queue all of `data`, whose bytes must not change later. Only after `can_send` has allowed it.

        Errors as in `write`.
        """

    async def read(self, max_bytes: int = READ_CHUNK) -> bytes:
        """Return at least one and at most `max_bytes` bytes, or ``b""`` once the remote has ended its side.

        Raises:
            StreamResetError: either side reset the stream.
            StreamClosedError: it was closed on this side.
            ConnectionLostError: the connection below it is gone.
        """
        while (data := self.read_nowait(max_bytes)) is None:
            self._reading = asyncio.get_running_loop().create_future()
            await self._reading
        return data

    async def write(self, data: bytes) -> None:
        """Queue `data` for sending, waiting while the remote or the network cannot take more.

        When this is cancelled, `data` may be sent or not, but never a part of it that nobody continues.

        Raises:
            StreamResetError: either side reset the stream, or the remote stopped reading.
            StreamClosedError: our side was already closed for writing.
            ConnectionLostError: the connection below it is gone.
        """
        await self.wait_until_writable()
        if data:
            self.send(bytes(data))
            await self.wait_until_writable()

    async def wait_until_writable(self) -> None:
        """Wait until `can_send`. Errors as in `write`."""
        while not self.can_send():
            self._writing = asyncio.get_running_loop().create_future()
            await self._writing

    def notify_readable(self) -> None:
        """Let whoever reads look again; for what carries the stream."""
        if self.on_readable is not None:
            self.on_readable()
        elif self._reading is not None and not self._reading.done():
            self._reading.set_result(None)

    def notify_writable(self) -> None:
        """Let whoever writes look again; for what carries the stream."""
        if self.on_writable is not None:
            self.on_writable()
        elif self._writing is not None and not self._writing.done():
            self._writing.set_result(None)

    def notify(self) -> None:
        """Both."""
        self.notify_readable()
        self.notify_writable()

    @abstractmethod
    async def close(self) -> None:
        """End both directions in good order. Never raises; calling it again does nothing."""

    @abstractmethod
    def abort(self) -> None:
        """Give both directions up at once. Never raises; calling it again does nothing."""

    @property
    def buffered(self) -> int:
        """Bytes that are held for it in either direction, as far as that is known."""
        return 0

    async def read_exactly(self, count: int) -> bytes:
        """Return exactly `count` bytes.

        Raises:
            RemoteProtocolError: the stream ended before.
        """
        parts: list[bytes] = []
        missing = count
        while missing:
            data = await self.read(missing)
            if not data:
                raise RemoteProtocolError(f"The stream ended {missing} bytes too early.")
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc_type is None:
            await self.close()
        else:
            self.abort()


class Stream(ByteStream):
    """One stream of a multiplexed connection.

    Attributes:
        connection: the connection it belongs to; set by the connection before anyone else sees the stream.
        protocol: the protocol negotiated on it; empty until then.
    """

    connection: Connection
    protocol: str = ""

    @property
    @abstractmethod
    def stream_id(self) -> int:
        """Its number on the wire, unique among the open streams of its connection."""

    @abstractmethod
    async def close_write(self) -> None:
        """End our direction (half-close) after everything written; reading goes on.

        Raises:
            StreamResetError, ConnectionLostError: as in `write`. Calling it again does nothing.
        """

    def reset(self) -> None:
        """Tell the remote that the stream is given up, and drop what is queued. The same as `abort`."""
        self.abort()

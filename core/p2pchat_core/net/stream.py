"""What every byte stream here promises, whatever carries it.

A `ByteStream` is a raw connection before it is upgraded (a WebSocket, a circuit, an in-memory pair). A `Stream` is one
of the many inside an upgraded connection: a yamux stream or a WebRTC data channel. Callers cannot tell which.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.limits import READ_CHUNK

if TYPE_CHECKING:
    from types import TracebackType

    from p2pchat_core.net.connection import Connection

__all__ = ["ByteStream", "Stream"]


class ByteStream(ABC):
    """An ordered, reliable, bidirectional stream of bytes.

    One task may read while another writes; two concurrent readers, or two concurrent writers, are a caller's mistake.
    """

    @abstractmethod
    async def read(self, max_bytes: int = READ_CHUNK) -> bytes:
        """Return at least one and at most `max_bytes` bytes, or ``b""`` once the remote has ended its side.

        Raises:
            StreamResetError: either side reset the stream.
            StreamClosedError: it was closed on this side.
            ConnectionLostError: the connection below it is gone.
        """

    @abstractmethod
    def unread(self, data: bytes) -> None:
        """Push bytes back; the next `read` returns them first."""

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Queue `data` for sending, waiting while the remote or the network cannot take more.

        Raises:
            StreamResetError: either side reset the stream, or the remote stopped reading.
            StreamClosedError: our side was already closed for writing.
            ConnectionLostError: the connection below it is gone.
        """

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

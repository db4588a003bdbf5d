"""Byte streams over a socket: what plain TCP and WebSockets have in common."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.errors import ConnectionLostError
from p2pchat_core.net.buffered import BufferedStream
from p2pchat_core.net.byte_queue import ByteQueue

if TYPE_CHECKING:
    from p2pchat_core.multiformats.multiaddr import Multiaddr

__all__ = ["Socket", "SocketStream"]


class Socket(ABC):
    """The state of one connection, kept by the protocol that its transport calls.

    Attributes:
        transport: what carries it.
        pending: received and not yet read.
        ended: whether the peer has ended its side in good order.
        lost: why nothing more comes, a sentence, if it ended otherwise.
        full: whether the network takes nothing more for now.
        gone: set when the connection is.
        stream: whom to tell, once there is one.
    """

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.pending = ByteQueue()
        self.ended = False
        self.lost: str | None = None
        self.full = False
        self.gone = asyncio.Event()
        self.stream: SocketStream | None = None
        self._held = False

    @property
    def buffered(self) -> int:
        """Bytes held besides `pending`. Of a connection that is being cut: none, since a transport cannot tell."""
        return 0 if self.transport.is_closing() else self.transport.get_write_buffer_size()

    @abstractmethod
    def send(self, data: bytes | memoryview) -> None:
        """Give bytes to the transport."""

    @abstractmethod
    def check_sendable(self) -> None:
        """Raise `ConnectionLostError` if nothing can be sent any more."""

    def changed(self) -> None:
        """Something came, or the peer's side is over. When nobody reads what came, the peer has to wait."""
        if self.stream is not None:
            self.stream.notify_readable()
        if (
            not self._held
            and len(self.pending) > limits.SOCKET_READ_BUFFER
            and not self.transport.is_closing()
        ):
            self._held = True
            self.transport.pause_reading()

    def emptied(self) -> None:
        """Everything that came was read: the peer may go on."""
        if self._held:
            self._held = False
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def set_full(self, full: bool) -> None:
        """The transport asks to wait, or says that it can go on."""
        self.full = full
        if not full and self.stream is not None:
            self.stream.notify_writable()

    def cut(self) -> None:
        """The connection is gone."""
        self.gone.set()
        if self.stream is not None:
            self.stream.notify()


class SocketStream(BufferedStream):
    """One connection as a byte stream.

    Attributes:
        remote_address: the IP address and port of the peer, as a multiaddr.
        local_address: the same of our side.
        opened_at: when the connection was made, in the loop's time.
    """

    remote_address: Multiaddr
    local_address: Multiaddr
    opened_at: float

    def __init__(self, socket: Socket) -> None:
        super().__init__(socket.pending)
        self._socket = socket
        socket.stream = self

    @property
    def buffered(self) -> int:
        """See `ByteStream.buffered`."""
        return super().buffered + self._socket.buffered

    def can_send(self) -> bool:
        """See `ByteStream.can_send`."""
        self._check_open()
        self._socket.check_sendable()
        return not self._socket.full

    def send(self, data: bytes | memoryview) -> None:
        """See `ByteStream.send`."""
        self._socket.send(data)

    def abort(self) -> None:
        """Close the connection at once."""
        if not self._aborted:
            self._socket.transport.abort()
            self._end(aborted=True)

    async def wait_closed(self) -> None:
        """Wait until the connection is gone, whoever ended it."""
        await self._socket.gone.wait()

    def _refill(self) -> bool:
        if self._socket.lost is not None:
            raise ConnectionLostError(self._socket.lost)
        self._ended = self._socket.ended
        if not self._ended:
            self._socket.emptied()
        return self._ended

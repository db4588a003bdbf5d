"""Plain TCP as byte streams: dialling and listening. Noise runs directly on it, as on a WebSocket."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Final, cast

from p2pchat_core import limits
from p2pchat_core.errors import (
    AddressError,
    ConfigError,
    ConnectionLostError,
    DialError,
    P2PChatError,
)
from p2pchat_core.net.socket_errors import (
    FAMILY,
    dial_failure,
    happy_eyeballs,
    listen_failure,
    settle_accepted,
)
from p2pchat_core.net.socket_stream import Socket, SocketStream
from p2pchat_core.net.tasks import TaskOwner
from p2pchat_core.wire.tcp_address import tcp_address, tcp_target

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from p2pchat_core.multiformats.multiaddr import Multiaddr

__all__ = ["TcpListener", "TcpStream", "dial_tcp"]

logger = logging.getLogger(__name__)

_BACKLOG: Final = 128


class _Protocol(Socket, asyncio.Protocol):
    """What a TCP connection tells."""

    def __init__(self, accept: Callable[[_Protocol], None] | None = None) -> None:
        super().__init__()
        self._accept = accept

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=limits.TCP_WRITE_LIMIT)
        if self._accept is not None:
            self._accept(self)

    def data_received(self, data: bytes) -> None:
        self.pending.append(data)
        self.changed()

    def eof_received(self) -> bool:
        self.ended = True
        self.changed()
        return True  # we may still have something to say

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self.lost = "The connection was cut."
        self.ended = True
        self.cut()

    def pause_writing(self) -> None:
        self.set_full(True)

    def resume_writing(self) -> None:
        self.set_full(False)

    def send(self, data: bytes | memoryview) -> None:
        self.transport.write(data)

    def check_sendable(self) -> None:
        if self.transport.is_closing():
            raise ConnectionLostError("The connection was cut.")


class TcpStream(SocketStream):
    """One TCP connection."""

    def __init__(self, protocol: _Protocol) -> None:
        transport = protocol.transport
        self.remote_address = tcp_address(*_name(transport.get_extra_info("peername")))
        self.local_address = tcp_address(*_name(transport.get_extra_info("sockname")))
        self.opened_at = asyncio.get_running_loop().time()
        super().__init__(protocol)

    async def close(self) -> None:
        """Send what is queued, then close, within `limits.TCP_CLOSE_TIMEOUT`."""
        if self._closed or self._aborted:
            return
        self._end(aborted=False)
        self._socket.transport.close()
        try:
            async with asyncio.timeout(limits.TCP_CLOSE_TIMEOUT):
                await self.wait_closed()
        except TimeoutError:
            logger.debug("the peer did not take what was queued for it")
        finally:
            self._socket.transport.abort()


async def dial_tcp(address: Multiaddr) -> TcpStream:
    """Connect to a TCP address; a trailing PeerId is for the handshake that follows and not looked at.

    Raises:
        AddressError: not an address of plain TCP.
        DialError: the sentence says what is the matter.
    """
    target = tcp_target(address)
    loop = asyncio.get_running_loop()
    family = FAMILY.get(address.names[0], socket.AF_UNSPEC)
    try:
        async with asyncio.timeout(limits.TCP_OPEN_TIMEOUT):
            transport, protocol = await loop.create_connection(
                _Protocol, target.host, target.port, family=family, **happy_eyeballs(target.host)
            )
    except OSError as error:
        raise DialError(dial_failure(target.host, target.port, error, limits.TCP_OPEN_TIMEOUT)) from error
    try:
        return TcpStream(protocol)
    except AddressError as error:
        # The peer hung up before its name could be asked.
        transport.abort()
        raise DialError(f"{target.host} port {target.port} cut the connection at once.") from error


class TcpListener:
    """A listening socket; made by `open`."""

    def __init__(
        self,
        on_connection: Callable[[TcpStream], Awaitable[None]],
        admit: Callable[[str], bool],
        released: Callable[[str], None],
    ) -> None:
        self._on_connection = on_connection
        self._admit = admit
        self._released = released
        self._tasks = TaskOwner("tcp listener")
        self._streams: set[TcpStream] = set()
        self.waiting = 0
        """Connections that `on_connection` was not called for yet."""
        self._server: asyncio.Server

    @classmethod
    async def open(
        cls,
        address: Multiaddr,
        on_connection: Callable[[TcpStream], Awaitable[None]],
        *,
        admit: Callable[[str], bool] = lambda _remote_ip: True,
        released: Callable[[str], None] = lambda _remote_ip: None,
    ) -> TcpListener:
        """Listen at an IP address.

        Args:
            address: ``/ip4/…/tcp/…`` or ``/ip6/…/tcp/…``; port 0 takes a free one.
            on_connection: called for each connection. The stream lives on after it returns; when it raises, the
                stream is aborted. It is cancelled when the listener closes.
            admit: asked with the remote's IP address before anything else; false drops the connection.
            released: told the IP address of each connection that was admitted when it is gone.

        Raises:
            AddressError: not an address of plain TCP, or one with a name in place of an IP address.
            ConfigError: the address cannot be used on this machine.
        """
        target = tcp_target(address)
        if not address.names[0].startswith("ip"):
            raise AddressError(
                f"{address} names a host; to listen, give an IP address such as /ip4/0.0.0.0/tcp/9002."
            )
        self = cls(on_connection, admit, released)
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: _Protocol(self._accept), target.host, target.port, backlog=_BACKLOG
            )
        except OSError as error:
            raise ConfigError(listen_failure(target.host, target.port, error)) from error
        return self

    @property
    def addresses(self) -> list[Multiaddr]:
        """Where it listens, with the real port; a wildcard address stays one."""
        return [tcp_address(*_name(sock.getsockname())) for sock in self._server.sockets]

    async def close(self) -> None:
        """Stop listening, end every `on_connection`, and close what is left within `limits.TCP_CLOSE_TIMEOUT`."""
        self._server.close()
        await settle_accepted()
        left = tuple(self._streams)
        await self._tasks.close()
        await asyncio.gather(*(stream.close() for stream in left))

    def _accept(self, protocol: _Protocol) -> None:
        try:
            stream = TcpStream(protocol)
        except AddressError:
            protocol.transport.abort()  # hung up before its name could be asked
            return
        remote_ip = str(protocol.transport.get_extra_info("peername")[0])
        if not self._admit(remote_ip):
            stream.abort()
            return
        self._streams.add(stream)
        self.waiting += 1
        name = f"connection from {stream.remote_address}"
        if self._tasks.spawn(self._serve(stream, remote_ip), name) is None:
            stream.abort()

    async def _serve(self, stream: TcpStream, remote_ip: str) -> None:
        self.waiting -= 1
        try:
            await self._hand_over(stream)
            await stream.wait_closed()
        finally:
            self._streams.discard(stream)
            self._released(remote_ip)

    async def _hand_over(self, stream: TcpStream) -> None:
        try:
            await self._on_connection(stream)
        except P2PChatError as error:
            logger.debug("the connection from %s was not kept: %s", stream.remote_address, error)
            stream.abort()
        except Exception:
            logger.exception("the handler of a new connection failed")
            stream.abort()


def _name(name: tuple[str, int] | tuple[str, int, int, int] | None) -> tuple[str, int]:
    if not name:
        return "", 0
    # A link-local IPv6 address carries its interface in the fourth field.
    scope = name[3] if len(name) == 4 else 0
    return (f"{name[0]}%{scope}" if scope and "%" not in name[0] else name[0]), name[1]

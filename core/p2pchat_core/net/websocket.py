"""WebSockets as byte streams: dialling and listening (docs/wire.md section 4).

Message boundaries mean nothing: what one peer writes at once may arrive as many messages, some of them empty.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import ssl
from typing import TYPE_CHECKING, Any

from p2pchat_core import limits
from p2pchat_core.errors import (
    AddressError,
    ConfigError,
    DialError,
    HandshakeError,
    P2PChatError,
)
from p2pchat_core.net.door import Gatekeeper
from p2pchat_core.net.socket_errors import FAMILY, dial_failure, listen_failure, settle_accepted
from p2pchat_core.net.socket_stream import SocketStream
from p2pchat_core.wire.ws_address import websocket_address, websocket_target

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from p2pchat_core.multiformats.multiaddr import Multiaddr
    from p2pchat_core.net.door import WebSocketServer
    from p2pchat_core.net.forwarding import Forwarding
    from p2pchat_core.net.websocket_library import WebSocketEnd

__all__ = ["WebSocketListener", "WebSocketStream", "dial_websocket"]

logger = logging.getLogger(__name__)


class WebSocketStream(SocketStream):
    """One WebSocket."""

    def __init__(self, end: WebSocketEnd, *, tls: bool) -> None:
        self.opened_at = end.opened_at
        self.remote_address = websocket_address(*end.remote, tls=tls)
        self.local_address = websocket_address(*end.local, tls=tls)
        self._end_point = end
        super().__init__(end)

    def send(self, data: bytes | memoryview) -> None:
        """Send in messages of at most `limits.WS_MAX_SEND` bytes; see `ByteStream.send`."""
        for start in range(0, len(data), limits.WS_MAX_SEND):
            self._socket.send(data[start : start + limits.WS_MAX_SEND])

    async def close(self) -> None:
        """Close in good order within `limits.WS_CLOSE_TIMEOUT`."""
        if self._closed or self._aborted:
            return
        self._end(aborted=False)
        await self._end_point.finish()


async def dial_websocket(address: Multiaddr, *, ssl_context: ssl.SSLContext | None = None) -> WebSocketStream:
    """Connect to a ws or wss address; a trailing PeerId is for the handshake that follows and not looked at.

    Args:
        address: see `websocket_target`.
        ssl_context: for wss; by default certificates are checked against those the system trusts.

    Raises:
        AddressError: not a WebSocket address.
        DialError: the sentence says what is the matter.
    """
    from p2pchat_core.net.websocket_library import (
        connect_websocket,
    )  # takes 30 ms, and not every start needs it

    target = websocket_target(address)
    if target.tls and ssl_context is None:
        ssl_context = await asyncio.to_thread(ssl.create_default_context)
    try:
        end = await connect_websocket(
            target.host,
            target.port,
            server_name=target.sni or target.host.partition("%")[0],
            ssl_context=ssl_context if target.tls else None,
            family=FAMILY.get(address.names[0], socket.AF_UNSPEC),
        )
    except OSError as error:
        raise DialError(dial_failure(target.host, target.port, error, limits.WS_OPEN_TIMEOUT)) from error
    return WebSocketStream(end, tls=target.tls)


class WebSocketListener:
    """A listening socket; made by `open`."""

    def __init__(
        self,
        on_connection: Callable[[WebSocketStream], Awaitable[None]],
        tls: bool,
    ) -> None:
        self._on_connection = on_connection
        self._tls = tls
        self._accepted: set[asyncio.Task[Any]] = set()
        self._door: WebSocketServer

    @classmethod
    async def open(
        cls,
        address: Multiaddr,
        on_connection: Callable[[WebSocketStream], Awaitable[None]],
        *,
        ssl_context: ssl.SSLContext | None = None,
        admit: Callable[[str | None], bool] = lambda _remote_ip: True,
        readmit: Callable[[str], bool] = lambda _remote_ip: True,
        released: Callable[[str | None], None] = lambda _remote_ip: None,
        failed: Callable[[Multiaddr, P2PChatError], None] = lambda _remote, _error: None,
        forwarding: Forwarding | None = None,
        open_timeout: float = limits.WS_OPEN_TIMEOUT,
    ) -> WebSocketListener:
        """Listen at an IP address.

        Args:
            address: ``/ip4/…/tcp/…/ws`` and so on; port 0 takes a free one.
            on_connection: called for each WebSocket. The stream lives on after it returns; when it raises, the
                stream is aborted. It is cancelled when the listener closes.
            ssl_context: needed for wss addresses, and only for them.
            admit: asked with the remote's IP address before anything else; false drops the connection. With
                ``None`` for a proxy that has not said yet whom it speaks for.
            readmit: asked with the address that a proxy then gave, after `released` was told ``None``; false
                refuses the connection.
            released: told the IP address of each connection that was admitted when it is gone.
            failed: told of who was admitted and did not become a WebSocket, and why.
            forwarding: the proxies that are believed.
            open_timeout: seconds for a TCP connection to become a WebSocket.

        Raises:
            AddressError: not a WebSocket address, or one with a name in place of an IP address.
            ConfigError: the address cannot be used on this machine, or the certificate is missing.
        """
        from p2pchat_core.net.websocket_server import serve_websockets

        target = websocket_target(address)
        if not address.names[0].startswith("ip"):
            raise AddressError(
                f"{address} names a host; to listen, give an IP address such as /ip4/0.0.0.0/tcp/9001/ws."
            )
        if target.tls and ssl_context is None:
            raise ConfigError(f"Listening at {address} needs a TLS certificate and its key.")
        self = cls(on_connection, target.tls)

        def on_failed(remote: tuple[str, int], error: P2PChatError) -> None:
            failed(websocket_address(*remote, tls=target.tls), error)

        keeper = Gatekeeper(admit, readmit, released, on_failed, forwarding, open_timeout)
        try:
            self._door = await serve_websockets(
                target.host,
                target.port,
                self._accept,
                ssl_context=ssl_context if target.tls else None,
                keeper=keeper,
            )
        except OSError as error:
            raise ConfigError(listen_failure(target.host, target.port, error)) from error
        return self

    @property
    def addresses(self) -> list[Multiaddr]:
        """Where it listens, with the real port; a wildcard address stays one."""
        return [websocket_address(*_name(sock), tls=self._tls) for sock in self._door.server.sockets]

    async def close(self) -> None:
        """Stop listening, close what is left, end every `on_connection`; within `limits.WS_CLOSE_TIMEOUT`."""
        self._door.closed = True
        server = self._door.server
        server.close()
        await self._door.handshakes.close()
        await settle_accepted()
        try:
            async with asyncio.timeout(limits.WS_CLOSE_TIMEOUT):
                await server.wait_closed()
        except TimeoutError:
            for task in tuple(self._accepted):
                task.cancel()
            for visitor in tuple(self._door.visitors):
                visitor.abort()
            await server.wait_closed()

    @property
    def waiting(self) -> int:
        """Connections that are not WebSockets yet."""
        return len(self._door.waiting)

    @property
    def waiting_since(self) -> float:
        """When the oldest of those came, in the loop's time; infinity when there are none."""
        return next((visitor.opened_at for visitor in self._door.waiting), math.inf)

    def drop_waiting(self) -> None:
        """Cut the oldest of those."""
        visitor = next(iter(self._door.waiting))
        # It no longer counts from now on, though the loop reports its end only later.
        self._door.fail(visitor, HandshakeError("It had to make room for others.", "crowded"))
        visitor.abort()

    async def _accept(self, end: WebSocketEnd) -> None:
        task = asyncio.current_task()
        assert task is not None  # the library runs one for each connection
        self._accepted.add(task)
        try:
            await self._serve(WebSocketStream(end, tls=self._tls))
        finally:
            self._accepted.discard(task)

    async def _serve(self, stream: WebSocketStream) -> None:
        try:
            await self._on_connection(stream)
        except P2PChatError as error:
            logger.debug("the connection from %s was not kept: %s", stream.remote_address, error)
            stream.abort()
        except Exception:
            logger.exception("the handler of a new connection failed")
            stream.abort()
        # The library closes the connection when this returns; it is the stream's owner who decides when.
        await stream.wait_closed()


def _name(sock: socket.socket) -> tuple[str, int]:
    host, port = sock.getsockname()[:2]
    return host, port

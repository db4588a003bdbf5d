"""Listening with the `websockets` library: TLS, and the request, before a connection is a WebSocket (see `door`)."""

from __future__ import annotations

import asyncio
import http
import logging
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final, cast

from websockets.asyncio.server import ServerConnection, serve

from p2pchat_core import limits
from p2pchat_core.errors import HandshakeError, RemoteProtocolError
from p2pchat_core.net.door import WebSocketServer
from p2pchat_core.net.websocket_library import QUIET, SETTINGS, WebSocketEnd

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from websockets.http11 import Request, Response

    from p2pchat_core.net.door import Gatekeeper, Visitor

__all__ = ["serve_websockets"]

logger = logging.getLogger(__name__)

_NOT_A_WEBSOCKET: Final = "This port speaks WebSocket only. Connect with p2pchat or another libp2p program.\n"
_NOT_NOW: Final = "Not from there, or not so many at once.\n"


class _Server(WebSocketEnd, ServerConnection):
    """The side that listens."""

    door: WebSocketServer
    visitor: Visitor | None = None
    made = False

    @property
    def remote(self) -> tuple[str, int]:
        """IP address and port of the client; port 0 where only a proxy knows it."""
        if self.visitor is not None and self.visitor.client_ip is not None:
            return self.visitor.client_ip, 0
        return super().remote

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made = True
        super().connection_made(transport)
        if self.visitor is None:
            self.visitor = self.door.enter(self.transport, self.opened_at)
        else:
            self.visitor.abort = self.transport.abort
            self.opened_at = self.visitor.opened_at

    def connection_lost(self, exc: Exception | None) -> None:
        if self.visitor is not None:
            if self._misspoke():
                self.door.fail(
                    self.visitor, HandshakeError("What came was no request for a WebSocket.", "http")
                )
            self.door.leave(self.visitor, self.loop.time())
        super().connection_lost(exc)

    def _misspoke(self) -> bool:
        """Whether it was not HTTP, or asked for something else than a WebSocket."""
        problem = self.protocol.handshake_exc
        if problem is not None:
            # The library takes a line without its end for the end of the connection.
            return not (isinstance(problem.__cause__, EOFError) and self.protocol.reader.eof)
        return self.response is not None and self.response.status_code != http.HTTPStatus.SWITCHING_PROTOCOLS


class _TlsGate(asyncio.Protocol):
    """Does TLS between a connection and its WebSocket.

    A server of asyncio that does TLS itself tells of a connection only when the handshake is done, so that those
    who never do it would be seen by no limit. Here the socket is taken from its transport before anything is read,
    and given to one with TLS.
    """

    def __init__(self, websocket: _Server, context: ssl.SSLContext, loop: asyncio.AbstractEventLoop) -> None:
        self._websocket = websocket
        self._context = context
        self._loop = loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        raw, door = cast("asyncio.Transport", transport), self._websocket.door
        visitor = door.enter(raw, self._loop.time())
        if visitor is None:
            return
        try:
            connected = socket.socket(fileno=os.dup(raw.get_extra_info("socket").fileno()))
        except OSError as error:
            logger.debug("no TLS with %s: %s", visitor.address[0], error)
            raw.abort()
            door.leave(visitor, self._loop.time())
            return
        raw.abort()
        connected.setblocking(False)
        task = door.handshakes.spawn(self._handshake(visitor, connected), "handshake")
        if task is None:
            connected.close()
            door.leave(visitor, self._loop.time())
        else:
            visitor.abort = task.cancel
            # Not in the task itself: it may be cancelled before it begins.
            task.add_done_callback(lambda _task: self._ended(visitor, connected))

    async def _handshake(self, visitor: Visitor, connected: socket.socket) -> None:
        self._websocket.visitor = visitor
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._websocket,
                connected,
                ssl=self._context,
                ssl_handshake_timeout=self._websocket.door.keeper.open_timeout,
                ssl_shutdown_timeout=limits.WS_CLOSE_TIMEOUT,
            )
        except OSError as error:
            logger.debug("no TLS with %s: %s", visitor.address[0], error)
            if isinstance(error, ssl.SSLError):
                self._websocket.door.fail(visitor, HandshakeError(f"TLS failed: {error}", "tls"))

    def _ended(self, visitor: Visitor, connected: socket.socket) -> None:
        if not self._websocket.made:
            connected.close()
            self._websocket.door.leave(visitor, self._loop.time())


async def serve_websockets(
    host: str,
    port: int,
    accept: Callable[[WebSocketEnd], Awaitable[None]],
    *,
    ssl_context: ssl.SSLContext | None,
    keeper: Gatekeeper,
) -> WebSocketServer:
    """Listen, and run `accept` for each connection that became a WebSocket; when it returns, it is closed.

    The keeper is asked before anything is read, TLS included.

    Raises:
        OSError: the address cannot be bound.
    """
    loop = asyncio.get_running_loop()
    door = WebSocketServer(keeper)

    def create(*arguments: Any, **options: Any) -> Any:
        websocket = _Server(*arguments, **options)
        websocket.door = door
        return websocket if ssl_context is None else _TlsGate(websocket, ssl_context, loop)

    async def handle(connection: ServerConnection) -> None:
        assert isinstance(connection, _Server)
        assert connection.visitor is not None  # else it would have been cut before
        door.waiting.pop(connection.visitor, None)
        await accept(connection)

    options = SETTINGS | {"open_timeout": keeper.open_timeout}
    del options["ssl_shutdown_timeout"]
    door.server = await serve(
        handle,
        host,
        port,
        process_request=_look_at_request,
        server_header=None,
        create_connection=cast("type[ServerConnection]", create),
        logger=QUIET,
        **options,
    )
    return door


def _look_at_request(connection: ServerConnection, request: Request) -> Response | None:
    """Answer browsers, health checks and clients that are not let in with a sentence instead of a protocol error."""
    if "websocket" not in ",".join(request.headers.get_all("Upgrade")).lower():
        return connection.respond(http.HTTPStatus.BAD_REQUEST, _NOT_A_WEBSOCKET)
    assert isinstance(connection, _Server)
    if connection.visitor is None:
        return None
    door, visitor = connection.door, connection.visitor
    try:
        if door.name(visitor, request.headers.raw_items()):
            return None
    except RemoteProtocolError as error:
        door.fail(visitor, HandshakeError(str(error), "forwarded"))
        return connection.respond(http.HTTPStatus.BAD_REQUEST, f"{error}\n")
    # Whoever turned it away has counted it.
    door.waiting.pop(visitor, None)
    return connection.respond(http.HTTPStatus.TOO_MANY_REQUESTS, _NOT_NOW)

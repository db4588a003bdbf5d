"""Listening with the `websockets` library: who came in, what is not a WebSocket yet, and TLS before it is one."""

from __future__ import annotations

import asyncio
import http
import logging
import os
import socket
from typing import TYPE_CHECKING, Any, Final, cast

from websockets.asyncio.server import Server, ServerConnection, serve

from p2pchat_core import limits
from p2pchat_core.net.tasks import TaskOwner
from p2pchat_core.net.websocket_library import QUIET, SETTINGS, WebSocketEnd

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    from websockets.http11 import Request, Response

__all__ = ["Visitor", "WebSocketServer", "serve_websockets"]

logger = logging.getLogger(__name__)

_NOT_A_WEBSOCKET: Final = "This port speaks WebSocket only. Connect with p2pchat or another libp2p program.\n"


class Visitor:
    """Somebody who was let in, from TCP to the end.

    Attributes:
        remote_ip: where from.
        opened_at: when, in the loop's time.
        abort: cuts the connection, whatever state it is in.
    """

    def __init__(self, remote_ip: str, opened_at: float, abort: Callable[[], object]) -> None:
        self.remote_ip = remote_ip
        self.opened_at = opened_at
        self.abort = abort


class WebSocketServer:
    """A listening socket and who came through it.

    Attributes:
        visitors: everybody who is there, in whatever state.
        waiting: those of them that are no WebSockets yet, oldest first.
    """

    def __init__(self, admit: Callable[[str], bool], released: Callable[[str], None]) -> None:
        """Not called directly: see `serve_websockets`."""
        self.visitors: set[Visitor] = set()
        self.waiting: dict[Visitor, None] = {}
        self.handshakes = TaskOwner("TLS handshakes")
        self._admit = admit
        self._released = released
        self.server: Server

    def enter(self, transport: asyncio.Transport, now: float) -> Visitor | None:
        """Let somebody in, or cut the connection."""
        peer = transport.get_extra_info("peername")
        if not peer or not self._admit(peer[0]):
            transport.abort()
            return None
        visitor = Visitor(peer[0], now, transport.abort)
        self.visitors.add(visitor)
        self.waiting[visitor] = None
        return visitor

    def leave(self, visitor: Visitor) -> None:
        """Note that somebody has gone."""
        self.visitors.discard(visitor)
        self.waiting.pop(visitor, None)
        self._released(visitor.remote_ip)


class _Server(WebSocketEnd, ServerConnection):
    """The side that listens."""

    door: WebSocketServer
    visitor: Visitor | None = None
    made = False

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
            self.door.leave(self.visitor)
        super().connection_lost(exc)


class _TlsGate(asyncio.Protocol):
    """Does TLS between a connection and its WebSocket.

    A server of asyncio that does TLS itself tells of a connection only when the handshake is done, so that those
    who never do it would be seen by no limit. Here the socket is taken from its transport before anything is read,
    and given to one with TLS.
    """

    def __init__(
        self, websocket: _Server, context: ssl.SSLContext, timeout: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._websocket = websocket
        self._context = context
        self._timeout = timeout
        self._loop = loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        raw, door = cast("asyncio.Transport", transport), self._websocket.door
        visitor = door.enter(raw, self._loop.time())
        if visitor is None:
            return
        try:
            connected = socket.socket(fileno=os.dup(raw.get_extra_info("socket").fileno()))
        except OSError as error:
            logger.debug("no TLS with %s: %s", visitor.remote_ip, error)
            raw.abort()
            door.leave(visitor)
            return
        raw.abort()
        connected.setblocking(False)
        task = door.handshakes.spawn(self._handshake(visitor, connected), "handshake")
        if task is None:
            connected.close()
            door.leave(visitor)
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
                ssl_handshake_timeout=self._timeout,
                ssl_shutdown_timeout=limits.WS_CLOSE_TIMEOUT,
            )
        except OSError as error:
            logger.debug("no TLS with %s: %s", visitor.remote_ip, error)

    def _ended(self, visitor: Visitor, connected: socket.socket) -> None:
        if not self._websocket.made:
            connected.close()
            self._websocket.door.leave(visitor)


async def serve_websockets(
    host: str,
    port: int,
    accept: Callable[[WebSocketEnd], Awaitable[None]],
    *,
    ssl_context: ssl.SSLContext | None,
    admit: Callable[[str], bool],
    released: Callable[[str], None],
    open_timeout: float,
) -> WebSocketServer:
    """Listen, and run `accept` for each connection that became a WebSocket; when it returns, it is closed.

    `admit` is asked with the remote's IP address before anything is read, TLS included, and `released` told when a
    connection that was admitted is gone.

    Raises:
        OSError: the address cannot be bound.
    """
    loop = asyncio.get_running_loop()
    door = WebSocketServer(admit, released)

    def create(*arguments: Any, **options: Any) -> Any:
        websocket = _Server(*arguments, **options)
        websocket.door = door
        return websocket if ssl_context is None else _TlsGate(websocket, ssl_context, open_timeout, loop)

    async def handle(connection: ServerConnection) -> None:
        assert isinstance(connection, _Server)
        if connection.visitor is not None:
            door.waiting.pop(connection.visitor, None)
        await accept(connection)

    options = SETTINGS | {"open_timeout": open_timeout}
    del options["ssl_shutdown_timeout"]
    door.server = await serve(
        handle,
        host,
        port,
        process_request=_refuse_plain_http,
        server_header=None,
        create_connection=cast("type[ServerConnection]", create),
        logger=QUIET,
        **options,
    )
    return door


def _refuse_plain_http(connection: ServerConnection, request: Request) -> Response | None:
    """Answer browsers and health checks with a sentence instead of a protocol error."""
    if "websocket" in ",".join(request.headers.get_all("Upgrade")).lower():
        return None
    return connection.respond(http.HTTPStatus.BAD_REQUEST, _NOT_A_WEBSOCKET)

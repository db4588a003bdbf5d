"""The `websockets` library, bent to a byte stream: the only module that imports it, and itself imported late.

Loading it takes about 30 ms, which a start that does not need it yet should not pay. What is added to its
connections: every wait has an end, text frames are refused, and its log stays quiet about strangers.
"""

from __future__ import annotations

import asyncio
import http
import logging
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from p2pchat_core import limits
from p2pchat_core.errors import (
    ConnectionLostError,
    DialError,
    HandshakeError,
    RemoteProtocolError,
)
from p2pchat_core.net.door import WebSocketServer, host_and_port
from p2pchat_core.net.socket_errors import happy_eyeballs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from websockets.http11 import Request, Response

    from p2pchat_core.net.door import Gatekeeper, Visitor

__all__ = ["WebSocketEnd", "connect_websocket", "serve_websockets"]

logger = logging.getLogger(__name__)

_NORMAL: Final = 1000
_GOING_AWAY: Final = 1001
_UNSUPPORTED_DATA: Final = 1003
_NO_STATUS: Final = 1005
_ORDERLY: Final = frozenset({_NORMAL, _GOING_AWAY, _NO_STATUS})
_NOT_A_WEBSOCKET: Final = "This port speaks WebSocket only. Connect with p2pchat or another libp2p program.\n"
_NOT_NOW: Final = "Not from there, or not so many at once.\n"

# Settings of both sides. The library's own pings are off: yamux pings the peer more often, through the same
# socket, and its timeout ends the connection; before that, the upgrade has its own deadline. Pings of peers are
# answered.
_SETTINGS: Final[dict[str, Any]] = {
    "compression": None,
    "open_timeout": limits.WS_OPEN_TIMEOUT,
    "ping_interval": None,
    "ping_timeout": None,
    "close_timeout": limits.WS_CLOSE_TIMEOUT,
    "max_size": limits.WS_MAX_MESSAGE,
    "max_queue": limits.WS_MAX_QUEUE,
    "write_limit": limits.WS_WRITE_LIMIT,
    "ssl_shutdown_timeout": limits.WS_CLOSE_TIMEOUT,
}


class _QuietLog(logging.LoggerAdapter[logging.Logger]):
    """Whatever the library reports becomes one line at debug level: a port scanner must not fill a log.

    Failures that matter reach our own code as exceptions. The dump of every frame is off.
    """

    def isEnabledFor(self, level: int) -> bool:
        return level > logging.DEBUG and self.logger.isEnabledFor(logging.DEBUG)

    def log(self, level: int, msg: object, *args: object, **_options: object) -> None:
        if self.isEnabledFor(level):
            self.logger.debug(msg, *args)


_QUIET: Final = _QuietLog(logger)


class WebSocketEnd:
    """One end of a WebSocket as `WebSocketStream` sees it: binary messages, our errors, bounded endings."""

    def __init__(self, connection: Connection, client_ip: str | None = None) -> None:
        """Wrap `connection`; `client_ip` is whom a proxy made it for."""
        self._connection = connection
        self._client_ip = client_ip

    @property
    def remote_address(self) -> tuple[str, int]:
        """IP address and port of the peer; port 0 where only a proxy knows it."""
        if self._client_ip is not None:
            return self._client_ip, 0
        return host_and_port(self._connection.remote_address)

    @property
    def buffered(self) -> int:
        """Bytes held for this connection: messages not taken yet, the one that is arriving, and what is to be sent."""
        arriving = len(self._connection.protocol.reader.buffer)
        messages = sum(len(frame.data) for frame in self._connection.recv_messages.frames.queue)
        return arriving + messages + self._connection.transport.get_write_buffer_size()

    @property
    def opened_at(self) -> float:
        """When the TCP connection was accepted, in the loop's time."""
        return self._connection.opened_at if isinstance(self._connection, _ClosingDeadline) else 0.0

    @property
    def local_address(self) -> tuple[str, int]:
        """IP address and port of our side."""
        return host_and_port(self._connection.local_address)

    async def receive(self) -> bytes | None:
        """Return the next message, maybe empty, or ``None`` once the peer has closed in good order.

        Raises:
            ConnectionLostError: the connection broke, or the peer did what it must not.
        """
        try:
            message = await self._connection.recv()
        except ConnectionClosed as error:
            if error.rcvd is not None and error.rcvd.code in _ORDERLY:
                return None
            raise ConnectionLostError(_reason(error)) from error
        if isinstance(message, bytes):
            return message
        await self.finish(_UNSUPPORTED_DATA)
        raise ConnectionLostError("The peer sent text where only binary messages are allowed.")

    async def send(self, data: bytes | memoryview) -> None:
        """Queue one message, then wait until the network takes more.

        Raises:
            ConnectionLostError: the connection has ended.
        """
        try:
            await self._connection.send(data)
        except ConnectionClosed as error:
            raise ConnectionLostError(_reason(error)) from error

    async def finish(self, code: int = _NORMAL) -> None:
        """Close in good order, but within `limits.WS_CLOSE_TIMEOUT`, whatever the peer does."""
        try:
            # The library waits without a limit for a peer that does not read what was queued before.
            async with asyncio.timeout(limits.WS_CLOSE_TIMEOUT):
                await self._connection.close(code)
        except TimeoutError:
            logger.debug("the peer did not answer the close frame")
        finally:
            self.abort()

    def abort(self) -> None:
        """Close the TCP connection at once."""
        self._connection.transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the TCP connection is gone."""
        await self._connection.wait_closed()


def _reason(error: ConnectionClosed) -> str:
    if error.rcvd is not None:
        return f"The peer closed the connection (code {error.rcvd.code})."
    if error.sent is not None and error.sent.code not in _ORDERLY:
        return f"The peer broke the WebSocket protocol (code {error.sent.code})."
    return "The connection was cut."


class _ClosingDeadline(Connection):
    """After a close frame in either direction the TCP connection ends within `limits.WS_CLOSE_TIMEOUT`.

    The library leaves that to whoever writes next, and a reader alone would wait for ever for a peer that says
    good-bye and keeps its socket open.
    """

    opened_at = 0.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.opened_at = self.loop.time()
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._deadline is None and self.protocol.close_expected():
            self._deadline = self.loop.call_later(limits.WS_CLOSE_TIMEOUT, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)


class _Client(_ClosingDeadline, ClientConnection):
    """The side that dials."""


async def connect_websocket(
    host: str, port: int, *, server_name: str, ssl_context: ssl.SSLContext | None, family: int
) -> WebSocketEnd:
    """Open a WebSocket at path ``/``.

    Args:
        host: IP address or name to connect to.
        port: TCP port.
        server_name: for the Host header and, with TLS, the name that the certificate must have.
        ssl_context: ``None`` for plain ``ws``.
        family: `socket.AF_INET`, `AF_INET6`, or 0 for any.

    Raises:
        OSError, TimeoutError: the connection could not be made (`ssl.SSLError` is an OSError).
        DialError: something answered, but not as a WebSocket.
    """
    scheme = "ws" if ssl_context is None else "wss"
    name = f"[{server_name}]" if ":" in server_name else server_name
    options = _SETTINGS | {"ssl": ssl_context, "host": host, "port": port, "family": family}
    if ssl_context is None:
        del options["ssl_shutdown_timeout"]
    try:
        connection = await connect(
            f"{scheme}://{name}:{port}/",
            # A proxy in the environment is for web pages; it could reach neither loopback nor the local network.
            proxy=None,
            user_agent_header="p2pchat",
            create_connection=_Client,
            logger=_QUIET,
            **happy_eyeballs(),
            **options,
        )
    except OSError:
        raise  # before ValueError, which ssl.SSLCertVerificationError is as well
    except InvalidStatus as error:
        status = error.response.status_code
        raise DialError(
            f"{host} port {port} answered with HTTP status {status}, not as a WebSocket: is it the relay's port?"
        ) from error
    except (WebSocketException, ValueError) as error:
        raise DialError(f"{host} port {port} does not speak WebSocket: is it the relay's port?") from error
    return WebSocketEnd(connection)


class _Server(_ClosingDeadline, ServerConnection):
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
        await accept(WebSocketEnd(connection, connection.visitor.client_ip))

    options = _SETTINGS | {"open_timeout": keeper.open_timeout}
    del options["ssl_shutdown_timeout"]
    door.server = await serve(
        handle,
        host,
        port,
        process_request=_look_at_request,
        server_header=None,
        create_connection=cast("type[ServerConnection]", create),
        logger=_QUIET,
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

"""The `websockets` library, bent to a byte stream: only this module and `websocket_server` import it, late.

Loading it takes about 30 ms, which a start that does not need it yet should not pay. What is added to its
connections: every wait has an end, text frames are refused, and its log stays quiet about strangers.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import Connection
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from p2pchat_core import limits
from p2pchat_core.errors import ConnectionLostError, DialError
from p2pchat_core.net.door import host_and_port
from p2pchat_core.net.socket_errors import happy_eyeballs
from p2pchat_core.net.socket_stream import Socket

if TYPE_CHECKING:
    import ssl

__all__ = ["QUIET", "SETTINGS", "WebSocketEnd", "connect_websocket"]

logger = logging.getLogger(__name__)

_NORMAL: Final = 1000
_GOING_AWAY: Final = 1001
_UNSUPPORTED_DATA: Final = 1003
_NO_STATUS: Final = 1005
_FRAMING: Final = 6
_ORDERLY: Final = frozenset({_NORMAL, _GOING_AWAY, _NO_STATUS})

# Settings of both sides. The library's own pings are off: yamux pings the peer more often, through the same
# socket, and its timeout ends the connection; before that, the upgrade has its own deadline. Pings of peers are
# answered.
SETTINGS: Final[dict[str, Any]] = {
    "compression": None,
    "open_timeout": limits.WS_OPEN_TIMEOUT,
    "ping_interval": None,
    "ping_timeout": None,
    "close_timeout": limits.WS_CLOSE_TIMEOUT,
    "max_size": limits.WS_MAX_MESSAGE,
    "max_queue": None,
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


QUIET: Final = _QuietLog(logger)


class WebSocketEnd(Connection, Socket):
    """A connection of the library whose messages go straight to the stream, without its queue and its tasks.

    After a close frame in either direction the TCP connection ends within `limits.WS_CLOSE_TIMEOUT`. The library
    leaves that to whoever writes next, and a reader alone would wait for ever for a peer that says good-bye and
    keeps its socket open.

    Attributes:
        opened_at: when the TCP connection was made, in the loop's time.
    """

    opened_at = 0.0
    _deadline: asyncio.TimerHandle | None = None
    _answers = 0
    """Bytes of pongs that were queued since the network took nothing more."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        Socket.__init__(self)

    # --- for the stream -----------------------------------------------------------------------------------

    @property
    def remote(self) -> tuple[str, int]:
        """IP address and port of the peer."""
        return host_and_port(self.remote_address)

    @property
    def local(self) -> tuple[str, int]:
        """IP address and port of our side."""
        return host_and_port(self.local_address)

    @property
    def buffered(self) -> int:
        """See `Socket.buffered`; with the frame that is arriving, and the answers to pings."""
        return len(self.protocol.reader.buffer) + super().buffered

    def send(self, data: bytes | memoryview) -> None:  # type: ignore[override]
        """Queue one message."""
        self.check_sendable()
        self.protocol.send_binary(data)
        self.send_data()

    def check_sendable(self) -> None:
        """Raise `ConnectionLostError` if the connection has ended."""
        if self.protocol.state is not State.OPEN or self.transport.is_closing():
            raise ConnectionLostError(self._why())

    async def finish(self) -> None:
        """Close in good order, but within `limits.WS_CLOSE_TIMEOUT`, whatever the peer does."""
        self._say_goodbye(_NORMAL)
        try:
            async with asyncio.timeout(limits.WS_CLOSE_TIMEOUT):
                await self.gone.wait()
        except TimeoutError:
            logger.debug("the peer did not answer the close frame")
        finally:
            self.transport.abort()

    # --- for the library ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.opened_at = self.loop.time()
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_closing()
        self.changed()

    def process_event(self, event: Any) -> None:
        """Take one frame, or leave the opening handshake to the library.

        What a message is made of does not matter, so its parts need not be put together (go sends parts of 4 KiB).
        """
        if not isinstance(event, Frame):
            super().process_event(event)
        elif event.opcode is Opcode.BINARY or event.opcode is Opcode.CONT:
            if self.lost is None:
                self.pending.append(bytes(event.data))
        elif event.opcode is Opcode.TEXT:
            self._fail("The peer sent text where only binary messages are allowed.")
            self._say_goodbye(_UNSUPPORTED_DATA)
        elif event.opcode is Opcode.PING and self.full:
            # The library has answered it already; yamux waits for room before it sends more, pings do not.
            self._answers += len(event.data) + _FRAMING
            if self._answers > limits.WS_CONTROL_BUFFER:
                self._fail("The peer asks and asks, but does not read the answers.")
                self.transport.abort()
        elif event.opcode is Opcode.CLOSE:
            self._settle()

    def pause_writing(self) -> None:
        self.set_full(True)
        super().pause_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._answers = 0
        self.set_full(False)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)
        self._settle()
        self.cut()

    # --- inside -------------------------------------------------------------------------------------------

    def _say_goodbye(self, code: int) -> None:
        if self.protocol.state is State.OPEN:
            self.protocol.send_close(code)
            self.send_data()
        self._watch_closing()

    def _watch_closing(self) -> None:
        if self._deadline is None and self.protocol.close_expected():
            self._deadline = self.loop.call_later(limits.WS_CLOSE_TIMEOUT, self.transport.abort)

    def _settle(self) -> None:
        """Nothing more will come: was that the end, or a loss?"""
        received = self.protocol.close_rcvd
        if received is not None and received.code in _ORDERLY:
            self.ended = True
        else:
            self._fail(self._why())

    def _fail(self, reason: str) -> None:
        if self.lost is None and not self.ended:
            self.lost = reason

    def _why(self) -> str:
        received, sent = self.protocol.close_rcvd, self.protocol.close_sent
        if received is not None:
            return f"The peer closed the connection (code {received.code})."
        if sent is not None and sent.code not in _ORDERLY:
            return f"The peer broke the WebSocket protocol (code {sent.code})."
        return "The connection was cut."


class _Client(WebSocketEnd, ClientConnection):
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
    options = SETTINGS | {"ssl": ssl_context, "host": host, "port": port, "family": family}
    if ssl_context is None:
        del options["ssl_shutdown_timeout"]
    try:
        connection = await connect(
            f"{scheme}://{name}:{port}/",
            # A proxy in the environment is for web pages; it could reach neither loopback nor the local network.
            proxy=None,
            user_agent_header="p2pchat",
            create_connection=_Client,
            logger=QUIET,
            **happy_eyeballs(host),
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
    assert isinstance(connection, WebSocketEnd)
    return connection

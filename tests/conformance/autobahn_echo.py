"""An echo over our WebSocket listener, for the fuzzing client of Autobahn.

What arrives goes the way of every connection: the listener with its limits, then a `WebSocketStream`, which knows no
message boundaries. Autobahn wants each message back as it was, so the frames are looked at on their way in, and the
bytes read from the stream are cut accordingly.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from websockets.asyncio.connection import Connection
from websockets.frames import Frame, Opcode

from p2pchat_core.errors import P2PChatError
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.websocket import WebSocketListener, WebSocketStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["serving"]

_ANY_PORT = Multiaddr.parse("/ip4/127.0.0.1/tcp/0/ws")


class _Echo:
    """One connection.

    Args:
        text: let text through as if it were binary. The program never does: it is for the many cases that try
            frames, fragments and closing with text.
    """

    def __init__(self, stream: WebSocketStream, *, text: bool) -> None:
        self._stream = stream
        self._connection = _library(stream)
        self._take = self._connection.process_event
        self._text = text
        self._opcode, self._length = Opcode.BINARY, 0
        self._messages: asyncio.Queue[tuple[Opcode, int]] = asyncio.Queue()
        self._connection.process_event = self._look  # type: ignore[method-assign]

    async def run(self) -> None:
        """Send every message back until the connection ends."""
        with contextlib.suppress(P2PChatError):
            async with asyncio.TaskGroup() as tasks:
                echo = tasks.create_task(self._echo())
                await self._stream.wait_closed()
                echo.cancel()

    async def _echo(self) -> None:
        with contextlib.suppress(P2PChatError):
            while True:
                # Reading comes first: it is where text is refused and where an end is seen.
                data = await self._stream.read()
                if not data:
                    break
                self._stream.unread(data)
                await self._answer()
            await self._stream.close()

    async def _answer(self) -> None:
        opcode, length = await self._messages.get()
        self._say(opcode, await self._stream.read_exactly(length))

    def _say(self, opcode: Opcode, data: bytes) -> None:
        protocol = self._connection.protocol
        with contextlib.suppress(Exception):  # it is closing
            (protocol.send_text if opcode is Opcode.TEXT else protocol.send_binary)(data)
            self._connection.send_data()

    def _look(self, event: Any) -> None:
        if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if event.opcode is not Opcode.CONT:
                self._opcode, self._length = event.opcode, 0
            self._length += len(event.data)
            if self._text and event.opcode is Opcode.TEXT:
                event = Frame(Opcode.BINARY, event.data, event.fin)
            if event.fin:
                if self._length:
                    self._messages.put_nowait((self._opcode, self._length))
                elif self._text or self._opcode is Opcode.BINARY:
                    self._say(self._opcode, b"")  # nobody reads nothing from a stream
        self._take(event)


def _library(stream: WebSocketStream) -> Connection:
    """Return the connection of the library below a stream."""
    below = [*vars(stream).values()]
    deeper = [inner for value in below for inner in getattr(value, "__dict__", {}).values()]
    for value in below + deeper:
        if isinstance(value, Connection):
            return value
    raise LookupError("no connection of the library is below the stream")


@contextlib.asynccontextmanager
async def serving(*, text: bool) -> AsyncIterator[int]:
    """Listen at a free port of loopback, and give it."""

    async def echo(stream: WebSocketStream) -> None:
        await _Echo(stream, text=text).run()

    listener = await WebSocketListener.open(_ANY_PORT, echo)
    try:
        yield int(listener.addresses[0].value("tcp") or 0)
    finally:
        await listener.close()

"""Chat services connected in memory, and a bare peer that plays the browser page."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from p2pchat_core.chat.model import ServiceConfig
from p2pchat_core.chat.service import ChatService
from p2pchat_core.net.connection import CircuitLimit, Kind
from p2pchat_core.net.identify import IdentifyService
from p2pchat_core.net.node import Node
from p2pchat_core.net.ping import ping, serve_ping
from p2pchat_core.wire.chat import CHAT_PROTOCOL
from tests.support.hosts import link, make_host

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from p2pchat_core.chat.event_hub import EventStream
    from p2pchat_core.chat.events import Event
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.host import Host
    from p2pchat_core.net.stream import Stream

__all__ = [
    "LIMIT",
    "Page",
    "QuietNode",
    "drop",
    "heard",
    "host_of",
    "meet",
    "running_page",
    "running_service",
]

LIMIT = CircuitLimit(120, 131072)
E = TypeVar("E")


class QuietNode(Node):
    """A node that does not load the WebRTC stack: nothing here needs it."""

    async def load(self) -> None:
        """Do nothing."""


@asynccontextmanager
async def running_service(data_dir: Path, **options: object) -> AsyncIterator[ChatService]:
    """Run a chat service without any relay."""
    service = ChatService(ServiceConfig(data_dir=data_dir, **options), make_node=QuietNode)  # type: ignore[arg-type]
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


def host_of(side: ChatService | Page) -> Host:
    """Return the host behind a service or a page."""
    return side._node.host if isinstance(side, ChatService) else side.host


async def meet(
    dialer: ChatService | Page, listener: ChatService | Page, *, limited: bool = False
) -> tuple[Connection, Connection]:
    """Connect two sides directly, or over a limited circuit, and let identify finish."""
    kind, limit = (Kind.CIRCUIT, LIMIT) if limited else (Kind.WEBRTC, None)
    ours, theirs = await link(host_of(dialer), host_of(listener), kind=kind, limit=limit)
    for side, connection in ((dialer, ours), (listener, theirs)):
        identify = side._node.identify if isinstance(side, ChatService) else side.identify
        await identify.identified(connection)
    return ours, theirs


async def drop(connection: Connection, other: Connection) -> None:
    """Break a connection and wait until both ends know."""
    connection.abort("The cable was cut.")
    await connection.wait_closed()
    await other.wait_closed()
    for _ in range(5):
        await asyncio.sleep(0)


async def heard(events: EventStream, kind: type[E], accept: Callable[[E], bool] = lambda _: True) -> E:
    """Read events until one of `kind` is accepted, and return it."""
    async with asyncio.timeout(20):
        async for event in events:
            if isinstance(event, kind) and accept(event):
                return event
    raise AssertionError(f"the events ended without {kind.__name__}")


async def until_text(events: EventStream, accept: Callable[[Event], str | None], expected: str) -> None:
    """Read events until the texts that `accept` finds, joined, are `expected`: quick messages may come out as one."""
    found = ""
    async with asyncio.timeout(20):
        async for event in events:
            found += accept(event) or ""
            assert expected.startswith(found), f"{found!r} instead of {expected!r}"
            if found == expected:
                return
    raise AssertionError(f"the events ended at {found!r}")


class Page:
    """What the browser page does: it keeps the newest chat stream, reads every one, and closes none."""

    def __init__(self, number: int) -> None:
        self.host = make_host(number)
        self.identify = IdentifyService(self.host, "js-libp2p/3.3.11", list)
        self.inbound: asyncio.Queue[Stream] = asyncio.Queue()
        serve_ping(self.host)
        self.host.handle(CHAT_PROTOCOL, self._chat)

    @property
    def peer(self) -> str:
        """Its PeerId, base58."""
        return str(self.host.peer)

    async def _chat(self, stream: Stream) -> None:
        self.inbound.put_nowait(stream)
        await asyncio.Event().wait()

    async def opened(self) -> Stream:
        """Return the next chat stream that the other side opens."""
        async with asyncio.timeout(20):
            return await self.inbound.get()

    async def open(self, connection: Connection) -> Stream:
        """Open a chat stream and wait until the other side has it."""
        stream = await connection.open_stream([CHAT_PROTOCOL])
        await ping(connection, self.host.clock)
        return stream


async def read(stream: Stream, expected: str) -> None:
    """Read exactly `expected` from a stream."""
    async with asyncio.timeout(20):
        assert (await stream.read_exactly(len(expected.encode()))).decode() == expected


@asynccontextmanager
async def running_page(number: int = 7) -> AsyncIterator[Page]:
    """Run a page."""
    page = Page(number)
    try:
        yield page
    finally:
        await page.host.close()

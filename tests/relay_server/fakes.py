"""Streams in memory, and the little of a host that the relay's handlers use."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from p2pchat_core.errors import ConnectionLostError, DialError, StreamClosedError, StreamResetError
from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.limits import KIB, READ_CHUNK
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from p2pchat_core.identity.peer_id import PeerId

__all__ = ["FakeClock", "FakeConnection", "FakeHost", "FakeStream", "key", "stream_pair"]


def key(number: int) -> PrivateKey:
    """Return the same key for the same number."""
    return PrivateKey.from_seed(number.to_bytes(32, "big"))


class FakeClock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.unix = 1_700_000_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.unix


class FakeStream(Stream):
    """One end of `stream_pair`: a window of `capacity` unread bytes, half-close, and reset seen by both."""

    def __init__(self, capacity: int) -> None:
        self.connection = None  # type: ignore[assignment]
        self.remote: FakeStream
        self.capacity = capacity
        self.inbox = bytearray()
        self.received = 0
        self.ended = False
        self.write_closed = False
        self.closed = False
        self.reset_by: Exception | None = None

    @property
    def stream_id(self) -> int:
        return 1

    @property
    def aborted(self) -> bool:
        return self.reset_by is not None

    def read_nowait(self, max_bytes: int = READ_CHUNK) -> bytes | None:
        self._check()
        if self.inbox:
            data = bytes(self.inbox[:max_bytes])
            del self.inbox[:max_bytes]
            self._notify()
            return data
        return b"" if self.ended else None

    def unread(self, data: bytes) -> None:
        self.inbox[:0] = data
        self._notify()

    def can_send(self) -> bool:
        self._check()
        if self.write_closed:
            raise StreamClosedError("Our side is closed.")
        return len(self.remote.inbox) <= self.capacity

    def send(self, data: bytes | memoryview) -> None:
        self.can_send()
        self.remote.inbox += data
        self.remote.received += len(data)
        self._notify()

    async def close_write(self) -> None:
        self._check()
        self.write_closed = True
        self.remote.ended = True
        self._notify()

    async def close(self) -> None:
        if not self.closed and self.reset_by is None:
            self.closed = self.write_closed = True
            self.remote.ended = True
            self._notify()

    def abort(self) -> None:
        self.fail(StreamResetError("The stream was reset."))

    def lose(self) -> None:
        self.fail(ConnectionLostError("The connection is gone."))

    def fail(self, error: Exception) -> None:
        for end in (self, self.remote):
            if end.reset_by is None:
                end.reset_by = error
                end.inbox.clear()
        self._notify()

    def _check(self) -> None:
        if self.reset_by is not None:
            raise self.reset_by
        if self.closed:
            raise StreamClosedError("The stream was closed.")

    def _notify(self) -> None:
        self.notify()
        self.remote.notify()


def stream_pair(capacity: int = 64 * KIB) -> tuple[FakeStream, FakeStream]:
    """Return both ends of a stream."""
    left, right = FakeStream(capacity), FakeStream(capacity)
    left.remote, right.remote = right, left
    return left, right


class FakeConnection:
    """A connection whose remote opens STOP streams into `on_stream`."""

    def __init__(self, peer: PeerId, address: str = "/ip4/198.51.100.7/tcp/5000/ws") -> None:
        self.peer = peer
        self.remote_address = Multiaddr.parse(address)
        self.relayed = False
        self.limited = False
        self.on_stream: Callable[[FakeStream], Awaitable[None]] | None = None
        self.tasks: list[asyncio.Task[None]] = []
        self.opened: list[FakeStream] = []

    def inbound(self) -> tuple[FakeStream, FakeStream]:
        """Return a new stream that the peer opened: our end and the peer's."""
        ours, theirs = stream_pair()
        ours.connection = self  # type: ignore[assignment]
        return ours, theirs

    async def open_stream(self, protocols: Sequence[str], *, allow_limited: bool = False) -> FakeStream:
        if self.on_stream is None:
            raise DialError("The peer speaks no STOP.")
        ours, theirs = self.inbound()
        self.opened.append(ours)
        self.tasks.append(asyncio.ensure_future(self.on_stream(theirs)))
        return ours


class FakeHost:
    """What `HopHandler` needs of a host."""

    def __init__(self) -> None:
        self.identity = key(0)
        self.peer = self.identity.peer_id
        self.clock = FakeClock()
        self.open: list[FakeConnection] = []
        self.on_disconnect: list[Callable[[FakeConnection, str], None]] = []
        self.handlers: dict[str, object] = {}

    def handle(self, protocol: str, handler: object, **options: object) -> None:
        self.handlers[protocol] = (handler, options)

    def connections(self, peer: PeerId | None = None) -> list[FakeConnection]:
        return [c for c in reversed(self.open) if peer is None or c.peer == peer]

    def connect(self, number: int, address: str = "/ip4/198.51.100.7/tcp/5000/ws") -> FakeConnection:
        connection = FakeConnection(key(number).peer_id, address)
        self.open.append(connection)
        return connection

    def disconnect(self, connection: FakeConnection) -> None:
        self.open.remove(connection)
        for callback in self.on_disconnect:
            callback(connection, "It left.")

"""A chat service without a network: tests say what happens, the screen shows it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from p2pchat_core.chat.events import (
    ConnectionEvent,
    ConnectionState,
    Event,
    ListeningEvent,
    MessageEvent,
    PathKind,
    ReadyEvent,
    RelayEvent,
    RelayState,
    StepEvent,
)
from p2pchat_core.errors import AddressError, P2PChatError
from p2pchat_core.net.steps import STEP_NAMES, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

ME = "12D3KooW9wFiWFELqGJTbzEwtByXsPiHJdHB8n7Kin71VMYyERmC"
BOB = "12D3KooWBZyVLJfQkofqLK4op9TPkHuUumCZt1ybQrPvNm7TVQV9"
CAROL = "12D3KooWKXh7X4mVbZ6nBqPzXXLx3hAjFpNhHw1ifqfQqzdYaaSZ"
RELAY = "12D3KooWRqAUEzPwKMoGstpfJVqr3aoinwKVPu4DLo9nQncbnuLk"
RELAY_ADDRESS = f"/ip4/127.0.0.1/tcp/57708/ws/p2p/{RELAY}"
NOW = 1_795_338_060.0


def address_of(peer: str) -> str:
    """The address others dial `peer` at."""
    return f"{RELAY_ADDRESS}/p2p-circuit/webrtc/p2p/{peer}"


class FixedClock:
    """Time stands still."""

    def monotonic(self) -> float:
        return 100.0

    def time(self) -> float:
        return NOW


class FakeEvents:
    """What `subscribe` returns."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()

    def put(self, event: Event | None) -> None:
        self._queue.put_nowait(event)

    def __len__(self) -> int:
        return self._queue.qsize()

    def __aiter__(self) -> FakeEvents:
        return self

    async def __anext__(self) -> Event:
        event = await self._queue.get()
        if event is None:
            raise StopAsyncIteration
        return event

    def close(self) -> None:
        pass


@dataclass
class Result:
    kind: str
    peer: str
    rtt_ms: float | None = 0.3
    path: PathKind | None = PathKind.DIRECT
    remote_address: str = "127.0.0.1:50123"


@dataclass
class Stored:
    message_id: str
    text: str
    outgoing: bool
    sent_at: float = NOW - 3600
    state: str = "delivered"


@dataclass
class RowStatus:
    peer: str
    path: str
    rtt_ms: float | None


@dataclass
class FakeStatus:
    connections: tuple[RowStatus, ...] = ()


@dataclass
class FakeService:
    """Remembers what it was asked; `failure` makes every command fail."""

    events: FakeEvents = field(default_factory=FakeEvents)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    past: dict[str, list[Stored]] = field(default_factory=dict)
    failure: P2PChatError | None = None
    start_failure: Exception | None = None
    gate: asyncio.Event | None = None
    stopped: bool = False
    rtts: tuple[RowStatus, ...] = ()

    def emit(self, *events: Event) -> None:
        for event in events:
            self.events.put(event)

    def subscribe(self) -> FakeEvents:
        return self.events

    async def start(self) -> None:
        if self.start_failure is not None:
            raise self.start_failure
        self.emit(
            ReadyEvent(ME),
            RelayEvent(RELAY_ADDRESS, RelayState.CONNECTING),
            RelayEvent(RELAY_ADDRESS, RelayState.RESERVED, NOW + 3540),
            StepEvent(RELAY, 1, STEP_NAMES[Step.RESERVATION], 41.2, True),
            ListeningEvent((address_of(ME),)),
        )

    async def stop(self) -> None:
        self.stopped = True
        self.events.put(None)

    async def connect(self, address: str) -> Result:
        self.asked.append(("connect", address))
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        if "/p2p/" not in address:
            raise AddressError(f"This is not an address: '{address[:40]}'.")
        peer = address.rsplit("/", 1)[-1]
        if "p2p-circuit" not in address:
            return Result("relay", peer, None, None)
        self.emit(*steps(peer), opened(peer))
        return Result("peer", peer)

    async def send(self, peer: str, text: str) -> str:
        self.asked.append(("send", peer, text))
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return f"{len(self.asked):032x}"

    async def ping(self, peer: str) -> float:
        return 0.3

    async def disconnect(self, peer: str) -> None:
        self.asked.append(("disconnect", peer))

    async def history(self, peer: str, limit: int = 100) -> Sequence[Stored]:
        self.asked.append(("history", peer))
        return self.past.get(peer, [])[-limit:]

    def peers(self) -> list[str]:
        return list(self.past)

    def status(self) -> FakeStatus:
        return FakeStatus(self.rtts)


def steps(peer: str, upto: int = 8, failed: str = "") -> list[StepEvent]:
    """The reports of steps 2 to `upto`; with `failed`, the last one failed so."""
    times = {2: 0.1, 3: 9.4, 4: 3.2, 5: 21.7, 6: 4.0, 7: 18.6, 8: 63.1}
    return [
        StepEvent(
            peer, n, STEP_NAMES[Step(n)], times[n], not (failed and n == upto), failed if n == upto else ""
        )
        for n in range(2, upto + 1)
    ]


def opened(peer: str, path: PathKind = PathKind.DIRECT, remote: str = "127.0.0.1:50123") -> ConnectionEvent:
    """A connection came."""
    return ConnectionEvent(peer, path, ConnectionState.OPEN, remote, path is PathKind.RELAYED)


def closed(peer: str, path: PathKind = PathKind.DIRECT, reason: str = "") -> ConnectionEvent:
    """A connection went."""
    return ConnectionEvent(peer, path, ConnectionState.CLOSED, "", False, reason)


def said(peer: str, text: str, message_id: str = "") -> MessageEvent:
    """A peer says something."""
    return MessageEvent(peer, text, message_id or f"in-{hash((peer, text)):x}", NOW)

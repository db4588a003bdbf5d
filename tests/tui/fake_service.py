"""A chat service without a network: tests say what happens, the screen shows it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from p2pchat_core.chat.events import (
    ConnectionEvent,
    ConnectionState,
    ContactEvent,
    Event,
    ListeningEvent,
    MessageEvent,
    PathKind,
    ReadyEvent,
    RelayEvent,
    RelayState,
    StepEvent,
)
from p2pchat_core.chat.model import Contact, ExportFormat, Retention, SearchHit, Standing, StoredMessage
from p2pchat_core.errors import AddressError, P2PChatError, StoreError
from p2pchat_core.net.steps import STEP_NAMES, Step

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ME = "12D3KooW9wFiWFELqGJTbzEwtByXsPiHJdHB8n7Kin71VMYyERmC"
BOB = "12D3KooWBZyVLJfQkofqLK4op9TPkHuUumCZt1ybQrPvNm7TVQV9"
CAROL = "12D3KooWKXh7X4mVbZ6nBqPzXXLx3hAjFpNhHw1ifqfQqzdYaaSZ"
RELAY = "12D3KooWRqAUEzPwKMoGstpfJVqr3aoinwKVPu4DLo9nQncbnuLk"
RELAY_ADDRESS = f"/ip4/127.0.0.1/tcp/57708/ws/p2p/{RELAY}"
NOW = 1_795_338_060.0
WORDS = ("anchor", "barley", "cobalt", "drummer", "ember", "falcon")


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


def contact(peer: str, standing: Standing = Standing.CONTACT, **more: object) -> Contact:
    """Somebody, as the service describes them."""
    plain = Contact(peer, "", "", "", (), standing, None, NOW - 86400, Retention())
    return replace(plain, **more)  # type: ignore[arg-type]


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
    """Remembers what it was asked; `failure` makes every command fail. Whoever has a past is a contact."""

    events: FakeEvents = field(default_factory=FakeEvents)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    past: dict[str, list[Stored]] = field(default_factory=dict)
    failure: P2PChatError | None = None
    start_failure: Exception | None = None
    gate: asyncio.Event | None = None
    stopped: bool = False
    people: dict[str, Contact] = field(default_factory=dict)
    rtts: tuple[RowStatus, ...] = ()

    def emit(self, *events: Event) -> None:
        for event in events:
            self.events.put(event)

    def __post_init__(self) -> None:
        for peer in self.past:
            self.people.setdefault(peer, contact(peer))

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
        self._put(peer, standing=Standing.CONTACT)
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

    async def history(
        self, peer: str, limit: int = 100, *, before: str | None = None, around: str | None = None
    ) -> Sequence[Stored]:
        self.asked.append(("history", peer) if before is None else ("history", peer, before))
        past = self.past.get(peer, [])
        if before is not None:
            past = past[: next(at for at, stored in enumerate(past) if stored.message_id == before)]
        return past[-limit:]

    # --- people -----------------------------------------------------------------------------------------------------

    def _put(self, peer: str, **changes: object) -> None:
        known = self.people.get(peer, contact(peer, Standing.STRANGER))
        self.people[peer] = replace(known, **changes)  # type: ignore[arg-type]
        self.emit(ContactEvent(self.people[peer]))

    def _command(self, *asked: str) -> None:
        self.asked.append(asked)
        if self.failure is not None:
            raise self.failure

    async def contacts(self) -> list[Contact]:
        return list(self.people.values())

    async def contact(self, peer: str) -> Contact:
        return self.people.get(peer, contact(peer, Standing.STRANGER))

    async def rename(self, peer: str, name: str) -> None:
        self._command("rename", peer, name)
        self._put(peer, name=name)

    async def annotate(self, peer: str, notes: str) -> None:
        self._command("annotate", peer, notes)
        self._put(peer, notes=notes)

    async def accept(self, peer: str) -> None:
        self._command("accept", peer)
        self._put(peer, standing=Standing.CONTACT)

    async def decline(self, peer: str) -> None:
        self._command("decline", peer)

    async def block(self, peer: str) -> None:
        self._command("block", peer)
        self._put(peer, standing=Standing.BLOCKED)

    async def unblock(self, peer: str) -> None:
        self._command("unblock", peer)
        self._put(peer, standing=Standing.CONTACT)

    async def forget(self, peer: str) -> None:
        self._command("forget", peer)
        self.past.pop(peer, None)
        self.people.pop(peer, None)
        self.emit(ContactEvent(contact(peer, Standing.STRANGER), forgotten=True))

    async def verification_phrase(self, peer: str) -> tuple[str, ...]:
        self._command("phrase", peer)
        return WORDS

    async def set_verified(self, peer: str, verified: bool) -> None:
        self._command("verify", peer, str(verified))
        self._put(peer, verified_at=NOW if verified else None)

    async def set_retention(self, peer: str, retention: Retention) -> None:
        self._command("retention", peer, str(retention.days), str(retention.ephemeral))
        self._put(peer, retention=retention)

    async def search(self, text: str, *, peer: str | None = None, limit: int = 50) -> list[SearchHit]:
        self._command("search", text)
        hits = []
        for who, past in self.past.items():
            for number, stored in enumerate(past):
                at = stored.text.lower().find(text.lower())
                if at >= 0 and peer in (None, who):
                    message = StoredMessage(
                        stored.message_id,
                        who,
                        stored.text,
                        stored.outgoing,
                        stored.sent_at,
                        stored.state,
                        number,
                    )
                    hits.append(SearchHit(message, stored.text, ((at, at + len(text)),)))
        return sorted(hits, key=lambda hit: -hit.message.sent_at)[:limit]

    async def export(self, path: Path, format: ExportFormat, *, peer: str | None = None) -> int:
        self._command("export", str(path), format.value, peer or "")
        if path.name == "there.txt":
            raise StoreError(f"There is a file {path} already.")
        return 3

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

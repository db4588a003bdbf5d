"""Every screen and state of the program, by name: what there is to see, and how to get there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2pchat_core.chat.events import (
    ConnectionEvent,
    ConnectionState,
    ContactEvent,
    ErrorEvent,
    ListeningEvent,
    PathKind,
    RelayEvent,
    RelayState,
    SentEvent,
    StepEvent,
)
from p2pchat_core.chat.model import Retention, Standing
from p2pchat_core.errors import DialError, IdentityError
from tests.tui.fake_service import (
    BOB,
    CAROL,
    NOW,
    RELAY_ADDRESS,
    FakeService,
    Stored,
    address_of,
    closed,
    contact,
    opened,
    said,
    steps,
)
from tests.tui.harness import dial, say, settle

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from p2pchat_tui.app import P2PChatApp

Act = Callable[["P2PChatApp", "Pilot[None]", FakeService], Awaitable[None]]
DAVE = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
SDP = "offer\nv=0\no=- 4321 0 IN IP4 0.0.0.0\ns=-\nt=0 0\na=group:BUNDLE 0\nanswer\nv=0\no=- 99 0 IN IP4 0.0.0.0"


@dataclass(frozen=True)
class State:
    """One thing to look at."""

    service: Callable[[], FakeService]
    act: Act


async def _nothing(app: P2PChatApp, pilot: Pilot[None], service: FakeService) -> None:
    pass


def _pressing(*keys: str, after: Act = _nothing) -> Act:
    async def act(app: P2PChatApp, pilot: Pilot[None], service: FakeService) -> None:
        await after(app, pilot, service)
        await pilot.press(*keys)
        await settle(pilot)

    return act


def with_past() -> FakeService:
    """A service that knows Bob, by name and verified, and Carol, who only says her name."""
    day = 86400
    bob = [
        Stored("b1", "Shall we meet at https://example.org/cafe?", False, NOW - 2 * day),
        Stored("b2", "Yes, at four. I bring the book.", True, NOW - 2 * day + 60),
        Stored("b3", "See you", False, NOW - day),
        Stored(
            "b4", "The plan: mailto:plan@example.org or https://example.com@evil.example/x", False, NOW - 900
        ),
    ]
    carol = [
        Stored("c1", "Did you bring the book?", False, NOW - 7200),
        Stored("c2", "Tomorrow", True, NOW - 7000),
    ]
    return FakeService(
        past={BOB: bob, CAROL: carol},
        people={
            BOB: contact(
                BOB,
                name="Bob",
                calls_itself="bobby",
                notes="from the climbing club",
                addresses=(address_of(BOB), f"/ip4/192.168.1.7/tcp/4001/ws/p2p/{BOB}"),
                verified_at=NOW - day,
            ),
            CAROL: contact(CAROL, calls_itself="carol", retention=Retention(days=30)),
            DAVE: contact(DAVE, Standing.BLOCKED, name="Dave"),
        },
    )


async def _talk(app: P2PChatApp, pilot: Pilot[None], service: FakeService) -> None:
    await dial(app, pilot)
    for rtt_ms in (
        0.4,
        0.2,
        0.3,
    ):  # not by the service, which is asked whenever the clock of the machine says so
        app.main.model.rtt(BOB, rtt_ms)
    await say(app, pilot, "I am here. Where are you?")
    service.emit(
        SentEvent(BOB, f"{len(service.asked):032x}", True),
        said(BOB, "On my way, five minutes. 日本語 👍", "b9"),
    )
    await settle(pilot)


async def _stranger(app: P2PChatApp, pilot: Pilot[None], service: FakeService) -> None:
    service.people[DAVE] = contact(DAVE, Standing.STRANGER, calls_itself="dave")
    service.emit(ContactEvent(service.people[DAVE]), opened(DAVE), said(DAVE, "let me in"))
    await settle(pilot)


async def _impostor(app: P2PChatApp, pilot: Pilot[None], service: FakeService) -> None:
    await _talk(app, pilot, service)
    service.people[DAVE] = contact(DAVE, Standing.STRANGER, calls_itself="Bob", impersonates="Bob")
    service.emit(ContactEvent(service.people[DAVE]), opened(DAVE), said(DAVE, "it is me, Bob"))
    await settle(pilot)


async def _dialing(app: P2PChatApp, pilot: Pilot[None], service: FakeService) -> None:
    service.gate = asyncio.Event()
    await dial(app, pilot)
    service.emit(*steps(BOB, 5))
    await settle(pilot)


async def _failed(app: P2PChatApp, pilot: Pilot[None], service: FakeService) -> None:
    service.failure = DialError("Nobody answers at 127.0.0.1:57708.")
    await dial(app, pilot)


async def _relayed(app: P2PChatApp, pilot: Pilot[None], service: FakeService) -> None:
    await _talk(app, pilot, service)
    service.emit(
        closed(BOB, PathKind.DIRECT, "The peer went silent."),
        *steps(BOB, 7, "No pair of candidates connected."),
        ConnectionEvent(
            BOB,
            PathKind.RELAYED,
            ConnectionState.OPEN,
            RELAY_ADDRESS,
            limited=True,
            limit_bytes=131072,
            limit_seconds=120,
        ),
    )
    await settle(pilot)


async def _lost_relay(app: P2PChatApp, pilot: Pilot[None], service: FakeService) -> None:
    await _talk(app, pilot, service)
    service.emit(
        ListeningEvent(()),
        RelayEvent(RELAY_ADDRESS, RelayState.LOST, reason="The relay does not answer; trying again."),
    )
    await settle(pilot)


async def _sdp(app: P2PChatApp, pilot: Pilot[None], service: FakeService) -> None:
    await _talk(app, pilot, service)
    service.emit(StepEvent(BOB, 7, "SDP and ICE", 18.6, True, SDP))
    await settle(pilot)
    await pilot.press("f6")
    await settle(pilot)


async def _reading_back(app: P2PChatApp, pilot: Pilot[None], service: FakeService) -> None:
    await dial(app, pilot)
    await pilot.press("pageup", "pageup")
    service.emit(said(BOB, "news", "n1"), said(BOB, "more news", "n2"))
    await settle(pilot)


def _long() -> FakeService:
    past = [Stored(f"m{n}", f"message number {n}", n % 3 == 0, NOW - 9000 + n) for n in range(120)]
    return FakeService(past={BOB: past}, people={BOB: contact(BOB, name="Bob")})


async def _found(app: P2PChatApp, pilot: Pilot[None], service: FakeService) -> None:
    await _talk(app, pilot, service)
    await pilot.press("ctrl+f", *"book")
    await settle(pilot)


async def _away(app: P2PChatApp, pilot: Pilot[None], service: FakeService) -> None:
    await _talk(app, pilot, service)
    service.emit(closed(BOB, reason="The peer left."))
    await say(app, pilot, "Read this when you are back")
    service.emit(ErrorEvent("x", "Bob could not be reached; trying again.", BOB))
    await settle(pilot)


async def _forgetting(app: P2PChatApp, pilot: Pilot[None], service: FakeService) -> None:
    await _talk(app, pilot, service)
    app.main.action_forget()
    await settle(pilot)


async def _verifying(app: P2PChatApp, pilot: Pilot[None], service: FakeService) -> None:
    app.main.show_peer(CAROL)
    app.main.action_verify()
    await settle(pilot)


async def _palette(app: P2PChatApp, pilot: Pilot[None], service: FakeService) -> None:
    await _talk(app, pilot, service)
    await pilot.press("ctrl+p")
    await settle(pilot)
    await pilot.pause(0.3)


STATES: dict[str, State] = {
    "first-run": State(FakeService, _nothing),
    "no-service": State(
        lambda: FakeService(start_failure=IdentityError("The key file is readable by others: chmod 600 it.")),
        _nothing,
    ),
    "dialing": State(FakeService, _dialing),
    "dial-failed": State(FakeService, _failed),
    "past": State(with_past, _nothing),
    "chat": State(with_past, _talk),
    "away": State(with_past, _away),
    "reading-back": State(_long, _reading_back),
    "relayed": State(with_past, _relayed),
    "lost-relay": State(with_past, _lost_relay),
    "steps": State(with_past, _sdp),
    "connection": State(with_past, _pressing("f2", after=_talk)),
    "stranger-first": State(FakeService, _stranger),
    "impostor": State(with_past, _impostor),
    "impostor-card": State(with_past, _pressing("ctrl+r", "enter", after=_impostor)),
    "card": State(with_past, _pressing("f9", after=_talk)),
    "verify": State(with_past, _verifying),
    "people": State(with_past, _pressing("ctrl+r", after=_impostor)),
    "forget": State(with_past, _forgetting),
    "search": State(with_past, _found),
    "search-empty": State(with_past, _pressing("ctrl+f", after=_talk)),
    "search-reached": State(with_past, _pressing("enter", after=_found)),
    "links": State(with_past, _pressing("ctrl+l", after=_talk)),
    "finder": State(with_past, _pressing("ctrl+k", after=_talk)),
    "addresses": State(with_past, _pressing("f5", after=_talk)),
    "export": State(with_past, _pressing("ctrl+s", after=_talk)),
    "help": State(with_past, _pressing("f1", after=_talk)),
    "palette": State(with_past, _palette),
    "log": State(with_past, _pressing("f7", after=_talk)),
}

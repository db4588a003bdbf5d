"""The line mode: what its commands do, what it says, and that nothing a peer says can be anything but text."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from p2pchat_core.chat.events import (
    ConnectionEvent,
    ContactEvent,
    ErrorEvent,
    ListeningEvent,
    MessageEvent,
    PathKind,
    RelayEvent,
    RelayState,
    SentEvent,
)
from p2pchat_core.chat.model import ConnectionStatus, MessageState, RelayStatus, Standing, StoredMessage
from p2pchat_core.errors import DialError
from p2pchat_tui.bindings import ACTIONS
from p2pchat_tui.log_lines import short_peer
from p2pchat_tui.plain import Typing
from p2pchat_tui.plain_lines import Lines
from p2pchat_tui.plain_session import Session
from p2pchat_tui.plain_words import COMMANDS
from tests.tui.fake_service import (
    BOB,
    CAROL,
    ME,
    NOW,
    RELAY,
    RELAY_ADDRESS,
    WORDS,
    FakeService,
    Stored,
    address_of,
    closed,
    contact,
    opened,
    said,
    steps,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HOSTILE = (
    "\x1b[31mred\x1b]52;c;aGk=\x07\x1b]0;title\x07",
    "\x9b2J\x90dcs\x85",
    "abc\u202egpj.exe\u2066",
    "\ud800 lone",
    "one\r\n12:00 …VMYyERmC: spoofed\u2028two\rthree\x0bfour",
    "\x00\x08\x7f",
)
PRINTABLE = re.compile(r"[^\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]*")


@dataclass
class Status:
    peer_id: str = ME
    addresses: tuple[str, ...] = ()
    relays: tuple[RelayStatus, ...] = (RelayStatus(RELAY_ADDRESS, RelayState.RESERVED, None),)
    connections: tuple[ConnectionStatus, ...] = (
        ConnectionStatus(BOB, PathKind.DIRECT, False, "127.0.0.1:5", 0.4),
    )


class Service(FakeService):
    def status(self) -> Status:  # type: ignore[override]
        return Status()


@dataclass
class Run:
    """A session with a service that does what it is told, and all that it has said."""

    service: Service
    echo: bool = False
    written: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lines = Lines(self._write, encoding="utf-8", time_format="", prompts=False)
        self.session = Session(self.service, self.lines, echo=self.echo)  # type: ignore[arg-type]

    async def _write(self, data: bytes) -> None:
        self.written.append(data)

    def take(self) -> list[str]:
        """Return the lines said since the last call."""
        text = b"".join(self.written).decode()
        self.written.clear()
        assert PRINTABLE.fullmatch(text), ascii(text)
        assert text == "" or text.endswith("\n")
        return text.splitlines()

    async def type(self, *lines: str) -> list[str]:
        for line in lines:
            await self.session.run_line(line)
        return self.take()

    async def happen(self, *events: object) -> list[str]:
        for event in events:
            await self.session.show_event(event)  # type: ignore[arg-type]
        return self.take()


@pytest.fixture
def run() -> Run:
    return Run(Service())


def test_every_action_of_the_screen_has_a_command() -> None:
    commands = {command.split()[0] for command in COMMANDS}
    assert commands == {f"/{name}" for name in Session._COMMANDS}
    same = {action.name: f"/{action.name}" for action in ACTIONS} | {
        "copy_address": "/address",
        "addresses": "/address",
        "toggle_connection": "/status",
        "toggle_details": "/status",
        "next_conversation": "/to",
        "previous_conversation": "/to",
        "find": "/to",
        "people": "/contacts",
        "retention": "/keep",
        "block_contact": "/block",
        "log_up": "/history",
    }
    screen_only = {"toggle_log", "toggle_theme", "log_down", "log_end"}  # there is nothing but lines
    assert {command for name, command in same.items() if name not in screen_only} <= commands


async def test_connecting_and_talking(run: Run) -> None:
    assert await run.type(f"/connect {address_of(BOB)}") == [
        f"Connecting to {address_of(BOB)}",
        f"You talk to {short_peer(BOB)} now, round trip 0.3 ms.",
    ]
    assert await run.type("hello", "//me waves", "") == []
    assert run.service.asked[-2:] == [("send", BOB, "hello"), ("send", BOB, "/me waves")]
    assert await run.happen(SentEvent(BOB, f"{2:032x}"), SentEvent(BOB, f"{2:032x}", True)) == [
        f"Sent to {short_peer(BOB)}: hello",
        f"Delivered to {short_peer(BOB)}: hello",
    ]
    assert await run.happen(said(BOB, "hi")) == [f"{short_peer(BOB)}: hi"]
    assert await run.type("/disconnect") == []
    assert run.service.asked[-1] == ("disconnect", BOB)


async def test_a_relay_is_nobody_to_talk_to(run: Run) -> None:
    assert "The relay is connected." in await run.type(f"/connect {RELAY_ADDRESS}")
    await run.happen(RelayEvent(RELAY_ADDRESS, RelayState.RESERVED))
    assert await run.happen(opened(RELAY), *steps(RELAY, 3)) == []
    assert await run.type("/peers") == ["There is nobody yet. Give your address (/address) to a friend."]


async def test_a_failed_dial_is_a_sentence(run: Run) -> None:
    run.service.failure = DialError("Nobody answers there.")
    assert (await run.type(f"/connect {address_of(BOB)}"))[-1] == "Error: Nobody answers there."
    # Whoever we failed to reach may still call us, and is then a stranger again.
    assert f"{short_peer(BOB)} wants to talk to you" in (await run.happen(opened(BOB)))[-1]


async def test_a_stranger_is_asked_about_and_says_nothing_before(run: Run) -> None:
    await run.type(f"/connect {address_of(BOB)}")
    name = short_peer(CAROL)
    told = await run.happen(opened(CAROL), said(CAROL, "one", "1"), said(CAROL, "two", "2"))
    assert told == [
        f"{name} is connected directly at 127.0.0.1:50123.",
        f"{name} wants to talk to you. /accept lets them in, /decline turns them away, /block for good.",
    ]
    assert await run.type("/peers") == [
        f"1. {short_peer(BOB)}: direct, you talk to them now",
        f"2. {name}: not connected, waiting with 2 messages",
    ]
    assert await run.type("/to 2") == [f"Error: {name} is waiting; /accept first."]
    # Accepting does not take the open conversation over.
    assert await run.type("/accept") == [f"You let {name} in.", f"{name}: one", f"{name}: two"]
    await run.type("for bob")
    assert run.service.asked[-1] == ("send", BOB, "for bob")
    assert await run.type(f"/to {CAROL[-5:].lower()}") == [f"You talk to {name} now."]
    await run.type("for carol")
    assert run.service.asked[-1] == ("send", CAROL, "for carol")


async def test_a_stranger_is_turned_away(run: Run) -> None:
    await run.happen(opened(CAROL), said(CAROL, "buy"))
    assert await run.type("/decline") == [f"You turned {short_peer(CAROL)} away."]
    assert run.service.asked[-1] == ("disconnect", CAROL)  # nothing to forget of who is unknown
    assert await run.type("/accept") == ["Error: Nobody is waiting to talk to you."]
    assert len(await run.happen(opened(CAROL))) == 1  # coming again is no reason to ask again
    assert "wants to talk" in (await run.happen(said(CAROL, "buy more")))[-1]
    await run.type(f"/connect {address_of(CAROL)}")
    assert await run.happen(said(CAROL, "sorry")) == [f"{short_peer(CAROL)}: sorry"]


async def test_the_service_decides_who_is_no_stranger() -> None:
    service = Service(people={BOB: contact(BOB, name="Bob")})
    stored = StoredMessage("1", BOB, "earlier", True, NOW, MessageState.DELIVERED, 1)
    service.past[BOB] = [stored]  # type: ignore[list-item]
    run = Run(service)
    await run.session.begin()
    assert await run.happen(opened(BOB), said(BOB, "hi")) == [
        "Bob is connected directly at 127.0.0.1:50123.",
        "Bob: hi",
    ]
    assert await run.type("/to bob") == ["You talk to Bob now."]
    (line,) = await run.type("/history 5")
    assert line.startswith("History, 20")
    assert line.endswith("You (delivered): earlier")
    # Accepted somewhere else: an event is enough.
    await run.happen(opened(CAROL), said(CAROL, "psst"))
    assert await run.happen(ContactEvent(contact(CAROL))) == [f"{short_peer(CAROL)}: psst"]
    assert await run.type("/accept") == ["Error: Nobody is waiting to talk to you."]


async def test_a_blocked_peer_is_not_heard() -> None:
    run = Run(Service())
    await run.happen(opened(CAROL), said(CAROL, "psst"))
    assert await run.type("/block") == [f"{short_peer(CAROL)} is blocked. They are not told."]
    assert run.service.asked[-1] == ("block", CAROL)
    assert await run.happen(said(CAROL, "psst again")) == []
    assert f"{short_peer(CAROL)}: blocked." in await run.type("/contacts")
    assert await run.type(f"/unblock {CAROL[-6:]}") == [f"{short_peer(CAROL)} is no longer blocked."]


async def test_a_borrowed_name_is_loud() -> None:
    run = Run(Service(people={BOB: contact(BOB, name="Bob")}))
    await run.session.begin()
    fake = contact(CAROL, Standing.STRANGER, calls_itself="Bob\x1b[2J", impersonates="Bob")
    (line,) = await run.happen(ContactEvent(fake))
    assert line.startswith("Careful: ~Bob")
    assert "uses the name of your contact Bob, but is somebody else" in line
    assert await run.happen(ContactEvent(fake)) == []


async def test_everything_about_a_contact_in_words(tmp_path: Path) -> None:
    run = Run(Service(past={BOB: [Stored("1", "the book https://a.example/b.", False)]}))
    await run.session.begin()
    await run.type("/to 1")
    assert await run.type("/rename Bob") == ["They are called Bob now."]
    assert await run.type("/notes") == ["There is no note; /notes TEXT makes one."]
    assert await run.type("/notes climbs") == ["Your note: climbs"]
    assert (await run.type("/verify"))[0] == f"The words of you and Bob: {' '.join(WORDS)}."
    assert await run.type("/verify yes") == ["Bob is verified."]
    assert await run.type("/contacts") == ["Bob: verified, climbs."]
    assert await run.type("/keep 7 days") == ["Messages of this conversation are kept 7 days."]
    assert "Error: /keep takes" in (await run.type("/keep 0"))[0]
    assert await run.type("/keep nothing") == ["Nothing of this conversation is written to the disk."]
    card = await run.type("/contact")
    assert f"Peer id: {BOB}" in card
    assert "Your note: climbs" in card
    assert (await run.type("/search BOOK"))[0].endswith("Bob: the book https://a.example/b.")
    assert await run.type("/links") == ["Link to a.example: https://a.example/b"]
    assert (await run.type("/export x.pdf"))[0].startswith("Error: Say where to")
    path = tmp_path / "x.jsonl"
    assert await run.type(f"/export {path}") == [f"3 messages were written to {path}."]
    assert run.service.asked[-1] == ("export", str(path), "jsonl", BOB)
    await run.type(f"/export all {path}")
    assert run.service.asked[-1] == ("export", str(path), "jsonl", "")
    assert "Say /forget yes" in (await run.type("/forget"))[0]
    assert run.service.people
    assert (await run.type("/forget yes"))[0].startswith("Bob and everything")
    assert await run.type("/history") == ["Error: You talk to nobody yet: /connect ADDRESS, or /to NAME."]


async def test_floods_are_bounded(run: Run) -> None:
    await run.happen(*(said(CAROL, "x", str(number)) for number in range(500)))
    assert "waiting with 100 messages" in (await run.type("/peers"))[-1]
    told = await run.happen(*(opened(f"12D3KooWstranger{number}") for number in range(200)))
    assert len([line for line in told if "wants to talk" in line]) == 49


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("hello", "You talk to nobody yet"),
        ("/connect", "Say where to"),
        ("/connect nonsense", "not an address"),
        ("/to", "Say to whom"),
        ("/to 1", "Nobody's name ends in '1'"),
        ("/to \x1b[2J", "Nobody's name"),
        ("/accept", "Nobody is waiting"),
        ("/accept x", "Nobody is waiting"),
        ("/history 0", "takes a number from 1"),
        ("/history", "You talk to nobody"),
        ("/disconnect", "You talk to nobody"),
        ("/frobnicate \x07", "no command /frobnicate"),
        ("/", "no command /;"),
    ],
)
async def test_mistakes_are_sentences(line: str, words: str, run: Run) -> None:
    (told,) = [told for told in await run.type(line) if not told.startswith("Connecting")]
    assert told.startswith("Error: ")
    assert words in told


async def test_hostile_text_is_one_printable_line_wherever_it_comes_from(run: Run) -> None:
    await run.type(f"/connect {address_of(BOB)}")
    for number, hostile in enumerate(HOSTILE):
        events = [
            MessageEvent(BOB, hostile, f"{number}", NOW),
            ErrorEvent("x", hostile),
            ListeningEvent((f"/ip4/{hostile}/{number}",)),
            RelayEvent(f"/dns4/{hostile}/tcp/{hostile}/ws/p2p/x", RelayState.REFUSED, reason=hostile),
            steps(BOB, 7, hostile)[-1],
            opened(BOB, remote=hostile),
            closed(BOB, reason=hostile),
        ]
        for event in events:
            assert len(await run.happen(event)) == 1, event
        told = await run.happen(ConnectionEvent(hostile, PathKind.DIRECT, opened(BOB).state, hostile))
        assert len(told) == 2
        run.service.failure = DialError(f"No: {hostile}")
        assert len(await run.type(f"say {hostile}")) == 1
        run.service.failure = None
        await run.type("/peers", "/status", "/address")


async def test_another_line_of_a_message_cannot_pass_for_a_line_of_ours(run: Run) -> None:
    await run.type(f"/connect {address_of(BOB)}")
    assert await run.happen(said(BOB, f"one\n{short_peer(CAROL)}: two")) == [
        f"{short_peer(BOB)}: one / {short_peer(CAROL)}: two"
    ]


async def test_status_and_help(run: Run) -> None:
    await run.happen(ListeningEvent((address_of(ME),)))
    assert await run.type("/status") == [
        f"You are {ME}.",
        f"Your address: {address_of(ME)}",
        "The relay 127.0.0.1:57708 makes you reachable.",
        f"{short_peer(BOB)} is connected directly at 127.0.0.1:5, round trip 0.4 ms.",
    ]
    told = await run.type("/help")
    assert [line.split(":")[0] for line in told[:-1]] == list(COMMANDS)
    assert await run.happen(ListeningEvent(())) == [
        "You have no address any more, until a relay gives you one."
    ]


async def test_steps_and_paths_are_told(run: Run) -> None:
    told = await run.happen(*steps(BOB, 7, "No pair of candidates connected."))
    assert told[0].startswith("Step 2 of 8 with")
    assert told[-1].endswith("SDP and ICE exchange, failed after 19 ms: No pair of candidates connected.")
    line = (await run.happen(opened(CAROL, PathKind.RELAYED, RELAY_ADDRESS)))[0]
    assert "through the relay" in line


async def test_our_own_words_are_said_where_nobody_has_seen_them_typed() -> None:
    run = Run(Service(), echo=True)
    told = await run.type(f"/connect {address_of(BOB)}", "hello")
    assert told[-1] == f"You to {short_peer(BOB)}: hello"


# --- lines in, lines out ----------------------------------------------------------------------------------------------


async def chunks(*data: bytes) -> AsyncIterator[bytes]:
    for chunk in data:
        yield chunk
        await asyncio.sleep(0)


async def test_from_a_pipe_everything_comes_in_its_turn() -> None:
    run = Run(Service())
    typing = Typing(run.session, run.lines, person=False)
    text = f"/connect {address_of(BOB)}\nhel".encode()
    await asyncio.gather(
        typing.read(chunks(text, b"lo\r\n", b"\xff\x1b[A\n/quit\nlate")),
        typing.run(f"/connect {RELAY_ADDRESS}"),
    )
    sent = [asked for asked in run.service.asked if asked[0] in ("connect", "send")]
    assert sent[:4] == [
        ("connect", RELAY_ADDRESS),
        ("connect", address_of(BOB)),
        ("send", BOB, "hello"),
        ("send", BOB, "\ufffd[A"),
    ]
    assert run.session.stopping.is_set()


async def test_a_person_can_give_up_a_dial_and_leave_in_the_middle_of_one() -> None:
    run = Run(Service(gate=asyncio.Event()))
    typing = Typing(run.session, run.lines, person=True)
    running = asyncio.create_task(typing.run(f"/connect {address_of(BOB)}"))
    while not run.service.asked:
        await asyncio.sleep(0)
    await typing._read(b"/cancel")
    await typing._read(b"/cancel")
    await typing._read(f"/connect {address_of(CAROL)}".encode())
    while len(run.service.asked) < 2:
        await asyncio.sleep(0)
    assert "Cancelled." in run.take()
    await typing._read(b"/quit")
    assert run.session.stopping.is_set()
    await typing.close()
    running.cancel()


async def test_a_prompt_is_never_followed_by_an_event_on_the_same_line() -> None:
    written: list[bytes] = []

    async def write(data: bytes) -> None:
        written.append(data)

    lines = Lines(write, encoding="ascii", time_format="", prompts=True)
    await lines.ask()
    await lines.ask()
    await lines.say("somebody said … ☃")
    lines.typed()
    await lines.say("answer")
    await lines.ask()
    await lines.end()
    assert b"".join(written) == b"> \nsomebody said ... ?\n> answer\n> \n"


async def test_the_time_is_that_of_the_settings() -> None:
    written: list[bytes] = []

    async def write(data: bytes) -> None:
        written.append(data)

    await Lines(write, encoding="utf-8", time_format="%Y", prompts=False).say("x", at=NOW)
    assert written == [b"2026 x\n"]

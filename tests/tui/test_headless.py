"""The command loop of headless mode, in memory: every line in, every line out."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from p2pchat_core import limits
from p2pchat_core.chat.event_hub import EventHub
from p2pchat_core.chat.events import (
    ConnectionEvent,
    ConnectionState,
    ContactEvent,
    ErrorEvent,
    Event,
    ListeningEvent,
    MessageEvent,
    PathKind,
    ReadyEvent,
    RelayEvent,
    RelayState,
    SentEvent,
    StepEvent,
)
from p2pchat_core.chat.model import (
    ConnectionStatus,
    ConnectResult,
    Contact,
    EchoResult,
    ExportFormat,
    MessageState,
    RelayStatus,
    Retention,
    SearchHit,
    Standing,
    Status,
    StoredMessage,
)
from p2pchat_core.errors import NoReservationError, NotConnectedError, P2PChatError
from p2pchat_tui.headless import Session, event_fields
from tests.support.hosts import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from p2pchat_core.chat.service import ChatService

BOB = "12D3KooWBob"
MESSAGE = StoredMessage("cd" * 16, BOB, "hi ☃", True, 3.5, MessageState.SENT, 1)
MESSAGE_FIELDS = {
    "message_id": "cd" * 16,
    "peer": BOB,
    "text": "hi ☃",
    "outgoing": True,
    "sent_at": 3.5,
    "state": "sent",
    "sequence": 1,
}
CONTACT = Contact(BOB, "Bob", "bobby\x1b", "", ("/dns4/x",), Standing.CONTACT, None, 1.5, Retention(7), "Ann")
CONTACT_FIELDS = {
    "peer": BOB,
    "name": "Bob",
    "calls_itself": "bobby\x1b",
    "notes": "",
    "addresses": ["/dns4/x"],
    "standing": "contact",
    "verified_at": None,
    "added_at": 1.5,
    "retention": {"days": 7, "ephemeral": False},
    "impersonates": "Ann",
}


class FakeService:
    """Answers every command with something to recognise; `hold` keeps `connect` from ending."""

    def __init__(self) -> None:
        self.hold = asyncio.Event()
        self.hold.set()
        self.calls: list[tuple[Any, ...]] = []

    async def connect(self, address: str) -> ConnectResult:
        await self.hold.wait()
        if address == "nobody":
            raise NoReservationError("The relay has no reservation for that peer.")
        return ConnectResult("peer", BOB, PathKind.DIRECT, 0.5, "192.0.2.1:4000")

    async def send(self, peer: str, text: str) -> str:
        self.calls.append((peer, text))
        return "ab" * 16

    async def echo(self, peer: str, text: str) -> EchoResult:
        return EchoResult(text, 1.5)

    async def ping(self, peer: str) -> float:
        if peer != BOB:
            raise NotConnectedError
        return 2.5

    async def disconnect(self, peer: str) -> None:
        raise ZeroDivisionError("a defect")

    def status(self) -> Status:
        return Status(
            "12D3KooWMe",
            ("/ip4/192.0.2.1",),
            (RelayStatus("/dns4/relay", RelayState.RESERVED, 12.5),),
            (ConnectionStatus(BOB, PathKind.RELAYED, True, "192.0.2.1:4000", None),),
        )

    async def history(
        self, peer: str, limit: int, *, before: str | None, around: str | None
    ) -> list[StoredMessage]:
        self.calls.append((peer, limit, before, around))
        return [MESSAGE]

    async def contacts(self) -> list[Contact]:
        return [CONTACT]

    async def contact(self, peer: str) -> Contact:
        assert peer == BOB
        return CONTACT

    async def verification_phrase(self, peer: str) -> tuple[str, ...]:
        assert peer == BOB
        return ("zoo", "zone")

    async def search(self, text: str, *, peer: str | None, limit: int) -> list[SearchHit]:
        assert (text, peer, limit) == ("h", None, 3)
        return [SearchHit(MESSAGE, "hi", ((0, 1),))]

    async def export(self, path: Path, format: ExportFormat, *, peer: str | None) -> int:
        assert (path, format, peer) == (Path("/x"), ExportFormat.TEXT, None)
        return 7

    def __getattr__(self, name: str) -> Callable[..., object]:
        async def note(*arguments: object) -> None:
            self.calls.append((name, *arguments))

        return note


class Loop:
    """A session over lists instead of descriptors."""

    def __init__(self) -> None:
        self.service = FakeService()
        self.written: list[bytes] = []
        self.input: asyncio.Queue[bytes] = asyncio.Queue()
        self.session = Session(cast("ChatService", self.service), self._write)

    async def _write(self, line: bytes) -> None:
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        self.written.append(line)

    async def _chunks(self) -> AsyncIterator[bytes]:
        while data := await self.input.get():
            yield data

    @property
    def replies(self) -> list[dict[str, Any]]:
        """What was written, decoded."""
        return [json.loads(line) for line in self.written]

    async def run(self, *lines: bytes | dict[str, Any]) -> list[dict[str, Any]]:
        """Feed lines and the end of the input, wait for the end, and return what was written."""
        for line in lines:
            text = line if isinstance(line, bytes) else json.dumps(line).encode()
            self.input.put_nowait(text + b"\n")
        self.input.put_nowait(b"")
        await self.session.read_commands(self._chunks())
        assert self.session.stopping.is_set()
        await self.session.finish()
        return self.replies


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (
            {"cmd": "connect", "address": "A"},
            {
                "kind": "peer",
                "peer": BOB,
                "path": "direct",
                "rtt_ms": 0.5,
                "remote_address": "192.0.2.1:4000",
            },
        ),
        ({"cmd": "send", "peer": BOB, "text": "hi"}, {"message_id": "ab" * 16}),
        ({"cmd": "echo", "peer": BOB, "text": "hi"}, {"text": "hi", "rtt_ms": 1.5}),
        ({"cmd": "ping", "peer": BOB}, {"rtt_ms": 2.5}),
        (
            {"cmd": "status"},
            {
                "peer_id": "12D3KooWMe",
                "addresses": ["/ip4/192.0.2.1"],
                "relays": [{"address": "/dns4/relay", "state": "reserved", "expires": 12.5}],
                "connections": [
                    {
                        "peer": BOB,
                        "path": "relayed",
                        "limited": True,
                        "remote_address": "192.0.2.1:4000",
                        "rtt_ms": None,
                        "state": None,
                        "reason": "",
                    }
                ],
            },
        ),
        (
            {"cmd": "history", "peer": BOB},
            {"messages": [MESSAGE_FIELDS]},
        ),
        ({"cmd": "contacts"}, {"contacts": [CONTACT_FIELDS]}),
        ({"cmd": "contact", "peer": BOB}, {"contact": CONTACT_FIELDS}),
        ({"cmd": "verification_phrase", "peer": BOB}, {"words": ["zoo", "zone"]}),
        (
            {"cmd": "search", "text": "h", "limit": 3},
            {"hits": [{"message": MESSAGE_FIELDS, "excerpt": "hi", "spans": [[0, 1]]}]},
        ),
        ({"cmd": "export", "path": "/x", "format": "text"}, {"messages": 7}),
        ({"cmd": "quit"}, {}),
    ],
)
async def test_every_command_is_answered(loop: Loop, command: dict[str, Any], reply: dict[str, Any]) -> None:
    assert await loop.run({"id": 1, "ignored": True, **command}) == [{"id": 1, "ok": True, **reply}]


@pytest.mark.parametrize(
    ("command", "call"),
    [
        ({"cmd": "rename", "name": "Bob"}, ("rename", BOB, "Bob")),
        ({"cmd": "annotate", "notes": "x"}, ("annotate", BOB, "x")),
        ({"cmd": "set_verified", "verified": False}, ("set_verified", BOB, False)),
        ({"cmd": "set_retention", "days": 7}, ("set_retention", BOB, Retention(7))),
        ({"cmd": "set_retention", "ephemeral": True}, ("set_retention", BOB, Retention(None, True))),
        ({"cmd": "history", "before": "id"}, (BOB, 100, "id", None)),
        *(({"cmd": name}, (name, BOB)) for name in ("accept", "decline", "block", "unblock", "forget")),
    ],
)
async def test_commands_about_people_are_passed_on(
    loop: Loop, command: dict[str, Any], call: tuple[object, ...]
) -> None:
    (reply,) = await loop.run({"id": 1, "peer": BOB, **command})
    assert reply["ok"]
    assert loop.service.calls == [call]


@pytest.mark.parametrize(
    ("line", "command_id", "code"),
    [
        (b"nonsense", None, "bad_json"),
        (b"[1, 2]", None, "bad_json"),
        (b'"text"', None, "bad_json"),
        (b'{"id": 1, "cmd": "ping"', None, "bad_json"),
        (b'{"id": "\xff", "cmd": "status"}', None, "bad_json"),
        (b'{"id": ' + b"[" * 100_000 + b"]" * 100_000 + b', "cmd": "status"}', None, "bad_json"),
        (b"x" * (limits.HEADLESS_MAX_LINE + 1), None, "bad_json"),
        (b"{}", None, "bad_command"),
        (b'{"id": 1}', 1, "bad_command"),
        (b'{"id": 1, "cmd": "dance"}', 1, "unknown_command"),
        (b'{"id": 1, "cmd": "_run"}', 1, "unknown_command"),
        (b'{"id": 1, "cmd": ["ping"]}', 1, "unknown_command"),
        (b'{"id": 1, "cmd": null}', 1, "unknown_command"),
        (b'{"id": 1, "cmd": "ping"}', 1, "bad_command"),
        (b'{"id": 1, "cmd": "ping", "peer": 7}', 1, "bad_command"),
        (b'{"id": 1, "cmd": "ping", "peer": "\\ud800"}', None, "bad_json"),
        (b'{"id": 1, "cmd": "history", "peer": "p", "limit": 0}', 1, "bad_command"),
        (b'{"id": 1, "cmd": "history", "peer": "p", "limit": "all"}', 1, "bad_command"),
        (b'{"id": 1, "cmd": "export", "path": "x", "format": "word"}', 1, "bad_command"),
        (b'{"id": 1, "cmd": "set_retention", "peer": "p", "days": "7"}', 1, "bad_command"),
        (b'{"id": 1, "cmd": "connect", "address": "nobody"}', 1, "no_reservation"),
        (b'{"id": 1, "cmd": "ping", "peer": "p"}', 1, "not_connected"),
        (b'{"id": 1, "cmd": "disconnect", "peer": "p"}', 1, "internal"),
    ],
)
async def test_mistakes_are_answered_and_the_program_goes_on(
    loop: Loop, line: bytes, command_id: int | None, code: str
) -> None:
    first, second = await loop.run(line, {"id": "next", "cmd": "ping", "peer": BOB})
    assert (first["id"], first["ok"], first["code"]) == (command_id, False, code)
    assert first["error"].endswith(".")
    assert set(first) == {"id", "ok", "code", "error"}
    assert second == {"id": "next", "ok": True, "rtt_ms": 2.5}


@pytest.mark.parametrize(
    "text", ['{"a": [1, null]}', "null", '"☃ \\u2603"', "12345678901234567890123456789", "1.50", "[]", "true"]
)
async def test_an_id_comes_back_just_as_it_was(loop: Loop, text: str) -> None:
    await loop.run(f'{{"cmd": "quit", "id": {text}}}'.encode())
    assert loop.written == [f'{{"id":{text},"ok":true}}\n'.encode()]


async def test_empty_lines_are_nothing_and_the_last_line_needs_no_end(loop: Loop) -> None:
    loop.input.put_nowait(b'\n  \r\n{"id": 1, "cmd": "ping", "peer"')
    loop.input.put_nowait(b': "%s"}' % BOB.encode())
    assert await loop.run() == [{"id": 1, "ok": True, "rtt_ms": 2.5}]


async def test_a_slow_command_does_not_hold_up_others(loop: Loop) -> None:
    loop.service.hold.clear()
    reading = asyncio.create_task(
        loop.run({"id": 1, "cmd": "connect", "address": "A"}, {"id": 2, "cmd": "ping", "peer": BOB})
    )
    await eventually(lambda: loop.written)
    assert [reply["id"] for reply in loop.replies] == [2]
    loop.service.hold.set()
    assert [reply["id"] for reply in await reading] == [2, 1]


async def test_commands_are_started_in_their_order(loop: Loop) -> None:
    texts = [f"{number}" for number in range(300)]
    await loop.run(*({"id": text, "cmd": "send", "peer": BOB, "text": text} for text in texts))
    assert loop.service.calls == [(BOB, text) for text in texts]
    assert [reply["id"] for reply in loop.replies] == texts


async def test_commands_under_way_are_limited(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEADLESS_MAX_COMMANDS", 2)
    loop = Loop()
    loop.service.hold.clear()
    reading = asyncio.create_task(loop.run(*({"id": n, "cmd": "connect", "address": "A"} for n in range(5))))
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(loop.session._running) == 2
    loop.service.hold.set()
    assert len(await reading) == 5


async def test_a_command_broken_off_at_the_end_is_answered(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HEADLESS_QUIT_GRACE", 0.01)
    loop.service.hold.clear()
    (reply,) = await loop.run({"id": 1, "cmd": "connect", "address": "A"})
    assert (reply["id"], reply["ok"], reply["code"]) == (1, False, "stopping")


EVENTS: list[tuple[Event, dict[str, Any]]] = [
    (ReadyEvent("me"), {"event": "ready", "peer_id": "me"}),
    (ListeningEvent(("a", "b")), {"event": "listening", "addresses": ["a", "b"]}),
    (
        RelayEvent("r", RelayState.RESERVED, 1.5),
        {"event": "relay", "address": "r", "state": "reserved", "expires": 1.5, "reason": ""},
    ),
    (
        StepEvent("p", 3, "dial", 1.5, False, "why"),
        {"event": "step", "peer": "p", "step": 3, "name": "dial", "ms": 1.5, "ok": False, "detail": "why"},
    ),
    (
        ConnectionEvent("p", PathKind.DIRECT, ConnectionState.CLOSED, "h:1", False, "gone"),
        {
            "event": "connection",
            "peer": "p",
            "path": "direct",
            "state": "closed",
            "remote_address": "h:1",
            "limited": False,
            "reason": "gone",
            "limit_bytes": None,
            "limit_seconds": None,
        },
    ),
    (
        ContactEvent(CONTACT),
        {"event": "contact", "contact": CONTACT_FIELDS, "forgotten": False},
    ),
    (
        MessageEvent("p", "\x1b[1m ☃", "id", 1.5),
        {"event": "message", "peer": "p", "text": "\x1b[1m ☃", "message_id": "id", "sent_at": 1.5},
    ),
    (SentEvent("p", "id"), {"event": "sent", "peer": "p", "message_id": "id"}),
    (SentEvent("p", "id", delivered=True), {"event": "delivered", "peer": "p", "message_id": "id"}),
    (ErrorEvent("c", "Why."), {"event": "error", "code": "c", "error": "Why.", "peer": ""}),
]


async def test_every_event_is_a_line(loop: Loop) -> None:
    assert {type(event) for event, _ in EVENTS} == set(Event.__args__)
    hub = EventHub()
    writing = asyncio.create_task(loop.session.write_events(hub.subscribe()))
    for event, _ in EVENTS:
        hub.emit(event)
    hub.close()
    await asyncio.sleep(0)
    await writing
    assert loop.replies == [fields for _, fields in EVENTS]


async def test_half_a_surrogate_pair_does_not_stop_the_output(loop: Loop) -> None:
    hub = EventHub()
    writing = asyncio.create_task(loop.session.write_events(hub.subscribe()))
    hub.emit(ErrorEvent("code", "The file \udcff cannot be read."))
    hub.close()
    await asyncio.sleep(0)
    await writing
    assert loop.replies[0]["error"] == "The file \udcff cannot be read."


async def test_failing_to_connect_at_the_start_is_an_event(loop: Loop) -> None:
    await loop.session.connect("nobody")
    await loop.session.connect("A")
    (event,) = loop.replies
    assert (event["event"], event["code"]) == ("error", "no_reservation")


def test_an_error_without_words_says_what_its_class_says() -> None:
    def text(make: Callable[[], P2PChatError]) -> str:
        from p2pchat_tui.headless import _sentence

        return _sentence(make())

    assert text(NotConnectedError) == NotConnectedError.__doc__
    assert event_fields(ErrorEvent("c", "x"))["error"] == "x"

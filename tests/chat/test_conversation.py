"""One peer's messages, across streams and connections, against another service and against a browser page."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_core.chat.allowance import Allowance
from p2pchat_core.chat.events import ErrorEvent, Event, MessageEvent, SentEvent
from p2pchat_core.chat.model import MessageState
from p2pchat_core.errors import MessageError, NotConnectedError, StoreError, StreamResetError
from p2pchat_core.net.ping import ping
from p2pchat_core.wire.chat import CHAT_PROTOCOL
from tests.chat.services import Page, drop, heard, meet, read, running_page, running_service, until_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from p2pchat_core.chat.service import ChatService
    from p2pchat_core.net.stream import Stream


@pytest.fixture
async def alice(tmp_path: Path) -> AsyncIterator[ChatService]:
    async with running_service(tmp_path / "alice") as service:
        yield service


@pytest.fixture
async def bob(tmp_path: Path) -> AsyncIterator[ChatService]:
    async with running_service(tmp_path / "bob") as service:
        yield service


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with running_page() as running:
        yield running


def text_of(event: Event) -> str | None:
    return event.text if isinstance(event, MessageEvent) else None


# --- two services -----------------------------------------------------------------------------------------------------


async def test_messages_keep_their_order_and_are_recorded(alice: ChatService, bob: ChatService) -> None:
    await meet(alice, bob)
    at_alice, at_bob = alice.subscribe(), bob.subscribe()
    texts = [f"message {number}, " for number in range(40)]
    ids = await asyncio.gather(*(alice.send(bob.peer_id, text) for text in texts))
    await until_text(at_bob, text_of, "".join(texts))
    for message_id in ids:
        sent = await heard(at_alice, SentEvent, lambda event: not event.delivered)
        assert sent.message_id == message_id
    history = await alice.history(bob.peer_id)
    assert [message.text for message in history] == texts
    assert {message.state for message in history} <= {MessageState.SENT, MessageState.DELIVERED}
    theirs = await bob.history(alice.peer_id)
    assert "".join(message.text for message in theirs) == "".join(texts)
    assert {(message.state, message.outgoing) for message in theirs} == {(MessageState.RECEIVED, False)}


async def test_messages_wait_for_a_lost_peer(alice: ChatService, bob: ChatService) -> None:
    connections = await meet(alice, bob)
    at_alice, at_bob = alice.subscribe(), bob.subscribe()
    await alice.send(bob.peer_id, "before. ")
    await until_text(at_bob, text_of, "before. ")
    await heard(at_alice, SentEvent, lambda event: event.delivered)
    await drop(*connections)
    texts = [f"waiting {number}. " for number in range(5)]
    for text in texts:
        await alice.send(bob.peer_id, text)
    history = await alice.history(bob.peer_id)
    assert [message.state for message in history] == [MessageState.DELIVERED] + [MessageState.QUEUED] * 5
    await meet(bob, alice)
    await until_text(at_bob, text_of, "".join(texts))


async def test_messages_wait_through_a_restart(tmp_path: Path, bob: ChatService) -> None:
    async with running_service(tmp_path / "alice") as alice:
        await drop(*await meet(alice, bob))
        await alice.send(bob.peer_id, "written before the restart")
    at_bob = bob.subscribe()
    async with running_service(tmp_path / "alice") as alice:
        assert alice.peers() == [bob.peer_id]
        await meet(alice, bob)
        await until_text(at_bob, text_of, "written before the restart")


async def test_what_was_said_just_before_the_end_still_arrives(tmp_path: Path, bob: ChatService) -> None:
    at_bob = bob.subscribe()
    async with running_service(tmp_path / "alice") as alice:
        await meet(alice, bob)
        for _ in range(5):
            await alice.send(bob.peer_id, "good-bye. ")
    await until_text(at_bob, text_of, 5 * "good-bye. ")


async def test_who_was_never_met_gets_nothing(alice: ChatService, bob: ChatService) -> None:
    with pytest.raises(NotConnectedError):
        await alice.send(bob.peer_id, "hello")
    assert await alice.history(bob.peer_id) == []


# --- a browser page ---------------------------------------------------------------------------------------------------


async def test_we_answer_on_the_newest_stream_of_the_page_and_read_all(
    alice: ChatService, page: Page
) -> None:
    theirs, _ours = await meet(page, alice)
    events = alice.subscribe()
    first = await page.open(theirs)
    await first.write(b"one")
    assert (await heard(events, MessageEvent)).text == "one"
    await alice.send(page.peer, "to the first")
    await read(first, "to the first")
    second = await page.open(theirs)
    await second.write(b"two")
    assert (await heard(events, MessageEvent)).text == "two"
    await alice.send(page.peer, "to the second")
    await read(second, "to the second")
    await first.write(b"three")
    assert (await heard(events, MessageEvent)).text == "three"
    assert page.inbound.empty()


async def test_a_stream_is_never_half_closed(alice: ChatService, page: Page) -> None:
    _ours, theirs = await meet(alice, page)
    await alice.send(page.peer, "hello")
    stream = await page.opened()
    await read(stream, "hello")
    reading = asyncio.create_task(stream.read())
    for _ in range(3):
        await ping(theirs, page.host.clock)
    assert not reading.done()
    await alice.send(page.peer, "more")
    assert await reading == b"more"


async def test_a_page_whose_stream_was_reset_is_repaired_with_nothing_to_say(
    alice: ChatService, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHAT_RETRY_MIN", 0.001)
    theirs, _ours = await meet(page, alice)
    events = alice.subscribe()
    stream = await page.open(theirs)
    await stream.write(b"hello")
    await heard(events, MessageEvent)
    stream.reset()
    repaired = await page.opened()
    await repaired.write(b"works again")
    assert (await heard(events, MessageEvent)).text == "works again"


async def test_a_page_that_comes_back_gets_a_new_stream(alice: ChatService, page: Page) -> None:
    connections = await meet(page, alice)
    events = alice.subscribe()
    stream = await page.open(connections[0])
    await stream.write(b"hello")
    await heard(events, MessageEvent)
    await drop(*connections)
    await meet(page, alice)
    again = await page.opened()
    await alice.send(page.peer, "welcome back")
    await read(again, "welcome back")


async def test_a_page_whose_path_falls_silent_is_talked_with_on_another(
    alice: ChatService, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHAT_RETRY_MIN", 0.001)
    theirs, ours = await meet(page, alice)
    events = alice.subscribe()
    stream = await page.open(theirs)
    await stream.write(b"hello")
    await heard(events, MessageEvent)
    second, other = await meet(page, alice)
    ours.silent_since = 0.0
    alice._node.liveness._tell(ours)
    repaired = await page.opened()
    assert repaired.connection is second
    await alice.send(page.peer, "on the other")
    await read(repaired, "on the other")
    assert not other.closed


async def test_a_page_that_refuses_every_stream_is_not_bothered_for_ever(
    alice: ChatService, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHAT_RETRY_MIN", 0.0001)
    monkeypatch.setattr(limits, "CHAT_RETRY_MAX", 0.001)
    opened = 0
    finished = asyncio.Event()

    async def refuse(stream: Stream) -> None:
        nonlocal opened
        opened += 1
        stream.reset()
        if opened >= 6:
            finished.set()

    theirs, _ours = await meet(page, alice)
    stream = await page.open(theirs)
    page.host.handle(CHAT_PROTOCOL, refuse)
    stream.reset()
    async with asyncio.timeout(20):
        await finished.wait()
    for _ in range(50):
        await ping(theirs, page.host.clock)
    assert opened == 6


async def test_the_page_closing_a_stream_in_order_needs_no_repair(alice: ChatService, page: Page) -> None:
    theirs, _ours = await meet(page, alice)
    events = alice.subscribe()
    stream = await page.open(theirs)
    await stream.write("half a character: é".encode()[:-1])
    await stream.close_write()
    message = await heard(events, MessageEvent)
    assert message.text == "half a character: "
    assert (await heard(events, MessageEvent)).text == "\ufffd"
    assert await stream.read() == b""
    for _ in range(3):
        await ping(theirs, page.host.clock)
    assert page.inbound.empty()
    await alice.send(page.peer, "a new one")
    await read(await page.opened(), "a new one")


async def test_a_page_behind_a_limited_circuit_waits_for_a_direct_path(
    alice: ChatService, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHAT_RETRY_MIN", 0.001)
    await meet(alice, page, limited=True)
    events = alice.subscribe()
    message_id = await alice.send(page.peer, "direct only")
    error = await heard(events, ErrorEvent)
    assert (error.code, error.peer) == ("limit", page.peer)
    assert page.inbound.empty()
    await meet(alice, page)
    await read(await page.opened(), "direct only")
    assert await heard(events, SentEvent) == SentEvent(page.peer, message_id)


async def test_a_peer_without_chat_is_told_once_and_tried_again(
    alice: ChatService, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHAT_RETRY_MIN", 0.001)
    monkeypatch.setattr(limits, "CHAT_RETRY_MAX", 0.002)
    page.host.registry._registrations.pop(CHAT_PROTOCOL)
    _ours, theirs = await meet(alice, page)
    events = alice.subscribe()
    await alice.send(page.peer, "anybody there?")
    assert (await heard(events, ErrorEvent)).code == "unsupported_protocol"
    for _ in range(20):
        await ping(theirs, page.host.clock)
    assert len(events) == 0, "the same complaint is not repeated"
    page.host.handle(CHAT_PROTOCOL, page._chat)
    await read(await page.opened(), "anybody there?")


async def test_streams_of_one_peer_are_limited(
    alice: ChatService, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHAT_MAX_STREAMS", 3)
    theirs, _ours = await meet(page, alice)
    streams = [await page.open(theirs) for _ in range(4)]
    with pytest.raises(StreamResetError):
        await streams[0].read()
    events = alice.subscribe()
    for stream in streams[1:]:
        await stream.write(b"x")
        await heard(events, MessageEvent)


async def test_whatever_comes_is_text(alice: ChatService, page: Page) -> None:
    theirs, _ours = await meet(page, alice)
    events = alice.subscribe()
    stream = await page.open(theirs)
    await stream.write(b"\xff\xfe\x00\x1b]0;x\x07 " + "☃".encode())
    assert (await heard(events, MessageEvent)).text == "\ufffd\ufffd\x00\x1b]0;x\x07 ☃"


async def test_a_peer_that_talks_too_fast_is_read_slower(
    alice: ChatService, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[float] = []

    def take(_self: Allowance, amount: float, _now: float) -> float:
        used.append(amount)
        return 3600.0

    monkeypatch.setattr(Allowance, "take", take)
    theirs, _ours = await meet(page, alice)
    events = alice.subscribe()
    stream = await page.open(theirs)
    await stream.write(b"hello")
    await heard(events, MessageEvent)
    await stream.write(b"again")
    for _ in range(5):
        await ping(theirs, page.host.clock)
    assert used == [5]
    assert len(events) == 0


async def test_what_cannot_be_stored_is_still_shown(
    alice: ChatService, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, _ours = await meet(page, alice)
    events = alice.subscribe()
    stream = await page.open(theirs)

    async def full(*_args: object, **_options: object) -> None:
        raise StoreError("The disk is full.")

    monkeypatch.setattr(alice._store, "add", full)
    await stream.write(b"hello")
    assert (await heard(events, ErrorEvent)).code == "store_failed"
    assert (await heard(events, MessageEvent)).text == "hello"
    with pytest.raises(StoreError):
        await alice.send(page.peer, "not sent")
    monkeypatch.undo()
    await alice.send(page.peer, "sent")
    await read(stream, "sent")


async def test_a_message_handed_over_is_not_repeated_when_it_cannot_be_recorded(
    alice: ChatService, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    await meet(alice, page)
    events = alice.subscribe()
    record = alice._store.set_state
    failures = 0

    async def flaky(message_id: str, state: MessageState) -> None:
        nonlocal failures
        if failures < 1:
            failures += 1
            raise StoreError("The disk is full.")
        await record(message_id, state)

    monkeypatch.setattr(alice._store, "set_state", flaky)
    await alice.send(page.peer, "once. ")
    assert (await heard(events, ErrorEvent)).code == "store_failed"
    await alice.send(page.peer, "twice. ")
    await read(await page.opened(), "once. twice. ")
    assert next(m.state for m in await alice.history(page.peer)) is MessageState.SENT


# --- what may be sent -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "x" * (limits.CHAT_MAX_TEXT + 1), "☃" * (limits.CHAT_MAX_TEXT // 3 + 1)]
)
async def test_texts_that_cannot_be_sent(alice: ChatService, page: Page, text: str) -> None:
    await meet(alice, page)
    with pytest.raises(MessageError):
        await alice.send(page.peer, text)
    assert await alice.history(page.peer) == []


async def test_the_longest_text_and_half_a_surrogate_pair(alice: ChatService, page: Page) -> None:
    await meet(alice, page)
    text = "☃" * (limits.CHAT_MAX_TEXT // 3)
    await alice.send(page.peer, text)
    stream = await page.opened()
    await read(stream, text)
    await alice.send(page.peer, "a\ud800b")
    await read(stream, "a\ufffdb")
    assert (await alice.history(page.peer))[-1].text == "a\ufffdb"


async def test_the_outbox_is_limited(alice: ChatService, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHAT_MAX_OUTBOX", 3)
    await drop(*await meet(alice, page))
    for number in range(3):
        await alice.send(page.peer, f"{number}")
    with pytest.raises(MessageError, match="wait"):
        await alice.send(page.peer, "one too many")

"""Conversations between two services, over paths that come, go, lie and are replaced."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_core.chat.events import ErrorEvent, MessageEvent, SentEvent
from p2pchat_core.chat.model import MessageState
from p2pchat_core.errors import ConnectionLostError, StoreError, StreamError
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.wire.chat import CHAT_PROTOCOL
from p2pchat_core.wire.session import SESSION_PROTOCOL, Position
from tests.chat.services import drop, heard, meet, running_service

if TYPE_CHECKING:
    from p2pchat_core.chat.conversation import Conversation
    from p2pchat_core.chat.event_hub import EventStream
    from p2pchat_core.chat.service import ChatService
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.stream import Stream


@pytest.fixture
async def alice(tmp_path: Path) -> AsyncIterator[ChatService]:
    async with running_service(tmp_path / "alice") as service:
        yield service


@pytest.fixture
async def bob(tmp_path: Path) -> AsyncIterator[ChatService]:
    async with running_service(tmp_path / "bob") as service:
        yield service


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHAT_RETRY_MIN", 0.001)
    monkeypatch.setattr(limits, "CHAT_RETRY_MAX", 0.01)
    monkeypatch.setattr(limits, "SESSION_STORE_RETRY", 0.001)


def conversation(service: ChatService, other: ChatService) -> Conversation:
    return service._conversations._open[PeerId.parse(other.peer_id)]


async def shown(events: EventStream, texts: list[str]) -> None:
    """The next messages are exactly these."""
    for text in texts:
        assert (await heard(events, MessageEvent)).text == text


async def delivered(events: EventStream, message_id: str) -> None:
    await heard(events, SentEvent, lambda event: event == SentEvent(event.peer, message_id, True))


async def test_a_message_is_queued_sent_and_delivered(alice: ChatService, bob: ChatService) -> None:
    await meet(alice, bob)
    at_alice, at_bob = alice.subscribe(), bob.subscribe()
    message_id = await alice.send(bob.peer_id, "hello ☃")
    message = await heard(at_bob, MessageEvent)
    assert (message.peer, message.text, message.message_id) == (alice.peer_id, "hello ☃", message_id)
    assert await heard(at_alice, SentEvent) == SentEvent(bob.peer_id, message_id)
    assert await heard(at_alice, SentEvent) == SentEvent(bob.peer_id, message_id, delivered=True)
    assert [m.state for m in await alice.history(bob.peer_id)] == [MessageState.DELIVERED]
    assert [m.state for m in await bob.history(alice.peer_id)] == [MessageState.RECEIVED]
    assert conversation(alice, bob)._raw.streams == [], "the raw chat is not used"


async def test_many_messages_each_way_keep_their_order(alice: ChatService, bob: ChatService) -> None:
    await meet(alice, bob)
    at_alice, at_bob = alice.subscribe(), bob.subscribe()
    texts = [f"{number}" for number in range(600)]  # more than one window
    for text in texts:
        await alice.send(bob.peer_id, text)
        await bob.send(alice.peer_id, text)
    await asyncio.gather(shown(at_bob, texts), shown(at_alice, texts))
    for service, other in ((alice, bob), (bob, alice)):
        async with asyncio.timeout(20):
            await conversation(service, other).handed_over()


async def test_a_lost_path_is_replaced_by_the_next_best_at_once(alice: ChatService, bob: ChatService) -> None:
    await meet(alice, bob, limited=True)
    direct = await meet(alice, bob)
    at_bob = bob.subscribe()
    await alice.send(bob.peer_id, "direct")
    await shown(at_bob, ["direct"])
    assert _spoken_on(alice, bob).direct
    for number in range(20):
        await alice.send(bob.peer_id, f"{number}")
    await drop(*direct)
    await shown(at_bob, [f"{number}" for number in range(20)])
    await alice.send(bob.peer_id, "relayed")
    await shown(at_bob, ["relayed"])
    assert _spoken_on(alice, bob).limited


async def test_a_conversation_moves_to_a_better_path_by_itself(alice: ChatService, bob: ChatService) -> None:
    circuit = await meet(alice, bob, limited=True)
    at_alice, at_bob = alice.subscribe(), bob.subscribe()
    await alice.send(bob.peer_id, "over the relay")
    await bob.send(alice.peer_id, "me too")
    await shown(at_bob, ["over the relay"])
    await shown(at_alice, ["me too"])
    await meet(alice, bob)
    for service, other in ((alice, bob), (bob, alice)):
        await eventually_true(lambda s=service, o=other: _spoken_on(s, o).direct)  # type: ignore[misc]
    await drop(*circuit)
    await alice.send(bob.peer_id, "the relay is gone")
    await bob.send(alice.peer_id, "so it is")
    await shown(at_bob, ["the relay is gone"])
    await shown(at_alice, ["so it is"])


async def test_a_better_path_that_takes_nothing_does_not_hold_the_chat_up(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SESSION_MOVE_RETRY", 0.001)
    await meet(alice, bob, limited=True)
    at_bob = bob.subscribe()
    await alice.send(bob.peer_id, "1")
    await shown(at_bob, ["1"])
    ours, _theirs = await meet(alice, bob)
    opened = ours.open_stream
    refused = 0

    async def refuse(protocols: list[str], *, allow_limited: bool = False) -> Stream:
        nonlocal refused
        if SESSION_PROTOCOL in protocols and refused < 5:
            refused += 1
            raise StreamError("Not yet.")
        return await opened(protocols, allow_limited=allow_limited)

    monkeypatch.setattr(ours, "open_stream", refuse)
    await alice.send(bob.peer_id, "2")
    await shown(at_bob, ["2"])
    await eventually_true(lambda: _spoken_on(alice, bob).direct)
    await alice.send(bob.peer_id, "3")
    await shown(at_bob, ["3"])


@pytest.mark.parametrize("restarted", ["speaker", "listener", "both"])
async def test_restarts_lose_and_double_nothing(tmp_path: Path, restarted: str) -> None:
    heard_texts: list[str] = []
    said: list[str] = []
    ids: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        running: dict[str, tuple[ChatService, contextlib.AsyncExitStack]] = {}

        async def start(name: str) -> ChatService:
            inner = await stack.enter_async_context(contextlib.AsyncExitStack())
            service = await inner.enter_async_context(running_service(tmp_path / name))
            running[name] = (service, inner)
            return service

        alice, bob = await start("alice"), await start("bob")
        for turn in range(4):
            connections = await meet(alice, bob)
            for number in range(10):
                said.append(f"{turn}.{number}")
                ids.append(await alice.send(bob.peer_id, said[-1]))
            for _ in range(turn * 40):
                await asyncio.sleep(0)
            await drop(*connections)
            if restarted in ("speaker", "both"):
                await running["alice"][1].aclose()
                alice = await start("alice")
            if restarted in ("listener", "both"):
                await running["bob"][1].aclose()
                bob = await start("bob")
        await meet(alice, bob)
        async with asyncio.timeout(20):
            while len(heard_texts) < len(said):
                heard_texts = [m.text for m in await bob.history(alice.peer_id)]
        assert heard_texts == said
        assert [m.message_id for m in await bob.history(alice.peer_id)] == ids
        async with asyncio.timeout(20):
            while {m.state for m in await alice.history(bob.peer_id)} != {MessageState.DELIVERED}:
                await asyncio.sleep(0)


async def test_paths_killed_at_random(alice: ChatService, bob: ChatService) -> None:
    """Both talk while connections of every kind come and go: 0 lost, 0 doubled, 0 reordered."""
    dice = random.Random(4)
    at_alice, at_bob = alice.subscribe(), bob.subscribe()
    total, kills = 300, 0
    await drop(*await meet(alice, bob))

    async def talk(speaker: ChatService, hearer: ChatService) -> None:
        for number in range(total):
            await speaker.send(hearer.peer_id, f"{number}")
            await asyncio.sleep(dice.random() * 0.006)

    async def kill() -> None:
        nonlocal kills
        open_: list[tuple[Connection, Connection]] = []
        while True:
            if len(open_) < 3:
                with contextlib.suppress(ConnectionLostError, StreamError):
                    open_.append(await meet(alice, bob, limited=dice.random() < 0.5))
            if open_ and dice.random() < 0.7:
                victim = open_.pop(dice.randrange(len(open_)))
                victim[dice.randrange(2)].abort("Killed.")
                kills += 1
            await asyncio.sleep(dice.random() * 0.02)

    killer = asyncio.create_task(kill())
    expected = [f"{number}" for number in range(total)]
    try:
        await asyncio.gather(
            talk(alice, bob), talk(bob, alice), shown(at_bob, expected), shown(at_alice, expected)
        )
    finally:
        killer.cancel()
        await asyncio.wait([killer])
    assert killer.cancelled(), "the killer worked to the end"
    assert kills > 10
    for service, other in ((alice, bob), (bob, alice)):
        history = await service.history(other.peer_id, 1000)
        assert [m.text for m in history if not m.outgoing] == expected


async def test_a_path_that_swallows_everything_is_given_up(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers pings, and is the only one."""
    monkeypatch.setattr(limits, "SESSION_ACK_TIMEOUT", 0.2)
    ours, theirs = await meet(alice, bob)
    at_bob = bob.subscribe()
    await alice.send(bob.peer_id, "1")
    await shown(at_bob, ["1"])
    swallow(alice, bob, monkeypatch)
    await alice.send(bob.peer_id, "2")
    await theirs.wait_closed()
    assert ours.closed
    await meet(alice, bob)
    await shown(at_bob, ["2"])


async def test_a_full_disk_holds_messages_back_and_shows_each_once(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    await meet(alice, bob)
    at_alice, at_bob = alice.subscribe(), bob.subscribe()
    receive = bob._store.receive
    failures = 3

    async def full(*args: object) -> object:
        nonlocal failures
        if failures:
            failures -= 1
            raise StoreError("The disk is full.")
        return await receive(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(bob._store, "receive", full)
    ids = [await alice.send(bob.peer_id, f"{number}") for number in range(3)]
    assert (await heard(at_bob, ErrorEvent)).code == "store_failed"
    await shown(at_bob, ["0", "1", "2"])
    for message_id in ids:
        await delivered(at_alice, message_id)
    assert failures == 0
    assert len(await bob.history(alice.peer_id)) == 3


async def test_an_acknowledgement_that_cannot_be_recorded_is_recorded_later(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    await meet(alice, bob)
    at_alice = alice.subscribe()
    mark = alice._store.mark_held
    failures = 2

    async def full(*args: object) -> object:
        nonlocal failures
        if failures:
            failures -= 1
            raise StoreError("The disk is full.")
        return await mark(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(alice._store, "mark_held", full)
    await delivered(at_alice, await alice.send(bob.peer_id, "hello"))
    assert failures == 0


async def test_numbers_that_do_not_fit_are_begun_anew(alice: ChatService, bob: ChatService) -> None:
    """A history restored from a backup: the listener holds more than was ever said, by this disk."""
    await drop(*await meet(alice, bob))
    at_alice, at_bob = alice.subscribe(), bob.subscribe()
    log, _first = await alice._store.begin(bob.peer_id)
    await bob._store.greet(alice.peer_id, log, 500)
    message_id = await alice.send(bob.peer_id, "after the restore")
    await meet(alice, bob)
    await shown(at_bob, ["after the restore"])
    await delivered(at_alice, message_id)
    assert (await alice._store.begin(bob.peer_id)).log != log


async def test_a_stream_of_an_older_log_is_reset(alice: ChatService, bob: ChatService) -> None:
    await meet(alice, bob)
    at_bob = bob.subscribe()
    await alice.send(bob.peer_id, "1")
    await shown(at_bob, ["1"])
    await bob._store.greet(
        alice.peer_id, b"x" * 16, 1
    )  # as if another stream had said hello with another log
    await alice.send(bob.peer_id, "2")
    await shown(at_bob, ["2"])
    assert await bob._store.greet(alice.peer_id, b"x" * 16, 1) == Position(b"x" * 16, 0, None)


async def test_strangers_are_not_listened_to(tmp_path: Path, alice: ChatService) -> None:
    async with running_service(tmp_path / "shy", contacts_only=True) as shy:
        await meet(alice, shy)
        at_shy = shy.subscribe()
        await alice.send(shy.peer_id, "hello?")
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert await shy.history(alice.peer_id) == []
        await shy._people.befriend(PeerId.parse(alice.peer_id))
        await meet(alice, shy)
        await shown(at_shy, ["hello?"])


async def test_an_older_program_without_sessions_is_talked_with_over_the_raw_chat(
    alice: ChatService, bob: ChatService
) -> None:
    bob._node.host.registry._registrations.pop(SESSION_PROTOCOL)
    await meet(alice, bob)
    at_alice, at_bob = alice.subscribe(), bob.subscribe()
    message_id = await alice.send(bob.peer_id, "hello")
    await shown(at_bob, ["hello"])
    assert await heard(at_alice, SentEvent) == SentEvent(bob.peer_id, message_id)
    assert conversation(alice, bob)._raw.streams[-1].protocol == CHAT_PROTOCOL


def swallow(service: ChatService, other: ChatService, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what one side says on its present stream vanish."""
    line = conversation(service, other)._speaking._line
    assert line is not None

    async def vanish(_data: bytes) -> None:
        pass

    monkeypatch.setattr(line.stream, "write", vanish)


def _spoken_on(service: ChatService, other: ChatService) -> Connection:
    line = conversation(service, other)._speaking._line
    assert line is not None
    return line.connection


async def eventually_true(condition: object) -> None:
    """Like `eventually`, for what needs the store's thread too."""
    assert callable(condition)
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(AssertionError):
                if condition():
                    return
            await asyncio.sleep(0.001)

"""Leaving a path at the first suspicion, coming back to it, and hanging up on purpose."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_core.chat.events import MessageEvent, SentEvent
from p2pchat_core.chat.paths import PathState
from p2pchat_core.errors import NotConnectedError
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.wire import session as wire
from p2pchat_core.wire.session import SESSION_PROTOCOL, Farewell
from tests.chat.services import drop, heard, host_of, meet, running_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from p2pchat_core.chat.conversation import Conversation
    from p2pchat_core.chat.event_hub import EventStream
    from p2pchat_core.chat.service import ChatService
    from p2pchat_core.chat.speaking import Speaking
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
    monkeypatch.setattr(limits, "SESSION_SUSPECT_MIN", 0.05)
    monkeypatch.setattr(limits, "SESSION_SUSPECT_MAX", 0.05)
    monkeypatch.setattr(limits, "SESSION_RETURN_MIN", 3600.0)
    monkeypatch.setattr(limits, "SESSION_RETURN_MAX", 3600.0)


def conversation(service: ChatService, other: ChatService) -> Conversation:
    return service._conversations._open[PeerId.parse(other.peer_id)]


def speaking(service: ChatService, other: ChatService) -> Speaking:
    return conversation(service, other)._speaking


async def shown(events: EventStream, *texts: str) -> None:
    for text in texts:
        assert (await heard(events, MessageEvent)).text == text


def swallow(service: ChatService, other: ChatService, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what one side says on its present stream vanish."""
    line = speaking(service, other)._line
    assert line is not None

    async def vanish(_data: bytes) -> None:
        pass

    monkeypatch.setattr(line.stream, "write", vanish)


def moves_of(
    service: ChatService, other: ChatService, monkeypatch: pytest.MonkeyPatch
) -> asyncio.Queue[Connection]:
    """Return what is told of every path that the conversation begins to use from now on."""
    moves: asyncio.Queue[Connection] = asyncio.Queue()
    use = speaking(service, other)._use
    monkeypatch.setattr(
        speaking(service, other), "_use", lambda line: (moves.put_nowait(line.connection), use(line))
    )
    return moves


# --- suspicion --------------------------------------------------------------------------------------------------------


async def test_a_suspected_path_is_left_and_stays_open(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    circuit, _ = await meet(alice, bob, limited=True)
    direct, _ = await meet(alice, bob)
    at_bob = bob.subscribe()
    await alice.send(bob.peer_id, "1")
    await shown(at_bob, "1")
    assert speaking(alice, bob).connection is direct
    checked: list[Connection] = []
    monkeypatch.setattr(speaking(alice, bob), "_check_path", checked.append)
    swallow(alice, bob, monkeypatch)
    ids = [await alice.send(bob.peer_id, text) for text in ("2", "3")]
    await shown(at_bob, "2", "3")
    assert speaking(alice, bob).connection is circuit
    assert not direct.closed
    assert checked == [direct]
    states = {one.connection: one.state for one in conversation(alice, bob).paths()}
    assert states[circuit] is PathState.USED
    status = {one.limited: (one.state, one.reason) for one in alice.status().connections}
    assert status[True][0] is PathState.USED
    assert status[True][1].startswith("Used: a circuit with limits, as a direct connection has failed")
    assert status[False][0] in (PathState.DOUBTED, PathState.READY)
    at_alice = alice.subscribe()
    ids.append(await alice.send(bob.peer_id, "4"))
    await heard(at_alice, SentEvent, lambda event: event.delivered and event.message_id == ids[-1])
    assert [m.text for m in await bob.history(alice.peer_id)] == ["1", "2", "3", "4"]


async def test_a_path_that_answers_again_is_returned_to(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SESSION_RETURN_MIN", 0.0)
    circuit, _ = await meet(alice, bob, limited=True)
    direct, _ = await meet(alice, bob)
    at_bob = bob.subscribe()
    await alice.send(bob.peer_id, "1")
    await shown(at_bob, "1")
    moves = moves_of(alice, bob, monkeypatch)
    swallow(alice, bob, monkeypatch)
    await alice.send(bob.peer_id, "2")
    await shown(at_bob, "2")
    # Suspecting it has it pinged, and the answer brings the conversation back, by itself.
    async with asyncio.timeout(20):
        first = await moves.get()
        if first is circuit:  # unless the answer was quicker
            first = await moves.get()
    assert first is direct
    await alice.send(bob.peer_id, "3")
    await shown(at_bob, "3")


async def test_the_only_path_is_not_given_up_for_a_suspicion(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    direct, _ = await meet(alice, bob)
    at_bob = bob.subscribe()
    receive = bob._store.receive
    suspected = asyncio.Event()

    async def slow(*args: object) -> object:
        await suspected.wait()
        return await receive(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(bob._store, "receive", slow)
    await alice.send(bob.peer_id, "1")
    monkeypatch.setattr(conversation(alice, bob)._paths, "suspect", lambda *_args: suspected.set())
    await shown(at_bob, "1")
    assert speaking(alice, bob).connection is direct


async def test_a_path_that_was_only_slow_is_stayed_with(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SESSION_OPEN_TIMEOUT", 3600.0)
    circuit, _ = await meet(alice, bob, limited=True)
    direct, _ = await meet(alice, bob)
    at_bob = bob.subscribe()
    receive = bob._store.receive
    leaving = asyncio.Event()

    async def slow(*args: object) -> object:
        await leaving.wait()
        return await receive(*args)  # type: ignore[arg-type]

    async def never(_protocols: list[str], *, allow_limited: bool = False) -> Stream:
        leaving.set()
        await asyncio.Event().wait()
        raise AssertionError(allow_limited)

    monkeypatch.setattr(bob._store, "receive", slow)
    monkeypatch.setattr(circuit, "open_stream", never)
    await alice.send(bob.peer_id, "1")
    await shown(at_bob, "1")
    if (moving := speaking(alice, bob)._moving) is not None:
        await asyncio.wait((moving,), timeout=20)
    assert speaking(alice, bob).connection is direct


async def test_a_better_path_that_swallows_the_greeting_does_not_keep_us_from_leaving_a_dead_one(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = await meet(alice, bob, limited=True)
    second, _ = await meet(alice, bob, limited=True)
    at_bob = bob.subscribe()
    await alice.send(bob.peer_id, "1")
    await shown(at_bob, "1")
    present = speaking(alice, bob).connection
    other = second if present is first else first
    opened = asyncio.Event()

    async def never(_protocols: list[str], *, allow_limited: bool = False) -> Stream:
        opened.set()
        await asyncio.Event().wait()
        raise AssertionError(allow_limited)

    direct, _ = await meet(alice, bob)
    if speaking(alice, bob)._moving is not None:
        speaking(alice, bob)._stop_moving()
    monkeypatch.setattr(limits, "SESSION_OPEN_TIMEOUT", 3600.0)
    monkeypatch.setattr(limits, "SESSION_ACK_TIMEOUT", 3600.0)
    monkeypatch.setattr(direct, "open_stream", never)
    speaking(alice, bob).reconsider()
    await asyncio.wait_for(opened.wait(), 20)
    swallow(alice, bob, monkeypatch)
    await alice.send(bob.peer_id, "2")
    await shown(at_bob, "2")
    assert speaking(alice, bob).connection is other


async def test_opening_does_not_wait_for_a_path_that_swallows_everything(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SESSION_STAGGER", 0.01)
    monkeypatch.setattr(limits, "SESSION_OPEN_TIMEOUT", 3600.0)
    circuit, _ = await meet(alice, bob, limited=True)
    direct, _ = await meet(alice, bob)
    given_up, forever = asyncio.Event(), asyncio.Event()

    async def never(_protocols: list[str], *, allow_limited: bool = False) -> Stream:
        try:
            await forever.wait()
        finally:
            given_up.set()
        raise AssertionError(allow_limited)

    monkeypatch.setattr(direct, "open_stream", never)
    at_bob = bob.subscribe()
    await alice.send(bob.peer_id, "1")
    await shown(at_bob, "1")
    await asyncio.wait_for(given_up.wait(), 20)
    assert speaking(alice, bob)._moving is not None or speaking(alice, bob).connection is circuit


async def test_a_path_that_falls_silent_is_left_with_nothing_to_say(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    circuit, _ = await meet(alice, bob, limited=True)
    direct, _ = await meet(alice, bob)
    at_bob = bob.subscribe()
    await alice.send(bob.peer_id, "1")
    await shown(at_bob, "1")
    await conversation(alice, bob).handed_over()
    for _ in range(20):
        await asyncio.sleep(0)
    moves = moves_of(alice, bob, monkeypatch)
    direct.silent_since = direct.heard_at
    alice._node.liveness._tell(direct)
    assert await asyncio.wait_for(moves.get(), 20) is circuit


async def test_a_connection_that_comes_while_a_stream_is_opened_on_a_dead_one_is_tried_at_once(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SESSION_OPEN_TIMEOUT", 3600.0)
    dead, _ = await meet(alice, bob)
    opening = asyncio.Event()

    async def never(_protocols: list[str], *, allow_limited: bool = False) -> Stream:
        opening.set()
        await asyncio.Event().wait()
        raise AssertionError(allow_limited)

    monkeypatch.setattr(dead, "open_stream", never)
    at_bob = bob.subscribe()
    await alice.send(bob.peer_id, "1")
    await asyncio.wait_for(opening.wait(), 20)
    await meet(alice, bob, limited=True)
    await shown(at_bob, "1")


async def test_a_move_that_failed_is_tried_again_as_soon_as_there_is_another_path(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SESSION_MOVE_RETRY", 3600.0)
    circuit, _ = await meet(alice, bob, limited=True)
    at_bob = bob.subscribe()
    await alice.send(bob.peer_id, "1")
    await shown(at_bob, "1")
    await conversation(alice, bob).handed_over()
    assert speaking(alice, bob).connection is circuit
    speaking(alice, bob)._again = asyncio.get_running_loop().call_later(3600.0, lambda: None)
    moves = moves_of(alice, bob, monkeypatch)
    direct, _ = await meet(alice, bob)
    assert await asyncio.wait_for(moves.get(), 20) is direct


# --- hanging up -------------------------------------------------------------------------------------------------------


async def until_parted(service: ChatService, other: ChatService) -> bool:
    """Wait until the connections are gone; return whether that was on purpose."""
    peer = PeerId.parse(other.peer_id)
    async with asyncio.timeout(20):
        for connection in host_of(service).connections(peer):
            await connection.wait_closed()
    return service._conversations.parted(peer)


@pytest.mark.parametrize("who_spoke", ["who hangs up", "the other", "nobody"])
async def test_who_hangs_up_says_so(alice: ChatService, bob: ChatService, who_spoke: str) -> None:
    await meet(alice, bob)
    if who_spoke != "nobody":
        speaker, hearer = (alice, bob) if who_spoke == "who hangs up" else (bob, alice)
        events = hearer.subscribe()
        await speaker.send(hearer.peer_id, "hello")
        await shown(events, "hello")
    await alice.disconnect(bob.peer_id)
    assert await until_parted(bob, alice)
    assert bob._conversations._parted == {PeerId.parse(alice.peer_id): Farewell.HUNG_UP}
    await meet(bob, alice)
    assert not bob._conversations.parted(PeerId.parse(alice.peer_id))
    with pytest.raises(NotConnectedError):
        await drop(*await meet(alice, bob))
        await alice.disconnect(bob.peer_id)
        await alice.disconnect(bob.peer_id)


async def test_a_program_that_ends_says_so(tmp_path: Path, bob: ChatService) -> None:
    async with running_service(tmp_path / "alice") as alice:
        await meet(alice, bob)
        events = bob.subscribe()
        await alice.send(bob.peer_id, "I have to go")
        peer = PeerId.parse(alice.peer_id)
    await shown(events, "I have to go")
    assert bob._conversations._parted == {peer: Farewell.STOPPED}


async def test_a_loss_is_no_good_bye(alice: ChatService, bob: ChatService) -> None:
    await drop(*await meet(alice, bob))
    assert not await until_parted(bob, alice)


async def test_a_program_that_knows_no_good_bye_is_told_none(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2pchat_core.chat.listening.FAREWELL", "something else")
    await meet(alice, bob)
    events = bob.subscribe()
    await alice.send(bob.peer_id, "hello")
    await shown(events, "hello")
    await alice.disconnect(bob.peer_id)
    assert not await until_parted(bob, alice)
    assert wire.FAREWELL == "farewell"


async def test_hanging_up_waits_for_nobody_who_does_not_answer(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FAREWELL_TIMEOUT", 0.01)

    async def deaf(_stream: Stream) -> None:
        await asyncio.Event().wait()

    bob._node.handle(SESSION_PROTOCOL, deaf, on_limited=True)
    await meet(alice, bob)
    async with asyncio.timeout(20):
        await alice.disconnect(bob.peer_id)
    assert not await until_parted(bob, alice)


async def test_who_hung_up_is_dialled_only_if_there_is_something_to_say(
    alice: ChatService, bob: ChatService
) -> None:
    await meet(alice, bob)
    peer = PeerId.parse(alice.peer_id)
    await bob.accept(alice.peer_id)
    nowhere = f"/ip4/127.0.0.1/tcp/1/ws{bob._node.peer.as_multiaddr()}/p2p-circuit/webrtc/p2p/{alice.peer_id}"
    bob._redial.learn(peer, [Multiaddr.parse(nowhere)])
    await alice.disconnect(bob.peer_id)
    assert await until_parted(bob, alice)
    bob._redial.lost(peer)
    assert not bob._redial._wanted(peer)
    await bob.send(alice.peer_id, "but I meant to say")
    assert bob._redial._wanted(peer)

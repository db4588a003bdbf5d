"""What was stored is told, also by the next run if this one was killed in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_core.chat.announcing import Announcer
from p2pchat_core.chat.event_hub import EventHub
from p2pchat_core.chat.events import MessageEvent, ReadyEvent
from p2pchat_core.chat.model import MessageState, ServiceConfig
from p2pchat_core.chat.service import ChatService
from p2pchat_core.chat.store import Store
from p2pchat_core.errors import StoreError
from p2pchat_core.wire.session import Message
from tests.chat.services import QuietNode, heard, meet, running_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LOG = b"l" * 16
PEER = "somebody"
PEER_ID = "12D3KooWBZyVLJfQkofqLK4op9TPkHuUumCZt1ybQrPvNm7TVQV9"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "history.db")
    yield opened
    await opened.close()


async def receive(store: Store, peer: str, *numbers: int) -> None:
    """Store messages of a session, as a program does that is killed before it tells them."""
    await store.greet(peer, LOG, 1)
    messages = [Message(n, n.to_bytes(16, "big"), 0, f"{peer} {n}") for n in numbers]
    await store.receive(peer, LOG, messages, 1e9)


async def texts_told(store: Store) -> list[tuple[str, bool]]:
    hub = EventHub()
    events = hub.subscribe()
    announcer = Announcer(store, hub)
    await announcer.tell_the_rest()
    found = []
    while len(events):
        event = await anext(events)
        assert isinstance(event, MessageEvent)
        found.append((event.text, event.again))
    await announcer.close()
    return found


async def test_what_was_not_told_is_told_once_in_order(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ANNOUNCE_PAGE", 2)
    await receive(store, "a", 1, 2)
    await receive(store, "b", 1)
    await store.add("cc" * 16, "page", "raw", outgoing=False, sent_at=1.0, state=MessageState.RECEIVED)
    await store.add("dd" * 16, "a", "ours", outgoing=True, sent_at=1.0, state=MessageState.QUEUED)
    await receive(store, "a", 3)
    assert await texts_told(store) == [
        ("a 1", True),
        ("a 2", True),
        ("b 1", True),
        ("raw", True),
        ("a 3", True),
    ]
    assert await texts_told(store) == []


async def test_what_no_listener_has_taken_counts_as_not_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await receive(store, PEER, 1)
    hub = EventHub()
    events = hub.subscribe()
    announcer = Announcer(store, hub)
    hub.emit(MessageEvent(PEER, "1", f"{1:032x}", 0.0))
    announcer.told(PEER, f"{1:032x}")
    await announcer.close()
    assert len(await store.untold(0, 10)) == 1
    assert len(events) == 1


async def test_a_note_that_cannot_be_removed_hurts_nobody(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await receive(store, PEER, 1)

    async def full(_told: object) -> None:
        raise StoreError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(store, "mark_told", full)
        assert await texts_told(store) == [(f"{PEER} 1", True)]
    assert await texts_told(store) == [(f"{PEER} 1", True)]
    assert await texts_told(store) == []


async def test_a_note_is_stored_with_its_message_or_not_at_all(store: Store) -> None:
    await receive(store, PEER, 1)
    await receive(store, PEER, 1)  # said again: neither stored nor noted twice
    assert [one.text for one in await store.untold(0, 10)] == [f"{PEER} 1"]
    (synchronous,) = store._db.execute("PRAGMA synchronous").fetchone()
    await store.mark_told([(PEER, f"{1:032x}")])
    assert store._db.execute("PRAGMA synchronous").fetchone() == (synchronous,) == (2,)
    assert await store.untold(0, 10) == []


async def test_a_service_tells_what_the_last_one_could_not(tmp_path: Path) -> None:
    async with running_service(tmp_path / "bob") as bob:
        await receive(bob._store, PEER_ID, 1, 2)
    bob = ChatService(ServiceConfig(data_dir=tmp_path / "bob"), make_node=QuietNode)
    events = bob.subscribe()
    try:
        await bob.start()
        await heard(events, ReadyEvent)
        told = [await heard(events, MessageEvent) for _ in range(2)]
    finally:
        await bob.stop()
    assert [(one.text, one.again) for one in told] == [(f"{PEER_ID} 1", True), (f"{PEER_ID} 2", True)]


async def test_what_was_told_is_not_told_by_the_next_run(tmp_path: Path) -> None:
    async with running_service(tmp_path / "alice") as alice, running_service(tmp_path / "bob") as bob:
        await meet(alice, bob)
        at_bob = bob.subscribe()
        await alice.send(bob.peer_id, "hello")
        assert not (await heard(at_bob, MessageEvent)).again
    store = await Store.open(tmp_path / "bob" / "history.sqlite3")
    assert await store.untold(0, 10) == []
    await store.close()

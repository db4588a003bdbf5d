"""Contacts, strangers and blocked peers, through the service."""

from __future__ import annotations

import asyncio
import stat
from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_core.chat.events import ConnectionEvent, ConnectionState, ContactEvent, ErrorEvent, MessageEvent
from p2pchat_core.chat.model import ExportFormat, Retention, Standing
from p2pchat_core.chat.service import ChatService
from p2pchat_core.errors import (
    BlockedError,
    CommandError,
    ConnectionLostError,
    StoreError,
    StreamResetError,
    UnknownContactError,
)
from p2pchat_core.wire.chat import CHAT_PROTOCOL
from tests.chat.services import Page, heard, host_of, meet, running_page, running_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from p2pchat_core.chat.event_hub import EventStream
    from p2pchat_core.chat.model import Contact

NOBODY = "12D3KooWBZyVLJfQkofqLK4op9TPkHuUumCZt1ybQrPvNm7TVQV9"


@pytest.fixture
async def alice(tmp_path: Path) -> AsyncIterator[ChatService]:
    async with running_service(tmp_path / "alice", name="Alice") as service:
        yield service


@pytest.fixture
async def bob(tmp_path: Path) -> AsyncIterator[ChatService]:
    async with running_service(tmp_path / "bob", name="Bob") as service:
        yield service


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with running_page() as running:
        yield running


async def changed(events: EventStream, **expected: object) -> Contact:
    """Wait for a contact that is as expected."""
    event = await heard(
        events, ContactEvent, lambda e: all(getattr(e.contact, k) == v for k, v in expected.items())
    )
    return event.contact


async def visit(page: Page, service: ChatService, text: str = "hello") -> None:
    """A stranger dials in and says something."""
    events = service.subscribe()
    theirs, _ours = await meet(page, service)
    stream = await page.open(theirs)
    await stream.write(text.encode())
    await heard(events, MessageEvent)
    events.close()


async def test_who_speaks_first_is_a_stranger_until_accepted(alice: ChatService, page: Page) -> None:
    events = alice.subscribe()
    await visit(page, alice)
    told = [await anext(events) for _ in range(3)]
    assert [type(event) for event in told] == [ConnectionEvent, ContactEvent, MessageEvent]
    assert (await alice.contact(page.peer)).standing is Standing.STRANGER
    assert await alice.search("hello") == []
    await alice.accept(page.peer)
    contact = await changed(events, peer=page.peer)
    assert contact == await alice.contact(page.peer)
    assert contact.standing is Standing.CONTACT
    (hit,) = await alice.search("hel")
    assert (hit.excerpt, hit.spans) == ("hello", ((0, 3),))


async def test_whom_we_write_to_is_a_contact(alice: ChatService, bob: ChatService) -> None:
    await meet(alice, bob)
    at_bob = bob.subscribe()
    await alice.send(bob.peer_id, "hello")
    assert (await alice.contact(bob.peer_id)).standing is Standing.CONTACT
    assert (await changed(at_bob, peer=alice.peer_id)).standing is Standing.STRANGER
    await bob.send(alice.peer_id, "hello yourself")
    await changed(at_bob, peer=alice.peer_id, standing=Standing.CONTACT)


async def test_decline_deletes_what_was_said_and_they_may_ask_again(alice: ChatService, page: Page) -> None:
    events = alice.subscribe()
    await visit(page, alice)
    await alice.decline(page.peer)
    gone = await heard(events, ContactEvent, lambda e: e.forgotten)
    assert gone.contact.peer == page.peer
    assert await alice.history(page.peer) == []
    assert await alice.contacts() == []
    assert alice.peers() == []
    assert alice.status().connections == ()
    with pytest.raises(UnknownContactError):
        await alice.contact(page.peer)
    await visit(page, alice, "please")
    assert [message.text for message in await alice.history(page.peer)] == ["please"]


async def test_a_contact_is_not_declined(alice: ChatService) -> None:
    await alice.accept(NOBODY)
    with pytest.raises(CommandError):
        await alice.decline(NOBODY)
    await alice.forget(NOBODY)
    assert await alice.contacts() == []


async def test_the_blocked_are_cut_off_as_soon_as_they_are_known(tmp_path: Path, page: Page) -> None:
    async with running_service(tmp_path / "alice") as alice:
        await visit(page, alice)
        await alice.accept(page.peer)
        await alice.rename(page.peer, "Pest")
        await alice.block(page.peer)
        assert alice.status().connections == ()
        with pytest.raises(BlockedError):
            await alice.send(page.peer, "x")
        with pytest.raises(BlockedError):
            await alice.accept(page.peer)
    async with running_service(tmp_path / "alice") as alice:
        events = alice.subscribe()
        theirs, ours = await meet(page, alice)
        await theirs.wait_closed()
        assert ours.closed
        assert len(events) == 0
        assert [message.text for message in await alice.history(page.peer)] == ["hello"]
        await alice.unblock(page.peer)
        contact = await alice.contact(page.peer)
        assert (contact.standing, contact.name) == (Standing.CONTACT, "Pest")
        await visit(page, alice)


async def test_blocked_and_unknown_to_a_shy_one_see_the_same(tmp_path: Path) -> None:
    async with (
        running_page(7) as blocked,
        running_page(8) as unknown,
        running_service(tmp_path / "shy", contacts_only=True) as shy,
    ):
        await shy.block(blocked.peer)
        seen = []
        for page in (blocked, unknown):
            theirs, _ours = await meet(page, shy)
            await theirs.wait_closed()
            with pytest.raises(ConnectionLostError):
                await theirs.open_stream([CHAT_PROTOCOL])
            seen.append(page.identify.info(host_of(shy).peer))
        assert seen[0] == seen[1]


async def test_what_waits_for_a_blocked_peer_waits_until_it_is_unblocked(
    tmp_path: Path, bob: ChatService
) -> None:
    async with running_service(tmp_path / "alice") as alice:
        await alice.accept(bob.peer_id)
        await alice.send(bob.peer_id, "later")
        await alice.block(bob.peer_id)
    async with running_service(tmp_path / "alice") as alice:
        at_bob = bob.subscribe()
        assert alice._conversations.waiting() == []
        await alice.unblock(bob.peer_id)
        await meet(alice, bob)
        assert (await heard(at_bob, MessageEvent)).text == "later"


async def test_a_stranger_is_kept_within_bounds_and_loses_nothing(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2pchat_core.chat.message_table.STRANGER_MAX_MESSAGES", 3)
    monkeypatch.setattr(limits, "SESSION_STORE_RETRY", 0.01)
    await meet(bob, alice)
    events = alice.subscribe()
    for number in range(3):
        await bob.send(alice.peer_id, f"{number}")
        await heard(events, MessageEvent)
    await bob.send(alice.peer_id, "3")
    error = await heard(events, ErrorEvent)
    assert (error.code, error.peer) == ("stranger_limit", bob.peer_id)
    assert len(await alice.history(bob.peer_id)) == 3
    await alice.accept(bob.peer_id)
    assert (await heard(events, MessageEvent)).text == "3"


async def test_a_stranger_of_the_page_says_no_more_than_is_kept(
    alice: ChatService, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2pchat_core.chat.message_table.STRANGER_MAX_BYTES", 3)
    await visit(page, alice)
    events = alice.subscribe()
    theirs, _ours = await meet(page, alice)
    stream = await page.open(theirs)
    await stream.write(b"more")
    assert (await heard(events, ErrorEvent)).code == "stranger_limit"
    assert len(await alice.history(page.peer)) == 1


async def test_there_are_only_so_many_strangers(alice: ChatService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STRANGERS_MAX", 1)
    async with running_page(8) as first, running_page(9) as second:
        await visit(first, alice)
        await visit(first, alice)
        with pytest.raises(StreamResetError):
            await visit(second, alice)
        assert [contact.peer for contact in await alice.contacts()] == [first.peer]
        await alice.accept(first.peer)
        await visit(second, alice)


async def test_what_is_noted_about_a_contact_is_kept(tmp_path: Path) -> None:
    async with running_service(tmp_path) as alice:
        with pytest.raises(UnknownContactError):
            await alice.rename(NOBODY, "x")
        await alice.accept(NOBODY)
        await alice.rename(NOBODY, "  Bob ☃ ")
        await alice.annotate(NOBODY, "met at the fair\n\x1b[1m")
        await alice.set_verified(NOBODY, True)
        await alice.set_retention(NOBODY, Retention(days=7))
        before = await alice.contact(NOBODY)
        for name in ("x" * 65, "\ud800"):
            with pytest.raises(CommandError):
                await alice.rename(NOBODY, name)
        for days in (0, -1, 10**9):
            with pytest.raises(CommandError):
                await alice.set_retention(NOBODY, Retention(days))
    assert (before.name, before.notes, before.retention) == (
        "Bob ☃",
        "met at the fair\n\x1b[1m",
        Retention(7),
    )
    async with running_service(tmp_path) as alice:
        assert await alice.contact(NOBODY) == before
        assert before.verified_at is not None
        await alice.set_verified(NOBODY, False)
        assert (await alice.contact(NOBODY)).verified_at is None


async def test_the_phrase_is_the_same_on_both_sides(alice: ChatService, bob: ChatService) -> None:
    ours, theirs = await asyncio.gather(
        alice.verification_phrase(bob.peer_id), bob.verification_phrase(alice.peer_id)
    )
    assert ours == theirs
    assert len(ours) == 8
    assert await alice.verification_phrase(NOBODY) != ours


# --- names ------------------------------------------------------------------------------------------------------------


async def test_contacts_are_told_our_name_and_strangers_are_not(alice: ChatService, bob: ChatService) -> None:
    at_alice, at_bob = alice.subscribe(), bob.subscribe()
    await alice.accept(bob.peer_id)
    await meet(alice, bob)
    await alice.send(bob.peer_id, "hello")
    stranger = await changed(at_bob, peer=alice.peer_id, calls_itself="Alice")
    assert stranger.standing is Standing.STRANGER
    assert (await alice.contact(bob.peer_id)).calls_itself == ""
    await bob.accept(alice.peer_id)
    await changed(at_alice, peer=bob.peer_id, calls_itself="Bob")


async def test_a_name_that_is_not_to_be_shared_is_not(tmp_path: Path, bob: ChatService) -> None:
    async with running_service(tmp_path / "x", name="Secret", share_name=False) as alice:
        await alice.accept(bob.peer_id)
        await meet(alice, bob)
        at_bob = bob.subscribe()
        await alice.send(bob.peer_id, "hello")
        await heard(at_bob, MessageEvent)
        await alice.ping(bob.peer_id)
        assert (await bob.contact(alice.peer_id)).calls_itself == ""


async def test_a_borrowed_name_is_loud(alice: ChatService, bob: ChatService) -> None:
    await alice.accept(NOBODY)
    await alice.rename(NOBODY, "ВОВ")  # Cyrillic
    await bob.accept(alice.peer_id)
    events = alice.subscribe()
    await meet(bob, alice)
    await bob.send(alice.peer_id, "it is me")
    assert (await changed(events, peer=bob.peer_id, calls_itself="Bob")).impersonates == "ВОВ"
    await alice.rename(NOBODY, "Robert")
    assert (await changed(events, peer=bob.peer_id)).impersonates == ""
    await alice.rename(NOBODY, "b o b")
    assert (await changed(events, peer=bob.peer_id)).impersonates == "b o b"
    await alice.set_verified(bob.peer_id, True)
    assert (await alice.contact(bob.peer_id)).impersonates == ""


# --- what is kept -----------------------------------------------------------------------------------------------------


def on_disk(path: Path, text: str) -> bool:
    return any(text.encode() in file.read_bytes() for file in path.rglob("*") if file.is_file())


async def test_an_ephemeral_conversation_leaves_nothing(tmp_path: Path, bob: ChatService) -> None:
    async with running_service(tmp_path / "alice") as alice:
        at_alice = alice.subscribe()
        await meet(alice, bob)
        await alice.send(bob.peer_id, "quincunx")
        assert on_disk(tmp_path / "alice", "quincunx")
        await alice.set_retention(bob.peer_id, Retention(ephemeral=True))
        assert not on_disk(tmp_path / "alice", "quincunx")
        await alice.send(bob.peer_id, "sesquipedalian")
        await bob.send(alice.peer_id, "defenestrate")
        await heard(at_alice, MessageEvent)
        texts = [message.text for message in await alice.history(bob.peer_id)]
        assert sorted(texts) == ["defenestrate", "quincunx", "sesquipedalian"]
        assert len(await alice.search("defen")) == 1
        for word in ("quincunx", "sesquipedalian", "defenestrate"):
            assert not on_disk(tmp_path / "alice", word)
    async with running_service(tmp_path / "alice") as alice:
        assert await alice.history(bob.peer_id) == []
        assert (await alice.contact(bob.peer_id)).retention == Retention(ephemeral=True)


async def test_what_has_not_arrived_outlives_the_end_of_an_ephemeral_conversation(alice: ChatService) -> None:
    await alice.accept(NOBODY)
    await alice.set_retention(NOBODY, Retention(ephemeral=True))
    await alice.send(NOBODY, "still waiting")
    await alice.set_retention(NOBODY, Retention())
    assert [message.text for message in await alice.history(NOBODY)] == ["still waiting"]
    assert await alice._store.unfinished_counts() == {NOBODY: 1}


async def test_an_ephemeral_run_knows_the_contacts_and_writes_nothing(tmp_path: Path, page: Page) -> None:
    async with running_service(tmp_path) as alice:
        await visit(page, alice)
        await alice.block(page.peer)
        await alice.accept(NOBODY)
        peer_id = alice.peer_id
    before = {file: file.read_bytes() for file in tmp_path.rglob("*")}
    async with running_service(tmp_path, ephemeral=True) as alice:
        assert alice.peer_id == peer_id
        assert {c.peer: c.standing for c in await alice.contacts()} == {
            page.peer: Standing.BLOCKED,
            NOBODY: Standing.CONTACT,
        }
        assert await alice.history(page.peer) == []
        await alice.send(NOBODY, "nowhere")
        assert len(await alice.history(NOBODY)) == 1
    assert {file: file.read_bytes() for file in tmp_path.rglob("*")} == before


async def test_old_messages_are_deleted_at_the_start_and_every_hour(
    tmp_path: Path, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RETENTION_INTERVAL", 0.001)
    async with running_service(tmp_path) as alice:
        await visit(page, alice)
    async with running_service(tmp_path, retention_days=1) as alice:
        assert len(await alice.history(page.peer)) == 1
        now = alice._clock.time()
        monkeypatch.setattr(alice._clock, "time", lambda: now + 2 * 86_400)

        async def gone() -> None:
            while await alice.history(page.peer):
                await asyncio.sleep(0)

        await asyncio.wait_for(gone(), 20)


async def test_forgetting_leaves_nothing(tmp_path: Path, page: Page) -> None:
    async with running_service(tmp_path) as alice:
        await visit(page, alice, "quincunx")
        await alice.accept(page.peer)
        assert on_disk(tmp_path, "quincunx")
        await alice.forget(page.peer)
        assert not on_disk(tmp_path, "quincunx")
        assert not on_disk(tmp_path, page.peer)
        events = alice.subscribe()
        await visit(page, alice, "again")
        assert (await changed(events, peer=page.peer)).standing is Standing.STRANGER


async def test_an_export_is_whole_private_and_takes_nobodys_place(tmp_path: Path, alice: ChatService) -> None:
    await alice.accept(NOBODY)
    await alice.send(NOBODY, "one\ntwo")
    path = tmp_path / "out.txt"
    assert await alice.export(path, ExportFormat.TEXT) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().endswith(f" to {NOBODY}: one\n    two\n")
    with pytest.raises(StoreError, match="exists already"):
        await alice.export(path, ExportFormat.TEXT)
    with pytest.raises(StoreError, match="could not be written"):
        await alice.export(tmp_path / "nowhere" / "x", ExportFormat.TEXT)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["alice", "out.txt"]


async def test_connections_tell_their_limits(alice: ChatService, page: Page) -> None:
    events = alice.subscribe()
    await meet(page, alice, limited=True)
    opened = await heard(events, ConnectionEvent, lambda e: e.state is ConnectionState.OPEN)
    assert (opened.limit_bytes, opened.limit_seconds) == (131072, 120)
    await meet(page, alice)
    assert (await heard(events, ConnectionEvent)).limit_bytes is None

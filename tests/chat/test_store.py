"""The history on disk: order, states, permissions, damage."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_core.chat.model import MessageState
from p2pchat_core.chat.store import Store
from p2pchat_core.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

ALICE = "12D3KooWAlice"
BOB = "12D3KooWBob"


def name(number: int) -> str:
    return f"{number:032x}"


async def fill(store: Store, peer: str, count: int, *, start: int = 0, outgoing: bool = True) -> None:
    state = MessageState.QUEUED if outgoing else MessageState.RECEIVED
    for number in range(start, start + count):
        await store.add(
            name(number), peer, f"text {number}", outgoing=outgoing, sent_at=float(number), state=state
        )


def contents(path: Path) -> bytes:
    return path.read_bytes()


def replace(path: Path, data: bytes) -> None:
    path.write_bytes(data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.sqlite3"


async def test_history_is_the_newest_messages_oldest_first(path: Path) -> None:
    store = await Store.open(path)
    await fill(store, ALICE, 10)
    await fill(store, BOB, 3, start=100)
    found = await store.history(ALICE, 4)
    assert [message.text for message in found] == ["text 6", "text 7", "text 8", "text 9"]
    assert [message.sequence for message in found] == [7, 8, 9, 10]
    assert await store.history(ALICE, 0) == []
    assert await store.history(ALICE, -5) == []
    await store.close()


async def test_a_page_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pchat_core.chat.store.HISTORY_PAGE", 3)
    store = await Store.open(path)
    await fill(store, ALICE, 5)
    assert len(await store.history(ALICE, 10**9)) == 3
    await store.close()


async def test_everything_survives_a_restart(path: Path) -> None:
    store = await Store.open(path)
    text = "grüße ☃ \x00 \x1b[31m '; DROP TABLE messages; -- 🏴‍☠️"
    sent = await store.add(name(1), ALICE, text, outgoing=True, sent_at=1.25, state=MessageState.QUEUED)
    await store.set_state(name(1), MessageState.SENT)
    await store.add(name(2), ALICE, "back", outgoing=False, sent_at=2.5, state=MessageState.RECEIVED)
    await store.add_contact(ALICE, 3.0)
    await store.add_contact(ALICE, 4.0)
    await store.close()
    store = await Store.open(path)
    assert store.set_aside is None
    first, second = await store.history(ALICE)
    assert first.text == text == sent.text
    assert (first.state, first.outgoing, first.sent_at, first.sequence) == (MessageState.SENT, True, 1.25, 1)
    assert (second.state, second.outgoing, second.sequence) == (MessageState.RECEIVED, False, 1)
    assert await store.contacts() == [ALICE]
    assert await store.peers() == [ALICE]
    await store.close()


async def test_queued_messages_come_back_oldest_first(path: Path) -> None:
    store = await Store.open(path)
    await fill(store, ALICE, 3)
    await fill(store, BOB, 1, start=50)
    await fill(store, ALICE, 2, start=60, outgoing=False)
    assert await store.queued_counts() == {ALICE: 3, BOB: 1}
    order = []
    while (message := await store.next_queued(ALICE)) is not None:
        order.append(message.text)
        await store.set_state(message.message_id, MessageState.SENT)
    assert order == ["text 0", "text 1", "text 2"]
    assert await store.queued_counts() == {BOB: 1}
    await store.close()


async def test_calls_made_at_once_keep_their_order(path: Path) -> None:
    store = await Store.open(path)
    await asyncio.gather(*(fill(store, ALICE, 1, start=number) for number in range(30)))
    assert [message.text for message in await store.history(ALICE)] == [f"text {n}" for n in range(30)]
    await store.close()


async def test_an_id_is_stored_once(path: Path) -> None:
    store = await Store.open(path)
    await fill(store, ALICE, 1)
    with pytest.raises(StoreError):
        await fill(store, BOB, 1)
    assert await store.history(BOB) == []
    await store.close()


async def test_only_the_owner_can_read_it(path: Path) -> None:
    before = os.umask(0)
    try:
        store = await Store.open(path)
        await fill(store, ALICE, 1)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert path.name in modes
        assert set(modes.values()) == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        await store.close()
    finally:
        os.umask(before)


async def test_one_that_others_can_read_is_closed_to_them(path: Path) -> None:
    await (await Store.open(path)).close()
    path.chmod(0o644)
    await (await Store.open(path)).close()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"this is not a database at all" * 100, id="another file"),
        pytest.param(lambda data: data[:2000] + os.urandom(len(data) - 2000), id="overwritten"),
        pytest.param(lambda data: data[: len(data) // 2], id="cut off"),
    ],
)
async def test_a_damaged_history_is_set_aside(path: Path, damage: object) -> None:
    assert callable(damage)
    store = await Store.open(path)
    await fill(store, ALICE, 20)
    await store.close()
    broken = damage(contents(path))
    replace(path, broken)
    store = await Store.open(path)
    assert store.set_aside is not None
    assert store.set_aside.parent == path.parent
    assert contents(store.set_aside) == broken
    await fill(store, ALICE, 1)
    assert len(await store.history(ALICE)) == 1
    await store.close()
    again = await Store.open(path)
    assert again.set_aside is None
    await again.close()


async def test_a_newer_history_is_left_alone(path: Path) -> None:
    store = await Store.open(path)
    await store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = contents(path)
    with pytest.raises(StoreError, match="newer version"):
        await Store.open(path)
    assert contents(path) == before


async def test_a_path_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="could not be opened"):
        await Store.open(tmp_path / "file" / "history.sqlite3")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="could not be opened"):
        await Store.open(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()


async def test_closing_twice_and_using_it_afterwards(path: Path) -> None:
    store = await Store.open(path)
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.history(ALICE)


async def test_text_that_is_not_unicode_is_an_error_not_a_crash(path: Path) -> None:
    store = await Store.open(path)
    with pytest.raises(StoreError):
        await store.add(name(1), ALICE, "\ud800", outgoing=True, sent_at=0.0, state=MessageState.QUEUED)
    await fill(store, ALICE, 1)
    await store.close()


def test_the_default_page_is_the_limit() -> None:
    assert Store.history.__defaults__ == (limits.HISTORY_PAGE,)

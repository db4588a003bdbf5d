"""The history on disk: order, states, permissions, damage."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_core.chat.contact_table import Person
from p2pchat_core.chat.model import MessageState
from p2pchat_core.chat.store import Store
from p2pchat_core.errors import LocalProtocolError, StoreError
from p2pchat_core.wire.session import Message, Position

if TYPE_CHECKING:
    from pathlib import Path

ALICE = "12D3KooWAlice"
BOB = "12D3KooWBob"
CAROL = "12D3KooWCarol"


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
    await store.save_person(Person(ALICE, 3.0))
    await store.save_person(Person(ALICE, 3.0, accepted=True, name="☃", keep_days=7))
    await store.close()
    store = await Store.open(path)
    assert store.set_aside is None
    first, second = await store.history(ALICE)
    assert first.text == text == sent.text
    assert (first.state, first.outgoing, first.sent_at, first.sequence) == (MessageState.SENT, True, 1.25, 1)
    assert (second.state, second.outgoing, second.sequence) == (MessageState.RECEIVED, False, 1)
    assert await store.people() == [Person(ALICE, 3.0, accepted=True, name="☃", keep_days=7)]
    assert await store.peers() == [ALICE]
    await store.close()


async def test_queued_messages_come_back_oldest_first(path: Path) -> None:
    store = await Store.open(path)
    await fill(store, ALICE, 3)
    await fill(store, BOB, 1, start=50)
    await fill(store, ALICE, 2, start=60, outgoing=False)
    assert await store.unfinished_counts() == {ALICE: 3, BOB: 1}
    order = []
    while (message := await store.next_queued(ALICE)) is not None:
        order.append(message.text)
        await store.set_state(message.message_id, MessageState.SENT)
    assert order == ["text 0", "text 1", "text 2"]
    assert await store.unfinished_counts() == {BOB: 1}
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
        await fill(store, ALICE, 1)
    assert len(await store.history(ALICE)) == 1
    await fill(store, BOB, 1)  # what one peer calls its message says nothing about another's
    await fill(store, ALICE, 1, outgoing=False)
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


VERSION_1 = """
CREATE TABLE messages (
    position    INTEGER PRIMARY KEY,
    message_id  BLOB    NOT NULL UNIQUE CHECK (length(message_id) = 16),
    peer        TEXT    NOT NULL,
    text        TEXT    NOT NULL,
    outgoing    INTEGER NOT NULL CHECK (outgoing IN (0, 1)),
    sent_at     REAL    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('queued', 'sent', 'delivered', 'received')),
    sequence    INTEGER NOT NULL,
    UNIQUE (peer, outgoing, sequence)
);
CREATE INDEX messages_of_peer ON messages (peer, position);
CREATE INDEX messages_waiting ON messages (peer, position) WHERE state = 'queued';
CREATE TABLE contacts (peer TEXT PRIMARY KEY, added_at REAL NOT NULL);
PRAGMA user_version = 1;
"""


async def test_a_history_of_the_first_version_is_taken_over(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.executescript(VERSION_1)
        for number, state in enumerate(["sent", "received", "queued"], 1):
            connection.execute(
                "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    number,
                    bytes.fromhex(name(number)),
                    ALICE,
                    f"old {number}",
                    state != "received",
                    1.0,
                    state,
                    number,
                ),
            )
        connection.execute("INSERT INTO contacts VALUES (?, 5.0)", (BOB,))
    connection.close()
    for _ in range(2):
        store = await Store.open(path)
        assert store.set_aside is None
        assert [m.text for m in await store.history(ALICE)] == ["old 1", "old 2", "old 3"]
        assert await store.people() == [Person(BOB, 5.0, accepted=True), Person(ALICE, 1.0, accepted=True)]
        assert [hit.message.text for hit in await store.search("old", None, 2)] == ["old 3", "old 2"]
        assert await store.unfinished_counts() == {ALICE: 1}
        await store.close()


VERSION_2 = """
CREATE TABLE messages (
    position    INTEGER PRIMARY KEY,
    message_id  BLOB    NOT NULL CHECK (length(message_id) = 16),
    peer        TEXT    NOT NULL,
    text        TEXT    NOT NULL,
    outgoing    INTEGER NOT NULL CHECK (outgoing IN (0, 1)),
    sent_at     REAL    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('queued', 'sent', 'delivered', 'received')),
    sequence    INTEGER NOT NULL,
    number      INTEGER,
    UNIQUE (peer, outgoing, sequence),
    UNIQUE (peer, outgoing, message_id)
);
CREATE INDEX messages_of_peer ON messages (peer, position);
CREATE INDEX messages_waiting ON messages (peer, position) WHERE state = 'queued';
CREATE TABLE contacts (peer TEXT PRIMARY KEY, added_at REAL NOT NULL);
CREATE TABLE addresses (
    peer TEXT NOT NULL, address TEXT NOT NULL, seen_at REAL NOT NULL, PRIMARY KEY (peer, address)
);
CREATE TABLE speaking (peer TEXT PRIMARY KEY, log BLOB NOT NULL, next INTEGER NOT NULL, acknowledged INTEGER NOT NULL);
CREATE TABLE listening (peer TEXT PRIMARY KEY, log BLOB NOT NULL, held INTEGER NOT NULL, held_id BLOB);
PRAGMA user_version = 2;
"""


def write_version_2(path: Path, *more: str) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.executescript(VERSION_2)
    rows = [(BOB, "asked", 0), (ALICE, "said", 1), (ALICE, "answered", 0), (CAROL, "dialled", 0)]
    with connection:
        for number, (peer, text, outgoing) in enumerate(rows, 1):
            connection.execute(
                "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)",
                (number, bytes.fromhex(name(number)), peer, text, outgoing, number, "delivered", number),
            )
        connection.execute("INSERT INTO contacts VALUES (?, 5.0)", (CAROL,))
        connection.execute("INSERT INTO addresses VALUES (?, '/dns4/x', 1.0)", (CAROL,))
    for statement in more:
        connection.execute(statement)
    connection.close()


async def test_a_history_of_the_second_version_is_taken_over(path: Path) -> None:
    write_version_2(path)
    for _ in range(2):
        store = await Store.open(path)
        assert store.set_aside is None
        assert await store.people() == [
            Person(CAROL, 5.0, accepted=True),
            Person(BOB, 1.0),  # has spoken and was never answered
            Person(ALICE, 2.0, accepted=True),
        ]
        assert [m.text for m in await store.history(ALICE)] == ["said", "answered"]
        assert await store.addresses() == {CAROL: ["/dns4/x"]}
        assert [hit.message.text for hit in await store.search("a", None, 9)] == ["answered"]
        await store.close()


async def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    write_version_2(path, "CREATE TABLE contacts_2 (in_the_way TEXT)")
    before = contents(path)
    with pytest.raises(StoreError):
        await Store.open(path)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    assert connection.execute("SELECT count(*) FROM contacts").fetchone() == (1,)
    connection.close()
    assert len(contents(path)) == len(before)


async def test_pages_of_the_past(path: Path) -> None:
    store = await Store.open(path)
    await fill(store, ALICE, 10)
    await fill(store, BOB, 3, start=100)

    async def page(limit: int, **anchor: str) -> list[int]:
        return [int(m.text.split()[1]) for m in await store.history(ALICE, limit, **anchor)]

    assert await page(3, before=name(5)) == [2, 3, 4]
    assert await page(3, before=name(1)) == [0]
    assert await page(3, before=name(0)) == []
    assert await page(4, around=name(5)) == [3, 4, 5, 6]
    assert await page(5, around=name(5)) == [3, 4, 5, 6, 7]
    assert await page(5, around=name(9)) == [5, 6, 7, 8, 9]
    assert await page(1, around=name(5)) == [5]
    for nowhere in (name(100), "nonsense", ""):
        assert await page(3, before=nowhere) == []
        assert await page(3, around=nowhere) == []
    await store.close()


async def test_what_is_old_is_deleted_unless_it_waits(path: Path) -> None:
    day = 86_400.0
    store = await Store.open(path)
    await fill(store, ALICE, 2, outgoing=False)  # at 0 and 1
    await fill(store, ALICE, 1, start=50)  # queued
    await fill(store, BOB, 2, start=100, outgoing=False)
    await store.save_person(Person(BOB, 0.0, accepted=True, keep_days=1))
    assert await store.delete_old(40 * day, None) == 2
    assert await store.history(BOB) == []
    assert await store.delete_old(40 * day, 40) == 0
    assert await store.delete_old(40 * day + 1, 40) == 1
    assert await store.delete_old(1000 * day, 1) == 1
    assert [m.text for m in await store.history(ALICE)] == ["text 50"]
    assert [h.message.text for h in await store.search("text", None, 9)] == ["text 50"]
    await store.close()


# --- sessions ---------------------------------------------------------------------------------------------------------


async def test_numbers_are_given_once_and_survive_a_restart(path: Path) -> None:
    store = await Store.open(path)
    await fill(store, ALICE, 4)
    await fill(store, BOB, 1, start=50)
    log, first = await store.begin(ALICE)
    assert first == 1
    said = await store.next_to_say(ALICE, log, 1, 3)
    assert [(m.sequence, m.message_id.hex(), m.text) for m in said] == [
        (number + 1, name(number), f"text {number}") for number in range(3)
    ]
    await store.close()
    store = await Store.open(path)
    assert await store.begin(ALICE) == (log, 1)
    assert await store.unfinished_counts() == {ALICE: 4, BOB: 1}
    assert [m.sequence for m in await store.next_to_say(ALICE, log, 2, 10)] == [2, 3, 4]
    assert [m.text for m in await store.next_to_say(ALICE, log, 5, 10)] == []
    assert await store.mark_held(ALICE, log, 2) == [name(0), name(1)]
    assert await store.mark_held(ALICE, log, 2) == []
    assert await store.begin(ALICE) == (log, 3)
    assert await store.unfinished_counts() == {ALICE: 2, BOB: 1}
    states = [message.state.value for message in await store.history(ALICE)]
    assert states == ["delivered", "delivered", "sent", "sent"]
    await store.close()


@pytest.mark.parametrize("sign", ["too far", "another id"])
async def test_a_restored_backup_begins_a_new_log(path: Path, sign: str) -> None:
    store = await Store.open(path)
    await fill(store, ALICE, 4)
    log, _first = await store.begin(ALICE)
    await store.next_to_say(ALICE, log, 1, 10)
    await store.mark_held(ALICE, log, 1)
    held = (9, bytes.fromhex(name(77))) if sign == "too far" else (3, bytes.fromhex(name(77)))
    assert await store.resume(ALICE, log, *held) is None
    new, first = await store.begin(ALICE)
    assert new != log
    assert first == 1
    said = await store.next_to_say(ALICE, new, 1, 10)
    assert [(m.sequence, m.text) for m in said] == [(1, "text 1"), (2, "text 2"), (3, "text 3")]
    assert await store.next_to_say(ALICE, log, 1, 10) == [], "a stream of the old log says nothing more"
    assert await store.mark_held(ALICE, log, 2) == []
    assert await store.resume(ALICE, new, 0, None) == []
    await store.close()


def said(sequence: int, text: str | None = "hello", sent_at: float = 0.0, number: int = 0) -> Message:
    return Message(sequence, bytes.fromhex(name(number or sequence)), int(sent_at * 1000), text)


async def test_what_is_received_is_stored_once_and_in_order(path: Path) -> None:
    store = await Store.open(path)
    log, new = b"a" * 16, b"b" * 16
    assert await store.greet(ALICE, log, 1) == Position(log, 0, None)
    first = await store.receive(ALICE, log, [said(1, "one"), said(2, "two")], 100.0)
    assert first is not None
    assert [message.text for message in first] == ["one", "two"]
    again = await store.receive(ALICE, log, [said(1, "one"), said(2, "two"), said(3, "three")], 100.0)
    assert again is not None
    assert [message.text for message in again] == ["three"]
    with pytest.raises(LocalProtocolError):
        await store.receive(ALICE, log, [said(5)], 100.0)
    await store.close()
    store = await Store.open(path)
    assert await store.greet(ALICE, log, 2) == Position(log, 3, bytes.fromhex(name(3)))
    # Another log repeats a message and goes on; the old log is over.
    assert await store.greet(ALICE, new, 1) == Position(new, 0, None)
    moved = await store.receive(ALICE, new, [said(1, "three", number=3), said(2, "four", number=4)], 100.0)
    assert moved is not None
    assert [message.text for message in moved] == ["four"]
    assert await store.receive(ALICE, log, [said(4)], 100.0) is None
    assert [m.text for m in await store.history(ALICE)] == ["one", "two", "three", "four"]
    await store.close()


async def test_a_listener_that_lost_its_history_goes_on_behind_what_it_acknowledged(path: Path) -> None:
    store = await Store.open(path)
    log = b"a" * 16
    assert await store.greet(ALICE, log, 41) == Position(log, 40, None)
    received = await store.receive(ALICE, log, [said(41, None), said(42, "shown")], 100.0)
    assert received is not None
    assert [message.text for message in received] == ["shown"], "an unknown kind is counted and not shown"
    assert (await store.greet(ALICE, log, 41)).held == 42
    await store.close()


async def test_the_time_a_message_was_written_is_believed_within_reason(path: Path) -> None:
    store = await Store.open(path)
    log, now = b"a" * 16, 1e9
    await store.greet(ALICE, log, 1)
    times = [now - 3600, now + 3600, 0.0, now - limits.SESSION_MAX_AGE - 1]
    messages = [said(n, sent_at=at) for n, at in enumerate(times, 1)]
    received = await store.receive(ALICE, log, messages, now)
    assert received is not None
    assert [message.sent_at for message in received] == [now - 3600, now, now, now]
    await store.close()


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

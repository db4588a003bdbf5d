"""The history: one SQLite file, written by one thread, durable before anything is reported as stored."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from p2pchat_core.chat.model import MessageState, StoredMessage
from p2pchat_core.errors import StoreError
from p2pchat_core.limits import HISTORY_CHECK_SIZE, HISTORY_PAGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Store"]

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
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
CREATE TABLE contacts (
    peer      TEXT PRIMARY KEY,
    added_at  REAL NOT NULL
);
"""
_COLUMNS: Final = "message_id, peer, text, outgoing, sent_at, state, sequence"
# Primary result codes (the low byte of sqlite_errorcode) that mean the file itself is unusable.
_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class Store:
    """Every message ever sent and received, and who is a contact. All methods but `close` raise `StoreError`.

    Create it with `Store.open`.

    Attributes:
        set_aside: where a damaged history was moved to when this one was opened, or ``None``.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, executor: ThreadPoolExecutor) -> None:
        self.set_aside: Path | None = None
        self._path = path
        self._db = connection
        # One thread: SQLite calls queue up in the order they were made and never block the event loop.
        self._executor = executor
        self._closed = False

    @classmethod
    async def open(cls, path: Path) -> Store:
        """Open or create the history at `path`; a damaged one is renamed and a new one begun (see `set_aside`).

        Raises:
            StoreError: the file cannot be opened, or was written by a newer version.
        """
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")
        loop = asyncio.get_running_loop()
        try:
            connection, set_aside = await loop.run_in_executor(executor, _open_or_replace, path)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        store = cls(path, connection, executor)
        store.set_aside = set_aside
        return store

    async def add(
        self, message_id: str, peer: str, text: str, *, outgoing: bool, sent_at: float, state: MessageState
    ) -> StoredMessage:
        """Append a message durably and return it with its sequence number."""
        return await self._run(self._add, message_id, peer, text, outgoing, sent_at, state)

    async def set_state(self, message_id: str, state: MessageState) -> None:
        """Record how far one of our messages has come."""
        await self._run(self._set_state, message_id, state)

    async def history(self, peer: str, limit: int = HISTORY_PAGE) -> list[StoredMessage]:
        """Return the newest `limit` messages with `peer` (at most HISTORY_PAGE), oldest first."""
        return await self._run(self._history, peer, max(0, min(limit, HISTORY_PAGE)))

    async def next_queued(self, peer: str) -> StoredMessage | None:
        """Return our oldest message to `peer` that has not been handed over."""
        return await self._run(self._next_queued, peer)

    async def queued_counts(self) -> dict[str, int]:
        """Return how many messages wait for each peer that has any waiting."""
        return await self._run(self._queued_counts)

    async def peers(self) -> list[str]:
        """Return everyone a message was exchanged with or meant for, those with the oldest messages first."""
        return await self._run(self._peers)

    async def add_contact(self, peer: str, added_at: float) -> None:
        """Remember `peer` as a contact; adding it again changes nothing."""
        await self._run(self._add_contact, peer, added_at)

    async def contacts(self) -> list[str]:
        """Return every contact, in the order they were added."""
        return await self._run(self._contacts)

    async def close(self) -> None:
        """Finish what is under way and close the file. Never raises; calling it again does nothing."""
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        with contextlib.suppress(sqlite3.Error):
            await loop.run_in_executor(self._executor, self._db.close)
        self._executor.shutdown(wait=False)

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._closed:
            raise StoreError("The message history is closed.")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))
        except (sqlite3.Error, OSError, UnicodeError) as error:
            raise StoreError(f"The message history {self._path} could not be used: {error}.") from error

    # --- on the thread --------------------------------------------------------------------------------------------

    def _add(
        self, message_id: str, peer: str, text: str, outgoing: bool, sent_at: float, state: MessageState
    ) -> StoredMessage:
        with self._db:
            row = self._db.execute(
                "INSERT INTO messages (message_id, peer, text, outgoing, sent_at, state, sequence)"
                " SELECT ?1, ?2, ?3, ?4, ?5, ?6, 1 + coalesce(max(sequence), 0)"
                " FROM messages WHERE peer = ?2 AND outgoing = ?4 RETURNING sequence",
                (bytes.fromhex(message_id), peer, text, int(outgoing), sent_at, str(state)),
            ).fetchone()
        return StoredMessage(message_id, peer, text, outgoing, sent_at, state, row[0])

    def _set_state(self, message_id: str, state: MessageState) -> None:
        with self._db:
            self._db.execute(
                "UPDATE messages SET state = ? WHERE message_id = ?", (str(state), bytes.fromhex(message_id))
            )

    def _history(self, peer: str, limit: int) -> list[StoredMessage]:
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM messages WHERE peer = ? ORDER BY position DESC LIMIT ?", (peer, limit)
        ).fetchall()
        return [_message(row) for row in reversed(rows)]

    def _next_queued(self, peer: str) -> StoredMessage | None:
        row = self._db.execute(
            f"SELECT {_COLUMNS} FROM messages WHERE peer = ? AND state = 'queued' ORDER BY position LIMIT 1",
            (peer,),
        ).fetchone()
        return None if row is None else _message(row)

    def _queued_counts(self) -> dict[str, int]:
        rows = self._db.execute("SELECT peer, count(*) FROM messages WHERE state = 'queued' GROUP BY peer")
        return dict(rows.fetchall())

    def _peers(self) -> list[str]:
        rows = self._db.execute("SELECT peer FROM messages GROUP BY peer ORDER BY min(position)")
        return [row[0] for row in rows]

    def _add_contact(self, peer: str, added_at: float) -> None:
        with self._db:
            self._db.execute(
                "INSERT OR IGNORE INTO contacts (peer, added_at) VALUES (?, ?)", (peer, added_at)
            )

    def _contacts(self) -> list[str]:
        return [row[0] for row in self._db.execute("SELECT peer FROM contacts ORDER BY rowid")]


def _message(row: tuple[bytes, str, str, int, float, str, int]) -> StoredMessage:
    message_id, peer, text, outgoing, sent_at, state, sequence = row
    return StoredMessage(message_id.hex(), peer, text, bool(outgoing), sent_at, MessageState(state), sequence)


def _open_or_replace(path: Path) -> tuple[sqlite3.Connection, Path | None]:
    try:
        return _open(path), None
    except (sqlite3.DatabaseError, OSError) as error:
        if not isinstance(error, sqlite3.DatabaseError) or not _is_damage(error):
            raise StoreError(f"The message history {path} could not be opened: {error}.") from error
        logger.warning("the history %s is damaged: %s", path, error)
    try:
        set_aside = _set_aside(path)
        return _open(path), set_aside
    except (sqlite3.DatabaseError, OSError) as error:
        raise StoreError(
            f"The message history {path} is damaged and could not be replaced: {error}."
        ) from error


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _DAMAGED


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Created here rather than by SQLite so that nobody else can read it, whatever the umask. SQLite gives the -wal and
    # -shm files beside it the same mode.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
    connection = sqlite3.connect(path, check_same_thread=False, timeout=5.0)
    try:
        _prepare(path, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(path: Path, connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: in WAL mode every commit is on the disk when it returns, so "stored" survives a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _SCHEMA_VERSION:
        raise StoreError(
            f"The message history {path} was written by a newer version of this program; update it."
        )
    if version == 0:
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;")
        return
    if path.stat().st_size > HISTORY_CHECK_SIZE:
        return
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        error = sqlite3.DatabaseError(str(verdict))
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def _set_aside(path: Path) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    number = 0
    while (target := path.with_name(f"{path.name}.damaged-{stamp}{f'-{number}' if number else ''}")).exists():
        number += 1
    path.rename(target)
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(target.with_name(target.name + suffix))
    return target

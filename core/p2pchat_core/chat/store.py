"""The history: one SQLite file, written by one thread, durable before anything is reported as stored."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from p2pchat_core.chat import session_table, untold_table
from p2pchat_core.chat.model import MessageState, StoredMessage
from p2pchat_core.chat.store_file import open_or_replace
from p2pchat_core.errors import StoreError
from p2pchat_core.limits import CHAT_MAX_ADDRESSES, HISTORY_PAGE, SESSION_MAX_AGE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from p2pchat_core.chat.session_table import Beginning, Received
    from p2pchat_core.chat.untold_table import Untold
    from p2pchat_core.wire.session import Message, Position

__all__ = ["Store"]

P = ParamSpec("P")
T = TypeVar("T")

_COLUMNS: Final = "message_id, peer, text, outgoing, sent_at, state, sequence"


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
            connection, set_aside = await loop.run_in_executor(executor, open_or_replace, path)
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

    async def unfinished_counts(self) -> dict[str, int]:
        """Return how many messages wait for each peer: not handed over, or said in a session and not acknowledged."""
        return await self._run(self._unfinished_counts)

    async def peers(self) -> list[str]:
        """Return everyone a message was exchanged with or meant for, those with the oldest messages first."""
        return await self._run(self._peers)

    async def add_contact(self, peer: str, added_at: float) -> None:
        """Remember `peer` as a contact; adding it again changes nothing."""
        await self._run(self._add_contact, peer, added_at)

    async def contacts(self) -> list[str]:
        """Return every contact, in the order they were added."""
        return await self._run(self._contacts)

    async def add_addresses(self, peer: str, addresses: Sequence[str], seen_at: float) -> None:
        """Remember where `peer` can be dialled; only the newest `CHAT_MAX_ADDRESSES` are kept."""
        await self._run(self._add_addresses, peer, addresses, seen_at)

    async def addresses(self) -> dict[str, list[str]]:
        """Return the known addresses of everyone, newest first."""
        return await self._run(self._all_addresses)

    # --- sessions; see session_table ------------------------------------------------------------------------------

    async def begin(self, peer: str) -> Beginning:
        """Return what to say hello to `peer` with."""
        return await self._run(session_table.begin, self._db, peer)

    async def resume(self, peer: str, log: bytes, held: int, held_id: bytes | None) -> list[str] | None:
        """Take a welcome into account; ids now delivered, or ``None`` if a new log had to be begun."""
        return await self._run(session_table.resume, self._db, peer, log, held, held_id)

    async def mark_held(self, peer: str, log: bytes, held: int) -> list[str]:
        """Record an acknowledgement and return the ids now delivered."""
        return await self._run(session_table.mark_held, self._db, peer, log, held)

    async def next_to_say(self, peer: str, log: bytes, start: int, limit: int) -> list[Message]:
        """Return what to say from number `start` on, durably numbered."""
        return await self._run(session_table.next_to_say, self._db, peer, log, start, limit)

    async def greet(self, peer: str, log: bytes, first: int) -> Position:
        """Return where we stand as a speaker says hello."""
        return await self._run(session_table.greet, self._db, peer, log, first)

    async def receive(
        self, peer: str, log: bytes, messages: Sequence[Message], now: float
    ) -> list[Received] | None:
        """Store what is new, durably; ``None`` if `log` is not the speaker's any more."""
        return await self._run(session_table.receive, self._db, peer, log, messages, now, SESSION_MAX_AGE)

    # --- what faces were told; see untold_table -------------------------------------------------------------------

    async def untold(self, after: int, limit: int) -> list[Untold]:
        """Return messages of peers that were stored and perhaps not told, from behind a position."""
        return await self._run(untold_table.untold, self._db, after, limit)

    async def mark_told(self, told: Sequence[tuple[str, str]]) -> None:
        """Record that the events of these messages, each a peer and an id, were emitted."""
        await self._run(untold_table.mark_told, self._db, told)

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
                " SELECT :id, :peer, :text, :outgoing, :sent_at, :state, 1 + coalesce(max(sequence), 0)"
                " FROM messages WHERE peer = :peer AND outgoing = :outgoing RETURNING sequence",
                {
                    "id": bytes.fromhex(message_id),
                    "peer": peer,
                    "text": text,
                    "outgoing": int(outgoing),
                    "sent_at": sent_at,
                    "state": str(state),
                },
            ).fetchone()
            if not outgoing:
                untold_table.note(self._db, peer, bytes.fromhex(message_id))
        return StoredMessage(message_id, peer, text, outgoing, sent_at, state, row[0])

    def _set_state(self, message_id: str, state: MessageState) -> None:
        with self._db:
            self._db.execute(
                "UPDATE messages SET state = ? WHERE message_id = ? AND outgoing = 1",
                (str(state), bytes.fromhex(message_id)),
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

    def _unfinished_counts(self) -> dict[str, int]:
        rows = self._db.execute(
            "SELECT peer, count(*) FROM (SELECT peer FROM messages WHERE state = 'queued'"
            " UNION ALL SELECT peer FROM messages WHERE state = 'sent' AND number IS NOT NULL) GROUP BY peer"
        )
        return dict(rows.fetchall())

    def _peers(self) -> list[str]:
        rows = self._db.execute("SELECT peer FROM messages GROUP BY peer ORDER BY min(position)")
        return [row[0] for row in rows]

    def _add_contact(self, peer: str, added_at: float) -> None:
        with self._db:
            self._db.execute(
                "INSERT OR IGNORE INTO contacts (peer, added_at) VALUES (?, ?)", (peer, added_at)
            )

    def _add_addresses(self, peer: str, addresses: Sequence[str], seen_at: float) -> None:
        with self._db:
            self._db.executemany(
                "INSERT OR REPLACE INTO addresses (peer, address, seen_at) VALUES (?, ?, ?)",
                [(peer, address, seen_at) for address in reversed(addresses)],
            )
            self._db.execute(
                "DELETE FROM addresses WHERE peer = :peer AND rowid NOT IN (SELECT rowid FROM addresses"
                " WHERE peer = :peer ORDER BY seen_at DESC, rowid DESC LIMIT :most)",
                {"peer": peer, "most": CHAT_MAX_ADDRESSES},
            )

    def _all_addresses(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        rows = self._db.execute("SELECT peer, address FROM addresses ORDER BY seen_at DESC, rowid DESC")
        for peer, address in rows:
            found.setdefault(peer, []).append(address)
        return found

    def _contacts(self) -> list[str]:
        return [row[0] for row in self._db.execute("SELECT peer FROM contacts ORDER BY rowid")]


def _message(row: tuple[bytes, str, str, int, float, str, int]) -> StoredMessage:
    message_id, peer, text, outgoing, sent_at, state, sequence = row
    return StoredMessage(message_id.hex(), peer, text, bool(outgoing), sent_at, MessageState(state), sequence)

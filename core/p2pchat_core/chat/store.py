"""The history: one SQLite file, written by one thread, durable before anything is reported as stored."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from p2pchat_core.chat import contact_table, message_table, search_index, session_table, untold_table
from p2pchat_core.chat.search_words import Query
from p2pchat_core.chat.store_file import open_beside, open_memory, open_or_replace
from p2pchat_core.errors import StoreError
from p2pchat_core.limits import CHAT_MAX_ADDRESSES, HISTORY_PAGE, SEARCH_MAX_HITS, SESSION_MAX_AGE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from p2pchat_core.chat.contact_table import Person
    from p2pchat_core.chat.model import MessageState, SearchHit, StoredMessage
    from p2pchat_core.chat.session_table import Beginning, Received
    from p2pchat_core.chat.untold_table import Untold
    from p2pchat_core.wire.session import Message, Position

__all__ = ["Store"]

P = ParamSpec("P")
T = TypeVar("T")


class Store:
    """Every message ever sent and received, and who we know. All methods but `close` raise `StoreError`.

    Create it with `Store.open`. What is said in ephemeral conversations is kept beside the file, in memory.

    Attributes:
        set_aside: where a damaged history was moved to when this one was opened, or ``None``.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, executor: ThreadPoolExecutor) -> None:
        self.set_aside: Path | None = None
        self._path = path
        self._db = connection
        self._memory: sqlite3.Connection | None = None
        self._ephemeral: set[str] = set()  # whose conversations are in memory; the thread's
        # One thread: SQLite calls queue up in the order they were made and never block the event loop.
        self._executor = executor
        self._closed = False

    @classmethod
    async def open(cls, path: Path, *, ephemeral: bool = False) -> Store:
        """Open or create the history at `path`; a damaged one is renamed and a new one begun (see `set_aside`).

        Args:
            ephemeral: keep everything in memory. Of a history that is there, only the contacts are read.

        Raises:
            StoreError: the file cannot be opened, or was written by a newer version.
        """
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")
        loop = asyncio.get_running_loop()
        opener = open_beside if ephemeral else open_or_replace
        try:
            connection, set_aside = await loop.run_in_executor(executor, opener, path)
            store = cls(path, connection, executor)
            store.set_aside = set_aside
            if not ephemeral:
                await store._run(store._open_ephemeral)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return store

    # --- messages; see message_table ------------------------------------------------------------------------------

    async def add(
        self, message_id: str, peer: str, text: str, *, outgoing: bool, sent_at: float, state: MessageState
    ) -> StoredMessage:
        """Append a message durably and return it with its sequence number."""
        return await self._with(message_table.add, peer, message_id, text, outgoing, sent_at, state)

    async def set_state(self, message_id: str, state: MessageState) -> None:
        """Record how far one of our messages has come."""
        await self._run(self._set_state, message_id, state)

    async def history(
        self, peer: str, limit: int = HISTORY_PAGE, *, before: str | None = None, around: str | None = None
    ) -> list[StoredMessage]:
        """Return the newest `limit` messages with `peer` (at most HISTORY_PAGE), oldest first.

        Args:
            before: only those before the message with this id.
            around: the message with this id and its neighbours on both sides.
        """
        return await self._with(message_table.history, peer, max(0, min(limit, HISTORY_PAGE)), before, around)

    async def next_queued(self, peer: str) -> StoredMessage | None:
        """Return our oldest message to `peer` that has not been handed over."""
        return await self._with(message_table.next_queued, peer)

    async def unfinished_counts(self) -> dict[str, int]:
        """Return how many messages wait for each peer: not handed over, or said in a session and not acknowledged."""
        return await self._run(self._unfinished_counts)

    async def peers(self) -> list[str]:
        """Return everyone a message was exchanged with or meant for, those with the oldest messages first."""
        return await self._run(message_table.peers, self._db)

    async def search(self, text: str, peer: str | None, limit: int) -> list[SearchHit]:
        """Return the newest messages in which every word of `text` is, newest first; the last may be a beginning."""
        return await self._run(self._search, Query.parse(text), peer, max(0, min(limit, SEARCH_MAX_HITS)))

    async def following(self, peer: str | None, position: int, limit: int) -> tuple[list[StoredMessage], int]:
        """Return messages after `position`, oldest first, and where to go on. Without a peer: all on the disk."""
        if peer is None:
            return await self._run(message_table.following, self._db, None, position, limit)
        return await self._with(message_table.following, peer, position, limit)

    async def delete_old(self, now: float, default_days: int | None) -> int:
        """Delete what is older than it is to be kept, in steps, and return how much that was."""
        deleted = 0
        while count := await self._run(message_table.delete_old, self._db, now, default_days, HISTORY_PAGE):
            deleted += count
        if deleted:
            await self._run(self._erase)
        return deleted

    # --- contacts; see contact_table ------------------------------------------------------------------------------

    async def people(self) -> list[Person]:
        """Return everyone we know, in the order they were added."""
        return await self._run(contact_table.load, self._db)

    async def save_person(self, person: Person) -> None:
        """Remember a person, or what changed about them. `Person.ephemeral` is for `set_ephemeral`."""
        await self._run(contact_table.save, self._db, person)

    async def set_ephemeral(self, peer: str, ephemeral: bool) -> None:
        """Keep a conversation in memory only, with what was said so far; or on the disk again, from now on."""
        await self._run(self._set_ephemeral, peer, ephemeral)

    async def delete(self, peer: str) -> None:
        """Keep nothing of a peer: neither who they are and where, nor what was said."""
        await self._run(self._delete, peer)

    async def add_addresses(self, peer: str, addresses: Sequence[str], seen_at: float) -> None:
        """Remember where `peer` can be dialled; only the newest `CHAT_MAX_ADDRESSES` are kept."""
        await self._run(self._add_addresses, peer, addresses, seen_at)

    async def addresses(self) -> dict[str, list[str]]:
        """Return the known addresses of everyone, newest first."""
        return await self._run(self._all_addresses)

    # --- sessions; see session_table ------------------------------------------------------------------------------

    async def begin(self, peer: str) -> Beginning:
        """Return what to say hello to `peer` with."""
        return await self._with(session_table.begin, peer)

    async def resume(self, peer: str, log: bytes, held: int, held_id: bytes | None) -> list[str] | None:
        """Take a welcome into account; ids now delivered, or ``None`` if a new log had to be begun."""
        return await self._with(session_table.resume, peer, log, held, held_id)

    async def mark_held(self, peer: str, log: bytes, held: int) -> list[str]:
        """Record an acknowledgement and return the ids now delivered."""
        return await self._with(session_table.mark_held, peer, log, held)

    async def next_to_say(self, peer: str, log: bytes, start: int, limit: int) -> list[Message]:
        """Return what to say from number `start` on, durably numbered."""
        return await self._with(session_table.next_to_say, peer, log, start, limit)

    async def greet(self, peer: str, log: bytes, first: int) -> Position:
        """Return where we stand as a speaker says hello."""
        return await self._with(session_table.greet, peer, log, first)

    async def receive(
        self, peer: str, log: bytes, messages: Sequence[Message], now: float
    ) -> list[Received] | None:
        """Store what is new, durably; ``None`` if `log` is not the speaker's any more."""
        return await self._with(session_table.receive, peer, log, messages, now, SESSION_MAX_AGE)

    # --- what faces were told; see untold_table -------------------------------------------------------------------

    async def untold(self, after: int, limit: int) -> list[Untold]:
        """Return messages of peers that were stored and perhaps not told, from behind a position."""
        return await self._run(untold_table.untold, self._db, after, limit)

    async def mark_told(self, told: Sequence[tuple[str, str]]) -> None:
        """Record that the events of these messages, each a peer and an id, were emitted."""
        await self._run(self._mark_told, told)

    async def close(self) -> None:
        """Finish what is under way and close the file. Never raises; calling it again does nothing."""
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        for db in (self._db, self._memory):
            if db is not None:
                with contextlib.suppress(sqlite3.Error):
                    await loop.run_in_executor(self._executor, db.close)
        self._executor.shutdown(wait=False)

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._closed:
            raise StoreError("The message history is closed.")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))
        except (sqlite3.Error, OSError, UnicodeError) as error:
            raise StoreError(f"The message history {self._path} could not be used: {error}.") from error

    async def _with(
        self,
        function: Callable[Concatenate[sqlite3.Connection, str, P], T],
        peer: str,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `function` on the history that `peer`'s conversation is in."""
        return await self._run(lambda: function(self._of(peer), peer, *args, **kwargs))

    # --- on the thread --------------------------------------------------------------------------------------------

    def _of(self, peer: str) -> sqlite3.Connection:
        return self._memory if self._memory is not None and peer in self._ephemeral else self._db

    def _mark_told(self, told: Sequence[tuple[str, str]]) -> None:
        for db in (self._memory, self._db):
            if db is not None:
                untold_table.mark_told(db, told)

    def _set_state(self, message_id: str, state: MessageState) -> None:
        if not message_table.set_state(self._db, message_id, state) and self._memory is not None:
            message_table.set_state(self._memory, message_id, state)

    def _unfinished_counts(self) -> dict[str, int]:
        counts = message_table.unfinished_counts(self._db)
        if self._memory is not None:
            counts |= message_table.unfinished_counts(self._memory)
        return counts

    def _search(self, query: Query, peer: str | None, limit: int) -> list[SearchHit]:
        hits = message_table.search(self._db, query, peer, limit)
        if self._memory is not None:
            more = message_table.search(self._memory, query, peer, limit)
            hits = sorted(hits + more, key=lambda hit: hit.message.sent_at, reverse=True) if more else hits
        return hits[:limit]

    def _open_ephemeral(self) -> None:
        self._ephemeral = {person.peer for person in contact_table.load(self._db) if person.ephemeral}
        if self._ephemeral:
            self._memory = open_memory()

    def _set_ephemeral(self, peer: str, ephemeral: bool) -> None:
        if self._memory is None:
            self._memory = open_memory()
        if ephemeral and peer not in self._ephemeral:
            message_table.move(self._db, self._memory, peer, all_messages=True, ephemeral=True)
            self._ephemeral.add(peer)
            self._erase()
        elif not ephemeral and peer in self._ephemeral:
            message_table.move(self._memory, self._db, peer, all_messages=False, ephemeral=False)
            self._ephemeral.discard(peer)

    def _delete(self, peer: str) -> None:
        for db in (self._memory, self._db):
            if db is not None:
                contact_table.delete(db, peer)
        self._ephemeral.discard(peer)
        self._erase()

    def _erase(self) -> None:
        """Leave nothing of deleted messages behind, neither in the index nor in the write-ahead log."""
        search_index.compact(self._db)
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

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

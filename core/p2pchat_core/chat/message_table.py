"""The messages in the history file.

Every function is at most one transaction on the connection it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from p2pchat_core.chat import search_index, untold_table
from p2pchat_core.chat.model import MessageState, SearchHit, StoredMessage
from p2pchat_core.chat.search_words import excerpt
from p2pchat_core.errors import StrangerLimitError
from p2pchat_core.limits import STRANGER_MAX_BYTES, STRANGER_MAX_MESSAGES

if TYPE_CHECKING:
    import sqlite3

    from p2pchat_core.chat.search_words import Query

__all__ = [
    "add",
    "check_room",
    "delete_old",
    "following",
    "history",
    "move",
    "next_queued",
    "peers",
    "search",
    "set_state",
    "unfinished_counts",
]

_COLUMNS: Final = "message_id, peer, text, outgoing, sent_at, state, sequence"
_UNFINISHED: Final = "(state = 'queued' OR (state = 'sent' AND number IS NOT NULL))"
_DAY: Final = 86_400.0
_Row = tuple[bytes, str, str, int, float, str, int]


def add(
    db: sqlite3.Connection,
    peer: str,
    message_id: str,
    text: str,
    outgoing: bool,
    sent_at: float,
    state: MessageState,
) -> StoredMessage:
    """Append a message.

    Raises:
        StrangerLimitError: it is from a stranger who has said enough.
    """
    if not outgoing:
        check_room(db, peer)
    with db:
        row = db.execute(
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
            untold_table.note(db, peer, bytes.fromhex(message_id))
    return StoredMessage(message_id, peer, text, outgoing, sent_at, state, row[0])


def check_room(db: sqlite3.Connection, peer: str) -> None:
    """Refuse more of a stranger than is kept until the user decides about them.

    Raises:
        StrangerLimitError: there is that much.
    """
    if not db.execute("SELECT 1 FROM contacts WHERE peer = ? AND NOT accepted", (peer,)).fetchone():
        return
    count, size = db.execute(
        "SELECT count(*), coalesce(sum(length(CAST(text AS BLOB))), 0) FROM messages WHERE peer = ? AND NOT outgoing",
        (peer,),
    ).fetchone()
    if count >= STRANGER_MAX_MESSAGES or size >= STRANGER_MAX_BYTES:
        raise StrangerLimitError("A stranger says more than is kept; the rest waits until you accept them.")


def set_state(db: sqlite3.Connection, message_id: str, state: MessageState) -> bool:
    """Record how far one of our messages has come; return whether it is here."""
    with db:
        cursor = db.execute(
            "UPDATE messages SET state = ? WHERE message_id = ? AND outgoing = 1",
            (str(state), bytes.fromhex(message_id)),
        )
    return cursor.rowcount > 0


def history(
    db: sqlite3.Connection, peer: str, limit: int, before: str | None, around: str | None
) -> list[StoredMessage]:
    """Return `limit` messages, oldest first: the newest, those before one, or those around one.

    There are none before or around a message that is not there.
    """
    anchor = before if around is None else around
    if anchor is None:
        return _messages(_backwards(db, peer, 1 << 62, limit))
    position = _position(db, peer, anchor)
    if position is None:
        return []
    if around is None:
        return _messages(_backwards(db, peer, position, limit))
    later = db.execute(
        f"SELECT {_COLUMNS} FROM messages WHERE peer = ? AND position >= ? ORDER BY position LIMIT ?",
        (peer, position, limit - limit // 2),
    ).fetchall()
    return _messages(_backwards(db, peer, position, limit - len(later))) + _messages(later)


def _backwards(db: sqlite3.Connection, peer: str, before: int, limit: int) -> list[_Row]:
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM messages WHERE peer = ? AND position < ? ORDER BY position DESC LIMIT ?",
        (peer, before, limit),
    ).fetchall()
    return rows[::-1]


def _position(db: sqlite3.Connection, peer: str, message_id: str) -> int | None:
    try:
        wanted = bytes.fromhex(message_id)
    except ValueError:
        return None
    (position,) = db.execute(
        "SELECT max(position) FROM messages WHERE peer = ? AND outgoing IN (0, 1) AND message_id = ?",
        (peer, wanted),
    ).fetchone()
    return None if position is None else int(position)


def following(
    db: sqlite3.Connection, peer: str | None, position: int, limit: int
) -> tuple[list[StoredMessage], int]:
    """Return the `limit` messages after `position`, oldest first, of one peer or all, and the last one's position."""
    of_peer = "" if peer is None else " AND peer = :peer"
    rows = db.execute(
        f"SELECT position, {_COLUMNS} FROM messages WHERE position > :after{of_peer} ORDER BY position LIMIT :limit",
        {"after": position, "peer": peer, "limit": limit},
    ).fetchall()
    return _messages([row[1:] for row in rows]), rows[-1][0] if rows else position


def search(db: sqlite3.Connection, query: Query, peer: str | None, limit: int) -> list[SearchHit]:
    """Return the newest `limit` messages that match, newest first."""
    hits: list[SearchHit] = []
    if not query.groups:
        return hits
    positions = search_index.found(db, query, peer)
    while len(hits) < limit and (position := next(positions, None)) is not None:
        row = db.execute(f"SELECT {_COLUMNS} FROM messages WHERE position = ?", (position,)).fetchone()
        message = _message(row)
        hits.append(SearchHit(message, *excerpt(message.text, query)))
    return hits


def next_queued(db: sqlite3.Connection, peer: str) -> StoredMessage | None:
    """Return our oldest message to `peer` that has not been handed over."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM messages WHERE peer = ? AND state = 'queued' ORDER BY position LIMIT 1",
        (peer,),
    ).fetchone()
    return None if row is None else _message(row)


def unfinished_counts(db: sqlite3.Connection) -> dict[str, int]:
    """Return how many messages wait for each peer that is not blocked."""
    rows = db.execute(
        "SELECT peer, count(*) FROM (SELECT peer FROM messages WHERE state = 'queued'"
        " UNION ALL SELECT peer FROM messages WHERE state = 'sent' AND number IS NOT NULL)"
        " WHERE peer NOT IN (SELECT peer FROM contacts WHERE blocked) GROUP BY peer"
    )
    return dict(rows.fetchall())


def peers(db: sqlite3.Connection) -> list[str]:
    """Return everyone a message was exchanged with or meant for, those with the oldest messages first."""
    return [row[0] for row in db.execute("SELECT peer FROM messages GROUP BY peer ORDER BY min(position)")]


def delete_old(db: sqlite3.Connection, now: float, default_days: int | None, limit: int) -> int:
    """Delete at most `limit` messages that are older than they are kept, and return how many.

    What has not arrived yet is never too old.
    """
    with db:
        cursor = db.execute(
            "DELETE FROM messages WHERE position IN (SELECT position FROM messages WHERE sent_at < :now - :day *"
            " coalesce((SELECT keep_days FROM contacts WHERE contacts.peer = messages.peer), :default)"
            f" AND NOT {_UNFINISHED} LIMIT :limit)",
            {"now": now, "day": _DAY, "default": default_days, "limit": limit},
        )
        if cursor.rowcount:
            untold_table.forget_deleted(db)
    return cursor.rowcount


def move(
    source: sqlite3.Connection, target: sqlite3.Connection, peer: str, *, all_messages: bool, ephemeral: bool
) -> None:
    """Take a conversation from one history to the other, with where its sessions stand.

    First it is in both, then only in the new place, so nothing is lost in between. The standing stays on `source`
    or `target`, whichever is on the disk; `ephemeral` says which that is.

    Args:
        all_messages: or only what has not arrived yet; the rest is forgotten.
    """
    chosen = "" if all_messages else f" AND {_UNFINISHED}"
    tables = {
        "messages": f"{_COLUMNS}, number",
        "untold": "peer, message_id",
        "speaking": "peer, log, next, acknowledged",
        "listening": "peer, log, held, held_id",
    }
    kept = source if ephemeral else target
    with target:
        for table, columns in tables.items():
            order = f"{chosen} ORDER BY position" if table == "messages" else ""
            rows = source.execute(f"SELECT {columns} FROM {table} WHERE peer = ?{order}", (peer,))
            places = ", ".join("?" * (columns.count(",") + 1))
            target.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", rows)
        if kept is target:
            _mark(kept, peer, ephemeral)
    with source:
        for table in tables:
            source.execute(f"DELETE FROM {table} WHERE peer = ?", (peer,))
        if kept is source:
            _mark(kept, peer, ephemeral)


def _mark(db: sqlite3.Connection, peer: str, ephemeral: bool) -> None:
    db.execute("UPDATE contacts SET ephemeral = ? WHERE peer = ?", (ephemeral, peer))


def _messages(rows: list[_Row]) -> list[StoredMessage]:
    return [_message(row) for row in rows]


def _message(row: _Row) -> StoredMessage:
    message_id, peer, text, outgoing, sent_at, state, sequence = row
    return StoredMessage(message_id.hex(), peer, text, bool(outgoing), sent_at, MessageState(state), sequence)

"""Notes in the history file: which messages of peers were stored and perhaps never told to a face."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

__all__ = ["SCHEMA", "Untold", "forget_deleted", "mark_told", "note", "untold"]

SCHEMA: Final = """
CREATE TABLE untold (
    peer        TEXT NOT NULL,
    message_id  BLOB NOT NULL,
    PRIMARY KEY (peer, message_id)
) WITHOUT ROWID;
"""


class Untold(NamedTuple):
    """A message of a peer; `position` orders them, `message_id` is hexadecimal, `sent_at` Unix seconds."""

    position: int
    peer: str
    message_id: str
    text: str
    sent_at: float


def note(db: sqlite3.Connection, peer: str, message_id: bytes) -> None:
    """Note a message as not told, within the transaction that stores it."""
    db.execute("INSERT OR IGNORE INTO untold (peer, message_id) VALUES (?, ?)", (peer, message_id))


def untold(db: sqlite3.Connection, after: int, limit: int) -> list[Untold]:
    """Return up to `limit` messages not told, in the order they were stored, from behind position `after`."""
    rows = db.execute(
        "SELECT m.position, m.peer, m.message_id, m.text, m.sent_at FROM untold u JOIN messages m"
        " ON m.peer = u.peer AND m.outgoing = 0 AND m.message_id = u.message_id"
        " WHERE m.position > ? ORDER BY m.position LIMIT ?",
        (after, limit),
    )
    return [
        Untold(position, peer, message_id.hex(), text, sent_at)
        for position, peer, message_id, text, sent_at in rows
    ]


def forget_deleted(db: sqlite3.Connection) -> None:
    """Remove the notes of messages that are not there any more, within the transaction that deletes them."""
    db.execute(
        "DELETE FROM untold WHERE NOT EXISTS (SELECT 1 FROM messages m WHERE m.peer = untold.peer"
        " AND m.outgoing = 0 AND m.message_id = untold.message_id)"
    )


def mark_told(db: sqlite3.Connection, told: Sequence[tuple[str, str]]) -> None:
    """Remove the notes of these messages, each a peer and an id."""
    # Losing this in a power cut only has a message told twice, so it need not wait for the disk.
    db.execute("PRAGMA synchronous = NORMAL")
    try:
        with db:
            db.executemany(
                "DELETE FROM untold WHERE peer = ? AND message_id = ?",
                [(peer, bytes.fromhex(message_id)) for peer, message_id in told],
            )
    finally:
        db.execute("PRAGMA synchronous = FULL")

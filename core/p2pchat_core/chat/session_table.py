"""What the session protocol keeps in the history file: numbers, logs and positions (docs/session-protocol.md).

Every function is one transaction on the connection it is given, so a crash happens before or after it, never within.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

from p2pchat_core.chat import untold_table
from p2pchat_core.chat.message_table import check_room
from p2pchat_core.errors import LocalProtocolError
from p2pchat_core.wire.session import ID_SIZE, Message, Position, resume_at

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

__all__ = [
    "SCHEMA",
    "Beginning",
    "Received",
    "begin",
    "greet",
    "mark_held",
    "next_to_say",
    "receive",
    "resume",
]

SCHEMA: Final = """
CREATE TABLE speaking (
    peer          TEXT    PRIMARY KEY,
    log           BLOB    NOT NULL CHECK (length(log) = 16),
    next          INTEGER NOT NULL,
    acknowledged  INTEGER NOT NULL
);
CREATE TABLE listening (
    peer     TEXT    PRIMARY KEY,
    log      BLOB    NOT NULL CHECK (length(log) = 16),
    held     INTEGER NOT NULL,
    held_id  BLOB
);
CREATE INDEX messages_numbered ON messages (peer, number) WHERE number IS NOT NULL;
CREATE INDEX messages_unacknowledged ON messages (peer) WHERE state = 'sent' AND number IS NOT NULL;
"""


class Beginning(NamedTuple):
    """What a speaker says hello with."""

    log: bytes
    first: int


class Received(NamedTuple):
    """A message of a peer that was stored; `message_id` is hexadecimal, `sent_at` Unix seconds."""

    message_id: str
    text: str
    sent_at: float


def begin(db: sqlite3.Connection, peer: str) -> Beginning:
    """Return the log of what we say to `peer`, a new one if there is none, and the first number not acknowledged."""
    with db:
        row = db.execute("SELECT log, acknowledged FROM speaking WHERE peer = ?", (peer,)).fetchone()
        if row is None:
            row = (secrets.token_bytes(ID_SIZE), 0)
            db.execute(
                "INSERT INTO speaking (peer, log, next, acknowledged) VALUES (?, ?, 1, 0)", (peer, row[0])
            )
    return Beginning(row[0], row[1] + 1)


def resume(
    db: sqlite3.Connection, peer: str, log: bytes, held: int, held_id: bytes | None
) -> list[str] | None:
    """Take a listener's welcome into account: return the ids that are delivered with it.

    Returns:
        ``None`` if it does not fit what we have said (our disk went back in time); a new log has been begun then.
    """
    with db:
        row = db.execute("SELECT log, next FROM speaking WHERE peer = ?", (peer,)).fetchone()
        if row is None or row[0] != log:
            return None
        ours = db.execute(
            "SELECT message_id FROM messages WHERE peer = ? AND number = ?", (peer, held)
        ).fetchone()
        if held >= row[1] or (held_id is not None and ours is not None and ours[0] != held_id):
            _renew(db, peer)
            return None
        return _mark_held(db, peer, held)


def mark_held(db: sqlite3.Connection, peer: str, log: bytes, held: int) -> list[str]:
    """Record that `peer` holds everything up to `held`, and return the ids that are delivered with it."""
    with db:
        if db.execute("SELECT 1 FROM speaking WHERE peer = ? AND log = ?", (peer, log)).fetchone() is None:
            return []
        return _mark_held(db, peer, held)


def next_to_say(db: sqlite3.Connection, peer: str, log: bytes, start: int, limit: int) -> list[Message]:
    """Return up to `limit` messages from number `start` on, giving numbers to those that have none yet.

    Those that got a number now are *sent* from now on.
    """
    with db:
        row = db.execute("SELECT log, next FROM speaking WHERE peer = ?", (peer,)).fetchone()
        if row is None or row[0] != log:
            return []
        number = row[1]
        lacking = limit - (number - start)
        if lacking > 0:
            queued = db.execute(
                "SELECT position FROM messages WHERE peer = ? AND state = 'queued' ORDER BY position LIMIT ?",
                (peer, lacking),
            ).fetchall()
            for offset, (position,) in enumerate(queued):
                db.execute(
                    "UPDATE messages SET state = 'sent', number = ? WHERE position = ?",
                    (number + offset, position),
                )
            if queued:
                db.execute("UPDATE speaking SET next = ? WHERE peer = ?", (number + len(queued), peer))
        rows = db.execute(
            "SELECT number, message_id, sent_at, text FROM messages WHERE peer = ? AND number >= ?"
            " ORDER BY number LIMIT ?",
            (peer, start, limit),
        ).fetchall()
    return [
        Message(number, message_id, max(0, int(sent_at * 1000)), text)
        for number, message_id, sent_at, text in rows
    ]


def greet(db: sqlite3.Connection, peer: str, log: bytes, first: int) -> Position:
    """A speaker says hello: return where we stand, and remember it if that is a new place."""
    with db:
        before = _position(db, peer)
        position = resume_at(before, log, first)
        if position != before:
            _move(db, peer, position)
    return position


def receive(
    db: sqlite3.Connection, peer: str, log: bytes, messages: Sequence[Message], now: float, max_age: float
) -> list[Received] | None:
    """Store what is new among `messages`, which follow one another, with our new position, and return it.

    Returns:
        ``None`` if the speaker has begun another log meanwhile; nothing was stored then.

    Raises:
        LocalProtocolError: there is a gap before them.
        StrangerLimitError: it is a stranger who has said enough.
    """
    fresh: list[Received] = []
    check_room(db, peer)
    with db:
        position = _position(db, peer)
        if position is None or position.log != log:
            return None
        for message in messages:
            if message.sequence <= position.held:
                continue
            if message.sequence != position.held + 1:
                raise LocalProtocolError(f"Message {message.sequence} came after {position.held}.")
            position = Position(log, message.sequence, message.message_id)
            if message.text is None:
                continue
            claimed = message.sent_at / 1000
            written = claimed if now - max_age <= claimed <= now else now
            if _insert(db, peer, message.message_id, message.text, written):
                fresh.append(Received(message.message_id.hex(), message.text, written))
        _move(db, peer, position)
    return fresh


def _renew(db: sqlite3.Connection, peer: str) -> None:
    """Begin a new log with everything that was said and is not acknowledged."""
    waiting = db.execute(
        "SELECT position FROM messages WHERE peer = ? AND number IS NOT NULL AND state = 'sent' ORDER BY number",
        (peer,),
    ).fetchall()
    db.execute("UPDATE messages SET number = NULL WHERE peer = ? AND number IS NOT NULL", (peer,))
    for number, (position,) in enumerate(waiting, 1):
        db.execute("UPDATE messages SET number = ? WHERE position = ?", (number, position))
    db.execute(
        "UPDATE speaking SET log = ?, next = ?, acknowledged = 0 WHERE peer = ?",
        (secrets.token_bytes(ID_SIZE), len(waiting) + 1, peer),
    )


def _mark_held(db: sqlite3.Connection, peer: str, held: int) -> list[str]:
    (acknowledged,) = db.execute("SELECT acknowledged FROM speaking WHERE peer = ?", (peer,)).fetchone()
    if held <= acknowledged:
        return []
    # Ordered here because RETURNING promises no order.
    rows = db.execute(
        "SELECT message_id FROM messages WHERE peer = ? AND number > ? AND number <= ? ORDER BY number",
        (peer, acknowledged, held),
    ).fetchall()
    db.execute(
        "UPDATE messages SET state = 'delivered' WHERE peer = ? AND number > ? AND number <= ?",
        (peer, acknowledged, held),
    )
    db.execute("UPDATE speaking SET acknowledged = ? WHERE peer = ?", (held, peer))
    return [message_id.hex() for (message_id,) in rows]


def _position(db: sqlite3.Connection, peer: str) -> Position | None:
    row = db.execute("SELECT log, held, held_id FROM listening WHERE peer = ?", (peer,)).fetchone()
    return None if row is None else Position(*row)


def _move(db: sqlite3.Connection, peer: str, position: Position) -> None:
    db.execute(
        "INSERT INTO listening (peer, log, held, held_id) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (peer) DO UPDATE SET log = excluded.log, held = excluded.held, held_id = excluded.held_id",
        (peer, position.log, position.held, position.held_id),
    )


def _insert(db: sqlite3.Connection, peer: str, message_id: bytes, text: str, sent_at: float) -> bool:
    """Store a message unless the peer said it before, under whatever number."""
    cursor = db.execute(
        "INSERT INTO messages (message_id, peer, text, outgoing, sent_at, state, sequence)"
        " SELECT :id, :peer, :text, 0, :sent_at, 'received', 1 + coalesce(max(sequence), 0)"
        " FROM messages WHERE peer = :peer AND outgoing = 0"
        " ON CONFLICT (peer, outgoing, message_id) DO NOTHING",
        {"id": message_id, "peer": peer, "text": text, "sent_at": sent_at},
    )
    if cursor.rowcount > 0:
        untold_table.note(db, peer, message_id)
    return cursor.rowcount > 0

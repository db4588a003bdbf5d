"""Contacts, strangers and blocked peers in the history file.

Every function is at most one transaction on the connection it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from p2pchat_core.chat.model import Retention, Standing

if TYPE_CHECKING:
    import sqlite3

__all__ = ["FROM_2", "SCHEMA", "Person", "delete", "load", "save"]

SCHEMA: Final = """
CREATE TABLE contacts (
    peer          TEXT    PRIMARY KEY,
    added_at      REAL    NOT NULL,
    accepted      INTEGER NOT NULL DEFAULT 1 CHECK (accepted IN (0, 1)),
    blocked       INTEGER NOT NULL DEFAULT 0 CHECK (blocked IN (0, 1)),
    name          TEXT    NOT NULL DEFAULT '',
    calls_itself  TEXT    NOT NULL DEFAULT '',
    notes         TEXT    NOT NULL DEFAULT '',
    verified_at   REAL,
    keep_days     INTEGER,
    ephemeral     INTEGER NOT NULL DEFAULT 0 CHECK (ephemeral IN (0, 1))
);
"""
# Whoever the user had answered was accepted; who had only spoken asks once more.
FROM_2: Final = (
    "ALTER TABLE contacts RENAME TO contacts_2;"
    + SCHEMA
    + """
INSERT INTO contacts (peer, added_at) SELECT peer, added_at FROM contacts_2 ORDER BY rowid;
DROP TABLE contacts_2;
INSERT OR IGNORE INTO contacts (peer, added_at, accepted)
    SELECT peer, min(sent_at), max(outgoing) FROM messages GROUP BY peer ORDER BY min(position);
"""
)
_COLUMNS: Final = (
    "peer, added_at, accepted, blocked, name, calls_itself, notes, verified_at, keep_days, ephemeral"
)


class Person(NamedTuple):
    """One row: what is kept of a peer; see `p2pchat_core.chat.model.Contact`."""

    peer: str
    added_at: float
    accepted: bool = False
    blocked: bool = False
    name: str = ""
    calls_itself: str = ""
    notes: str = ""
    verified_at: float | None = None
    keep_days: int | None = None
    ephemeral: bool = False

    @property
    def standing(self) -> Standing:
        """What the user thinks of them."""
        if self.blocked:
            return Standing.BLOCKED
        return Standing.CONTACT if self.accepted else Standing.STRANGER

    @property
    def retention(self) -> Retention:
        """How long what they say is kept."""
        return Retention(self.keep_days, self.ephemeral)


def load(db: sqlite3.Connection) -> list[Person]:
    """Return everyone, in the order they were added."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM contacts ORDER BY rowid")
    return [
        Person(
            peer, added, bool(accepted), bool(blocked), name, calls, notes, verified, days, bool(ephemeral)
        )
        for peer, added, accepted, blocked, name, calls, notes, verified, days, ephemeral in rows
    ]


def save(db: sqlite3.Connection, person: Person) -> None:
    """Add a person, or replace what was kept of them."""
    columns = _COLUMNS.split(", ")
    with db:
        db.execute(
            f"INSERT INTO contacts ({_COLUMNS}) VALUES ({', '.join('?' * len(columns))}) ON CONFLICT (peer) DO UPDATE"
            f" SET {', '.join(f'{column} = excluded.{column}' for column in columns[1:])}",
            person,
        )


def delete(db: sqlite3.Connection, peer: str) -> None:
    """Keep nothing of a peer: neither who they are and where, nor what was said."""
    with db:
        for table in ("messages", "untold", "speaking", "listening", "addresses", "contacts"):
            db.execute(f"DELETE FROM {table} WHERE peer = ?", (peer,))

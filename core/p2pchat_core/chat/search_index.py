"""The full-text index over the messages: FTS5 where SQLite has it, else the messages themselves are read.

The index is made of the messages and holds nothing else, so it is not part of the schema: it is made when missing.
Triggers keep it; if this SQLite has no FTS5, they are taken away, and the index is made anew by the next that has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from p2pchat_core.chat.search_words import Query, index_text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

__all__ = ["attach", "compact", "found"]

_FUNCTION: Final = "p2pchat_words_1"  # the number grows with every change of what counts as a word
_TABLE: Final = "message_words_1"
_TRIGGERS: Final = f"""
CREATE TRIGGER {_TABLE}_added AFTER INSERT ON messages BEGIN
    INSERT INTO {_TABLE} (rowid, words) VALUES (new.position, {_FUNCTION}(new.text));
END;
CREATE TRIGGER {_TABLE}_removed AFTER DELETE ON messages BEGIN
    INSERT INTO {_TABLE} ({_TABLE}, rowid, words) VALUES ('delete', old.position, {_FUNCTION}(old.text));
END;
"""
# The words come ready and with single spaces, so the simplest tokenizer takes them apart; `prefix` is for typing.
_CREATE: Final = f"""
BEGIN;
DROP TABLE IF EXISTS {_TABLE};
CREATE VIRTUAL TABLE {_TABLE} USING fts5 (words, content='', tokenize='ascii', prefix='1 2 3');
INSERT INTO {_TABLE} (rowid, words) SELECT position, {_FUNCTION}(text) FROM messages;
{_TRIGGERS}
COMMIT;
"""
_DETACH: Final = f"""
DROP TRIGGER IF EXISTS {_TABLE}_added;
DROP TRIGGER IF EXISTS {_TABLE}_removed;
"""
_SCANNED_AT_ONCE: Final = 500
# Of strangers and blocked peers nothing is found.
_FROM_CONTACTS: Final = "peer NOT IN (SELECT peer FROM contacts WHERE blocked OR NOT accepted)"


def has_fts5(db: sqlite3.Connection) -> bool:
    """Whether this SQLite can index."""
    return db.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'").fetchone() is not None


def attach(db: sqlite3.Connection) -> None:
    """Make the index ready on an open history; to be called before anything is written."""
    db.create_function(_FUNCTION, 1, index_text, deterministic=True)
    db.execute("PRAGMA trusted_schema = ON")  # or triggers may not call it; the file is ours
    if not has_fts5(db):
        db.executescript(_DETACH)
    elif not _kept(db):
        try:
            db.executescript(_CREATE)
        except BaseException:
            if db.in_transaction:
                db.rollback()
            raise


def compact(db: sqlite3.Connection) -> None:
    """Leave nothing in the index of messages that were deleted."""
    if _kept(db):
        with db:
            db.execute(f"INSERT INTO {_TABLE} ({_TABLE}) VALUES ('optimize')")


def found(db: sqlite3.Connection, query: Query, peer: str | None) -> Iterator[int]:
    """Yield the positions of messages that match, newest first."""
    if _kept(db):
        yield from _indexed(db, query, peer)
    else:
        yield from _scanned(db, query, peer)


def _kept(db: sqlite3.Connection) -> bool:
    row = db.execute(f"SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name GLOB '{_TABLE}_*'")
    return bool(row.fetchone()[0] == 2)


def _indexed(db: sqlite3.Connection, query: Query, peer: str | None) -> Iterator[int]:
    rows = db.execute(
        f"SELECT position FROM {_TABLE} JOIN messages ON position = {_TABLE}.rowid"
        f" WHERE {_TABLE} MATCH :words AND (:peer IS NULL OR peer = :peer) AND {_FROM_CONTACTS}"
        f" ORDER BY {_TABLE}.rowid DESC",
        {"words": query.match_expression(), "peer": peer},
    )
    for (position,) in rows:
        yield position


def _scanned(db: sqlite3.Connection, query: Query, peer: str | None) -> Iterator[int]:
    before = 1 << 62
    while rows := db.execute(
        f"SELECT position, text FROM messages WHERE position < :before AND (:peer IS NULL OR peer = :peer)"
        f" AND {_FROM_CONTACTS} ORDER BY position DESC LIMIT {_SCANNED_AT_ONCE}",
        {"before": before, "peer": peer},
    ).fetchall():
        for position, text in rows:
            if query.matches(text):
                yield position
        before = rows[-1][0]

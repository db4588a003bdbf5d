"""Opening the history file: permissions, schema, migration, and what to do with a damaged one."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Final

from p2pchat_core.chat import session_table, untold_table
from p2pchat_core.errors import StoreError
from p2pchat_core.limits import HISTORY_CHECK_SIZE

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["open_or_replace", "prepare"]

logger = logging.getLogger(__name__)

_SCHEMA_VERSION: Final = 2
_MESSAGES: Final = """
CREATE TABLE messages (
    position    INTEGER PRIMARY KEY,
    message_id  BLOB    NOT NULL CHECK (length(message_id) = 16),
    peer        TEXT    NOT NULL,
    text        TEXT    NOT NULL,
    outgoing    INTEGER NOT NULL CHECK (outgoing IN (0, 1)),
    sent_at     REAL    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('queued', 'sent', 'delivered', 'received')),
    sequence    INTEGER NOT NULL,
    number      INTEGER,  -- of ours: in the session's log, if it was said there
    UNIQUE (peer, outgoing, sequence),
    UNIQUE (peer, outgoing, message_id)
);
"""
_INDEXES: Final = """
CREATE INDEX messages_of_peer ON messages (peer, position);
CREATE INDEX messages_waiting ON messages (peer, position) WHERE state = 'queued';
"""
_CONTACTS: Final = """
CREATE TABLE contacts (
    peer      TEXT PRIMARY KEY,
    added_at  REAL NOT NULL
);
"""
_ADDRESSES: Final = """
CREATE TABLE addresses (
    peer     TEXT NOT NULL,
    address  TEXT NOT NULL,
    seen_at  REAL NOT NULL,
    PRIMARY KEY (peer, address)
);
"""
_COPY_FROM_1: Final = """
DROP INDEX messages_of_peer;
DROP INDEX messages_waiting;
ALTER TABLE messages RENAME TO messages_1;
"""
_FINISH_FROM_1: Final = """
INSERT INTO messages (position, message_id, peer, text, outgoing, sent_at, state, sequence)
    SELECT position, message_id, peer, text, outgoing, sent_at, state, sequence FROM messages_1;
DROP TABLE messages_1;
"""
_MIGRATIONS: Final = {
    0: _MESSAGES + _INDEXES + _CONTACTS + _ADDRESSES + session_table.SCHEMA,
    1: _COPY_FROM_1 + _MESSAGES + _FINISH_FROM_1 + _INDEXES + _ADDRESSES + session_table.SCHEMA,
}
"""From each version to the present one."""
# Primary result codes (the low byte of sqlite_errorcode) that mean the file itself is unusable.
_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def open_or_replace(path: Path) -> tuple[sqlite3.Connection, Path | None]:
    """Open or create the history at `path`; a damaged one is renamed and its new name returned.

    Raises:
        StoreError: it cannot be opened, or was written by a newer version.
    """
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
        prepare(path, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(path: Path, connection: sqlite3.Connection) -> None:
    """Bring an open file to the present schema and check a small one."""
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: in WAL mode every commit is on the disk when it returns, so "stored" survives a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _SCHEMA_VERSION:
        raise StoreError(
            f"The message history {path} was written by a newer version of this program; update it."
        )
    connection.execute(untold_table.SCHEMA)
    if version == 0:
        _migrate(connection, version)
        return
    _check(path, connection)
    if version < _SCHEMA_VERSION:
        _migrate(connection, version)


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    script = _MIGRATIONS[version]
    connection.executescript(f"BEGIN; {script} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;")


def _check(path: Path, connection: sqlite3.Connection) -> None:
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

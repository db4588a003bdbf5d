"""Opening the history file: permissions, schema, migration, and what to do with a damaged one."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from pathlib import Path
from typing import Final

from p2pchat_core.chat import contact_table, search_index, session_table, untold_table
from p2pchat_core.errors import StoreError
from p2pchat_core.limits import HISTORY_CHECK_SIZE

__all__ = ["open_beside", "open_memory", "open_or_replace", "prepare"]

logger = logging.getLogger(__name__)

_SCHEMA_VERSION: Final = 3
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
_FROM_1: Final = _COPY_FROM_1 + _MESSAGES + _FINISH_FROM_1 + _INDEXES + _ADDRESSES + session_table.SCHEMA
_MIGRATIONS: Final = {
    0: _MESSAGES + _INDEXES + contact_table.SCHEMA + _ADDRESSES + session_table.SCHEMA + untold_table.SCHEMA,
    1: _FROM_1 + contact_table.FROM_2 + untold_table.SCHEMA,
    2: contact_table.FROM_2 + untold_table.SCHEMA,
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


def open_memory() -> sqlite3.Connection:
    """Return a new history that is nowhere but in memory."""
    connection = sqlite3.connect(":memory:", check_same_thread=False, uri=True)
    prepare(Path(":memory:"), connection)
    return connection


def open_beside(path: Path) -> tuple[sqlite3.Connection, None]:
    """Return a history in memory that knows the contacts of the one at `path`, if there is one; that is not touched.

    Raises:
        StoreError: it is there and cannot be read.
    """
    connection = open_memory()
    try:
        if path.exists():
            # "immutable" keeps SQLite from making files beside it. The data directory is locked: nobody writes there.
            connection.execute("ATTACH ? AS kept", (f"{path.absolute().as_uri()}?mode=ro&immutable=1",))
            with connection:
                for table in ("contacts", "addresses"):
                    columns = ", ".join(
                        _columns(connection, "kept", table) & _columns(connection, "main", table)
                    )
                    if columns:
                        connection.execute(
                            f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM kept.{table} ORDER BY rowid"
                        )
                connection.execute("UPDATE contacts SET ephemeral = 0")  # all are
            connection.execute("DETACH kept")
    except sqlite3.Error as error:
        connection.close()
        raise StoreError(f"The contacts in {path} could not be read: {error}.") from error
    return connection, None


def _columns(connection: sqlite3.Connection, schema: str, table: str) -> set[str]:
    rows = connection.execute("SELECT name FROM pragma_table_info(?, ?)", (table, schema))
    return {row[0] for row in rows}


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
    connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _SCHEMA_VERSION:
        raise StoreError(
            f"The message history {path} was written by a newer version of this program; update it."
        )
    if version > 0:
        _check(path, connection)
    if version < _SCHEMA_VERSION:
        _migrate(connection, version)
    search_index.attach(connection)


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    script = _MIGRATIONS[version]
    try:
        connection.executescript(f"BEGIN; {script} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;")
    except BaseException:
        if connection.in_transaction:
            connection.rollback()
        raise


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

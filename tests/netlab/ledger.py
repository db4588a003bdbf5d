"""Reads what a program has on its disk, after it was killed: is the file whole, and what does it say?"""

from __future__ import annotations

import re
import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Ledger", "read_ledger"]

_NAME: Final = "history.sqlite3"
_MARK: Final = re.compile(r"<(\d+)>")


@dataclass(frozen=True)
class Ledger:
    """One history.

    Attributes:
        verdict: of SQLite's own check; ``ok`` if it is whole.
        said, heard: the numbers in the messages of either direction, in the order in which they are shown.
        aside: histories that were found damaged and renamed.
    """

    verdict: str
    said: list[int]
    heard: list[int]
    aside: int

    @property
    def whole(self) -> bool:
        """Whether nothing was damaged, now or before."""
        return self.verdict == "ok" and not self.aside


def read_ledger(data_dir: Path) -> Ledger:
    """Read the history of a program that does not run, from a copy: to read it is to recover it."""
    with tempfile.TemporaryDirectory(prefix="p2pchat-ledger-") as name:
        for path in data_dir.glob(f"{_NAME}*"):
            if path.name in (_NAME, f"{_NAME}-wal"):
                shutil.copy(path, name)
        aside = len(list(data_dir.glob(f"{_NAME}.damaged-*")))
        try:
            verdict, rows = _read(Path(name, _NAME))
        except sqlite3.DatabaseError as error:
            verdict, rows = str(error), []
    said = [int(mark) for outgoing, text in rows if outgoing for mark in _MARK.findall(text)]
    heard = [int(mark) for outgoing, text in rows if not outgoing for mark in _MARK.findall(text)]
    return Ledger(verdict, said, heard, aside)


def _read(path: Path) -> tuple[str, list[tuple[int, str]]]:
    with closing(sqlite3.connect(path)) as database:
        (verdict,) = database.execute("PRAGMA integrity_check").fetchone()
        rows = database.execute("SELECT outgoing, text FROM messages ORDER BY position").fetchall()
    return str(verdict), rows

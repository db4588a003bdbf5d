"""Clocks of their own for single programs, which can be set while they run (libfaketime)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["faketime", "set_clock", "with_clock"]

_PLACES: Final = ("/usr/lib", "/usr/lib64", "/usr/local/lib")


def faketime() -> Path | None:
    """Return the library, or ``None`` if it is not installed (Debian: libfaketime)."""
    for place in _PLACES:
        for pattern in ("faketime/libfaketimeMT.so.1", "*/faketime/libfaketimeMT.so.1"):
            if found := next(Path(place).glob(pattern), None):
                return found
    return None


def with_clock(argv: Sequence[str | Path], file: Path) -> list[str | Path]:
    """Return the command line that runs `argv` by the clock in `file`; see `set_clock`.

    Only the time of day is faked. A machine that slept sees the same: on Linux the monotonic clock, which timers go
    by, stands still meanwhile.
    """
    library = faketime()
    assert library is not None
    set_clock(file, 0)
    return [
        "env",
        f"LD_PRELOAD={library}",
        f"FAKETIME_TIMESTAMP_FILE={file}",
        "FAKETIME_CACHE_DURATION=1",
        "FAKETIME_DISABLE_SHM=1",
        "NO_FAKE_STAT=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
        "DONT_FAKE_MONOTONIC=1",
        *argv,
    ]


def set_clock(file: Path, seconds: int) -> None:
    """Set the clock in `file` this far ahead of, or behind, that of the machine."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.new")
    new.write_text(f"{seconds:+d}s\n")
    os.replace(new, file)

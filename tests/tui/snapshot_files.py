"""What every state looks like as text, at three sizes, compared with files.

``python -m tests.tui.snapshot_files`` from the root renews the files; with names of states, only those. The difference
that git shows is what changed on the screen.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from tests.tui.harness import SIZES, running, screen_text, settle
from tests.tui.states import STATES

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FOLDER", "difference", "draw", "path_of"]

FOLDER = Path(__file__).with_name("snapshots")


def path_of(name: str) -> Path:
    """Where the picture of a state is kept."""
    return FOLDER / f"{name}.txt"


async def draw(name: str) -> str:
    """Return what a state looks like at every size."""
    pictures = []
    with _anywhere():
        for size in SIZES:
            state = STATES[name]
            service = state.service()
            async with running(service, size) as (app, pilot):
                await state.act(app, pilot, service)
                await settle(pilot)
                rows = "\n".join(row.rstrip() for row in screen_text(app).splitlines())
                pictures.append(f"--- {size[0]}x{size[1]}\n{rows.rstrip()}\n")
    return "".join(pictures)


def difference(name: str, drawn: str) -> str:
    """Return how a state differs from its file; "" if it does not."""
    path = path_of(name)
    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    return "\n".join(
        difflib.unified_diff(
            kept.splitlines(), drawn.splitlines(), f"snapshots/{name}.txt", "now", lineterm=""
        )
    )


@contextlib.contextmanager
def _anywhere() -> Iterator[None]:
    """Make the screen the same on every machine: its time zone, its home folder, its desktop."""
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    with mock.patch.dict(os.environ, {**kept, "TZ": "UTC", "HOME": "/home/alice"}, clear=True):
        time.tzset()
        yield
    time.tzset()


async def _renew(names: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in names or STATES:
        path_of(name).write_text(await draw(name), encoding="utf-8")
        print(path_of(name))
    if not names:
        for path in FOLDER.glob("*.txt"):
            if path.stem not in STATES:
                path.unlink()


if __name__ == "__main__":
    asyncio.run(_renew(sys.argv[1:]))

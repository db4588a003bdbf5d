"""Counts what a process holds: tasks, timers, objects, sockets, files and memory."""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

__all__ = ["Census", "take_census"]

# Whose objects are counted. What a library caches for itself is seen in the memory.
_OURS: Final = ("p2pchat_", "aiortc", "aioice", "websockets", "OpenSSL")
_ASYNCIO: Final = ("Task", "Event", "Queue", "Condition", "StreamWriter")


@dataclass(frozen=True)
class Census:
    """What there was at one moment.

    Attributes:
        tasks: by the name of their coroutine function.
        objects: by class; those of ours, of the libraries below and of asyncio.
        files: open descriptors by kind (``socket``, ``anon_inode`` …).
        timers: callbacks the loop has been asked for and that are not cancelled.
        memory: bytes of resident memory.
    """

    tasks: Counter[str] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)
    files: Counter[str] = field(default_factory=Counter)
    timers: int = 0
    memory: int = 0

    def more_than(self, before: Census) -> dict[str, int]:
        """Return what there is more of than in `before`, and how much more; memory is not among it."""
        grown: dict[str, int] = {}
        for label, now, then in (
            ("task", self.tasks, before.tasks),
            ("object", self.objects, before.objects),
            ("file", self.files, before.files),
        ):
            for name, count in now.items():
                if count > then[name]:
                    grown[f"{label} {name}"] = count - then[name]
        if self.timers > before.timers:
            grown["timer"] = self.timers - before.timers
        return grown

    def memory_growth(self, before: Census) -> float:
        """Return the share by which memory has grown since `before`."""
        return self.memory / before.memory - 1


def take_census() -> Census:
    """Count, inside the running loop, after what nobody needs has been collected."""
    for _ in range(3):
        gc.collect()
    current = asyncio.current_task()
    return Census(
        tasks=Counter(_coroutine(task) for task in asyncio.all_tasks() if task is not current),
        objects=Counter(name for item in gc.get_objects() if (name := _name(item))),
        files=_files(),
        timers=_timers(),
        memory=int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
    )


def _coroutine(task: asyncio.Task[object]) -> str:
    return getattr(task.get_coro(), "__qualname__", "?")


def _name(item: object) -> str:
    kind = type(item)
    module = getattr(kind, "__module__", None)
    if not isinstance(module, str):
        return ""
    if module.startswith(_OURS):
        return f"{module}.{kind.__qualname__}"
    if module.partition(".")[0] in ("asyncio", "_asyncio") and kind.__qualname__ in _ASYNCIO:
        return f"asyncio.{kind.__qualname__}"
    return ""


def _files() -> Counter[str]:
    kinds: Counter[str] = Counter()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(entry)
        except OSError:  # the one we read the directory with
            continue
        kinds[target.partition(":")[0] if not target.startswith("/") else Path(target).name] += 1
    return kinds


def _timers() -> int:
    scheduled = getattr(asyncio.get_running_loop(), "_scheduled", [])
    return sum(not handle.cancelled() for handle in scheduled)

"""The plumbing of JSON lines: standard input in lines, standard output out of reach of everything else.

Both ends are plain blocking descriptors (a pipe, a file, a terminal), each served by one daemon thread, so that a
reader who does not read never stops the network, and never keeps the program from ending.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import queue
import sys
import threading
from typing import TYPE_CHECKING

from p2pchat_core.limits import HEADLESS_OUTPUT_QUEUE, READ_CHUNK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

__all__ = ["LineSplitter", "LineWriter", "claim_stdout", "read_chunks"]


class LineSplitter:
    """Cuts bytes into lines. One longer than `max_line` comes out as ``None``, and never takes more memory."""

    def __init__(self, max_line: int) -> None:
        self._max_line = max_line
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes | None]:
        """Return the lines that `data` completes, without their line feeds."""
        lines: list[bytes | None] = []
        *ended, rest = data.split(b"\n")
        for piece in ended:
            self._keep(piece)
            lines.append(self._take())
        self._keep(rest)
        return lines

    def finish(self) -> list[bytes | None]:
        """Return what came after the last line feed, if anything."""
        return [self._take()] if self._size else []

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._max_line:
            self._parts.clear()
        elif piece:
            self._parts.append(piece)

    def _take(self) -> bytes | None:
        line = None if self._size > self._max_line else b"".join(self._parts)
        self._parts, self._size = [], 0
        return line


async def read_chunks(descriptor: int) -> AsyncIterator[bytes]:
    """Yield what can be read from `descriptor` until its end. Reads ahead by one chunk at most."""
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes] = asyncio.Queue(1)

    def read() -> None:
        data = b"?"
        while data:
            try:
                data = os.read(descriptor, READ_CHUNK)
            except OSError:
                data = b""  # an input that breaks has ended
            try:
                asyncio.run_coroutine_threadsafe(chunks.put(data), loop).result()
            except (RuntimeError, concurrent.futures.CancelledError):
                return  # the program is ending

    threading.Thread(target=read, name="standard input", daemon=True).start()
    while data := await chunks.get():
        yield data


class LineWriter:
    """Writes lines to a descriptor in order, waiting while too many are unwritten.

    When the other side is gone, `on_broken` is called once, and lines are dropped from then on.
    """

    def __init__(self, descriptor: int, on_broken: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._on_broken = on_broken
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(HEADLESS_OUTPUT_QUEUE)
        self._ended = asyncio.Event()
        threading.Thread(target=self._write_all, name="standard output", daemon=True).start()

    async def write(self, line: bytes) -> None:
        """Queue one line, which includes its line feed. Returns at once while there is room."""
        await self._room.acquire()
        self._queue.put(line)

    async def close(self, timeout: float) -> None:
        """Write what is queued, for `timeout` seconds at most, and take no more."""
        self._queue.put(None)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._ended.wait()

    def _write_all(self) -> None:
        broken = False
        while (line := self._queue.get()) is not None:
            if not broken:
                try:
                    _write(self._descriptor, line)
                except OSError:
                    broken = True
                    self._tell(self._on_broken)
            self._tell(self._room.release)
        self._tell(self._ended.set)

    def _tell(self, callback: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            self._loop.call_soon_threadsafe(callback)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def claim_stdout() -> int:
    """Return a descriptor for standard output that is ours alone; prints by anybody else go to standard error.

    Raises:
        OSError: standard output is closed.
    """
    sys.stdout.flush()
    claimed = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return claimed

"""A program in a pseudo-terminal of its own, with a terminal emulator reading what it draws."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import subprocess
import termios
from typing import TYPE_CHECKING, Self

import pyte

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

__all__ = ["Terminal"]


class Terminal:
    """A terminal of `columns` by `rows` with one program in it; use it as an async context."""

    def __init__(self, argv: Sequence[str | Path], *, columns: int = 120, rows: int = 40) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._argv = [str(argument) for argument in argv]
        self._changed = asyncio.Event()
        self._main, program = pty.openpty()
        fcntl.ioctl(program, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._program = program

    async def __aenter__(self) -> Self:
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        # Those are of whoever runs the tests, and programs believe them before the terminal.
        for size in ("COLUMNS", "LINES"):
            environment.pop(size, None)
        self._process = subprocess.Popen(
            self._argv,
            stdin=self._program,
            stdout=self._program,
            stderr=self._program,
            env=environment,
            start_new_session=True,
        )
        os.close(self._program)
        asyncio.get_running_loop().add_reader(self._main, self._read)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._main)
        self._process.kill()
        self._process.wait()
        os.close(self._main)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def text(self) -> str:
        """What is on the screen, a line each."""
        return "\n".join(self._screen.display)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._main, text.encode())

    def paste(self, text: str) -> None:
        """Paste as a terminal with bracketed paste does."""
        self.type(f"\x1b[200~{text}\x1b[201~")

    async def until(self, condition: Callable[[Self], bool], what: str, timeout: float = 20) -> None:
        """Wait until the screen shows something.

        Raises:
            AssertionError: it never did; the text is the screen.
        """
        try:
            async with asyncio.timeout(timeout):
                while not condition(self):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"the screen never showed {what}:\n{self.text}") from None

    async def ended(self) -> int:
        """Wait for the program to end and return its exit code."""
        async with asyncio.timeout(10):
            while (code := self._process.poll()) is None:
                await asyncio.sleep(0.02)
        return code

    def _read(self) -> None:
        try:
            data = os.read(self._main, 65536)
        except OSError:  # the program has ended
            asyncio.get_running_loop().remove_reader(self._main)
            return
        self._stream.feed(data)
        self._changed.set()

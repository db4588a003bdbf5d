"""Programs driven by JSON lines: our own headless face, and the JavaScript peers of the interop suite."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

__all__ = ["CommandFailedError", "Program"]

LINE_LIMIT = 1 << 24


class CommandFailedError(Exception):
    """A command was answered with ``"ok": false``; `reply` is the whole answer."""

    def __init__(self, reply: dict[str, Any]) -> None:
        super().__init__(reply.get("error", ""))
        self.reply = reply


class Program:
    """One process.

    Commands are answered by id; everything else it prints is an event (or a plain line), kept
    until asked for.

    Attributes:
        peer: its PeerId, if whoever started it has learnt it.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.process = process
        self.peer = ""
        self.events: list[dict[str, Any]] = []
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._ids = itertools.count(1)
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._news = asyncio.Condition()
        self._readers = [asyncio.create_task(self._read()), asyncio.create_task(self._read_errors())]

    @classmethod
    async def start(
        cls,
        name: str,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
    ) -> Self:
        """Start the process; its standard error goes to ours, with its name in front."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *map(str, argv), stdin=pipe, stdout=pipe, stderr=pipe, cwd=cwd, env=env, limit=LINE_LIMIT
        )
        return cls(name, process)

    async def send_line(self, line: bytes) -> None:
        """Write one raw line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        await self.process.stdin.drain()

    async def call(self, cmd: str, **fields: Any) -> dict[str, Any]:
        """Run a command and return its reply.

        Raises:
            CommandFailedError: it was answered with ``"ok": false``.
        """
        number = next(self._ids)
        future = self._replies[number] = asyncio.get_running_loop().create_future()
        await self.send_line(json.dumps({"id": number, "cmd": cmd, **fields}).encode())
        reply = await future
        if not reply["ok"]:
            raise CommandFailedError(reply)
        return reply

    async def event(
        self, name: str, accept: Callable[[dict[str, Any]], bool] = lambda _event: True, timeout: float = 20
    ) -> dict[str, Any]:
        """Return (and forget) the first event of this name that is accepted, waiting for it if it has not come."""

        def find() -> dict[str, Any] | None:
            return next((e for e in self.events if e.get("event") == name and accept(e)), None)

        try:
            async with asyncio.timeout(timeout), self._news:
                while (found := find()) is None:
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(
                f"{self.name}: no such {name} event came; {self.events=} {self.errors[-20:]=}"
            ) from None
        self.events.remove(found)
        return found

    async def line(self, timeout: float = 20) -> str:
        """Return (and forget) the next line printed that is not JSON."""
        try:
            async with asyncio.timeout(timeout), self._news:
                while not self.lines:
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{self.name} printed no line; {self.errors[-20:]=}") from None
        return self.lines.pop(0)

    async def stop(self) -> int:
        """End its input, wait, and return its exit code; kill it if it does not end by itself."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            async with asyncio.timeout(5):
                code = await self.process.wait()
        except TimeoutError:
            self.process.kill()
            code = await self.process.wait()
        await asyncio.wait(self._readers)
        return code

    async def kill(self) -> None:
        """End it without a chance to say good-bye."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await asyncio.wait(self._readers)

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            try:
                value = json.loads(line)
            except ValueError:
                value = None
            async with self._news:
                if not isinstance(value, dict):
                    self.lines.append(line.decode(errors="replace").rstrip("\n"))
                elif "event" in value:
                    self.events.append(value)
                elif (future := self._replies.pop(value.get("id"), None)) is not None and not future.done():
                    future.set_result(value)
                else:
                    self.events.append({"event": "reply", **value})
                self._news.notify_all()
        for future in self._replies.values():
            if not future.done():
                future.set_exception(AssertionError(f"{self.name} ended: {self.errors[-20:]}"))

    async def _read_errors(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            text = line.decode(errors="replace").rstrip()
            self.errors.append(text)
            print(f"[{self.name}] {text}", file=sys.stderr)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            await self.stop()
        else:
            await asyncio.wait(self._readers)

"""``p2pchat --plain``: the chat as lines, for screen readers, dumb terminals and pipes.

Lines of standard input are commands or what is said; each thing that happens is one line of standard output. Nothing
but printable text and line feeds is ever written. See `p2pchat_tui.plain_words` for the words.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.errors import P2PChatError
from p2pchat_core.net.tasks import TaskOwner
from p2pchat_tui import plain_words as words
from p2pchat_tui.json_lines import LineSplitter, LineWriter, claim_stdout, read_chunks
from p2pchat_tui.plain_lines import Lines
from p2pchat_tui.plain_session import Session
from p2pchat_tui.safe_text import clean_input
from p2pchat_tui.standalone import StandaloneService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from p2pchat_tui.options import Options

__all__ = ["Typing", "run"]


class Typing:
    """Hands one line after the other to a session.

    Args:
        person: somebody types, so that `/quit` and `/cancel` need not wait for the command under way. From a file or
            a pipe, everything comes in its turn.
    """

    def __init__(self, session: Session, lines: Lines, *, person: bool) -> None:
        self._session = session
        self._lines = lines
        self._person = person
        self._queue: asyncio.Queue[str | None] = asyncio.Queue(limits.HEADLESS_MAX_COMMANDS)
        self._tasks = TaskOwner("line mode commands")
        self._command: asyncio.Task[None] | None = None

    async def read(self, chunks: AsyncIterator[bytes]) -> None:
        """Queue every line until the input ends."""
        splitter = LineSplitter(limits.HEADLESS_MAX_LINE)
        async for chunk in chunks:
            for line in splitter.feed(chunk):
                await self._read(line)
        for line in splitter.finish():
            await self._read(line)
        await self._queue.put(None)

    async def _read(self, line: bytes | None) -> None:
        self._lines.typed()
        if line is None:
            await self._lines.say(f"Error: The line is longer than {limits.HEADLESS_MAX_LINE} bytes.")
            return
        text = clean_input(line.decode("utf-8", "replace"), lines=True).strip()
        if self._person and text.lower() == "/quit":
            self._session.stopping.set()
        elif self._person and text.lower() == "/cancel" and self._command is not None:
            self._command.cancel()
        else:
            await self._queue.put(text)

    async def run(self, first: str = "") -> None:
        """Run one line after the other, beginning with `first`, until there are no more."""
        line: str | None = first
        while line is not None:
            self._command = self._tasks.spawn(self._session.run_line(line), "a line")
            if self._command is not None:
                await asyncio.wait([self._command])
                if self._command.cancelled() and not self._session.stopping.is_set():
                    await self._lines.say("Cancelled.")
            self._command = None
            if self._queue.empty():
                await self._lines.ask()
            line = await self._queue.get()
        self._session.stopping.set()

    async def close(self) -> None:
        """Break off the command under way."""
        await self._tasks.close()


# --- the program ------------------------------------------------------------------------------------------------------


def run(options: Options, reason: str = "") -> int:
    """Run until the input ends, ``/quit``, SIGTERM or SIGINT, and return the exit code: 1 if it could not start.

    Args:
        reason: why the user gets lines without having asked for them; said first.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        person = os.isatty(sys.stdin.fileno())
        prompts = person and os.isatty(1)
        stdout = claim_stdout()
    except (OSError, AttributeError, ValueError):
        print("p2pchat: Standard input or output is closed.", file=sys.stderr)  # noqa: T201
        return 1
    return asyncio.run(_main(options, reason, stdout, encoding, person=person, prompts=prompts))


async def _main(
    options: Options, reason: str, stdout: int, encoding: str, *, person: bool, prompts: bool
) -> int:
    loop = asyncio.get_running_loop()
    service = StandaloneService(options)
    stopping: list[Callable[[], None]] = []
    writer = LineWriter(stdout, lambda: stopping[0]())
    time_format = options.preferences.time_format
    lines = Lines(writer.write, encoding=encoding, time_format=time_format, prompts=prompts)
    session = Session(service, lines, echo=not person)
    typing = Typing(session, lines, person=person)
    stopping.append(session.stopping.set)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, session.stopping.set)
    background = TaskOwner("line mode")
    if reason:
        await lines.say(words.sentence(reason))
    events = background.spawn(session.show(service.subscribe()), "events")
    code = 0
    try:
        await service.start()
        await session.begin()
        background.spawn(typing.read(read_chunks(sys.stdin.fileno())), "input")
        background.spawn(typing.run(f"/connect {options.connect}" if options.connect else ""), "commands")
        await session.stopping.wait()
        await typing.close()
    except P2PChatError as error:
        await lines.say(f"Error: {words.sentence(str(error))}")
        code = 1
    finally:
        await service.stop()
        if events is not None:  # it ends by itself once the last event is said
            await asyncio.wait([events], timeout=limits.HEADLESS_QUIT_GRACE)
        await background.close()
        await lines.end()
        await writer.close(limits.HEADLESS_QUIT_GRACE)
    return code

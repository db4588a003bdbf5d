"""``p2pchat headless``: the chat service for scripts, as JSON lines (version 1; see docs/headless.md).

Each line of standard input is a command, each line of standard output a reply or an event. Commands run at the same
time, so a slow ``connect`` does not hold up a ``ping``; replies carry the ``id`` of their command.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec

from p2pchat_core import limits
from p2pchat_core.chat.events import (
    ConnectionEvent,
    ContactEvent,
    ErrorEvent,
    Event,
    ListeningEvent,
    MessageEvent,
    ReadyEvent,
    RelayEvent,
    SentEvent,
    StepEvent,
)
from p2pchat_core.errors import CommandError, ConnectionLostError, P2PChatError
from p2pchat_core.net.tasks import TaskOwner
from p2pchat_tui.headless_commands import COMMANDS, Command, Fields, Nothing, fields
from p2pchat_tui.json_lines import LineSplitter, LineWriter, claim_stdout, read_chunks
from p2pchat_tui.standalone import StandaloneService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from p2pchat_core.chat.event_hub import EventStream
    from p2pchat_core.chat.service import ChatService
    from p2pchat_tui.options import Options

__all__ = ["Session", "event_fields", "run"]

logger = logging.getLogger(__name__)

_Members = dict[str, msgspec.Raw]
_NO_ID: Final = msgspec.Raw(b"null")


class _BadLine(CommandError):
    """A line that is not a JSON object."""

    code = "bad_json"


class _UnknownCommand(CommandError):
    """There is no such command."""

    code = "unknown_command"


class Session:
    """Runs commands and writes replies and events. `stopping` is set when it should end."""

    def __init__(self, service: ChatService, write: Callable[[bytes], Awaitable[None]]) -> None:
        self.stopping = asyncio.Event()
        self._service = service
        self._write = write
        self._tasks = TaskOwner("headless commands")
        self._running: set[asyncio.Task[Any]] = set()
        self._slots = asyncio.Semaphore(limits.HEADLESS_MAX_COMMANDS)

    async def write_events(self, events: EventStream) -> None:
        """Write every event until the stream ends."""
        async for event in events:
            await self._send(event_fields(event))

    async def read_commands(self, chunks: AsyncIterator[bytes]) -> None:
        """Start every command until the input ends, then ask to stop."""
        splitter = LineSplitter(limits.HEADLESS_MAX_LINE)
        async for chunk in chunks:
            for line in splitter.feed(chunk):
                await self._start(line)
        for line in splitter.finish():
            await self._start(line)
        self.stopping.set()

    async def connect(self, address: str) -> None:
        """Connect as ``--connect`` asks; failing is an event, for there is no command to reply to."""
        try:
            await self._service.connect(address)
        except P2PChatError as error:
            await self.write_error(error)

    async def write_error(self, error: P2PChatError) -> None:
        """Write an error event."""
        await self._send(event_fields(ErrorEvent(error.code, _sentence(error))))

    async def finish(self) -> None:
        """Let commands under way end within `HEADLESS_QUIT_GRACE`, then break off the others; all get a reply."""
        if self._running:
            await asyncio.wait(self._running, timeout=limits.HEADLESS_QUIT_GRACE)
        await self._tasks.close()

    # --- commands ---------------------------------------------------------------------------------------------------

    async def _start(self, line: bytes | None) -> None:
        if line is not None and not line.strip():
            return
        await self._slots.acquire()
        task = self._tasks.spawn(self._run(line), "command")
        if task is None:
            self._slots.release()
            return
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        self._slots.release()

    async def _run(self, line: bytes | None) -> None:
        command_id = _NO_ID
        try:
            members = _members(line)
            command_id = members.get("id", _NO_ID)
            command = self._find(members)
            result = await command.run(self._service, _decode(members, command.arguments))
        except P2PChatError as error:
            reply: Fields = {"ok": False, "code": error.code, "error": _sentence(error)}
        except asyncio.CancelledError:
            lost = ConnectionLostError("The program ended before the command was done.")
            await self._send({"id": command_id, "ok": False, "code": "stopping", "error": str(lost)})
            raise
        except Exception as error:
            logger.exception("a command failed")
            reply = {"ok": False, "code": "internal", "error": f"This is a defect in p2pchat: {error!r}."}
        else:
            reply = {"ok": True, **result}
        await self._send({"id": command_id, **reply})

    def _find(self, members: _Members) -> Command:
        if "cmd" not in members:
            raise CommandError('The command has no "cmd".')
        name = msgspec.json.decode(members["cmd"])
        if name == "quit":
            return Command(Nothing, self._quit)
        if not isinstance(name, str) or name not in COMMANDS:
            raise _UnknownCommand(
                f"There is no command {name!r:.100}; there are {', '.join(COMMANDS)}, quit."
            )
        return COMMANDS[name]

    async def _quit(self, _service: ChatService, _command: Nothing) -> Fields:
        self.stopping.set()
        return {}

    async def _send(self, fields: Fields) -> None:
        await self._write(_encode(fields))


def event_fields(event: Event) -> Fields:
    """Return the JSON object of an event."""
    match event:
        case ReadyEvent():
            name = "ready"
        case ListeningEvent():
            name = "listening"
        case RelayEvent():
            name = "relay"
        case StepEvent():
            name = "step"
        case ConnectionEvent():
            name = "connection"
        case ContactEvent():
            name = "contact"
        case MessageEvent():
            name = "message"
            told = {"peer": event.peer, "text": event.text, "message_id": event.message_id}
            again = {"again": True} if event.again else {}
            return {"event": name, **told, "sent_at": event.sent_at, **again}
        case SentEvent():
            name = "delivered" if event.delivered else "sent"
            return {"event": name, "peer": event.peer, "message_id": event.message_id}
        case ErrorEvent():
            name = "error"
    return {"event": name, **fields(event)}


def _encode(fields: Fields) -> bytes:
    try:
        return msgspec.json.encode(fields) + b"\n"
    except UnicodeEncodeError:
        # A name from the file system, say, may hold half a surrogate pair, which only an escape can carry.
        plain = {
            key: msgspec.json.decode(v) if isinstance(v, msgspec.Raw) else v for key, v in fields.items()
        }
        return json.dumps(plain).encode() + b"\n"


def _members(line: bytes | None) -> _Members:
    """Return the members of a command, undecoded: an id is given back just as it came.

    Raises:
        CommandError: the line is too long, or not a JSON object.
    """
    if line is None:
        raise _BadLine(f"The line is longer than {limits.HEADLESS_MAX_LINE} bytes.")
    try:
        line.decode()  # what is passed on undecoded must be UTF-8 too
        return msgspec.json.decode(line, type=_Members)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _BadLine(f"The line is not a JSON object: {error}.") from None


def _decode(members: _Members, arguments: type[Any]) -> Any:
    """Return the arguments of a command.

    Raises:
        CommandError: one is missing or of the wrong type.
    """
    try:
        return msgspec.convert({key: msgspec.json.decode(raw) for key, raw in members.items()}, arguments)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CommandError(f"The command cannot be used: {error}.") from None


def _sentence(error: P2PChatError) -> str:
    return str(error) or (type(error).__doc__ or type(error).__name__).splitlines()[0]


# --- the program ------------------------------------------------------------------------------------------------------


def run(options: Options) -> int:
    """Run until the input ends, ``quit``, SIGTERM or SIGINT, and return the exit code: 1 if it could not start."""
    try:
        stdout = claim_stdout()
    except OSError:
        logger.error("Standard output is closed, so there is nowhere to reply to.")
        return 1
    return asyncio.run(_main(options, stdout))


async def _main(options: Options, stdout: int) -> int:
    loop = asyncio.get_running_loop()
    service = StandaloneService(options)
    stopping: list[Callable[[], None]] = []
    writer = LineWriter(stdout, lambda: stopping[0]())
    session = Session(service, writer.write)
    stopping.append(session.stopping.set)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, session.stopping.set)
    background = TaskOwner("headless")
    events = background.spawn(session.write_events(service.subscribe()), "events")
    code = 0
    try:
        await service.start()
        background.spawn(session.read_commands(read_chunks(sys.stdin.fileno())), "commands")
        if options.connect is not None:
            background.spawn(session.connect(options.connect), "connect at start")
        await session.stopping.wait()
        await session.finish()
    except P2PChatError as error:
        await session.write_error(error)
        print(f"p2pchat: {_sentence(error)}", file=sys.stderr)  # noqa: T201
        code = 1
    finally:
        await service.stop()
        if events is not None:  # it ends by itself once the last event is written
            await asyncio.wait([events], timeout=limits.HEADLESS_QUIT_GRACE)
        await background.close()
        await writer.close(limits.HEADLESS_QUIT_GRACE)
    return code

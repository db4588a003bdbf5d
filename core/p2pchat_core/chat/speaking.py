"""What we say to one peer over `/p2pchat/session/1.0.0`: the stream, the path it is on, and going on on another."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from p2pchat_core import limits
from p2pchat_core.chat.events import SentEvent
from p2pchat_core.errors import (
    NoAnswerError,
    NotConnectedError,
    P2PChatError,
    RemoteProtocolError,
    StoreError,
    StreamClosedError,
    UnsupportedProtocolError,
)
from p2pchat_core.wire.session import SESSION_PROTOCOL, Acknowledged, Speaker, Welcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2pchat_core.chat.event_hub import EventHub
    from p2pchat_core.chat.store import Store
    from p2pchat_core.clock import Clock
    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.stream import Stream
    from p2pchat_core.net.tasks import TaskOwner
    from p2pchat_core.wire.session import Message

__all__ = ["Speaking", "rank"]

logger = logging.getLogger(__name__)

_BATCH: Final = 64
"""Messages taken from the store at once."""
_OVERHEAD: Final = 96
"""Bytes that a message costs on a circuit besides its text: its number, id and time, yamux and Noise."""
_STALL: Final = 2.0
"""A timer this late means that our own program stood still, not that the peer was silent."""


def rank(connection: Connection) -> tuple[bool, bool, bool]:
    """Return how good a path is for a conversation; smaller is better. One that has a successor ends soon."""
    return connection.limited, connection.relayed, connection.superseded


class _Line:
    """One stream we speak on, welcomed by the listener."""

    def __init__(self, stream: Stream, machine: Speaker, log: bytes) -> None:
        self.stream = stream
        self.machine = machine
        self.log = log
        self.timer: asyncio.TimerHandle | None = None

    @property
    def connection(self) -> Connection:
        return self.stream.connection

    def affordable(self, messages: list[Message], now: float) -> list[Message]:
        """Return as many of `messages`, the first ones, as a circuit with a limit should carry now."""
        budget = self.connection.budget
        if budget is None:
            return messages
        under_way = size = self.machine.outstanding_bytes
        fit = []
        for message in messages:
            size += len((message.text or "").encode()) + _OVERHEAD
            if not budget.affords(size):
                break
            fit.append(message)
        if fit or under_way:  # the rest is looked at again when these are acknowledged
            return fit
        return messages[:1] if budget.must_take(size, now) else []

    def end(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.stream.abort()


class Speaking:
    """Keeps one stream open while there is something to say, on the best path there is.

    `on_progress` is called with the number of messages that were just acknowledged, and with zero when there is a
    reason to call `flush` again.

    Attributes:
        path_died: the last stream was lost with its connection, not given up by the peer.
    """

    def __init__(
        self,
        peer: PeerId,
        *,
        connections: Callable[[PeerId], list[Connection]],
        store: Store,
        hub: EventHub,
        clock: Clock,
        tasks: TaskOwner,
        on_progress: Callable[[int], None],
        on_trouble: Callable[[P2PChatError], None],
    ) -> None:
        self.peer = peer
        self._name = str(peer)
        self._connections = connections
        self._store = store
        self._hub = hub
        self._clock = clock
        self._tasks = tasks
        self._on_progress = on_progress
        self._on_trouble = on_trouble
        self.path_died = False
        self._line: _Line | None = None
        self._moving = False
        self._sent_up_to = 0  # of the present log: told as sent
        self._log = b""

    @property
    def open(self) -> bool:
        """Whether there is a stream."""
        return self._line is not None

    @property
    def outstanding(self) -> int:
        """Messages said on the present stream and not acknowledged."""
        return 0 if self._line is None else self._line.machine.outstanding

    async def flush(self) -> None:
        """Say everything that waits and has room, on the present stream or on one opened for it.

        Raises:
            NotConnectedError: there is no connection.
            UnsupportedProtocolError: the peer's program knows no sessions.
            StoreError: the history cannot be used.
            P2PChatError: no stream could be opened on any connection.
        """
        if self._line is None:
            self._use(await self._open_best())
        self.consider_move()
        while (line := self._line) is not None:
            room = min(line.machine.room, _BATCH)
            if not room:
                return
            messages = await self._store.next_to_say(self._name, line.log, line.machine.next, room)
            if not messages:
                return
            if line is not self._line:  # lost or moved meanwhile
                continue
            messages = line.affordable(messages, self._clock.monotonic())
            if not messages:  # another circuit is asked for; if it does not come, these go on the present one
                asyncio.get_running_loop().call_later(limits.CIRCUIT_PATIENCE, self._on_progress, 0)
                return
            line.machine.say(messages, self._clock.monotonic())
            for message in messages:
                if message.sequence > self._sent_up_to:
                    self._sent_up_to = message.sequence
                    self._hub.emit(SentEvent(self._name, message.message_id.hex()))
            self._watch(line)
            try:
                await line.stream.write(line.machine.take_output())
            except P2PChatError as error:
                self._lost(line, error)

    def consider_move(self) -> None:
        """Move to a better path, if there is one and we speak on another; the present stream is used until then."""
        if self._line is None or self._moving:
            return
        best = next(iter(self._connections(self.peer)), None)
        if best is not None and rank(best) < rank(self._line.connection):
            self._moving = True
            self._tasks.spawn(self._move(best), "move to a better path")

    def close(self) -> None:
        """Give the stream up."""
        if self._line is not None:
            self._line.end()
            self._line = None

    # --- opening --------------------------------------------------------------------------------------------------

    async def _open_best(self) -> _Line:
        """Open a stream on the best connection that takes one."""
        failure: P2PChatError = NotConnectedError(f"There is no connection to {self.peer.short()}.")
        for connection in self._connections(self.peer):
            if connection.closed:
                continue
            try:
                return await self._open(connection)
            except (UnsupportedProtocolError, StoreError):
                raise
            except P2PChatError as error:
                logger.debug("no session on %s: %s", connection, error)
                failure = error
        raise failure

    async def _open(self, connection: Connection) -> _Line:
        try:
            async with asyncio.timeout(limits.SESSION_OPEN_TIMEOUT):
                line = await self._greet(connection) or await self._greet(connection)
        except TimeoutError:
            raise NoAnswerError(f"{self.peer.short()} did not answer when a chat was opened.") from None
        if line is None:
            raise RemoteProtocolError("The peer claims to hold messages that were never said.")
        return line

    async def _greet(self, connection: Connection) -> _Line | None:
        """Open a stream and say hello; ``None`` if the numbers did not fit and were begun anew."""
        stream = await connection.open_stream([SESSION_PROTOCOL], allow_limited=True)
        try:
            log, first = await self._store.begin(self._name)
            machine = Speaker(log, first)
            await stream.write(machine.take_output())
            while machine.welcome is None:
                data = await stream.read()
                if not data:
                    raise StreamClosedError("The peer ended the chat before it began.")
                machine.receive_data(data, self._clock.monotonic())
            delivered = await self._store.resume(
                self._name, log, machine.welcome.held, machine.welcome.held_id
            )
        except BaseException:
            stream.abort()
            raise
        if delivered is None:
            logger.warning("the numbers of %s do not fit ours; begun anew", self.peer.short())
            stream.abort()
            return None
        self._delivered(delivered)
        return _Line(stream, machine, log)

    async def _move(self, connection: Connection) -> None:
        try:
            line = await self._open(connection)
        except P2PChatError as error:
            logger.debug("no session on the better path %s: %s", connection, error)
            await asyncio.sleep(limits.SESSION_MOVE_RETRY)
        else:
            if self._line is None or rank(line.connection) < rank(self._line.connection):
                logger.info("the conversation with %s moves to %s", self.peer.short(), connection)
                self._use(line)
            else:
                line.end()
        finally:
            self._moving = False
        self._on_progress(0)

    def _use(self, line: _Line) -> None:
        if self._line is not None:
            self._line.end()
        if line.log != self._log:
            self._log, self._sent_up_to = line.log, 0
        self._line = line
        self._tasks.spawn(self._read(line), "read acknowledgements")

    # --- what comes back ------------------------------------------------------------------------------------------

    async def _read(self, line: _Line) -> None:
        try:
            while data := await line.stream.read():
                line.connection.heard_at = self._clock.monotonic()
                for event in line.machine.receive_data(data, line.connection.heard_at):
                    if isinstance(event, Welcome):
                        continue
                    await self._acknowledged(line, event)
            self._lost(line, StreamClosedError("The peer ended the chat."))
        except P2PChatError as error:
            self._lost(line, error)

    async def _acknowledged(self, line: _Line, event: Acknowledged) -> None:
        while True:
            try:
                delivered = await self._store.mark_held(self._name, line.log, event.held)
                break
            except StoreError as error:
                self._on_trouble(error)
                await asyncio.sleep(limits.SESSION_STORE_RETRY)
        self._delivered(delivered)

    def _delivered(self, message_ids: list[str]) -> None:
        for message_id in message_ids:
            self._hub.emit(SentEvent(self._name, message_id, delivered=True))
        self._on_progress(len(message_ids))

    def _lost(self, line: _Line, error: P2PChatError) -> None:
        line.end()
        if line is self._line:
            logger.debug("the session with %s broke: %s", self.peer.short(), error)
            self._line = None
            self.path_died = line.connection.closed
            self._on_progress(0)

    def _watch(self, line: _Line) -> None:
        """See to it that what was said is acknowledged in time, or the path given up."""
        if line.timer is not None:
            return
        left = line.machine.overdue(self._clock.monotonic())
        if left is not None:
            loop = asyncio.get_running_loop()
            delay = max(left, 0.05)
            line.timer = loop.call_later(delay, self._check, line, loop.time() + delay)

    def _check(self, line: _Line, due: float) -> None:
        line.timer = None
        stalled = asyncio.get_running_loop().time() - due > _STALL
        if line.machine.overdue(self._clock.monotonic()) == 0.0 and line is self._line:
            if not stalled:
                line.connection.abort("The peer does not acknowledge what is sent on this path.")
                self._lost(line, NoAnswerError("Nothing was acknowledged."))
                return
            line.machine.excuse(self._clock.monotonic())
        self._watch(line)

"""Opening a stream to speak on, on whichever path answers first (docs/session-protocol.md, "Paths")."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from p2pchat_core import limits
from p2pchat_core.errors import (
    NoAnswerError,
    NotConnectedError,
    P2PChatError,
    RemoteProtocolError,
    StoreError,
    StreamClosedError,
    UnsupportedProtocolError,
)
from p2pchat_core.wire.round_trips import RoundTrip
from p2pchat_core.wire.session import FAREWELL, SESSION_PROTOCOL, Farewell, Speaker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from p2pchat_core.chat.store import Store
    from p2pchat_core.clock import Clock
    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.stream import Stream
    from p2pchat_core.wire.session import Message

__all__ = ["Line", "LineOpener"]

logger = logging.getLogger(__name__)

_OVERHEAD: Final = 96
"""Bytes that a message costs on a circuit besides its text: its number, id and time, yamux and Noise."""


class Line:
    """One stream we speak on, welcomed by the listener.

    Attributes:
        trip: from saying something to its acknowledgement.
        ended: set when nothing more will come of it.
    """

    def __init__(self, stream: Stream, machine: Speaker, log: bytes) -> None:
        self.stream = stream
        self.machine = machine
        self.log = log
        self.trip = RoundTrip()
        self.ended = asyncio.Event()
        self._said: deque[tuple[int, float]] = deque()  # (last sequence, when)
        self._writing = asyncio.Lock()

    @property
    def connection(self) -> Connection:
        """The path it is on."""
        return self.stream.connection

    def say(self, messages: Sequence[Message], now: float) -> None:
        """Say the next messages; `flush` writes them."""
        self.machine.say(messages, now)
        self._said.append((messages[-1].sequence, now))

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

    async def say_farewell(self, reason: Farewell) -> None:
        """Say good-bye and wait until the listener has heard it; at once if it does not know how.

        Raises:
            StreamError, ConnectionLostError: see `Stream.write`.
        """
        if self.machine.say_farewell(reason):
            await self.flush()
            await self.ended.wait()

    def acknowledged(self, held: int, now: float) -> None:
        """Measure how long the acknowledgement took that has just come."""
        asked: float | None = None
        while self._said and self._said[0][0] <= held:
            asked = self._said.popleft()[1]
        if asked is not None:
            self.trip.add(now - asked)

    def patience(self) -> float:
        """Return how long an acknowledgement may take before the path is suspected."""
        least, most = limits.SESSION_SUSPECT_MIN, limits.SESSION_SUSPECT_MAX
        trip = self.trip if self.trip.smoothed is not None else self.connection.round_trip
        if trip.smoothed is None:
            return (least + most) / 2
        return trip.patience(max(least, limits.SESSION_SUSPECT_TRIPS * trip.smoothed), most)

    def end(self) -> None:
        """Give the stream up."""
        self.ended.set()
        self.stream.abort()

    async def flush(self) -> None:
        """Write what was said.

        Raises:
            StreamError, ConnectionLostError: see `Stream.write`.
        """
        async with self._writing:
            if output := self.machine.take_output():
                await self.stream.write(output)


class LineOpener:
    """Opens lines to one peer. `on_delivered` is called with the ids that a welcome shows to be delivered."""

    def __init__(
        self, peer: PeerId, store: Store, clock: Clock, on_delivered: Callable[[list[str]], None]
    ) -> None:
        self._peer = peer
        self._name = str(peer)
        self._store = store
        self._clock = clock
        self._on_delivered = on_delivered
        self._news = asyncio.Event()

    def hope(self) -> None:
        """There is a new connection: an opening under way tries it, too."""
        self._news.set()

    async def open_first(self, connections: Callable[[], Sequence[Connection]]) -> Line:
        """Open a line on the first of `connections` that answers: one is begun after the other, all then go on.

        Raises:
            NotConnectedError: there are none.
            UnsupportedProtocolError: the peer's program knows no sessions.
            StoreError: the history cannot be used.
            P2PChatError: none of them works.
        """
        failure: P2PChatError = NotConnectedError(f"There is no connection to {self._peer.short()}.")
        tried: set[Connection] = set()
        running: set[asyncio.Task[Line]] = set()
        try:
            while (waiting := [one for one in connections() if one not in tried]) or running:
                head_start = None
                self._news.clear()
                if waiting:
                    tried.add(waiting[0])
                    running.add(asyncio.ensure_future(self.open(waiting[0])))
                    head_start = _head_start(waiting[0]) if len(waiting) > 1 else None
                done = await self._first_done(running, head_start)
                running -= done
                for task in done:
                    if (error := task.exception()) is None:
                        running |= done - {task}
                        return task.result()
                    if isinstance(error, UnsupportedProtocolError | StoreError):
                        raise error
                    if not isinstance(error, P2PChatError):
                        raise error
                    logger.debug("no session with %s: %s", self._peer.short(), error)
                    failure = error
        finally:
            await _discard(running)
        raise failure

    async def _first_done(
        self, running: set[asyncio.Task[Line]], head_start: float | None
    ) -> set[asyncio.Task[Line]]:
        """Wait until one of `running` is done, the next may begin, or there is one more connection."""
        news = asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait({*running, news}, timeout=head_start, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
        return {task for task in running if task.done()}

    async def open(self, connection: Connection) -> Line:
        """Open a line on one connection.

        Raises:
            P2PChatError: as for `open_first`.
        """
        try:
            async with asyncio.timeout(limits.SESSION_OPEN_TIMEOUT):
                line = await self._greet(connection) or await self._greet(connection)
        except TimeoutError:
            raise NoAnswerError(f"{self._peer.short()} did not answer when a chat was opened.") from None
        if line is None:
            raise RemoteProtocolError("The peer claims to hold messages that were never said.")
        return line

    async def _greet(self, connection: Connection) -> Line | None:
        """Open a stream and say hello; ``None`` if the numbers did not fit and were begun anew."""
        stream = await connection.open_stream([SESSION_PROTOCOL], allow_limited=True)
        try:
            log, first = await self._store.begin(self._name)
            machine = Speaker(log, first, [FAREWELL])
            await stream.write(machine.take_output())
            while machine.welcome is None:
                data = await stream.read()
                if not data:
                    raise StreamClosedError("The peer ended the chat before it began.")
                machine.receive_data(data, self._clock.monotonic())
            connection.heard_at = self._clock.monotonic()
            delivered = await self._store.resume(
                self._name, log, machine.welcome.held, machine.welcome.held_id
            )
        except BaseException:
            stream.abort()
            raise
        if delivered is None:
            logger.warning("the numbers of %s do not fit ours; begun anew", self._peer.short())
            stream.abort()
            return None
        self._on_delivered(delivered)
        return Line(stream, machine, log)


def _head_start(connection: Connection) -> float:
    """Return how long a path is tried alone: opening takes two round trips."""
    return max(limits.SESSION_STAGGER, 3 * (connection.round_trip.smoothed or 0.0))


async def _discard(tasks: set[asyncio.Task[Line]]) -> None:
    """End attempts that came too late."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled() and task.exception() is None:
            task.result().end()

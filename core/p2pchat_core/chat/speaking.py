"""What we say to one peer over `/p2pchat/session/1.0.0`: on which path, and going on on another."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from p2pchat_core import limits
from p2pchat_core.chat.events import SentEvent
from p2pchat_core.chat.session_line import LineOpener
from p2pchat_core.errors import NoAnswerError, P2PChatError, StoreError, StreamClosedError
from p2pchat_core.wire.session import Acknowledged

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2pchat_core.chat.event_hub import EventHub
    from p2pchat_core.chat.paths import Paths
    from p2pchat_core.chat.session_line import Line
    from p2pchat_core.chat.store import Store
    from p2pchat_core.clock import Clock
    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.tasks import TaskOwner
    from p2pchat_core.wire.session import Farewell

__all__ = ["Speaking"]

logger = logging.getLogger(__name__)

_BATCH: Final = 64
"""Messages taken from the store at once."""
_STALL: Final = 2.0
"""A timer this late means that our own program stood still, not that the peer was silent."""
_LEAST_WAIT: Final = 0.05


class Speaking:
    """Keeps one stream open while there is something to say, on the best path there is.

    It moves to a better path when there is one, and to any other that answers when it suspects its own: nothing that
    was said there has been acknowledged for longer than usual.

    Attributes:
        path_died: the last stream was lost with its connection, not given up by the peer.
    """

    def __init__(
        self,
        peer: PeerId,
        *,
        paths: Paths,
        store: Store,
        hub: EventHub,
        clock: Clock,
        tasks: TaskOwner,
        check: Callable[[Connection], None],
        on_progress: Callable[[int], None],
        on_trouble: Callable[[P2PChatError], None],
        on_farewell: Callable[[Farewell], None],
    ) -> None:
        """Begin with no stream.

        Args:
            check: have a connection pinged at once, which is suspected.
            on_progress: called with the number of messages that were just acknowledged, and with zero when there is
                a reason to call `flush` again.
            on_trouble: called with what keeps us from going on.
            on_farewell: called when the peer says good-bye.
        """
        self.peer = peer
        self._name = str(peer)
        self._paths = paths
        self._store = store
        self._hub = hub
        self._clock = clock
        self._tasks = tasks
        self._check_path = check
        self._on_progress = on_progress
        self._on_trouble = on_trouble
        self._on_farewell = on_farewell
        self._opener = LineOpener(peer, store, clock, self._delivered)
        self.path_died = False
        self._line: Line | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._moving: asyncio.Task[None] | None = None
        self._targets: frozenset[Connection] = frozenset()  # of the move under way
        self._again: asyncio.TimerHandle | None = None  # a move that failed
        self._sent_up_to = 0  # of the present log: told as sent
        self._log = b""

    @property
    def open(self) -> bool:
        """Whether there is a stream."""
        return self._line is not None

    @property
    def connection(self) -> Connection | None:
        """The path in use."""
        return None if self._line is None else self._line.connection

    async def flush(self) -> None:
        """Say everything that waits and has room, on the present stream or on one opened for it.

        Raises:
            NotConnectedError: there is no connection.
            UnsupportedProtocolError: the peer's program knows no sessions.
            StoreError: the history cannot be used.
            P2PChatError: no stream could be opened on any connection.
        """
        if self._line is None:
            self._use(await self._opener.open_first(self._paths.in_order))
        self.reconsider()
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
            for message in messages:
                if message.sequence > self._sent_up_to:
                    self._sent_up_to = message.sequence
                    self._hub.emit(SentEvent(self._name, message.message_id.hex()))
            line.say(messages, self._clock.monotonic())
            self._watch(line)
            try:
                await line.flush()
            except P2PChatError as error:
                self._lost(line, error)

    def reconsider(self) -> None:
        """Move to another path if the present one is doubted or a better one is there."""
        if self._line is None or self._again is not None:
            return
        targets = self._paths.better_than(self._line.connection, self._clock.monotonic())
        if self._moving is not None:
            if self._paths.answers(self._line.connection) or self._targets.issuperset(targets):
                return
            self._moving.cancel()  # it is urgent, and there is one more to try
        if targets:
            self._targets = frozenset(targets)
            self._moving = self._tasks.spawn(self._move(targets), "move to another path")

    def hope(self) -> None:
        """There is a new connection: what is to be done is not put off any more."""
        self._opener.hope()
        self._stop_waiting()
        self.reconsider()

    async def farewell(self, reason: Farewell) -> None:
        """Say good-bye on a stream, opening one if there is none, and wait until it is heard.

        Raises:
            P2PChatError: it was not heard.
        """
        if self._line is None:
            self._use(await self._opener.open_first(self._paths.in_order))
        if self._line is not None:
            await self._line.say_farewell(reason)

    def close(self) -> None:
        """Give the stream up."""
        self._stop_timers()
        if self._line is not None:
            self._line.end()
            self._line = None

    # --- moving ---------------------------------------------------------------------------------------------------

    async def _move(self, targets: list[Connection]) -> None:
        """Open a line on one of `targets`; the present one stays in use until then."""
        try:
            line = await self._opener.open_first(lambda: targets)
        except P2PChatError as error:
            logger.debug("no session on %s: %s", targets, error)
            loop = asyncio.get_running_loop()
            self._again = loop.call_later(limits.SESSION_MOVE_RETRY, self._try_again)
        else:
            if self._line is None or self._line.connection is not line.connection:
                logger.info("the conversation with %s moves to %s", self.peer.short(), line.connection)
            self._paths.moved(self._clock.monotonic())
            self._use(line)
        finally:
            if self._moving is asyncio.current_task():
                self._moving = None
        self._on_progress(0)

    def _try_again(self) -> None:
        self._again = None
        self.reconsider()

    def _use(self, line: Line) -> None:
        before, self._line = self._line, line
        if before is not None:
            before.end()
        self._stop_timers()
        if line.log != self._log:
            self._log, self._sent_up_to = line.log, 0
        self._tasks.spawn(self._read(line), "read acknowledgements")

    def _stop_moving(self) -> None:
        if self._moving is not None:
            self._moving.cancel()
            self._moving = None

    def _stop_waiting(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _stop_timers(self) -> None:
        for timer in (self._timer, self._again):
            if timer is not None:
                timer.cancel()
        self._timer = self._again = None

    # --- what comes back ------------------------------------------------------------------------------------------

    async def _read(self, line: Line) -> None:
        try:
            while data := await line.stream.read():
                now = line.connection.heard_at = self._clock.monotonic()
                for event in line.machine.receive_data(data, now):
                    if isinstance(event, Acknowledged):
                        line.acknowledged(event.held, now)
                        self._paths.heard(line.connection, now)
                        self._stay(line, now)
                        await self._acknowledged(line, event)
                if line.machine.farewell is not None:
                    self._on_farewell(line.machine.farewell)
                    break
            self._lost(line, StreamClosedError("The peer ended the chat."))
        except P2PChatError as error:
            self._lost(line, error)

    def _stay(self, line: Line, now: float) -> None:
        """Give up leaving a path on which something was acknowledged after all."""
        if self._moving is not None and not self._paths.better_than(line.connection, now):
            self._stop_moving()

    async def _acknowledged(self, line: Line, event: Acknowledged) -> None:
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

    def _lost(self, line: Line, error: P2PChatError) -> None:
        line.end()
        if line is self._line:
            logger.debug("the session with %s broke: %s", self.peer.short(), error)
            self._line = None
            self._stop_timers()
            self._stop_moving()
            self.path_died = line.connection.closed
            self._on_progress(0)

    # --- what does not come back ----------------------------------------------------------------------------------

    def _watch(self, line: Line) -> None:
        """See to it that what was said is acknowledged in time, or the path left."""
        if self._timer is not None or line is not self._line:
            return
        owed_since = line.machine.owed_since
        if owed_since is None:
            return
        silence = self._clock.monotonic() - owed_since
        patience = self._patience(line)
        wait = patience - silence
        if wait <= 0:  # suspected already: look again later, at the latest when the path is to be given up
            wait = min(patience, limits.SESSION_ACK_TIMEOUT - silence)
        loop = asyncio.get_running_loop()
        delay = max(wait, _LEAST_WAIT)
        self._timer = loop.call_later(delay, self._check, line, loop.time() + delay)

    def _patience(self, line: Line) -> float:
        if line.machine.put_off:
            return limits.SESSION_ACK_TIMEOUT
        return min(limits.SESSION_SUSPECT_MAX, line.patience() * self._paths.patience(line.connection))

    def _check(self, line: Line, due: float) -> None:
        self._timer = None
        if line is not self._line:
            return
        now = self._clock.monotonic()
        owed_since = line.machine.owed_since
        if owed_since is not None:
            if asyncio.get_running_loop().time() - due > _STALL:
                line.machine.excuse(now)
            elif now - owed_since >= limits.SESSION_ACK_TIMEOUT and not self._escapes(line):
                line.connection.abort("The peer does not acknowledge what is sent on this path.")
                self._lost(line, NoAnswerError("Nothing was acknowledged."))
                return
            elif now - owed_since >= self._patience(line):
                self._suspect(line, now)
        self._watch(line)

    def _suspect(self, line: Line, now: float) -> None:
        if self._paths.answers(line.connection):
            logger.info("%s is suspected: nothing was acknowledged", line.connection)
            self._paths.suspect(line.connection, now)
            self._check_path(line.connection)
        self._stop_waiting()
        self.reconsider()

    def _escapes(self, line: Line) -> bool:
        """Whether a move away from `line` is under way to a path that is believed to work."""
        targets = self._paths.better_than(line.connection, self._clock.monotonic())
        return self._moving is not None and bool(targets)

"""Notices a path that is dead although its transport still looks alive, and measures the round trip.

Every connection is pinged, and those that a conversation uses more often. Pings overlap: while one is unanswered the
next are sent all the same, and whatever is answered clears the connection, so that single lost packets cost nothing.
A connection whose oldest ping is overdue is *silent*: conversations leave it. It is given up too, unless the peer
answers on another, for then a few seconds more cost nobody anything, and most paths that are silent come back.

A program that stood still itself (stopped, asleep) blames nobody for the silence of that time: it looks at every path
anew, at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.errors import ConnectionLostError, NoAnswerError, P2PChatError
from p2pchat_core.net.ping import ping

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.host import Host

__all__ = ["Liveness", "LivenessConfig"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LivenessConfig:
    """How often a connection is pinged, and how long the answer may take; seconds.

    Attributes:
        busy_interval: between pings of a connection that a conversation uses.
        busy_timeout: for the answers there, at most.
        busy_timeout_min: for the answers there, however short the round trip.
        keep: how long a silent connection is kept if the peer answers on another.
    """

    interval: float = limits.LIVENESS_INTERVAL
    timeout: float = limits.LIVENESS_TIMEOUT
    busy_interval: float = limits.LIVENESS_BUSY_INTERVAL
    busy_timeout: float = limits.LIVENESS_BUSY_TIMEOUT
    busy_timeout_min: float = limits.LIVENESS_BUSY_TIMEOUT_MIN
    keep: float = limits.LIVENESS_KEEP


class _Heartbeat:
    """Of one connection; `asked` is when the oldest ping was sent that nothing has come after."""

    def __init__(self) -> None:
        self.doubt = asyncio.Event()
        self.asked: float | None = None
        self.flying = 0


class Liveness:
    """Watches every connection of a host from now on, and aborts those that do not answer.

    Attributes:
        busy: says of a connection whether a conversation uses it.
        patient: says of a connection whether to keep it for a while though it is silent.
        on_change: called after every answer to a ping, and when a connection has become silent.
        on_doubt: called when a ping of a connection in use was not answered before the next one was due.
    """

    def __init__(self, host: Host, config: LivenessConfig | None = None) -> None:
        self.busy: Callable[[Connection], bool] = lambda _connection: False
        self.patient: Callable[[Connection], bool] = lambda _connection: False
        self.on_change: list[Callable[[Connection], None]] = []
        self.on_doubt: list[Callable[[Connection], None]] = []
        self._host = host
        self._config = config if config is not None else LivenessConfig()
        self._beats: dict[Connection, _Heartbeat] = {}
        host.on_connection.append(self._connected)
        host.on_disconnect.append(self._disconnected)

    def check_now(self) -> None:
        """Ping every connection now: there is reason to believe that some are dead."""
        for beat in self._beats.values():
            beat.doubt.set()

    def check(self, connection: Connection) -> None:
        """Ping one connection now: something suggests that it is dead."""
        beat = self._beats.get(connection)
        if beat is not None:
            beat.doubt.set()

    def _connected(self, connection: Connection) -> None:
        self._beats[connection] = _Heartbeat()
        self._host.spawn(self._watch(connection), f"liveness of {connection.peer.short()}")

    def _disconnected(self, connection: Connection, _reason: str) -> None:
        beat = self._beats.pop(connection, None)
        if beat is not None:
            beat.doubt.set()

    async def _watch(self, connection: Connection) -> None:
        beat, clock = self._beats[connection], self._host.clock
        while not connection.closed:
            delay = self._delay(connection, beat)
            due = clock.monotonic() + delay
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await beat.doubt.wait()
            if connection.closed:
                return
            doubted = beat.doubt.is_set()
            beat.doubt.clear()
            now = clock.monotonic()
            if beat.asked is not None and now > due + limits.LIVENESS_STALL:
                beat.asked = now  # we stood still ourselves: count from now
            self._note_answers(connection, beat)
            if beat.asked is not None:
                if not doubted:
                    self._doubt_others(connection)
                    self._tell_doubt(connection)
                if self._overdue(connection, beat, now):
                    return
            self._ask(connection, beat, now)

    def _delay(self, connection: Connection, beat: _Heartbeat) -> float:
        """Return how long to wait before the next ping or verdict."""
        config = self._config
        if beat.asked is None:
            return self._pace(connection) if self.busy(connection) else config.interval
        now = self._host.clock.monotonic()
        left = beat.asked + self._patience(connection, beat) - now
        return max(0.0, min(config.busy_interval, left)) if left > 0 else config.busy_interval

    def _pace(self, connection: Connection) -> float:
        """Return the seconds between pings while a conversation goes on; sparingly where every byte counts."""
        config, limit = self._config, connection.limit
        if limit is None or not limit.bytes:
            return config.busy_interval
        if not limit.seconds:
            return config.interval
        needed = limits.LIVENESS_PING_BYTES * limit.seconds / (limit.bytes * limits.LIVENESS_SHARE)
        return max(config.busy_interval, min(config.interval, needed))

    def _patience(self, connection: Connection, beat: _Heartbeat) -> float:
        config = self._config
        if not self.busy(connection):
            return config.timeout
        # Agreeing on the protocol is a round trip of its own.
        least = min(config.busy_timeout_min, config.busy_timeout)
        return connection.round_trip.patience(least, config.busy_timeout, trips=2)

    def _ask(self, connection: Connection, beat: _Heartbeat, now: float) -> None:
        if beat.asked is None:
            beat.asked = now
        if beat.flying >= limits.LIVENESS_MAX_PINGS:
            return  # those that are under way can still be answered
        beat.flying += 1
        self._host.spawn(self._ping(connection, beat), f"ping {connection.peer.short()}")

    async def _ping(self, connection: Connection, beat: _Heartbeat) -> None:
        clock = self._host.clock
        try:
            await ping(connection, clock)
        except (TimeoutError, NoAnswerError, ConnectionLostError):
            return
        except P2PChatError as error:
            # Whatever it was ("I do not speak ping", a reset), it came from a peer that is there.
            logger.debug("ping of %s: %s", connection, error)
            connection.heard_at = clock.monotonic()
        finally:
            beat.flying -= 1
        self._note_answers(connection, beat)
        self._tell(connection)

    def _note_answers(self, connection: Connection, beat: _Heartbeat) -> None:
        if beat.asked is not None and connection.heard_at >= beat.asked:
            beat.asked = None
            if connection.silent_since is not None:
                connection.silent_since = None
                logger.info("%s answers again", connection)
                self._tell(connection)

    def _overdue(self, connection: Connection, beat: _Heartbeat, now: float) -> bool:
        """Judge a connection with an unanswered ping; whether it has been given up."""
        assert beat.asked is not None
        quiet = now - beat.asked
        if quiet < self._patience(connection, beat):
            return False
        if connection.silent_since is None:
            connection.silent_since = beat.asked
            logger.info("%s has not answered for %.1f s", connection, quiet)
            self._tell(connection)
        if quiet < self._last_chance(connection):
            return False
        connection.abort("The peer stopped answering.")
        return True

    def _last_chance(self, connection: Connection) -> float:
        """Return how long to hope for a connection that is silent already."""
        config, beat = self._config, self._beats[connection]
        assert beat.asked is not None
        for other in self._host.connections(connection.peer):
            if other is not connection and other.silent_since is None and other.heard_at >= beat.asked:
                return config.keep
        if not self.busy(connection):
            return config.timeout
        if self.patient(connection):
            return config.keep
        # That everybody died at once is less likely than that our network is gone.
        others = self._others_in_use(connection)
        return (
            config.keep
            if others and all(other.asked is not None for other in others)
            else config.busy_timeout
        )

    def _doubt_others(self, connection: Connection) -> None:
        """Find out, too, whether the other paths to the same peer work, and those to others that are in use."""
        same = [
            self._beats[other] for other in self._host.connections(connection.peer) if other in self._beats
        ]
        for beat in (*same, *self._others_in_use(connection)):
            if beat is not self._beats[connection] and beat.asked is None:
                beat.doubt.set()

    def _others_in_use(self, connection: Connection) -> list[_Heartbeat]:
        return [beat for other, beat in self._beats.items() if other is not connection and self.busy(other)]

    def _tell_doubt(self, connection: Connection) -> None:
        if self.busy(connection):
            for callback in self.on_doubt:
                callback(connection)

    def _tell(self, connection: Connection) -> None:
        if not connection.closed:
            for callback in self.on_change:
                callback(connection)

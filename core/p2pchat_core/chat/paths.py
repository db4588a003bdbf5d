"""Which of the paths to a peer a conversation should use, and why. No I/O and no clock: the time is an argument.

A path is judged by two things: its heartbeat (`Connection.silent_since`, see net/liveness.py) and the conversation
itself, which *suspects* a path on which nothing is acknowledged any more. Moving is exact and cheap, so a suspicion is
enough to leave a path when another one answers; the connection stays open, and is used again when it has answered for
a while. That while doubles with every suspicion, so that a bad path is not moved to and fro.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.net.connection import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from p2pchat_core.net.connection import Connection

__all__ = ["PathReport", "PathState", "Paths", "Rank", "rank"]


class Rank(enum.IntEnum):
    """How good a path is for a conversation, by what it is; smaller is better."""

    DIRECT = 0
    PLAIN = 1
    CIRCUIT = 2
    LIMITED = 3


_NAMES = {
    Rank.DIRECT: "a direct connection",
    Rank.PLAIN: "a plain connection",
    Rank.CIRCUIT: "a circuit without limits",
    Rank.LIMITED: "a circuit with limits",
}


def rank(connection: Connection) -> Rank:
    """Return what sort of path this is."""
    if connection.limited:
        return Rank.LIMITED
    if connection.relayed:
        return Rank.CIRCUIT
    return Rank.DIRECT if connection.route.kind is Kind.WEBRTC else Rank.PLAIN


class PathState(enum.StrEnum):
    """What a conversation makes of one path."""

    USED = "used"
    READY = "ready"
    DOUBTED = "doubted"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class PathReport:
    """One path, for people.

    Attributes:
        rtt: smoothed round trip in seconds, if measured.
        reason: a sentence: why it is used, or why not.
    """

    connection: Connection
    state: PathState
    rtt: float | None
    reason: str


@dataclass(slots=True)
class _Doubt:
    """One path that was suspected.

    Attributes:
        since: when it was suspected last.
        answered_at: when it was first heard of after that.
        count: of suspicions, those long ago forgotten.
        factor: how much longer than usual it is given, since it was suspected wrongly.
    """

    since: float
    answered_at: float | None = None
    count: int = 0
    factor: float = 1.0


class Paths:
    """Judges the paths to one peer."""

    def __init__(self, connections: Callable[[], Sequence[Connection]]) -> None:
        """`connections` returns those that are open."""
        self._connections = connections
        self._doubts: dict[Connection, _Doubt] = {}
        self._moved_at = float("-inf")

    def suspect(self, connection: Connection, now: float) -> None:
        """Nothing is acknowledged on `connection`, or no stream could be opened there."""
        doubt = self._doubts.setdefault(connection, _Doubt(now))
        if now - doubt.since > limits.SESSION_FORGIVE:
            doubt.count, doubt.factor = 0, 1.0
        doubt.since, doubt.answered_at = now, None
        doubt.count += 1
        for gone in [one for one in self._doubts if one.closed]:
            del self._doubts[gone]

    def moved(self, now: float) -> None:
        """The conversation has begun to use another path."""
        self._moved_at = now

    def heard(self, connection: Connection, now: float) -> None:
        """Something came on `connection`, or its heartbeat has changed."""
        doubt = self._doubts.get(connection)
        if doubt is None or doubt.answered_at is not None or connection.heard_at <= doubt.since:
            return
        doubt.answered_at = now
        wrong = now - doubt.since < limits.SESSION_SUSPECT_WRONG
        doubt.factor = min(limits.SESSION_SUSPECT_FACTOR_MAX, doubt.factor * 2) if wrong else 1.0

    def patience(self, connection: Connection) -> float:
        """Return how many times longer than usual to wait before suspecting this path again."""
        doubt = self._doubts.get(connection)
        return 1.0 if doubt is None else doubt.factor

    def answers(self, connection: Connection) -> bool:
        """Whether there is no reason to believe that this path is dead."""
        doubt = self._doubts.get(connection)
        return connection.silent_since is None and (doubt is None or doubt.answered_at is not None)

    def in_order(self) -> list[Connection]:
        """Return all open paths in the order in which to try them."""
        alive = [one for one in self._connections() if not one.closed]
        return sorted(alive, key=lambda one: (not self.answers(one), *_merit(one)))

    def better_than(self, current: Connection, now: float) -> list[Connection]:
        """Return the paths to move to from `current`, the best first; none if it should be stayed with."""
        others = [one for one in self.in_order() if one is not current and self.answers(one)]
        if not self.answers(current):
            # What is of another sort is less likely to have failed for the same reason.
            return sorted(others, key=lambda one: rank(one) is rank(current))
        return [one for one in others if self._settled(one, now) and self._beats(one, current, now)][:1]

    def reports(self, current: Connection | None) -> list[PathReport]:
        """Return every path, the best first, and why it is used or not; `current` is the one that is."""
        return [
            PathReport(one, self._state(one, current), one.round_trip.smoothed, self._reason(one, current))
            for one in self.in_order()
        ]

    def _settled(self, connection: Connection, now: float) -> bool:
        """Whether a path that was suspected has answered for long enough since."""
        doubt = self._doubts.get(connection)
        if doubt is None or doubt.answered_at is None:
            return doubt is None
        wait = limits.SESSION_RETURN_MIN * 2.0 ** min(doubt.count - 1, 16)
        return now - doubt.answered_at >= min(limits.SESSION_RETURN_MAX, wait)

    def _beats(self, one: Connection, current: Connection, now: float) -> bool:
        if rank(one) is not rank(current):
            return rank(one) < rank(current)
        if current.superseded is not one.superseded:
            return current.superseded
        mine, theirs = one.round_trip.smoothed, current.round_trip.smoothed
        if mine is None or theirs is None or now - self._moved_at < limits.SESSION_RTT_HOLD:
            return False
        return mine < theirs * limits.SESSION_RTT_FACTOR and theirs - mine > limits.SESSION_RTT_GAIN

    def _state(self, connection: Connection, current: Connection | None) -> PathState:
        if current is not None and connection is current:
            return PathState.USED
        if connection.silent_since is not None:
            return PathState.SILENT
        return PathState.READY if self.answers(connection) else PathState.DOUBTED

    def _reason(self, connection: Connection, current: Connection | None) -> str:
        name = _NAMES[rank(connection)]
        state = self._state(connection, current)
        if state is PathState.SILENT:
            return f"Not used: {name} that does not answer."
        if state is PathState.DOUBTED:
            return f"Not used: {name} on which nothing was acknowledged."
        if current is None:
            return f"Ready: {name}."
        if state is PathState.READY and rank(connection) < rank(current):
            return f"Not used yet: {name} that is new, or has failed and answers again."
        if state is PathState.READY:
            return f"In reserve: {name}."
        better = [one for one in self._connections() if not one.closed and rank(one) < rank(connection)]
        if better:
            return f"Used: {name}, as {_NAMES[rank(better[0])]} has failed lately."
        return f"Used: {name}, the best there is."


def _merit(connection: Connection) -> tuple[Rank, bool, float, float]:
    trip = connection.round_trip.smoothed
    # To a tenth of a second: what differs by less is as good, and then the newer one is taken.
    coarse = float("inf") if trip is None else round(trip, 1)
    return rank(connection), connection.superseded, coarse, -connection.opened_at

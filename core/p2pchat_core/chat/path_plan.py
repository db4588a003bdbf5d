"""When to make a better or a fresh path to one peer. No I/O and no clock: `PathPlan.next` says what is due.

Both sides of a conversation have one of these, and one of them leads: for circuits whoever opened the one in use, for
direct connections and for second paths the smaller PeerId, or whoever noticed that its own network changed or is there
again. The other side sees the attempts come in, and makes its own only when they do not. Should both act at once all
the same, both paths work and `net/succession.py` chooses.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from p2pchat_core import limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2pchat_core.wire.circuit_budget import CircuitBudget

__all__ = ["Decline", "Due", "PathPlan", "Paths", "Work"]

_NEVER: Final = float("inf")


class Work(enum.Enum):
    """What to do about the paths to a peer."""

    WAIT = "wait"
    IMPROVE = "make a direct connection"
    RENEW_DIRECT = "renew the direct connection"
    RENEW_CIRCUIT = "renew the circuit"
    STAND_BY = "open a second path"


@dataclass(frozen=True, slots=True)
class Due:
    """What to do; for `Work.WAIT`, when to ask again at the latest (monotonic seconds)."""

    work: Work
    at: float


@dataclass(frozen=True, slots=True)
class Paths:
    """How things stand with one peer.

    Attributes:
        used: a conversation goes on.
        direct: the best connection is not relayed.
        ours: we opened the best connection.
        budget: what is left of it, if it is a circuit with a limit.
        rtt: its last round trip in seconds, if measured.
        active: something was acknowledged lately.
        alone: there is no other path that answers and will last.
        elsewhere: addresses are known at which another can be opened.
    """

    used: bool
    direct: bool
    ours: bool
    budget: CircuitBudget | None = None
    rtt: float | None = None
    active: bool = False
    alone: bool = False
    elsewhere: bool = False


class Decline:
    """Tells from its round trips that a path has become much worse than it was."""

    def __init__(self) -> None:
        self._best: float | None = None
        self._last: float | None = None
        self._bad = 0

    def sample(self, rtt: float | None) -> bool:
        """Take the latest round trip, or the same again; whether the path has just become worse."""
        if rtt is None or rtt == self._last:
            return False
        self._last = rtt
        if self._best is None or rtt < self._best:
            self._best = rtt
        bad = rtt > self._best * limits.RTT_DECLINE_FACTOR and rtt > self._best + limits.RTT_DECLINE_MIN
        self._bad = self._bad + 1 if bad else 0
        if self._bad < limits.RTT_DECLINE_COUNT:
            return False
        self._best, self._bad = rtt, 0  # if that is how it is now, it is not worse every few seconds
        return True


class PathPlan:
    """The plan of one side for one peer. All times are monotonic seconds."""

    def __init__(self, now: float, *, smaller: bool, random: Callable[[], float]) -> None:
        """`smaller` is whether our PeerId is the smaller one; `random` gives floats from 0 to below 1."""
        self._smaller = smaller
        self._random = random
        self._improvable = True
        self._was_direct = False
        self._direct_tries = 0
        self._tried_at = float("-inf")
        self._lead_at = self._follow_at = now
        self._schedule_direct(now)
        self._worse_at: float | None = None  # when to renew the direct connection
        self._renewals = 0
        self._circuit_at = now  # not before
        self._circuit_failures = 0
        self._alone = False
        self._alone_since = float("-inf")  # or not alone since
        self._standby_at = now  # not before
        self._standbys = 0  # tried lately
        self._hoped_at = float("-inf")
        self._under_way: set[Work] = set()

    def next(self, now: float, paths: Paths) -> Due:
        """Return what to do at `now`, beside what was returned before and is not `done` yet."""
        dues = self._direct_due(now, paths), self._circuit_due(now, paths), self._standby_due(now, paths)
        at = now + limits.UPKEEP_INTERVAL
        for work, due in zip(self._works(paths), dues, strict=True):
            if work in self._under_way:
                continue
            if due <= now:
                self._under_way.add(work)
                return Due(work, now)
            at = min(at, due)
        return Due(Work.WAIT, at)

    @staticmethod
    def _works(paths: Paths) -> tuple[Work, Work, Work]:
        direct = Work.RENEW_DIRECT if paths.direct else Work.IMPROVE
        return direct, Work.RENEW_CIRCUIT, Work.STAND_BY

    def done(self, now: float, work: Work, *, worked: bool, hopeless: bool = False) -> None:
        """An attempt ended.

        Args:
            now: the time.
            work: what was done.
            worked: whether there is such a path now.
            hopeless: it need not be tried again, as the peer's program cannot do it.
        """
        self._under_way.discard(work)
        match work:
            case Work.IMPROVE:
                self._improvable = not hopeless
                self._count_direct(now)
            case Work.RENEW_DIRECT if worked or hopeless:
                self._worse_at, self._renewals, self._tried_at = None, 0, now
            case Work.RENEW_DIRECT:
                self._worse_at = now + self._delay(self._doubled(limits.DIRECT_RENEW_MIN, self._renewals))
                self._renewals += 1
            case Work.RENEW_CIRCUIT:
                self._circuit_failures = 0 if worked else self._circuit_failures + 1
                pause = self._doubled(limits.CIRCUIT_RENEW_PAUSE, self._circuit_failures)
                self._circuit_at = now + self._delay(pause)
            case Work.STAND_BY:
                self._standbys += 1
                pause = limits.STANDBY_MIN * 2.0 ** min(self._standbys, 16)
                self._standby_at = now + self._delay(min(limits.STANDBY_MAX, pause))

    def peer_tried(self, now: float) -> None:
        """The peer has just offered a direct connection: an attempt like one of ours."""
        self._count_direct(now)
        if self._worse_at is not None:
            self._worse_at = max(self._worse_at, now + limits.DIRECT_TIMEOUT)

    def direct_came(self) -> None:
        """There is a new direct connection, whoever made it: what was wrong with the last is over."""
        self._worse_at, self._renewals = None, 0

    def hope(self, now: float) -> None:
        """The network changed for the better: what did not work may work now."""
        self._direct_tries = self._standbys = 0
        self._hoped_at = now
        self._standby_at = min(self._standby_at, now + self._delay(limits.STANDBY_MIN))
        soon = max(self._soon(now), self._tried_at + limits.DIRECT_RENEW_MIN)
        self._lead_at, self._follow_at = min(self._lead_at, soon), min(self._follow_at, soon)

    def direct_is_worse(self, now: float) -> None:
        """Our addresses changed, or the direct connection has become slow: another one may be better."""
        wanted = max(self._soon(now), self._tried_at + limits.DIRECT_RENEW_MIN)
        self._worse_at = wanted if self._worse_at is None else min(self._worse_at, wanted)

    def _direct_due(self, now: float, paths: Paths) -> float:
        """Return when to make a direct connection, or the one there is anew."""
        if paths.direct:
            self._direct_tries, self._improvable = 0, True
            self._was_direct = paths.active
            self._schedule_direct(now)
            return self._worse_at if self._worse_at is not None and paths.used else _NEVER
        self._worse_at, self._renewals = None, 0
        if not paths.used or not self._improvable:
            return _NEVER
        return self._lead_at if paths.ours else self._follow_at

    def _circuit_due(self, now: float, paths: Paths) -> float:
        """Return when the circuit in use is to be replaced."""
        if paths.direct or not paths.used or paths.budget is None:
            return _NEVER
        part = limits.CIRCUIT_RENEW if paths.ours else limits.CIRCUIT_TAKE_OVER
        due = now if paths.budget.spent(part) else paths.budget.reaches(part)
        return max(due, self._circuit_at)

    def _standby_due(self, now: float, paths: Paths) -> float:
        """Return when to open a second path: soon after it turned out that there is none, or later by the follower."""
        alone = paths.active and paths.alone
        if alone is not self._alone:
            if alone:
                if now - self._alone_since >= limits.STANDBY_STEADY:
                    self._standbys = 0
                leads = self._smaller or now - self._hoped_at < limits.STANDBY_STEADY
                soon = self._delay(limits.STANDBY_MIN + (0.0 if leads else limits.STANDBY_TAKE_OVER))
                self._standby_at = max(self._standby_at, now + soon)
            self._alone, self._alone_since = alone, now
        return self._standby_at if alone and paths.elsewhere else _NEVER

    def _count_direct(self, now: float) -> None:
        self._direct_tries += 1
        self._tried_at = now
        self._schedule_direct(now)

    def _schedule_direct(self, now: float) -> None:
        first = limits.DIRECT_AGAIN_MIN if self._was_direct else limits.DIRECT_RETRY_MIN
        self._lead_at = now + self._delay(self._doubled(first, self._direct_tries))
        self._follow_at = self._lead_at + self._delay(limits.DIRECT_TAKE_OVER)

    def _soon(self, now: float) -> float:
        return now if self._smaller else now + limits.REDIAL_GLARE

    @staticmethod
    def _doubled(first: float, times: int) -> float:
        return min(limits.DIRECT_RETRY_MAX, first * 2.0 ** min(times, 16))

    def _delay(self, delay: float) -> float:
        return delay * (0.8 + 0.4 * self._random())

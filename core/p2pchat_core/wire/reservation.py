"""When to dial a relay, when to reserve on it, when to renew, and how long to wait after trouble.

No I/O and no clock: one task asks `ReservationKeeper.next_action`, does it, and reports what came of it. A
reservation lives only as long as the connection to the relay (docs/wire.md section 8.2), so losing the connection
means reserving again.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from p2pchat_core.errors import LocalProtocolError
from p2pchat_core.limits import (
    RELAY_REFUSED_RETRY_MAX,
    RELAY_REFUSED_RETRY_MIN,
    RELAY_RETRY_MAX,
    RELAY_RETRY_MIN,
    RESERVATION_MAX_SPAN,
    RESERVATION_MIN_REFRESH,
    RESERVATION_MIN_SPAN,
    RESERVATION_REFRESH_MARGIN,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ActionKind", "NextAction", "ReservationKeeper", "ReservationState"]


class ReservationState(enum.Enum):
    """How we stand with one relay; the values are the words of the user interfaces."""

    IDLE = "idle"
    """Nothing was tried yet."""
    CONNECTING = "connecting"
    """Being dialled, or connected and being asked."""
    RESERVED = "reserved"
    """Others can reach us through it."""
    LOST = "lost"
    """Not reachable at the moment; tried again soon."""
    REFUSED = "refused"
    """It answered, but does not want us; asked again later."""


class Event(enum.Enum):
    """What can happen to a reservation."""

    DUE = "due"
    CONNECTED = "connected"
    RESERVED = "reserved"
    FAILED = "failed"
    REFUSED = "refused"
    LOST = "lost"
    EXPIRED = "expired"


_S, _E = ReservationState, Event

TRANSITIONS: Final[dict[tuple[ReservationState, Event], ReservationState]] = {
    (_S.IDLE, _E.DUE): _S.CONNECTING,
    (_S.IDLE, _E.CONNECTED): _S.CONNECTING,
    (_S.CONNECTING, _E.CONNECTED): _S.CONNECTING,
    (_S.CONNECTING, _E.RESERVED): _S.RESERVED,
    (_S.CONNECTING, _E.FAILED): _S.LOST,
    (_S.CONNECTING, _E.REFUSED): _S.REFUSED,
    (_S.CONNECTING, _E.LOST): _S.LOST,
    (_S.RESERVED, _E.RESERVED): _S.RESERVED,
    # Renewing failed, but what we hold is good until it expires; it is tried again before that.
    (_S.RESERVED, _E.FAILED): _S.RESERVED,
    (_S.RESERVED, _E.REFUSED): _S.REFUSED,
    (_S.RESERVED, _E.LOST): _S.LOST,
    (_S.RESERVED, _E.EXPIRED): _S.LOST,
    (_S.LOST, _E.DUE): _S.CONNECTING,
    (_S.LOST, _E.CONNECTED): _S.CONNECTING,
    (_S.LOST, _E.REFUSED): _S.REFUSED,
    (_S.REFUSED, _E.DUE): _S.CONNECTING,
}

IGNORED: Final[frozenset[tuple[ReservationState, Event]]] = frozenset(
    {
        (_S.IDLE, _E.LOST),
        # One more connection to the same relay.
        (_S.RESERVED, _E.CONNECTED),
        # The loss of the connection and the failure of what ran on it are reported both, in either order.
        (_S.LOST, _E.LOST),
        (_S.LOST, _E.FAILED),
        (_S.LOST, _E.RESERVED),
        # A new or a lost connection changes nothing about being unwanted.
        (_S.REFUSED, _E.CONNECTED),
        (_S.REFUSED, _E.LOST),
        (_S.REFUSED, _E.FAILED),
    }
)


class ActionKind(enum.Enum):
    """What the caller should do."""

    CONNECT = "connect"
    """Dial the relay, then report `connected` or `failed`."""
    RESERVE = "reserve"
    """Send RESERVE over the connection, then report `reserved` or `failed`."""
    WAIT = "wait"
    """Ask again at the time given, or after reporting anything."""


@dataclass(frozen=True, slots=True)
class NextAction:
    """What to do next; `at` is the monotonic time to wait for, or the present for the other kinds."""

    kind: ActionKind
    at: float


class ReservationKeeper:
    """Keeps one reservation on one relay for ever.

    All times named `now` are monotonic seconds.

    Args:
        now: when it begins; the first action is due at once.
        random: gives floats from 0 to below 1, so that the clients of a relay do not all come back in one
            moment.

    Attributes:
        state: how we stand with the relay.
        reason: why it is lost or refused; empty when it is neither.
        expires: when the reservation ends, in unix seconds of our clock; ``None`` without one.
    """

    def __init__(self, now: float, random: Callable[[], float]) -> None:
        self.state = ReservationState.IDLE
        self.reason = ""
        self.expires: float | None = None
        self._random = random
        self._online = False
        self._due = now  # of the next attempt or renewal
        self._ends = now  # of the reservation, monotonic
        self._since = now  # when the reservation was first made
        self._began = now  # the present attempt
        self._losses = 0
        self._refusals = 0

    def next_action(self, now: float) -> NextAction:
        """Return what to do at `now`. Until an outcome is reported it stays the same."""
        if self.state is ReservationState.RESERVED and now >= self._ends:
            self._step(Event.EXPIRED)
            self._retry_after_loss(now, "The reservation expired before it could be renewed.")
        if self.state is ReservationState.CONNECTING:
            return NextAction(ActionKind.RESERVE if self._online else ActionKind.CONNECT, now)
        if now < self._due:
            return NextAction(ActionKind.WAIT, self._due)
        if self.state is ReservationState.RESERVED:
            return NextAction(ActionKind.RESERVE, now)
        self._step(Event.DUE)
        self._began = now
        return self.next_action(now)

    def connected(self, now: float) -> None:
        """There is a connection to the relay, whoever asked for it."""
        self._online = True
        self._step(Event.CONNECTED)

    def reserved(self, now: float, expire_unix: float, unix_now: float) -> None:
        """The relay granted or renewed the reservation.

        Args:
            now: monotonic seconds.
            expire_unix: what the relay said; our clocks may disagree, so it is held to a sensible span.
            unix_now: what our clock says.

        Raises:
            LocalProtocolError: none was asked for.
        """
        before = self.state
        if not self._step(Event.RESERVED):
            return
        if before is not ReservationState.RESERVED:
            self._since = now
        self._refusals = 0
        self.reason = ""
        span = max(RESERVATION_MIN_SPAN, min(expire_unix - unix_now, RESERVATION_MAX_SPAN))
        refresh = (span - RESERVATION_REFRESH_MARGIN) * (1 - 0.1 * self._random())
        self._ends = now + span
        self._due = now + max(refresh, RESERVATION_MIN_REFRESH)
        self.expires = unix_now + span

    def failed(self, now: float, reason: str, refused: bool) -> None:
        """Dialling, reserving or renewing did not work.

        Args:
            now: monotonic seconds.
            reason: a sentence for the user.
            refused: the relay answered, and said no (or does not speak the protocol).

        Raises:
            LocalProtocolError: nothing was under way.
        """
        attempt = self.state is ReservationState.CONNECTING
        if not self._step(Event.REFUSED if refused else Event.FAILED):
            return
        if not refused:
            self._retry_after_loss(now, reason)
            if attempt:
                # An attempt that nobody answers takes seconds by itself. They count, or a relay that comes back
                # unnoticed would wait for both.
                self._due = max(now + RELAY_RETRY_MIN * self._jitter(), self._due - (now - self._began))
            return
        self.reason = reason
        self.expires = None
        delay = _back_off(RELAY_REFUSED_RETRY_MIN, RELAY_REFUSED_RETRY_MAX, self._refusals)
        self._refusals += 1
        self._due = now + max(delay * self._jitter(), RELAY_REFUSED_RETRY_MIN)

    def lost(self, now: float, reason: str = "The connection to the relay was lost.") -> None:
        """The last connection to the relay ended, and any reservation with it."""
        self._online = False
        was_steady = self.state is ReservationState.RESERVED and now - self._since >= RELAY_RETRY_MAX
        if self._step(Event.LOST):
            if was_steady:
                # A relay that grants and hangs up at once keeps its back-off; one that served us well starts
                # anew.
                self._losses = 0
            self._retry_after_loss(now, reason)

    def retry_now(self, now: float) -> None:
        """Forget the back-off: the network changed, the machine woke up, or the user asked."""
        self._losses = self._refusals = 0
        if self.state is not ReservationState.RESERVED:
            self._due = min(self._due, now)

    def renew_now(self, now: float) -> None:
        """Make the reservation anew, over another connection than before."""
        if self.state is ReservationState.RESERVED:
            self._due = min(self._due, now)

    def _retry_after_loss(self, now: float, reason: str) -> None:
        delay = _back_off(RELAY_RETRY_MIN, RELAY_RETRY_MAX, self._losses)
        self._losses += 1
        self._due = now + delay * self._jitter()
        if self.state is not ReservationState.RESERVED:
            self.reason = reason
            self.expires = None

    def _jitter(self) -> float:
        return 1 - 0.5 * self._random()

    def _step(self, event: Event) -> bool:
        """Make the transition; return False when the event means nothing in this state."""
        target = TRANSITIONS.get((self.state, event))
        if target is None:
            if (self.state, event) in IGNORED:
                return False
            raise LocalProtocolError(f"A reservation that is {self.state.value} cannot be {event.value}.")
        self.state = target
        return True


def _back_off(minimum: float, maximum: float, failures: int) -> float:
    return min(minimum * 2.0 ** min(failures, 16), maximum)

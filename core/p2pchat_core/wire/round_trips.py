"""What the round trips of a path say: how long to wait for an answer, and how short they can be (RFC 6298)."""

from __future__ import annotations

from typing import Final

from p2pchat_core.limits import SCTP_RTO_INITIAL, SCTP_RTO_MAX, SCTP_RTO_MIN, SCTP_RTT_MEMORY

__all__ = ["RoundTrip", "RoundTrips"]

_GAIN: Final = 1 / 8
_VARIATION_GAIN: Final = 1 / 4


class RoundTrip:
    """A smoothed round trip and how much it varies, both in seconds.

    Attributes:
        smoothed: ``None`` before the first sample.
    """

    def __init__(self) -> None:
        self.smoothed: float | None = None
        self.variation = 0.0

    def add(self, sample: float) -> None:
        """Take a measured round trip into account."""
        if self.smoothed is None:
            self.smoothed, self.variation = sample, sample / 2
            return
        self.variation += _VARIATION_GAIN * (abs(self.smoothed - sample) - self.variation)
        self.smoothed += _GAIN * (sample - self.smoothed)

    def patience(self, least: float, most: float, *, trips: int = 1) -> float:
        """Return how long to wait for what takes so many round trips; the most if nothing was measured."""
        if self.smoothed is None:
            return most
        return min(most, max(least, trips * (self.smoothed + 4 * self.variation)))


class RoundTrips:
    """Smoothed round trip, retransmission timeout and recent minimum of one path; all in seconds.

    Attributes:
        rto: how long to wait before what was sent counts as lost.
    """

    def __init__(self) -> None:
        self.rto = SCTP_RTO_INITIAL
        self._trip = RoundTrip()
        self._shortest: float | None = None
        self._shortest_before: float | None = None
        self._since = 0.0

    @property
    def shortest(self) -> float:
        """The shortest of the last `limits.SCTP_RTT_MEMORY` seconds or a little longer; 0 if there is none."""
        return min((rtt for rtt in (self._shortest, self._shortest_before) if rtt is not None), default=0.0)

    def measured(self, rtt: float, now: float) -> None:
        """A round trip took `rtt`."""
        self._trip.add(rtt)
        self.rto = self._trip.patience(SCTP_RTO_MIN, SCTP_RTO_MAX)
        if now - self._since > SCTP_RTT_MEMORY:
            self._shortest_before, self._shortest = self._shortest, None
            self._since = now
        self._shortest = rtt if self._shortest is None else min(self._shortest, rtt)

    def timed_out(self) -> None:
        """Nothing came in time: wait longer for the next."""
        self.rto = min(self.rto * 2, SCTP_RTO_MAX)

"""What the round trips of a path say: how long to wait for an answer, and how short they can be (RFC 6298)."""

from __future__ import annotations

from p2pchat_core.limits import SCTP_RTO_INITIAL, SCTP_RTO_MAX, SCTP_RTO_MIN, SCTP_RTT_MEMORY

__all__ = ["RoundTrips"]


class RoundTrips:
    """Smoothed round trip, retransmission timeout and recent minimum of one path; all in seconds.

    Attributes:
        rto: how long to wait before what was sent counts as lost.
    """

    def __init__(self) -> None:
        self.rto = SCTP_RTO_INITIAL
        self._smoothed: float | None = None
        self._variance = 0.0
        self._shortest: float | None = None
        self._shortest_before: float | None = None
        self._since = 0.0

    @property
    def shortest(self) -> float:
        """The shortest of the last `limits.SCTP_RTT_MEMORY` seconds or a little longer; 0 if there is none."""
        return min((rtt for rtt in (self._shortest, self._shortest_before) if rtt is not None), default=0.0)

    def measured(self, rtt: float, now: float) -> None:
        """A round trip took `rtt`."""
        if self._smoothed is None:
            self._smoothed, self._variance = rtt, rtt / 2
        else:
            self._variance += (abs(self._smoothed - rtt) - self._variance) / 4
            self._smoothed += (rtt - self._smoothed) / 8
        self.rto = max(SCTP_RTO_MIN, min(self._smoothed + 4 * self._variance, SCTP_RTO_MAX))
        if now - self._since > SCTP_RTT_MEMORY:
            self._shortest_before, self._shortest = self._shortest, None
            self._since = now
        self._shortest = rtt if self._shortest is None else min(self._shortest, rtt)

    def timed_out(self) -> None:
        """Nothing came in time: wait longer for the next."""
        self.rto = min(self.rto * 2, SCTP_RTO_MAX)

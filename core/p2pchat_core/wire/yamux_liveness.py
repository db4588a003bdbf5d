"""Pings of a yamux session: the round trip, whether the peer still lives, and how much it may ask of us."""

from __future__ import annotations

import math

from p2pchat_core.limits import YAMUX_PING_INTERVAL, YAMUX_PING_TIMEOUT, YAMUX_RTT_INTERVAL

__all__ = ["Allowance", "PingClock"]


class Allowance:
    """So many of something per so many seconds, all at once if need be (a token bucket)."""

    def __init__(self, count: int, period: float) -> None:
        self._count = count
        self._rate = count / period
        self._left = float(count)
        self._at = -math.inf

    def take(self, now: float) -> bool:
        """Use one up; ``False`` when none is left."""
        if now > self._at:
            self._left = min(self._count, self._left + (now - self._at) * self._rate)
            self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class PingClock:
    """When to ping, and when to give the peer up.

    One ping is under way at a time. The first goes out at once, to learn the round trip; then after
    `YAMUX_PING_INTERVAL` of silence, or `YAMUX_RTT_INTERVAL` after the last one. The peer is dead when a ping
    is unanswered and nothing at all was received for `YAMUX_PING_TIMEOUT`: behind a slow link full of data
    the answer may take longer, but then the data itself shows that the peer lives.

    Attributes:
        rtt: smoothed round trip in seconds; ``None`` until the first answer.
    """

    def __init__(self, now: float) -> None:
        self.rtt: float | None = None
        self._next_id = 0
        self._pending: int | None = None
        self._sent_at = -math.inf
        self._received_at = now

    def received(self, now: float) -> None:
        """Something came from the peer."""
        self._received_at = now

    def deadline(self) -> float:
        """Return when `due` or `dead` turns true."""
        if self._pending is not None:
            return max(self._sent_at, self._received_at) + YAMUX_PING_TIMEOUT
        idle = max(self._sent_at, self._received_at) + YAMUX_PING_INTERVAL
        return min(idle, self._sent_at + YAMUX_RTT_INTERVAL)

    def dead(self, now: float) -> bool:
        """Whether the peer has let the deadline pass."""
        return self._pending is not None and now >= self.deadline()

    def due(self, now: float) -> int | None:
        """Return the id of the ping to send now, if any; it counts as sent."""
        if self._pending is not None or now < self.deadline():
            return None
        self._pending, self._sent_at = self._next_id, now
        self._next_id = (self._next_id + 1) & 0xFFFFFFFF
        return self._pending

    def answered(self, ping_id: int, now: float) -> None:
        """An answer came. One that nobody asked for is ignored."""
        if ping_id != self._pending:
            return
        self._pending = None
        sample = now - self._sent_at
        self.rtt = sample if self.rtt is None else (self.rtt + sample) / 2

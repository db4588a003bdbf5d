"""What happens in a relay, told to whoever counts it.

The parts of the relay call a `RelayObserver` and know nothing of metrics; `NullObserver` ignores everything.
How much of something there is right now (reservations, open circuits) is not told but asked for: see `Level`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Level", "NullObserver", "RelayObserver"]


@dataclass(frozen=True, slots=True)
class Level:
    """How full one limit is at a moment.

    Attributes:
        name: a word for the limit in lower case, such as ``reservations``; one time series each, so never a
            peer id or an address.
        used: how much of it is taken.
        limit: how much there is; 0 for no limit.
    """

    name: str
    used: float
    limit: float


class RelayObserver(Protocol):
    """Told of each event once, at the moment it happens. Calls are cheap, never raise and never wait.

    Words in `request`, `status`, `reason` and `end` become labels of time series: a small, fixed set of lower-case
    words with underscores, nothing a peer can choose.
    """

    def reservation_granted(self, *, renewed: bool) -> None:
        """A peer got a reservation, or renewed the one it had."""

    def request_refused(self, request: str, status: str, reason: str) -> None:
        """A request was answered with something else than OK.

        Args:
            request: ``reserve``, ``connect``, or ``unknown`` for one that could not be read.
            status: the name of the status in the answer, in lower case.
            reason: which rule or limit it was, more exactly than the status.
        """

    def circuit_opened(self, *, limited: bool) -> None:
        """A circuit was accepted by both sides."""

    def circuit_bytes(self, count: int) -> None:
        """A circuit passed on `count` bytes, in either direction. Called for every chunk."""

    def circuit_ended(self, end: str, seconds: float) -> None:
        """A circuit that was opened has ended.

        Args:
            end: why: ``closed``, ``broken``, ``bytes``, ``time``, ``idle`` and so on.
            seconds: how long it was open.
        """

    def connection_refused(self, reason: str) -> None:
        """A connection was dropped before its handshake (see `Admission.accept` for the words)."""

    def connection_cut(self, reason: str) -> None:
        """A connection that was up was cut for what it did (``buffers``)."""

    def handshake_failed(self, reason: str) -> None:
        """A connection was accepted and did not come to prove who it is.

        Args:
            reason: ``tls`` or ``http`` for something else where that was expected, ``forwarded`` for a proxy that did
                not say whom it speaks for, ``protocol`` (also who ends it in the middle), ``identity``, ``timeout``,
                ``crowded`` when it had to make room for newcomers, ``per_peer`` when its peer has too many,
                ``connection`` when it left.
        """

    def stun_answered(self, kind: str) -> None:
        """A STUN request was answered (``success``, ``error``)."""

    def stun_dropped(self, reason: str) -> None:
        """A datagram at a STUN port got no answer (``malformed``, ``source_rate``, ``total_rate``)."""


class NullObserver:
    """A `RelayObserver` that does nothing."""

    def reservation_granted(self, *, renewed: bool) -> None:
        """See `RelayObserver`."""

    def request_refused(self, request: str, status: str, reason: str) -> None:
        """See `RelayObserver`."""

    def circuit_opened(self, *, limited: bool) -> None:
        """See `RelayObserver`."""

    def circuit_bytes(self, count: int) -> None:
        """See `RelayObserver`."""

    def circuit_ended(self, end: str, seconds: float) -> None:
        """See `RelayObserver`."""

    def connection_refused(self, reason: str) -> None:
        """See `RelayObserver`."""

    def connection_cut(self, reason: str) -> None:
        """See `RelayObserver`."""

    def handshake_failed(self, reason: str) -> None:
        """See `RelayObserver`."""

    def stun_answered(self, kind: str) -> None:
        """See `RelayObserver`."""

    def stun_dropped(self, reason: str) -> None:
        """See `RelayObserver`."""

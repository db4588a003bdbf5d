"""Who may have what of the relay. No I/O: time comes in, a verdict goes out, and what is kept is bounded."""

from __future__ import annotations

import enum
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2pchat_core.wire.circuit import Status
from p2pchat_relay.acl import Access, Trust
from p2pchat_relay.admission import Admission
from p2pchat_relay.bandwidth import Bandwidth
from p2pchat_relay.counting import decrease
from p2pchat_relay.observer import Level
from p2pchat_relay.sources import Source

if TYPE_CHECKING:
    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_relay.limits import RelayLimits

__all__ = ["Grant", "RelayPolicy", "Verdict"]


class Verdict(enum.Enum):
    """What is answered to a request, and why.

    Attributes:
        status: what the client is told.
        reason: what we say of it ourselves, more exactly: a word.
    """

    OK = (Status.OK, "ok")
    OVER_A_CIRCUIT = (Status.PERMISSION_DENIED, "over_a_circuit")
    NO_ACCESS = (Status.PERMISSION_DENIED, "access")
    NO_RESERVATIONS_WHILE_DRAINING = (Status.RESERVATION_REFUSED, "draining")
    RELAY_FULL = (Status.RESERVATION_REFUSED, "max_reservations")
    IP_FULL = (Status.RESERVATION_REFUSED, "max_reservations_per_ip")
    SITE_FULL = (Status.RESERVATION_REFUSED, "max_reservations_per_site")
    NO_RESERVATION = (Status.NO_RESERVATION, "no_reservation")
    NO_CIRCUITS_WHILE_DRAINING = (Status.RESOURCE_LIMIT_EXCEEDED, "draining")
    NO_ROOM = (Status.RESOURCE_LIMIT_EXCEEDED, "max_buffered_bytes")
    TOO_MANY_CIRCUITS = (Status.RESOURCE_LIMIT_EXCEEDED, "max_circuits")
    SOURCE_BUSY = (Status.RESOURCE_LIMIT_EXCEEDED, "max_circuits_per_source")
    TARGET_BUSY = (Status.RESOURCE_LIMIT_EXCEEDED, "max_circuits_per_target")
    TARGET_FAILED = (Status.CONNECTION_FAILED, "target")
    MALFORMED = (Status.MALFORMED_MESSAGE, "malformed")
    UNEXPECTED = (Status.UNEXPECTED_MESSAGE, "unexpected")

    def __init__(self, status: Status, reason: str) -> None:
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Grant:
    """What a circuit is given for its whole life; 0 stands for no limit.

    Attributes:
        trusted: whether nothing of it is limited, rates included.
    """

    seconds: int
    bytes: int
    idle_seconds: int
    trusted: bool

    @property
    def limited(self) -> bool:
        """Whether its ends must be told of a limit."""
        return bool(self.seconds or self.bytes)


@dataclass(frozen=True, slots=True)
class _Slot:
    expires: float
    source: Source
    remote_ip: str


class RelayPolicy:
    """Reservations and circuits of one relay.

    A peer has at most one reservation. It ends when its time is over or with the peer's last connection
    (`release`). The caller reports every change; `now` is monotonic seconds and never goes back.

    Attributes:
        limits: those in force; changed by `configure` only.
        admission: the same for connections.
        bandwidth: the same for bytes a second.
    """

    def __init__(self, limits: RelayLimits, access: Access | None = None, trust: Trust | None = None) -> None:
        self.limits = limits
        self._access = access if access is not None else Access()
        self._trust = trust if trust is not None else Trust()
        self.admission = Admission(limits, self._access)
        self.bandwidth = Bandwidth(limits)
        # In the order of expiry, but for those given out before the time they last was made shorter: until
        # that one is over, the order says nothing.
        self._slots: OrderedDict[PeerId, _Slot] = OrderedDict()
        self._unordered_until = float("-inf")
        self._per_host: Counter[str] = Counter()
        self._per_site: Counter[str] = Counter()
        self._circuits = 0
        self._per_peer: Counter[PeerId] = Counter()

    def configure(self, limits: RelayLimits, access: Access, trust: Trust, now: float) -> None:
        """Go by others from now on.

        Nobody loses what it has because there is less of it now. But a reservation ends at once whose peer may
        not have one any more; circuits stay with what they were granted, only their rate changes.
        """
        if limits.reservation_seconds < self.limits.reservation_seconds:
            self._unordered_until = max(self._unordered_until, now + self.limits.reservation_seconds)
        self.limits, self._access, self._trust = limits, access, trust
        self.admission.configure(limits, access)
        self.bandwidth.configure(limits)
        for peer, slot in tuple(self._slots.items()):
            if not access.reserve.allows(peer, slot.remote_ip):
                self._drop(peer)

    def drain(self) -> None:
        """Grant nothing new from now on."""
        self.admission.draining = True

    @property
    def draining(self) -> bool:
        """Whether `drain` was called."""
        return self.admission.draining

    # --- reservations ---------------------------------------------------------------------------------------

    def reserve(self, peer: PeerId, remote_ip: str, now: float) -> Verdict:
        """Grant or renew a reservation for `limits.reservation_seconds` from `now`.

        Returns:
            OK, or why not. A refused renewal leaves the old reservation as it was.
        """
        self.expire(now)
        if not self._access.reserve.allows(peer, remote_ip):
            return Verdict.NO_ACCESS
        if self.draining:
            return Verdict.NO_RESERVATIONS_WHILE_DRAINING
        source = Source.of(remote_ip)
        old = self._slots.get(peer)
        if old is None and len(self._slots) >= self.limits.max_reservations:
            return Verdict.RELAY_FULL
        verdict = self._has_room(source, old)
        if verdict is not Verdict.OK:
            return verdict
        if old is not None:
            self._drop(peer)
        self._slots[peer] = _Slot(now + self.limits.reservation_seconds, source, remote_ip)
        if not source.loopback:
            self._per_host[source.host] += 1
            if source.site is not None:
                self._per_site[source.site] += 1
        return Verdict.OK

    def reserved(self, peer: PeerId, now: float) -> bool:
        """Whether `peer` has a reservation that is still good."""
        slot = self._slots.get(peer)
        return slot is not None and now < slot.expires

    def release(self, peer: PeerId) -> None:
        """The peer's last connection has ended, and its reservation with it (docs/wire.md section 8.2)."""
        if peer in self._slots:
            self._drop(peer)

    def expire(self, now: float) -> None:
        """Forget every reservation whose time is over."""
        if now < self._unordered_until:
            for peer, slot in tuple(self._slots.items()):
                if now >= slot.expires:
                    self._drop(peer)
            return
        while self._slots:
            peer, slot = next(iter(self._slots.items()))
            if now < slot.expires:
                return
            self._drop(peer)

    @property
    def reservations(self) -> int:
        """How many slots are taken, including some that have run out since the last `reserve` or `expire`."""
        return len(self._slots)

    # --- circuits -------------------------------------------------------------------------------------------

    def connect(self, source: PeerId, remote_ip: str, target: PeerId, now: float) -> Verdict:
        """Ask for a circuit; in go's order (docs/wire.md section 8.3).

        Returns:
            OK: the circuit is counted from now on, and `disconnect` must follow exactly once. Otherwise why
            not.
        """
        if not self._access.connect.allows(source, remote_ip):
            return Verdict.NO_ACCESS
        if not self.reserved(target, now):
            return Verdict.NO_RESERVATION
        if self.draining:
            return Verdict.NO_CIRCUITS_WHILE_DRAINING
        most = self.limits.max_circuits_per_peer - (2 if source == target else 1)
        if self.admission.buffers.tight:
            return Verdict.NO_ROOM
        if self._circuits >= self.limits.max_circuits:
            return Verdict.TOO_MANY_CIRCUITS
        if self._per_peer[source] > most:
            return Verdict.SOURCE_BUSY
        if self._per_peer[target] > most:
            return Verdict.TARGET_BUSY
        self._circuits += 1
        self._per_peer[source] += 1
        self._per_peer[target] += 1
        return Verdict.OK

    def grant(self, source: PeerId, target: PeerId) -> Grant:
        """Return what a circuit between the two gets if it is opened now."""
        if self._trust.covers(source, target):
            return Grant(0, 0, 0, trusted=True)
        limits = self.limits
        return Grant(limits.circuit_seconds, limits.circuit_bytes, limits.circuit_idle_seconds, trusted=False)

    def disconnect(self, source: PeerId, target: PeerId) -> None:
        """A circuit that `connect` allowed has ended, or did not come about.

        Raises:
            ValueError: there is no such circuit; a slot was given back twice.
        """
        least = 2 if source == target else 1
        if self._per_peer[source] < least or self._per_peer[target] < least:
            raise ValueError("This circuit is not open.")
        self._circuits -= 1
        decrease(self._per_peer, source)
        decrease(self._per_peer, target)

    @property
    def circuits(self) -> int:
        """How many circuits are open or being opened."""
        return self._circuits

    def in_circuit(self, peer: PeerId) -> bool:
        """Whether `peer` is an end of a circuit that is open or being opened."""
        return self._per_peer[peer] > 0

    # --- how full ---------------------------------------------------------------------------------------------

    def levels(self) -> list[Level]:
        """Return how much is taken of what is limited in all."""
        limits = self.limits
        return [
            Level("connections", self.admission.connections, limits.max_connections),
            Level("reservations", len(self._slots), limits.max_reservations),
            Level("circuits", self._circuits, limits.max_circuits),
            Level("buffered_bytes", self.admission.buffers.used, limits.max_buffered_bytes),
        ]

    @property
    def table_size(self) -> int:
        """Entries in all tables together; 0 when nobody has a reservation or a circuit."""
        return len(self._slots) + len(self._per_host) + len(self._per_site) + len(self._per_peer)

    # --- inside ---------------------------------------------------------------------------------------------

    def _has_room(self, source: Source, old: _Slot | None) -> Verdict:
        if source.loopback:
            return Verdict.OK
        # The slot that is about to be replaced does not count against its own renewal.
        replaced = old.source if old is not None and not old.source.loopback else None
        hosts = self._per_host[source.host] - (replaced is not None and replaced.host == source.host)
        if hosts >= self.limits.max_reservations_per_ip:
            return Verdict.IP_FULL
        if source.site is None:
            return Verdict.OK
        sites = self._per_site[source.site] - (replaced is not None and replaced.site == source.site)
        return Verdict.OK if sites < self.limits.max_reservations_per_site else Verdict.SITE_FULL

    def _drop(self, peer: PeerId) -> None:
        source = self._slots.pop(peer).source
        if source.loopback:
            return
        decrease(self._per_host, source.host)
        if source.site is not None:
            decrease(self._per_site, source.site)

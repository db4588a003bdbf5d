"""Who may have what of the relay. No I/O: time comes in, a status goes out, and what is kept is bounded."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from p2pchat_core.wire.circuit import Status
from p2pchat_relay.sources import Source

if TYPE_CHECKING:
    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_relay.limits import RelayLimits

__all__ = ["RelayPolicy"]


@dataclass(frozen=True, slots=True)
class _Slot:
    expires: float
    source: Source


class RelayPolicy:
    """Reservations and circuits of one relay.

    A peer has at most one reservation. It ends when its time is over or with the peer's last connection
    (`release`). The caller reports every change; `now` is monotonic seconds and never goes back.
    """

    def __init__(self, limits: RelayLimits) -> None:
        self.limits = limits
        # In the order of expiry: every slot lasts equally long and is moved to the end when it is renewed.
        self._slots: OrderedDict[PeerId, _Slot] = OrderedDict()
        self._per_host: Counter[str] = Counter()
        self._per_site: Counter[str] = Counter()
        self._circuits = 0
        self._per_peer: Counter[PeerId] = Counter()

    # --- reservations ---------------------------------------------------------------------------------------

    def reserve(self, peer: PeerId, remote_ip: str, now: float) -> Status:
        """Grant or renew a reservation for `limits.reservation_seconds` from `now`.

        Returns:
            OK, or RESERVATION_REFUSED when the relay or the peer's source is full. A refused renewal leaves
            the old reservation as it was.
        """
        self.expire(now)
        source = Source.of(remote_ip)
        old = self._slots.get(peer)
        if old is None and len(self._slots) >= self.limits.max_reservations:
            return Status.RESERVATION_REFUSED
        if not self._has_room(source, old):
            return Status.RESERVATION_REFUSED
        if old is not None:
            self._drop(peer)
        self._slots[peer] = _Slot(now + self.limits.reservation_seconds, source)
        if not source.loopback:
            self._per_host[source.host] += 1
            if source.site is not None:
                self._per_site[source.site] += 1
        return Status.OK

    def reserved(self, peer: PeerId, now: float) -> bool:
        """Whether `peer` has a reservation that is still good."""
        slot = self._slots.get(peer)
        return slot is not None and now < slot.expires

    def release(self, peer: PeerId) -> None:
        """The peer's last connection has ended, and its reservation with it (PROTOCOL section 8.2)."""
        if peer in self._slots:
            self._drop(peer)

    def expire(self, now: float) -> None:
        """Forget every reservation whose time is over."""
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

    def connect(self, source: PeerId, target: PeerId, now: float) -> Status:
        """Ask for a circuit; in go's order (PROTOCOL section 8.3).

        Returns:
            OK: the circuit is counted from now on, and `disconnect` must follow exactly once. NO_RESERVATION:
                the target has none. RESOURCE_LIMIT_EXCEEDED: the relay, the source or the target has too many
                circuits.
        """
        if not self.reserved(target, now):
            return Status.NO_RESERVATION
        most = self.limits.max_circuits_per_peer - (2 if source == target else 1)
        if (
            self._circuits >= self.limits.max_circuits
            or self._per_peer[source] > most
            or self._per_peer[target] > most
        ):
            return Status.RESOURCE_LIMIT_EXCEEDED
        self._circuits += 1
        self._per_peer[source] += 1
        self._per_peer[target] += 1
        return Status.OK

    def disconnect(self, source: PeerId, target: PeerId) -> None:
        """A circuit that `connect` allowed has ended, or did not come about.

        Raises:
            ValueError: there is no such circuit; a slot was given back twice.
        """
        least = 2 if source == target else 1
        if self._per_peer[source] < least or self._per_peer[target] < least:
            raise ValueError("This circuit is not open.")
        self._circuits -= 1
        _decrease(self._per_peer, source)
        _decrease(self._per_peer, target)

    @property
    def circuits(self) -> int:
        """How many circuits are open or being opened."""
        return self._circuits

    @property
    def table_size(self) -> int:
        """Entries in all tables together; 0 when nobody has anything."""
        return len(self._slots) + len(self._per_host) + len(self._per_site) + len(self._per_peer)

    # --- inside ---------------------------------------------------------------------------------------------

    def _has_room(self, source: Source, old: _Slot | None) -> bool:
        if source.loopback:
            return True
        # The slot that is about to be replaced does not count against its own renewal.
        replaced = old.source if old is not None and not old.source.loopback else None
        hosts = self._per_host[source.host] - (replaced is not None and replaced.host == source.host)
        if hosts >= self.limits.max_reservations_per_ip:
            return False
        if source.site is None:
            return True
        sites = self._per_site[source.site] - (replaced is not None and replaced.site == source.site)
        return sites < self.limits.max_reservations_per_site

    def _drop(self, peer: PeerId) -> None:
        source = self._slots.pop(peer).source
        if source.loopback:
            return
        _decrease(self._per_host, source.host)
        if source.site is not None:
            _decrease(self._per_site, source.site)


_Key = TypeVar("_Key")


def _decrease(counter: Counter[_Key], key: _Key) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]

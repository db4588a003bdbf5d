"""How fast circuits may be: for one, for one peer, and in all. No I/O; time is an argument.

Nothing is refused or dropped. Who spends more than there is has to wait, and with it, by backpressure, the
peer that sends. Because each direction of a circuit holds one chunk, no bucket is ever overdrawn by more than
the chunks of all circuits that use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from p2pchat_relay.limits import BANDWIDTH_PEERS
from p2pchat_relay.ratelimit import BucketTable, TokenBucket

if TYPE_CHECKING:
    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_relay.limits import RelayLimits

__all__ = ["Bandwidth", "Pace"]


class Bandwidth:
    """The buckets of one relay. A peer's outlives its circuits, in a table of `limits.BANDWIDTH_PEERS`."""

    def __init__(self, limits: RelayLimits) -> None:
        self._limits = limits
        self._peers: BucketTable[PeerId] = BucketTable(
            limits.peer_bytes_per_second, limits.peer_burst_bytes, BANDWIDTH_PEERS
        )
        self._total: TokenBucket | None = None
        self._generation = 0

    def configure(self, limits: RelayLimits) -> None:
        """Go by other limits from now on, circuits that are open too."""
        self._limits = limits
        self._peers.configure(limits.peer_bytes_per_second, limits.peer_burst_bytes)
        if self._total is not None:
            self._total.configure(limits.total_bytes_per_second, limits.total_burst_bytes)
        self._generation += 1

    def pace(self, source: PeerId, target: PeerId, now: float, *, trusted: bool) -> Pace:
        """Return what the circuit between the two has to keep to; a `trusted` one only to the total."""
        return Pace(self, None if trusted else (source, target), now)

    @property
    def table_size(self) -> int:
        """Peers that are remembered."""
        return len(self._peers)


class Pace:
    """What one circuit spends. Made by `Bandwidth.pace`."""

    def __init__(self, bandwidth: Bandwidth, ends: tuple[PeerId, PeerId] | None, now: float) -> None:
        self._bandwidth = bandwidth
        self._ends = ends
        self._generation = bandwidth._generation
        limits = bandwidth._limits
        self._own = TokenBucket(limits.circuit_bytes_per_second, limits.circuit_burst_bytes, now)

    def spend(self, count: int, now: float) -> float:
        """Count `count` bytes and return for how many seconds to wait before passing them on."""
        bandwidth, limits = self._bandwidth, self._bandwidth._limits
        delay = 0.0
        if limits.total_bytes_per_second:
            if bandwidth._total is None:
                bandwidth._total = TokenBucket(limits.total_bytes_per_second, limits.total_burst_bytes, now)
            delay = bandwidth._total.spend(count, now)
        if self._ends is None:
            return delay
        if self._generation != bandwidth._generation:
            self._generation = bandwidth._generation
            self._own.configure(limits.circuit_bytes_per_second, limits.circuit_burst_bytes)
        delay = max(delay, self._own.spend(count, now))
        if limits.peer_bytes_per_second:
            for peer in set(self._ends):
                delay = max(delay, bandwidth._peers.bucket(peer, now).spend(count, now))
        return delay

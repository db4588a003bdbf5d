"""Whose connection is taken at all, before anything is spent on it. No I/O; time is an argument."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from p2pchat_relay.acl import Access
from p2pchat_relay.buffers import BufferBudget
from p2pchat_relay.counting import decrease
from p2pchat_relay.limits import SOURCE_RATES
from p2pchat_relay.ratelimit import KeyedRateLimit
from p2pchat_relay.sources import Source

if TYPE_CHECKING:
    from p2pchat_relay.limits import RelayLimits

__all__ = ["Admission"]


class Admission:
    """Counts inbound connections, in all and per source.

    Attributes:
        draining: once true, nobody new is let in.
        buffers: what is held for all connections; nobody new is let in while that is too much.
    """

    def __init__(self, limits: RelayLimits, access: Access | None = None) -> None:
        self.draining = False
        self.buffers = BufferBudget(limits.max_buffered_bytes)
        self._limits = limits
        self._access = access if access is not None else Access()
        self._open = 0
        self._per_host: Counter[str] = Counter()
        self._per_site: Counter[str] = Counter()
        self._rates: KeyedRateLimit[str] = KeyedRateLimit(
            limits.accept_rate, limits.accept_burst, SOURCE_RATES
        )

    def configure(self, limits: RelayLimits, access: Access) -> None:
        """Go by others from now on. Who is in stays in."""
        self._limits = limits
        self._access = access
        self.buffers.configure(limits.max_buffered_bytes)
        self._rates.configure(limits.accept_rate, limits.accept_burst)

    def accept(self, remote_ip: str | None, now: float) -> str | None:
        """Ask for a connection from `remote_ip`; ``None`` is a trusted proxy's that has not named its client yet.

        Returns:
            ``None``: it is counted from now on, and `leave` must follow exactly once. Otherwise a word for why
            it is refused: ``draining``, ``access``, ``connections``, ``buffers``, ``per_ip``, ``per_site`` or
            ``accept_rate``.
        """
        limits = self._limits
        source = None if remote_ip is None else Source.of(remote_ip)
        if self.draining:
            return "draining"
        if remote_ip is not None and self._access.turns_away(remote_ip):
            return "access"
        if self.buffers.tight:
            return "buffers"
        if source is not None and not source.loopback:
            # First what is the source's own doing, so that only its attempts that would fit use up its rate.
            if 0 < limits.max_connections_per_ip <= self._per_host[source.host]:
                return "per_ip"
            if 0 < limits.max_connections_per_site <= self._site_of(source):
                return "per_site"
            if limits.accept_rate and not self._rates.take(source.host, now):
                return "accept_rate"
        if self._open >= limits.max_connections:
            return "connections"
        self._open += 1
        if source is not None and not source.loopback:
            self._per_host[source.host] += 1
            if source.site is not None:
                self._per_site[source.site] += 1
        return None

    def leave(self, remote_ip: str | None) -> None:
        """A connection that was let in has ended.

        Raises:
            ValueError: there is none from there.
        """
        source = None if remote_ip is None else Source.of(remote_ip)
        if not self._open or not (source is None or source.loopback or self._per_host[source.host]):
            raise ValueError("This connection is not open.")
        self._open -= 1
        if source is not None and not source.loopback:
            decrease(self._per_host, source.host)
            if source.site is not None:
                decrease(self._per_site, source.site)

    def _site_of(self, source: Source) -> int:
        return 0 if source.site is None else self._per_site[source.site]

    @property
    def connections(self) -> int:
        """How many are open, authenticated or not."""
        return self._open

    @property
    def table_size(self) -> int:
        """Entries in the tables that hold open connections; 0 when there are none."""
        return len(self._per_host) + len(self._per_site)

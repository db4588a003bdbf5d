"""What the relay does, in the format of Prometheus. Imported only where metrics are wanted (extra ``metrics``).

Everything is in a registry of its own. Labels have values from small fixed sets, never a peer id or an address, so
the number of time series does not grow with the clients.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from p2pchat_core import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.metrics_core import Metric

    from p2pchat_relay.observer import Level

__all__ = ["RelayMetrics"]

_PREFIX: Final = "p2pchat_relay"
_LAG_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_CIRCUIT_BUCKETS: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 14400.0)


class RelayMetrics:
    """A `RelayObserver` that counts.

    Attributes:
        content_type: of what `render` returns.
    """

    content_type: str = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry(auto_describe=False)
        # Resident memory, CPU time, open files: read from /proc, where there is one.
        ProcessCollector(registry=registry)
        self._levels = _Levels()
        registry.register(self._levels)
        Info(_PREFIX, "The running relay.", registry=registry).info({"version": __version__})

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"{_PREFIX}_{name}", text, labels, registry=registry)

        self._reservations = counter("reservations_granted", "Reservations granted.", "kind")
        self._refused = counter(
            "requests_refused",
            "Requests answered with another status than OK.",
            "request",
            "status",
            "reason",
        )
        self._opened = counter("circuits_opened", "Circuits that both sides accepted.", "limited")
        self._ended = counter("circuits_ended", "Circuits that have ended, and why.", "end")
        self._bytes = counter("circuit_bytes", "Bytes passed on by circuits, in either direction.")
        self._seconds = Histogram(
            f"{_PREFIX}_circuit_seconds",
            "How long circuits were open.",
            buckets=_CIRCUIT_BUCKETS,
            registry=registry,
        )
        self._dropped = counter(
            "connections_refused", "Connections dropped before their handshake.", "reason"
        )
        self._cut = counter(
            "connections_cut", "Connections that were up and cut for what they did.", "reason"
        )
        self._handshakes = counter(
            "handshakes_failed", "Connections that did not come to prove who they are.", "reason"
        )
        self._stun_answers = counter("stun_answers", "STUN requests answered.", "kind")
        self._stun_dropped = counter("stun_dropped", "Datagrams at a STUN port without an answer.", "reason")
        self._lag = Histogram(
            f"{_PREFIX}_event_loop_lag_seconds",
            "How much later than asked for the event loop woke up.",
            buckets=_LAG_BUCKETS,
            registry=registry,
        )
        self._scrape = Gauge(
            f"{_PREFIX}_last_render_seconds", "How long the previous answer took to write.", registry=registry
        )
        for known in ("new", "renewed"):
            self._reservations.labels(known)
        for limited in ("true", "false"):
            self._opened.labels(limited)

    def watch_levels(self, levels: Callable[[], Iterable[Level]]) -> None:
        """Report what `levels()` returns, whenever metrics are asked for."""
        self._levels.source = levels

    def watch_certificate(self, expires: Callable[[], float]) -> None:
        """Report when the TLS certificate ends, in Unix seconds."""
        gauge = Gauge(
            f"{_PREFIX}_certificate_expiry_timestamp_seconds",
            "When the TLS certificate in use ends.",
            registry=self._registry,
        )
        gauge.set_function(expires)

    def watch_draining(self, draining: Callable[[], bool]) -> None:
        """Report whether the relay takes nothing new any more."""
        gauge = Gauge(
            f"{_PREFIX}_draining", "1 while the relay drains: it takes nothing new.", registry=self._registry
        )
        gauge.set_function(lambda: float(draining()))

    def loop_lag(self, seconds: float) -> None:
        """Count one measurement; see `LoopLag`."""
        self._lag.observe(seconds)

    def render(self) -> bytes:
        """Return all metrics as text."""
        begin = time.perf_counter()
        text = generate_latest(self._registry)
        self._scrape.set(time.perf_counter() - begin)
        return text

    # --- RelayObserver --------------------------------------------------------------------------------------

    def reservation_granted(self, *, renewed: bool) -> None:
        """See `RelayObserver`."""
        self._reservations.labels("renewed" if renewed else "new").inc()

    def request_refused(self, request: str, status: str, reason: str) -> None:
        """See `RelayObserver`."""
        self._refused.labels(request, status, reason).inc()

    def circuit_opened(self, *, limited: bool) -> None:
        """See `RelayObserver`."""
        self._opened.labels("true" if limited else "false").inc()

    def circuit_bytes(self, count: int) -> None:
        """See `RelayObserver`."""
        self._bytes.inc(count)

    def circuit_ended(self, end: str, seconds: float) -> None:
        """See `RelayObserver`."""
        self._ended.labels(end).inc()
        self._seconds.observe(seconds)

    def connection_refused(self, reason: str) -> None:
        """See `RelayObserver`."""
        self._dropped.labels(reason).inc()

    def connection_cut(self, reason: str) -> None:
        """See `RelayObserver`."""
        self._cut.labels(reason).inc()

    def handshake_failed(self, reason: str) -> None:
        """See `RelayObserver`."""
        self._handshakes.labels(reason).inc()

    def stun_answered(self, kind: str) -> None:
        """See `RelayObserver`."""
        self._stun_answers.labels(kind).inc()

    def stun_dropped(self, reason: str) -> None:
        """See `RelayObserver`."""
        self._stun_dropped.labels(reason).inc()


class _Levels(Collector):
    """Asks for what there is at the moment, each time metrics are collected."""

    def __init__(self) -> None:
        self.source: Callable[[], Iterable[Level]] = tuple

    def collect(self) -> Iterator[Metric]:
        used = GaugeMetricFamily(f"{_PREFIX}_in_use", "How much there is right now.", labels=("what",))
        limit = GaugeMetricFamily(
            f"{_PREFIX}_limit",
            "How much of it there may be; no series for what has no limit.",
            labels=("what",),
        )
        for level in self.source():
            used.add_metric((level.name,), level.used)
            if level.limit:
                limit.add_metric((level.name,), level.limit)
        yield used
        yield limit

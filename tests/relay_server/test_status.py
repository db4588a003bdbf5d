"""Metrics and health over HTTP on loopback, as Prometheus, a load balancer and a stranger see them."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from p2pchat_core.errors import ConfigError
from p2pchat_relay import limits
from p2pchat_relay.errors import RelayStartError
from p2pchat_relay.loop_lag import measure_loop_lag
from p2pchat_relay.metrics import RelayMetrics
from p2pchat_relay.observer import Level, NullObserver, RelayObserver
from p2pchat_relay.status import StatusServer, load_metrics, parse_status_address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[StatusServer]:
    server = await StatusServer.open("127.0.0.1", 0, **options)
    try:
        yield server
    finally:
        await server.close()


async def exchange(server: StatusServer, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def get(server: StatusServer, path: str, method: str = "GET") -> tuple[int, str]:
    answer = await exchange(server, f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head, _, body = answer.decode().partition("\r\n\r\n")
    assert "Connection: close" in head
    if method == "GET":
        assert f"Content-Length: {len(body.encode())}\r\n" in head
    return int(head.split(" ")[1]), body


def samples(text: str) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def test_everything_that_happens_is_counted() -> None:
    metrics = RelayMetrics()
    observer: RelayObserver = metrics
    observer.reservation_granted(renewed=False)
    observer.reservation_granted(renewed=True)
    observer.reservation_granted(renewed=True)
    observer.request_refused("reserve", "reservation_refused", "per_ip")
    observer.circuit_opened(limited=True)
    observer.circuit_bytes(1000)
    observer.circuit_bytes(24)
    observer.circuit_ended("closed", 2.5)
    observer.connection_refused("accept_rate")
    observer.handshake_failed("timeout")
    observer.stun_answered("success")
    observer.stun_dropped("source_rate")
    metrics.loop_lag(0.004)
    metrics.watch_levels(lambda: [Level("reservations", 3, 1024), Level("circuits", 1, 0)])
    metrics.watch_certificate(lambda: 1_800_000_000.0)
    metrics.watch_draining(lambda: True)
    async with serving(metrics=metrics) as server:
        status, body = await get(server, "/metrics")
    assert status == 200
    found = samples(body)
    expected = {
        'reservations_granted_total{kind="new"}': 1,
        'reservations_granted_total{kind="renewed"}': 2,
        'requests_refused_total{reason="per_ip",request="reserve",status="reservation_refused"}': 1,
        'circuits_opened_total{limited="true"}': 1,
        'circuits_opened_total{limited="false"}': 0,
        "circuit_bytes_total": 1024,
        'circuits_ended_total{end="closed"}': 1,
        "circuit_seconds_sum": 2.5,
        'connections_refused_total{reason="accept_rate"}': 1,
        'handshakes_failed_total{reason="timeout"}': 1,
        'stun_answers_total{kind="success"}': 1,
        'stun_dropped_total{reason="source_rate"}': 1,
        'event_loop_lag_seconds_bucket{le="0.0025"}': 0,
        'event_loop_lag_seconds_bucket{le="0.005"}': 1,
        'in_use{what="reservations"}': 3,
        'limit{what="reservations"}': 1024,
        'in_use{what="circuits"}': 1,
        "certificate_expiry_timestamp_seconds": 1_800_000_000,
        "draining": 1,
    }
    assert {name: found.get(f"p2pchat_relay_{name}") for name in expected} == expected
    assert 'p2pchat_relay_limit{what="circuits"}' not in found, "what has no limit has no series"
    if sys.platform == "linux":
        assert found["process_resident_memory_bytes"] > 1 << 20


def test_two_relays_in_one_process_do_not_share_metrics() -> None:
    one, two = RelayMetrics(), RelayMetrics()
    one.circuit_bytes(5)
    assert samples(one.render().decode())["p2pchat_relay_circuit_bytes_total"] == 5
    assert samples(two.render().decode())["p2pchat_relay_circuit_bytes_total"] == 0


def test_nothing_is_an_observer_too() -> None:
    observer: RelayObserver = NullObserver()
    observer.circuit_bytes(1)
    observer.request_refused("connect", "no_reservation", "no_reservation")


async def test_health_and_readiness() -> None:
    reason: list[str | None] = [None]
    async with serving(not_ready=lambda: reason[0]) as server:
        assert await get(server, "/healthz") == (200, "ok\n")
        assert await get(server, "/readyz?verbose") == (200, "ready\n")
        reason[0] = "draining: 2 circuits left"
        assert await get(server, "/readyz") == (503, "draining: 2 circuits left\n")
        assert await get(server, "/healthz") == (200, "ok\n")
        assert (await get(server, "/nothing"))[0] == 404
        assert (await get(server, "/"))[0] == 200
        assert await get(server, "/healthz", "HEAD") == (200, "")
        assert (await get(server, "/healthz", "POST"))[0] == 405


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b" 400 "),
        (b"GET / HTTP/2\r\n\r\n", b" 400 "),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", b" 400 "),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * limits.STATUS_MAX_HEAD, b" 431 "),
    ],
)
async def test_strangers(data: bytes, status: bytes) -> None:
    async with serving() as server:
        assert status in (await exchange(server, data)).split(b"\r\n")[0]
        assert (await get(server, "/healthz"))[0] == 200


async def test_the_slow_and_the_many_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STATUS_TIMEOUT", 0.2)
    monkeypatch.setattr(limits, "STATUS_CONNECTIONS", 3)
    async with serving() as server:
        waiting = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(6)]
        for reader, _ in waiting:
            with contextlib.suppress(OSError):
                assert await asyncio.wait_for(reader.read(), 5) == b""
        for _, writer in waiting:
            writer.close()
        assert (await get(server, "/healthz"))[0] == 200


async def test_a_taken_port_is_one_sentence() -> None:
    async with serving() as server:
        with pytest.raises(RelayStartError, match="Another program listens at 127"):
            await StatusServer.open("127.0.0.1", server.port)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        (":9464", ("127.0.0.1", 9464)),
        ("[::1]:0", ("::1", 0)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_status_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "9464", "localhost:9464", "127.0.0.1", "127.0.0.1:65536", "1.2.3.4:²", "1.2.3.4:-1"]
)
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not an IP address and port such as"):
        parse_status_address(text)


async def test_without_the_library_there_is_health_and_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "p2pchat_relay.metrics")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    metrics = load_metrics()
    assert metrics is None
    async with serving(metrics=metrics) as server:
        assert (await get(server, "/healthz"))[0] == 200
        assert (await get(server, "/readyz"))[0] == 200
        status, body = await get(server, "/metrics")
        assert (status, body.count("\n")) == (501, 1)
        assert "p2pchat[metrics]" in body


def test_the_library_is_loaded_only_for_metrics() -> None:
    script = (
        "import sys, p2pchat_relay.cli, p2pchat_relay.server, p2pchat_relay.status, p2pchat_relay.event_loop\n"
        "heavy = ('prometheus_client', 'uvloop', 'aiortc', 'textual')\n"
        "print([name for name in heavy if name in sys.modules])\n"
        "p2pchat_relay.status.load_metrics()\n"
        "print('prometheus_client' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout.split("\n")[:2] == ["[]", "True"]


async def test_a_busy_loop_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pchat_relay.loop_lag.LOOP_LAG_INTERVAL", 0.001)
    found: asyncio.Queue[float] = asyncio.Queue()
    task = asyncio.ensure_future(measure_loop_lag(found.put_nowait))
    assert await asyncio.wait_for(found.get(), 5) >= 0.0
    loop = asyncio.get_running_loop()
    busy_until = loop.time() + 0.05
    while loop.time() < busy_until:
        pass
    worst = 0.0
    while worst < 0.04:
        worst = await asyncio.wait_for(found.get(), 5)
    task.cancel()

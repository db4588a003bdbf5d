"""The budget for what clients make the relay hold: refusing before it is used up, cutting beyond."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from p2pchat_core.errors import ConfigError, P2PChatError
from p2pchat_core.limits import YAMUX_INITIAL_WINDOW
from p2pchat_core.net.circuit import hop_exchange
from p2pchat_core.wire.circuit import HOP_PROTOCOL, HopClient, Status
from p2pchat_relay.admission import Admission
from p2pchat_relay.buffers import BufferBudget
from p2pchat_relay.config import RelayConfig
from p2pchat_relay.limits import RelayLimits
from p2pchat_relay.policy import RelayPolicy, Verdict
from p2pchat_relay.server import Plan
from tests.relay_server.fakes import key
from tests.relay_server.test_server import ask, client, relay, reserve, take_calls, until

if TYPE_CHECKING:
    from pathlib import Path

KIB = 1024


def test_the_largest_are_cut_until_the_rest_fits() -> None:
    budget = BufferBudget(100)
    assert budget.measure([("a", 40), ("b", 60)]) == []
    assert budget.measure([("a", 30), ("b", 60), ("c", 11)]) == ["b"]
    assert budget.measure([("a", 90), ("b", 80), ("c", 70)]) == ["a", "b"]
    assert budget.measure([("a", 30), ("b", 0)], others=90) == ["a"]
    assert budget.measure([("a", 30), ("b", 0)], others=900) == ["a"], "who holds nothing is not to blame"
    assert budget.used == 930


def test_nothing_new_before_it_is_used_up() -> None:
    budget = BufferBudget(100)
    budget.measure([("a", 74)])
    assert not budget.tight
    budget.measure([("a", 75)])
    assert budget.tight
    budget.configure(0)
    assert not budget.tight
    assert budget.measure([("a", 10**12)]) == []


def test_nobody_is_let_in_and_no_circuit_opened_while_it_is_tight() -> None:
    limits = RelayLimits(max_buffered_bytes=1000)
    admission = Admission(limits)
    admission.buffers.measure([("a", 800)])
    assert admission.accept("203.0.113.1", 0.0) == "buffers"
    policy, source, target = RelayPolicy(limits), key(1).peer_id, key(2).peer_id
    policy.reserve(target, "203.0.113.2", 0.0)
    policy.admission.buffers.measure([("a", 800)])
    verdict = policy.connect(source, "203.0.113.1", target, 0.0)
    assert verdict is Verdict.NO_ROOM
    assert verdict.status is Status.RESOURCE_LIMIT_EXCEEDED
    policy.admission.buffers.measure([])
    assert policy.connect(source, "203.0.113.1", target, 0.0) is Verdict.OK


def test_a_budget_that_nobody_could_keep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"limits\.max_buffered_bytes: this must be at least 65536"):
        Plan(RelayConfig(data_dir=tmp_path, limits=RelayLimits(max_buffered_bytes=256)), 0.0)
    Plan(RelayConfig(data_dir=tmp_path, limits=RelayLimits(max_buffered_bytes=0)), 0.0)


async def test_who_holds_most_is_cut_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A circuit whose target does not read fills what the relay may hold for both of its ends."""
    monkeypatch.setattr("p2pchat_relay.limits.BUFFER_CHECK_INTERVAL", 0.05)
    async with (
        relay(tmp_path, max_buffered_bytes=128 * KIB) as server,
        client(1, server) as (_, honest),
        client(2, server) as (_, greedy),
        client(3, server) as (lazy, to_relay),
    ):
        calls = take_calls(lazy)
        await reserve(to_relay)
        near = await greedy.open_stream([HOP_PROTOCOL])
        assert (await hop_exchange(near, HopClient.connect(lazy.peer))).status is Status.OK
        await asyncio.wait_for(calls.get(), 5)
        with pytest.raises(P2PChatError):
            async with asyncio.timeout(5):
                while True:
                    await near.write(bytes(YAMUX_INITIAL_WINDOW))
        await until(lambda: server.policy.admission.buffers.used < 64 * KIB)
        assert not honest.closed
        status, _ = await ask(honest, HopClient.reserve())
        assert status.status is Status.OK


async def test_answers_that_a_client_does_not_take_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pings of a WebSocket are answered at once, whether or not the answers can leave."""
    monkeypatch.setattr("p2pchat_relay.limits.BUFFER_CHECK_INTERVAL", 0.05)
    # This ends such a connection too, and long before it alone could fill a budget.
    monkeypatch.setattr("p2pchat_core.limits.WS_CONTROL_BUFFER", 2**40)
    async with (
        relay(tmp_path, max_buffered_bytes=256 * KIB) as server,
        client(1, server) as (host, connection),
        client(2, server) as (_, honest),
    ):
        assert (await reserve(connection)).status is Status.OK
        (inside,) = server._host.connections(host.peer)
        websocket = connection._muxer._channel.raw._socket  # type: ignore[attr-defined]
        websocket.transport.pause_reading()
        async with asyncio.timeout(10):
            while not inside.closed:
                for _ in range(1000):
                    websocket.protocol.send_ping(bytes(125))
                websocket.send_data()
                await asyncio.sleep(0)
        assert "no room" in (await inside.wait_closed())
        assert not honest.closed
        assert (await reserve(honest)).status is Status.OK

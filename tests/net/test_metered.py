"""What we count on a circuit is what the relay counts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from p2pchat_core.net.connection import CircuitLimit, Connection, Kind
from p2pchat_core.net.memory import memory_pair
from p2pchat_core.net.metered import MeteredStream
from p2pchat_core.net.ping import ping
from p2pchat_core.net.steps import StepTimer
from p2pchat_core.wire.circuit_budget import CircuitBudget
from p2pchat_core.wire.reservation import ReservationState
from p2pchat_relay import handlers
from p2pchat_relay.splice import SpliceResult
from tests.net.test_relay_client import Client, world
from tests.support.hosts import link, running_hosts


async def test_both_ways_and_nothing_twice() -> None:
    near, far = memory_pair()
    budget = CircuitBudget(60, 1000, 0.0)
    stream = MeteredStream(near, budget)
    await stream.write(b"a" * 100)
    await far.write(b"b" * 50)
    data = await stream.read(20)
    assert (len(data), budget.used) == (20, 120)
    stream.unread(data[10:])
    assert await stream.read(4) == b"b" * 4
    assert budget.used == 120
    assert len(await stream.read_exactly(36)) == 36
    assert budget.used == 150
    await stream.close()
    assert len(await far.read()) == 100
    assert await far.read() == b""


async def open_circuit(a: Client, b: Client, address: object) -> tuple[Connection, Connection]:
    a.relays.add(address)  # type: ignore[arg-type]
    await a.state(ReservationState.RESERVED)
    to_relay = await b.host.dial(address)  # type: ignore[arg-type]
    ours = await b.circuits.dial(to_relay, a.host.peer, StepTimer(a.host.peer, b.host.clock, None))
    async with asyncio.timeout(20):
        while not (theirs := a.host.connections(b.host.peer)):
            await asyncio.sleep(0.001)
    return ours, theirs[0]


async def test_a_real_relay_counts_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[SpliceResult] = []
    splice = handlers.splice

    async def counting(*args: object, **options: object) -> SpliceResult:
        counted.append(await splice(*args, **options))  # type: ignore[arg-type]
        return counted[-1]

    monkeypatch.setattr(handlers, "splice", counting)
    async with world(tmp_path) as (relay, a, b):
        ours, theirs = await open_circuit(a, b, relay.addresses[0])
        for _ in range(20):
            await ping(ours, b.host.clock)
            await ping(theirs, a.host.clock)
        assert ours.limit is not None
        assert ours.limit.bytes is not None
        left = ours.bytes_left
        assert left is not None
        assert 0 < left < ours.limit.bytes - 40 * 32
        assert 0 < (ours.seconds_left(b.host.clock.monotonic()) or 0) <= (ours.limit.seconds or 0)
        await ours.close()
        async with asyncio.timeout(20):
            while not counted:
                await asyncio.sleep(0.001)
        result = counted[0]
        assert ours.budget is not None
        assert theirs.budget is not None
        # The last words may still have been under way when the circuit ended.
        for budget in (ours.budget, theirs.budget):
            assert abs(result.to_source + result.to_target - budget.used) <= 64


async def test_only_circuits_with_a_limit_have_a_budget() -> None:
    async with running_hosts(2) as (a, b):
        free, _ = await link(a, b, kind=Kind.CIRCUIT)
        assert (free.budget, free.bytes_left, free.seconds_left(0.0)) == (None, None, None)
        timed, _ = await link(a, b, kind=Kind.CIRCUIT, limit=CircuitLimit(60, None))
        assert timed.bytes_left is None
        assert timed.seconds_left(timed.opened_at + 20) == 40

"""Which of two connections stays, seen from both sides."""

from __future__ import annotations

import asyncio

import pytest

from p2pchat_core import limits
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.connection import CircuitLimit, Connection, Kind
from p2pchat_core.net.host import Host
from p2pchat_core.net.succession import Succession
from tests.support import hosts as support
from tests.support.hosts import eventually, link, running_hosts

LIMIT = CircuitLimit(120, 131072)
RELAYS = [
    Multiaddr.parse(f"/ip4/192.0.2.1/tcp/1/ws/p2p/{host.peer}/p2p-circuit")
    for host in (support.make_host(90), support.make_host(91))
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SUCCESSION_LINGER", 0.02)


async def circuit(
    monkeypatch: pytest.MonkeyPatch, a: Host, b: Host, relay: int = 0
) -> tuple[Connection, Connection]:
    monkeypatch.setattr(support, "ADDRESS", RELAYS[relay])
    return await link(a, b, kind=Kind.CIRCUIT, limit=LIMIT)


async def test_the_newer_direct_connection_stays_and_its_dialer_closes_the_older() -> None:
    async with running_hosts(2) as (a, b):
        Succession(a), Succession(b)
        old = await link(a, b, kind=Kind.WEBRTC)
        new = await link(b, a, kind=Kind.WEBRTC)
        assert [c.superseded for c in (*old, *new)] == [True, True, False, False]
        assert a.connections(b.peer) == [new[1], old[0]]
        await old[1].wait_closed()
        assert old[0].closed
        await asyncio.sleep(0.05)
        assert not new[0].closed


async def test_a_dialer_that_knows_nothing_of_it_is_helped() -> None:
    async with running_hosts(2) as (a, b):
        Succession(a)
        old = await link(b, a, kind=Kind.WEBRTC)
        await link(a, b, kind=Kind.WEBRTC)
        async with asyncio.timeout(20):
            await old[0].wait_closed()


async def test_circuits_through_one_relay_succeed_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_hosts(2) as (a, b):
        Succession(a), Succession(b)
        first = await circuit(monkeypatch, a, b)
        other = await circuit(monkeypatch, a, b, relay=1)
        assert not first[0].superseded, "another relay is a second leg to stand on"
        second = await circuit(monkeypatch, a, b)
        assert first[0].successor is second[0]
        assert first[1].successor is second[1]
        assert not other[0].superseded


async def test_different_kinds_and_connections_to_relays_stay_side_by_side() -> None:
    async with running_hosts(2) as (a, b):
        Succession(a), Succession(b)
        made = [
            await link(a, b, kind=kind)
            for kind in (Kind.WEBRTC, Kind.CIRCUIT, Kind.WEBSOCKET, Kind.WEBSOCKET)
        ]
        await asyncio.sleep(0.05)
        assert not any(c.closed or c.superseded for pair in made for c in pair)


async def test_the_older_stays_if_the_newer_dies_first() -> None:
    async with running_hosts(2) as (a, b):
        Succession(a), Succession(b)
        old = await link(a, b, kind=Kind.WEBRTC)
        new = await link(a, b, kind=Kind.WEBRTC)
        new[0].abort("for the test")
        assert not old[0].superseded
        await new[1].wait_closed()
        await asyncio.sleep(0.05)
        assert not old[0].closed
        assert a.connections(b.peer) == [old[0]]


@pytest.mark.parametrize("first_at_a", [0, 1])
@pytest.mark.parametrize("first_at_b", [0, 1])
async def test_made_by_both_at_once_that_of_the_smaller_stays(first_at_a: int, first_at_b: int) -> None:
    """In whatever order the two come up at the two sides, both choose the same one."""
    async with running_hosts(2) as (a, b):
        pairs = [await link(a, b, kind=Kind.WEBRTC), await link(b, a, kind=Kind.WEBRTC)]
        # As if every attempt had begun before any was done.
        for connection in (c for pair in pairs for c in pair):
            connection.began_at = connection.opened_at - 10
        ours = Succession(a), Succession(b)
        at_a = [pairs[0][0], pairs[1][1]]
        at_b = [pairs[0][1], pairs[1][0]]
        for side, mine, first in ((ours[0], at_a, first_at_a), (ours[1], at_b, first_at_b)):
            mine[first].opened_at -= 1
            side._opened(mine[1 - first])
        smaller = 0 if a.peer.to_bytes() < b.peer.to_bytes() else 1
        assert [c.superseded for c in at_a] == [smaller == 1, smaller == 0]
        assert [c.superseded for c in at_b] == [smaller == 1, smaller == 0]
        assert a.connections(b.peer)[0] is at_a[smaller]
        assert b.connections(a.peer)[0] is at_b[smaller]
        async with asyncio.timeout(20):
            await at_a[1 - smaller].wait_closed()
        await eventually(lambda: at_b[1 - smaller].closed)
        assert not at_a[smaller].closed


async def test_one_begun_after_the_other_was_open_is_no_glare() -> None:
    async with running_hosts(2) as (a, b):
        Succession(a), Succession(b)
        old = await link(a, b, kind=Kind.WEBRTC)
        new = await link(b, a, kind=Kind.WEBRTC)
        newer = await link(a, b, kind=Kind.WEBRTC)
        assert old[0].superseded
        assert new[0].superseded
        assert a.connections(b.peer)[0] is newer[0]
        assert b.connections(a.peer)[0] is newer[1]

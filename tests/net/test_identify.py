from __future__ import annotations

import asyncio

from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.connection import CircuitLimit, Kind
from p2pchat_core.net.host import Host
from p2pchat_core.net.identify import IdentifyService
from tests.support.hosts import eventually, link, running_hosts

RELAYED = (
    "/ip4/192.0.2.7/tcp/4001/ws/p2p/12D3KooWCKq9ZvccjmCqhBbPsrgpAKBHWQpgB61ruM19CyAvH1Cp/p2p-circuit/webrtc"
)


def identify(host: Host, addresses: list[Multiaddr] | None = None) -> IdentifyService:
    return IdentifyService(
        host, f"test {host.peer.short()}", lambda: addresses if addresses is not None else []
    )


async def test_both_sides_learn_of_each_other() -> None:
    async with running_hosts(2) as (a, b):
        ours = identify(a, [Multiaddr.parse(RELAYED) / a.peer.as_multiaddr()])
        theirs = identify(b)
        near, far = await link(a, b)
        seen = await theirs.identified(far)
        assert seen is not None
        assert [str(address) for address in seen.addresses] == [RELAYED]
        assert seen.agent == f"test {a.peer.short()}"
        assert "/ipfs/id/push/1.0.0" in seen.protocols
        assert str(seen.observed).startswith("/ip4/192.0.2.1/tcp/4001/ws")
        assert await ours.identified(near) is not None


async def test_it_runs_on_limited_circuits_without_revealing_an_address() -> None:
    async with running_hosts(2) as (a, b):
        ours = identify(a)
        identify(b)
        near, _ = await link(a, b, kind=Kind.CIRCUIT, limit=CircuitLimit(1, 1))
        seen = await ours.identified(near)
        assert seen is not None
        assert seen.observed is None


async def test_changes_are_pushed() -> None:
    async with running_hosts(2) as (a, b):
        addresses: list[Multiaddr] = []
        ours, theirs = identify(a, addresses), identify(b)
        near, far = await link(a, b)
        await ours.identified(near)
        await theirs.identified(far)
        learnt: list[int] = []
        theirs.on_identified.append(lambda _peer, info: learnt.append(len(info.addresses)))
        addresses.append(Multiaddr.parse(RELAYED))
        a.registry.add("/new/1", lambda stream: stream.close())
        ours.push()
        ours.push()
        while not learnt:
            await asyncio.sleep(0.01)
        assert learnt == [1]
        info = theirs.info(a.peer)
        assert info is not None
        assert "/new/1" in info.protocols


async def test_what_is_known_ends_with_the_last_connection() -> None:
    async with running_hosts(2) as (a, b):
        ours = identify(a)
        identify(b)
        near, _ = await link(a, b)
        assert await ours.identified(near) is not None
        near.abort("enough")
        await eventually(lambda: ours.info(b.peer) is None, "forgetting")


async def test_a_peer_without_identify_is_no_trouble() -> None:
    async with running_hosts(2) as (a, b):
        ours = identify(a)
        near, _ = await link(a, b)
        assert await ours.identified(near) is None
        assert not near.closed

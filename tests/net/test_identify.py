from __future__ import annotations

import asyncio

import pytest

from p2pchat_core import limits
from p2pchat_core.identity.envelope import PeerRecord, seal
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.connection import CircuitLimit, Connection, Kind
from p2pchat_core.net.host import Host
from p2pchat_core.net.identify import IdentifyService
from p2pchat_core.wire.identify import Identify, encode
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


def told(host: Host, seq: int | None, *addresses: str) -> Identify:
    """Return what `host` says about itself, signed with this number or not at all."""
    known = tuple(map(Multiaddr.parse, addresses))
    record = None if seq is None else seal(host.identity, PeerRecord(host.peer, seq, known))
    return Identify(listen_addresses=known, protocols=(f"/seq/{seq}",), signed_peer_record=record)


async def push_to(connection: Connection, message: Identify) -> None:
    async with await connection.open_stream(["/ipfs/id/push/1.0.0"], allow_limited=True) as stream:
        await stream.write(encode(message))
        await stream.close_write()


async def test_only_the_newest_signed_record_counts() -> None:
    relay = "/dns4/{}.example/tcp/1/ws/p2p/12D3KooWCKq9ZvccjmCqhBbPsrgpAKBHWQpgB61ruM19CyAvH1Cp/p2p-circuit"
    old, new, loose = (relay.format(name) for name in ("old", "new", "loose"))
    async with running_hosts(2) as (a, b):
        theirs = identify(b)
        near, far = await link(a, b)
        await theirs.identified(far)
        heard: list[tuple[list[str], bool]] = []
        theirs.on_identified.append(lambda _, i: heard.append(([str(x) for x in i.addresses], i.signed)))
        said = [(None, loose, loose, False), (5, new, new, True), (4, old, new, True), (5, new, new, True)]
        for seq, address, expected, signed in [*said, (None, loose, loose, False)]:
            count = len(heard)
            await push_to(near, told(a, seq, address))
            async with asyncio.timeout(20):
                while len(heard) == count:
                    await asyncio.sleep(0.001)
            assert heard[-1] == ([expected], signed)
        # A peer that comes again is held to what it said before.
        near.abort("for the test")
        await far.wait_closed()
        await eventually(lambda: theirs.info(a.peer) is None)
        near, far = await link(a, b)
        await push_to(near, told(a, 4, old))
        async with asyncio.timeout(20):
            while heard[-1] != ([], False):
                await asyncio.sleep(0.001)


async def test_the_numbers_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IDENTIFY_MAX_SEQUENCES", 2)
    async with running_hosts(4) as (a, *others):
        ours = identify(a)
        for number, other in enumerate(others):
            await link(other, a)
            ours._learn(other.peer, told(other, number + 1), replace=True)
        assert ours._seen == {others[1].peer: 2, others[2].peer: 3}

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from p2pchat_core import limits
from p2pchat_core.errors import AddressError, DialError, StreamLimitError, WrongPeerError
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.connection import CircuitLimit, Kind
from p2pchat_core.net.host import HostConfig
from p2pchat_core.net.ping import serve_ping
from p2pchat_core.wire.ping import PING_PROTOCOL
from tests.support.hosts import eventually, link, make_host, running_hosts

LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/0/ws")


async def test_connections_are_ranked() -> None:
    async with running_hosts(2) as (a, b):
        limited, _ = await link(a, b, kind=Kind.CIRCUIT, limit=CircuitLimit(1, 1))
        circuit, _ = await link(a, b, kind=Kind.CIRCUIT)
        plain, _ = await link(a, b)
        direct, _ = await link(a, b, kind=Kind.WEBRTC)
        assert a.connections(b.peer) == [direct, plain, circuit, limited]
        assert a.connections() == a.connections(b.peer)


async def test_streams_go_over_the_best_connection() -> None:
    async with running_hosts(2) as (a, b):
        serve_ping(b)
        with pytest.raises(DialError):
            await a.open_stream(b.peer, [PING_PROTOCOL])
        limited, _ = await link(a, b, kind=Kind.CIRCUIT, limit=CircuitLimit(1, 1))
        with pytest.raises(DialError):
            await a.open_stream(b.peer, [PING_PROTOCOL])
        async with await a.open_stream(b.peer, [PING_PROTOCOL], allow_limited=True) as stream:
            assert stream.connection is limited
        direct, _ = await link(a, b, kind=Kind.WEBRTC)
        async with await a.open_stream(b.peer, [PING_PROTOCOL], allow_limited=True) as stream:
            assert stream.connection is direct


async def test_connections_per_peer_and_in_all_are_limited() -> None:
    a = make_host(1, HostConfig(max_connections=3, max_connections_per_peer=2))
    async with running_hosts(4) as (_unused, b, c, d):
        await link(a, b)
        await link(a, b)
        with pytest.raises(StreamLimitError, match="with"):
            await link(a, b)
        await link(a, c)
        with pytest.raises(StreamLimitError, match="Too many connections are"):
            await link(a, d)
        await eventually(lambda: not d.connections(), "the refused connection to end")
        await a.close()


async def test_dialling_a_websocket_on_loopback() -> None:
    async with running_hosts(2) as (a, b):
        (address,) = await a.listen(LOOPBACK)
        assert a.listen_addresses() == [address]
        full = address / a.peer.as_multiaddr()
        connection = await b.dial(full)
        assert connection.peer == a.peer
        assert str(connection.remote_address) == str(full)
        # There is no need for a second connection to the same peer.
        assert await b.dial(full) is connection
        await eventually(lambda: a.connections(b.peer), "the listener's side")


@pytest.mark.parametrize("hurried", [True, False])
async def test_who_is_in_a_hurry_tries_other_sockets(hurried: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DIAL_STAGGER", (0.0, 0.001, 3600.0))
    async with running_hosts(2) as (a, b):
        (address,) = await a.listen(LOOPBACK)
        b.hurried = lambda: hurried
        dial, begun, free = b._dial, 0, asyncio.Event()

        async def first_hangs(*args: Any) -> Any:
            nonlocal begun
            begun += 1
            if begun == 1:
                await free.wait()
            return await dial(*args)

        monkeypatch.setattr(b, "_dial", first_hangs)
        dialling = asyncio.ensure_future(b.dial(address / a.peer.as_multiaddr()))
        if not hurried:
            await eventually(lambda: begun == 1)
            free.set()
        async with asyncio.timeout(20):
            connection = await dialling
        assert b.connections() == [connection]
        assert begun == (2 if hurried else 1)


async def test_another_connection_beside_one_that_will_not_do() -> None:
    async with running_hosts(2) as (a, b):
        (address,) = await a.listen(LOOPBACK)
        full = address / a.peer.as_multiaddr()
        old = await b.dial(full)
        new = await b.dial(full, beside=old)
        assert new is not old
        assert await b.dial(full, beside=old) is new


async def test_the_wrong_peer_at_an_address_is_an_error() -> None:
    async with running_hosts(3) as (a, b, c):
        (address,) = await a.listen(LOOPBACK)
        with pytest.raises(WrongPeerError, match="not trusted"):
            await b.dial(address / c.peer.as_multiaddr())
        assert not b.connections()


async def test_dialling_oneself_is_an_error() -> None:
    async with running_hosts(1) as (a,):
        (address,) = await a.listen(LOOPBACK)
        for target in (address, address / a.peer.as_multiaddr()):
            with pytest.raises(AddressError, match="own address"):
                await a.dial(target)
        await eventually(lambda: not a.connections(), "both ends to be gone")


async def test_a_refused_address_gets_nothing() -> None:
    async with running_hosts(2) as (a, b):
        a.admit = lambda ip: ip != "127.0.0.1"
        (address,) = await a.listen(LOOPBACK)
        with pytest.raises(DialError):
            await b.dial(address / a.peer.as_multiaddr())


@pytest.mark.parametrize("listen", [LOOPBACK, Multiaddr.parse("/ip4/127.0.0.1/tcp/0")], ids=["ws", "tcp"])
async def test_only_so_many_may_take_their_time_with_the_handshake(listen: Multiaddr) -> None:
    host = make_host(1, HostConfig(max_pending_upgrades=2))
    dialer = make_host(2)
    admitted: list[str] = []
    released: list[str] = []
    host.admit = lambda ip: not admitted.append(ip)  # type: ignore[func-returns-value]
    host.released = released.append
    try:
        (address,) = await host.listen(listen)
        port = int(address.value("tcp") or 0)
        slow = []
        for count in (1, 2):
            slow.append(await asyncio.open_connection("127.0.0.1", port))
            await eventually(lambda count=count: host.handshakes == count)
        await dialer.dial(address)
        await eventually(lambda: host.handshakes == 1)
        assert len(admitted) == 3
        # The oldest had to make room, and only that one.
        with contextlib.suppress(ConnectionResetError):
            assert await slow[0][0].read() == b""
        assert released == ["127.0.0.1"]
        assert not slow[1][0].at_eof()
        for _, writer in slow:
            writer.transport.abort()
        async with asyncio.timeout(5):
            while host.handshakes:
                await asyncio.sleep(0.001)
    finally:
        await asyncio.gather(host.close(), dialer.close())
    async with asyncio.timeout(5):
        while len(released) < len(admitted):
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("listen", [LOOPBACK, Multiaddr.parse("/ip4/127.0.0.1/tcp/0")], ids=["ws", "tcp"])
async def test_a_handshake_has_its_deadline(listen: Multiaddr) -> None:
    host = make_host(1, HostConfig(upgrade_timeout=0.02))
    try:
        (address,) = await host.listen(listen)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address.value("tcp") or 0))
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                while await reader.read(100):
                    pass
        writer.transport.abort()
    finally:
        await host.close()


async def test_a_wildcard_is_shown_as_addresses() -> None:
    async with running_hosts(1) as (a,):
        await a.listen(Multiaddr.parse("/ip4/0.0.0.0/tcp/0/ws"))
        shown = a.listen_addresses()
        assert shown[0].value("ip4") == "127.0.0.1"
        assert all(address.value("ip4") != "0.0.0.0" and address.value("tcp") != "0" for address in shown)

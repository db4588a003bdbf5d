"""Plain TCP over loopback: byte-stream semantics, endings, and the sentences of failures."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest

from p2pchat_core import limits
from p2pchat_core.clock import SystemClock
from p2pchat_core.errors import (
    AddressError,
    ConfigError,
    ConnectionLostError,
    DialError,
    P2PChatError,
    StreamClosedError,
    StreamResetError,
)
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.connection import Kind
from p2pchat_core.net.ping import ping, serve_ping
from p2pchat_core.net.tcp import TcpListener, TcpStream, dial_tcp
from tests.support.hosts import running_hosts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ANY_PORT = Multiaddr.parse("/ip4/127.0.0.1/tcp/0")


class Inbox:
    """Takes what a listener accepts."""

    def __init__(self) -> None:
        self.streams: asyncio.Queue[TcpStream] = asyncio.Queue()

    async def __call__(self, stream: TcpStream) -> None:
        self.streams.put_nowait(stream)


@contextlib.asynccontextmanager
async def listening(**options: Any) -> AsyncIterator[tuple[Multiaddr, Inbox]]:
    inbox = Inbox()
    listener = await TcpListener.open(options.pop("address", ANY_PORT), inbox, **options)
    try:
        yield listener.addresses[0], inbox
    finally:
        await listener.close()


@contextlib.asynccontextmanager
async def pair() -> AsyncIterator[tuple[TcpStream, TcpStream]]:
    async with listening() as (address, inbox):
        dialled = await dial_tcp(address)
        accepted = await inbox.streams.get()
        yield dialled, accepted
        dialled.abort()
        accepted.abort()
        await dialled.wait_closed()


async def test_bytes_travel_both_ways_and_can_be_pushed_back() -> None:
    async with pair() as (near, far):
        assert near.remote_address == far.local_address
        assert far.remote_address == near.local_address
        data = bytes(range(256)) * 1000
        sending = asyncio.ensure_future(near.write(data))
        assert await far.read_exactly(len(data)) == data
        await sending
        await far.write(b"answer")
        assert await near.read_exactly(6) == b"answer"
        near.unread(b"an")
        near.unread(b"once more ")
        assert await near.read(5) == b"once "
        assert await near.read() == b"more an"


async def test_a_writer_waits_for_a_reader_that_does_not_read() -> None:
    async with pair() as (near, far):
        for end in (near, far):
            sock = end._socket.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        chunk, written = bytes(64 * 1024), 0

        async def write() -> None:
            nonlocal written
            while True:
                await near.write(chunk)
                written += len(chunk)

        writer = asyncio.ensure_future(write())
        before = -1
        while before != written:
            before = written
            await asyncio.sleep(0.05)
        stuck_at = written
        assert stuck_at < 16 * 1024 * 1024
        await far.read_exactly(stuck_at)
        while written == stuck_at:
            await asyncio.sleep(0)
        writer.cancel()


async def test_the_end_of_the_remote_is_the_end_of_the_data() -> None:
    async with pair() as (near, far):
        await near.write(b"last words")
        await near.close()
        assert await far.read_exactly(10) == b"last words"
        assert await far.read() == b""
        assert await far.read() == b""
        with pytest.raises(StreamClosedError):
            await near.read()
        with pytest.raises(StreamClosedError):
            await near.write(b"x")
        await near.close()


async def test_giving_up_wakes_both_sides() -> None:
    async with pair() as (near, far):
        reading = asyncio.ensure_future(near.read())
        await asyncio.sleep(0)
        near.abort()
        with pytest.raises(StreamResetError):
            await reading
        with pytest.raises(StreamResetError):
            await near.write(b"x")
        with contextlib.suppress(ConnectionLostError):
            assert await far.read() == b""


async def test_a_cut_connection_is_lost() -> None:
    async with pair() as (near, far):
        await far.write(b"unread by the other side, so that closing becomes a reset")
        sock = near._socket.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        near.abort()
        with pytest.raises(ConnectionLostError, match="was cut"):
            while await far.read():
                pass
            # Without a reset in between the read ends quietly; then the writes must notice.
            while True:
                await far.write(bytes(1024))


async def test_closing_does_not_wait_for_a_peer_that_never_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TCP_CLOSE_TIMEOUT", 0.05)
    async with pair() as (near, _):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                while True:
                    await near.write(bytes(1 << 20))
        await asyncio.wait_for(near.close(), 5)
        await asyncio.wait_for(near.wait_closed(), 5)


async def test_a_listener_ends_its_connections() -> None:
    inbox = Inbox()
    listener = await TcpListener.open(ANY_PORT, inbox)
    (address,) = listener.addresses
    stream = await dial_tcp(address)
    await inbox.streams.get()
    await asyncio.wait_for(listener.close(), 5)
    with contextlib.suppress(ConnectionLostError):
        assert await stream.read() == b""
    with pytest.raises(DialError, match="Nothing answers"):
        await dial_tcp(address)
    await stream.close()


async def test_who_is_not_admitted_is_dropped() -> None:
    seen: list[str] = []

    def refuse(ip: str) -> bool:
        seen.append(ip)
        return False

    async with listening(admit=refuse) as (address, inbox):
        with contextlib.suppress(P2PChatError):
            stream = await dial_tcp(address)
            assert await stream.read() == b""
        assert seen == ["127.0.0.1"]
        assert inbox.streams.empty()
        with contextlib.suppress(UnboundLocalError):
            await stream.close()


async def test_a_failing_handler_ends_its_connection_only() -> None:
    calls = 0

    async def handler(stream: TcpStream) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ConnectionLostError("not today")
        await stream.write(b"hello")

    listener = await TcpListener.open(ANY_PORT, handler)
    first, second = [await dial_tcp(listener.addresses[0]) for _ in range(2)]
    with contextlib.suppress(ConnectionLostError):
        assert await first.read() == b""
    assert await second.read() == b"hello"
    await asyncio.gather(first.close(), second.close(), listener.close())


@pytest.mark.parametrize(
    ("text", "error", "sentence"),
    [
        ("/dns4/localhost/tcp/0", AddressError, "names a host"),
        ("/ip4/127.0.0.1/tcp/0/ws", AddressError, "not a TCP address"),
        ("/ip4/192.0.2.1/tcp/0", ConfigError, "does not have the address 192.0.2.1"),
    ],
)
async def test_where_nobody_can_listen(text: str, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        await TcpListener.open(Multiaddr.parse(text), Inbox())


async def test_a_taken_port_is_named() -> None:
    async with listening() as (address, _):
        with pytest.raises(ConfigError, match=r"Another program listens at 127\.0\.0\.1"):
            await TcpListener.open(address, Inbox())


async def test_hosts_over_plain_tcp() -> None:
    async with running_hosts(2) as (a, b):
        serve_ping(a)
        (address,) = await a.listen(ANY_PORT)
        assert address.names == ("ip4", "tcp")
        connection = await b.dial(address / a.peer.as_multiaddr())
        assert connection.route.kind is Kind.TCP
        assert await b.dial(address / a.peer.as_multiaddr()) is connection
        assert await ping(connection, SystemClock()) > 0
        (inbound,) = a.connections(b.peer)
        assert inbound.route.kind is Kind.TCP
        assert inbound.remote_address.names == ("ip4", "tcp", "p2p")
        await b.close()
        await asyncio.wait_for(inbound.wait_closed(), 5)


async def test_hosts_over_ipv6() -> None:
    async with running_hosts(2) as (a, b):
        try:
            (address,) = await a.listen(Multiaddr.parse("/ip6/::1/tcp/0"))
        except ConfigError as error:
            pytest.skip(f"no ::1 here: {error}")
        connection = await b.dial(address)
        assert connection.peer == a.peer


async def test_a_failed_handshake_is_reported_and_cut() -> None:
    async with running_hosts(1) as (a,):
        failures: asyncio.Queue[P2PChatError] = asyncio.Queue()
        a.on_handshake_failed.append(lambda _address, error: failures.put_nowait(error))
        (address,) = await a.listen(ANY_PORT)
        stream = await dial_tcp(address)
        await stream.write(b"\x14/some/thing/else/1.0\n")
        await asyncio.wait_for(failures.get(), 5)
        with contextlib.suppress(ConnectionLostError):
            while await stream.read():
                pass
        await stream.close()

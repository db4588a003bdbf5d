"""Our side of many and of large streams to js, without a face in between."""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.node import Node
from tests.interop.peers import js_listening, js_peer, our_relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.stream import Stream

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

ECHO = "/echo/1.0.0"
SIZE = 1 << 20


@asynccontextmanager
async def connected(tmp_path: Path, *, direct: bool) -> AsyncIterator[Connection]:
    """A direct connection to js, or the circuit (without limits) that leads to it."""
    unlimited = ("--circuit-seconds", "0", "--circuit-bytes", "0")
    async with our_relay(tmp_path / "relay", *unlimited) as relay, js_peer() as js:
        node = Node(PrivateKey.generate())
        try:
            connection = await node.connect(Multiaddr.parse(await js_listening(js, relay.address)))
            assert connection.direct
            if not direct:
                connection = next(c for c in node.host.connections(connection.peer) if c.relayed)
            yield connection
        finally:
            await node.stop()


async def echo(stream: Stream, data: bytes) -> bytes:
    """Send `data`, end our side, and return everything that comes back."""

    async def write() -> None:
        for at in range(0, len(data), 50_000):
            await stream.write(data[at : at + 50_000])
        await stream.close_write()

    received = bytearray()
    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        while chunk := await stream.read():
            received += chunk
    return bytes(received)


@pytest.mark.parametrize("direct", [True, False], ids=["data channels", "yamux"])
async def test_a_mebibyte_comes_back_whole(tmp_path: Path, direct: bool) -> None:
    data = os.urandom(SIZE)
    async with (
        connected(tmp_path, direct=direct) as connection,
        await connection.open_stream([ECHO]) as stream,
    ):
        back = await echo(stream, data)
    assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest()


@pytest.mark.parametrize("direct", [True, False], ids=["data channels", "yamux"])
async def test_a_hundred_streams_in_a_row(tmp_path: Path, direct: bool) -> None:
    async with connected(tmp_path, direct=direct) as connection:
        for number in range(100):
            async with await connection.open_stream([ECHO]) as stream:
                assert await echo(stream, b"stream %d" % number) == b"stream %d" % number
        # and a few at the same time
        streams = [await connection.open_stream([ECHO]) for _ in range(8)]
        results = await asyncio.gather(
            *(echo(stream, bytes([n]) * 20_000) for n, stream in enumerate(streams))
        )
        assert results == [bytes([n]) * 20_000 for n in range(8)]
        for stream in streams:
            await stream.close()

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from p2pchat_core.errors import (
    ConnectionLostError,
    StreamLimitError,
    StreamResetError,
    UnsupportedProtocolError,
)
from p2pchat_core.net.connection import CircuitLimit, Kind
from tests.support.hosts import eventually, link, running_hosts

if TYPE_CHECKING:
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.stream import Stream

SHOUT = "/shout/1"
LIMIT = CircuitLimit(120, 1024)


async def shout(stream: Stream) -> None:
    while data := await stream.read():
        await stream.write(data.upper())
    await stream.close_write()


async def expect_reset(connection: Connection, protocol: str) -> None:
    with pytest.raises(StreamResetError):
        await (await connection.open_stream([protocol], allow_limited=True)).read()


@pytest.mark.parametrize("max_read", [None, 1])
async def test_streams_both_ways(max_read: int | None) -> None:
    async with running_hosts(2) as (a, b):
        for host in (a, b):
            host.handle(SHOUT, shout)
        for connection in await link(a, b, max_read=max_read):
            async with await connection.open_stream(["/unknown/1", SHOUT]) as stream:
                assert stream.protocol == SHOUT
                assert stream.connection is connection
                await stream.write(b"hello")
                await stream.close_write()
                assert await stream.read_exactly(5) == b"HELLO"
                assert await stream.read() == b""


async def test_unknown_protocol_is_refused() -> None:
    async with running_hosts(2) as (a, b):
        connection, _ = await link(a, b)
        with pytest.raises(UnsupportedProtocolError):
            await connection.open_stream(["/nobody/serves/this"])


async def test_a_limited_circuit_carries_only_what_was_made_for_it() -> None:
    async with running_hosts(2) as (a, b):
        b.handle(SHOUT, shout)
        b.handle("/small/1", shout, on_limited=True)
        connection, _ = await link(a, b, kind=Kind.CIRCUIT, limit=LIMIT)
        assert connection.limited
        assert connection.relayed
        with pytest.raises(StreamLimitError):
            await connection.open_stream(["/small/1"])
        async with await connection.open_stream(["/small/1"], allow_limited=True) as stream:
            await stream.write(b"x")
            assert await stream.read() == b"X"
        # Like js, the listener knows the protocol and resets; the reset may overtake the acceptance.
        await expect_reset(connection, SHOUT)


async def test_streams_of_one_protocol_are_limited() -> None:
    async with running_hosts(2) as (a, b):
        b.handle(SHOUT, shout, max_inbound=2)
        connection, _ = await link(a, b)
        first, second = [await connection.open_stream([SHOUT]) for _ in range(2)]
        await expect_reset(connection, SHOUT)
        await first.close()
        await second.write(b"still here")
        assert await second.read() == b"STILL HERE"


async def test_a_failing_handler_resets_its_stream_only(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(_stream: Stream) -> None:
        raise RuntimeError("a bug")

    async with running_hosts(2) as (a, b):
        b.handle("/fail/1", fail)
        b.handle(SHOUT, shout)
        connection, _ = await link(a, b)
        await expect_reset(connection, "/fail/1")
        async with await connection.open_stream([SHOUT]) as good:
            await good.write(b"fine")
            assert await good.read() == b"FINE"
    assert "a bug" in caplog.text


async def test_the_end_of_a_connection_ends_streams_and_handlers() -> None:
    ended = asyncio.Event()

    async def wait(stream: Stream) -> None:
        try:
            await stream.read()
        finally:
            ended.set()

    async with running_hosts(2) as (a, b):
        b.handle("/wait/1", wait)
        reasons: list[str] = []
        b.on_disconnect.append(lambda _connection, reason: reasons.append(reason))
        near, far = await link(a, b)
        stream = await near.open_stream(["/wait/1"])
        near.abort("The cable was cut.")
        with pytest.raises(ConnectionLostError, match="cable"):
            await stream.read()
        await far.wait_closed()
        assert ended.is_set()
        await eventually(lambda: reasons, "the disconnect callback")
        assert a.connections() == b.connections() == []

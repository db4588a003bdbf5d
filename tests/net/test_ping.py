from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.net.ping import ping, serve_ping
from p2pchat_core.wire.ping import PING_PROTOCOL
from tests.support.hosts import link, running_hosts

if TYPE_CHECKING:
    from p2pchat_core.net.stream import Stream


async def test_ping_measures_and_remembers() -> None:
    async with running_hosts(2) as (a, b):
        serve_ping(b)
        near, _ = await link(a, b)
        assert near.rtt is None
        assert await ping(near, a.clock) == near.rtt


async def test_many_pings_leave_no_stream_open() -> None:
    async with running_hosts(2) as (a, b):
        serve_ping(b)
        near, _ = await link(a, b)
        for _ in range(20):  # more than a connection may have open at once
            await ping(near, a.clock)


async def test_a_wrong_echo_is_the_peers_fault() -> None:
    async def lie(stream: Stream) -> None:
        await stream.write(bytes(32))

    async with running_hosts(2) as (a, b):
        b.handle(PING_PROTOCOL, lie)
        near, _ = await link(a, b)
        with pytest.raises(RemoteProtocolError):
            await ping(near, a.clock)

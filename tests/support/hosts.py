"""Hosts connected in memory, for tests of what runs on connections."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.connection import Direction, Kind, Route
from p2pchat_core.net.host import Host, HostConfig
from p2pchat_core.net.memory import memory_pair
from p2pchat_core.net.upgrader import upgrade_inbound, upgrade_outbound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from p2pchat_core.net.connection import CircuitLimit, Connection

__all__ = ["eventually", "link", "make_host", "running_hosts"]

ADDRESS = Multiaddr.parse("/ip4/192.0.2.1/tcp/4001/ws")


def make_host(number: int, config: HostConfig | None = None) -> Host:
    """Return a host whose identity depends on `number` only."""
    return Host(PrivateKey.from_seed(bytes([number]) * 32), config=config)


@asynccontextmanager
async def running_hosts(count: int) -> AsyncIterator[list[Host]]:
    """Make hosts 1 to `count` and close them at the end."""
    hosts = [make_host(number) for number in range(1, count + 1)]
    try:
        yield hosts
    finally:
        await asyncio.gather(*(host.close() for host in hosts))


async def link(
    dialer: Host,
    listener: Host,
    *,
    kind: Kind = Kind.WEBSOCKET,
    limit: CircuitLimit | None = None,
    max_read: int | None = None,
) -> tuple[Connection, Connection]:
    """Connect two hosts through memory with real Noise and yamux; return the connection of each."""
    near, far = memory_pair(max_read=max_read)
    async with asyncio.TaskGroup() as group:
        outbound = group.create_task(upgrade_outbound(near, dialer.identity, listener.peer))
        inbound = group.create_task(upgrade_inbound(far, listener.identity))
    route_out = Route(kind, Direction.OUTBOUND, ADDRESS / listener.peer.as_multiaddr(), limit)
    route_in = Route(kind, Direction.INBOUND, ADDRESS / dialer.peer.as_multiaddr(), limit)
    up, down = outbound.result(), inbound.result()
    return dialer.adopt(up.peer, up.muxer, route_out), listener.adopt(down.peer, down.muxer, route_in)


async def eventually(condition: object, what: str = "the condition") -> None:
    """Let other tasks run until `condition()` is true; fail if the loop turns many times without it."""
    assert callable(condition)
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{what} never came true")

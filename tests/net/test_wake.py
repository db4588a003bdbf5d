"""What makes us look at every path anew."""

from __future__ import annotations

import asyncio
import socket

import pytest

from p2pchat_core import limits
from p2pchat_core.net.wake import our_addresses, watch_world
from tests.support.netlink import done, link

JUMP = 60.0 + limits.WAKE_JUMP


class SetClock:
    """A clock that goes on by one interval each time it is read, until told otherwise."""

    def __init__(self) -> None:
        self.now = 100.0
        self.ahead = 0.0

    def monotonic(self) -> float:
        self.now += 0.001
        return self.now

    def time(self) -> float:
        return 1e9 + self.now + self.ahead


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("stopped", "stood still"),
        ("set", "clock jumped"),
        ("set back", "clock jumped"),
        ("moved", "network changed"),
    ],
)
async def test_changes_are_noticed_once(what: str, reason: str) -> None:
    clock, addresses = SetClock(), {"192.0.2.1"}
    heard: asyncio.Queue[str] = asyncio.Queue()
    task = asyncio.create_task(
        watch_world(
            clock,
            heard.put_nowait,
            addresses=lambda: frozenset(addresses),
            interval=0.001,
            netlink=lambda: None,
        )
    )
    await asyncio.sleep(0.02)
    assert heard.empty()
    match what:
        case "stopped":
            clock.now += JUMP
        case "set":
            clock.ahead += JUMP
        case "set back":
            clock.ahead -= JUMP
        case "moved":
            addresses.add("192.0.2.2")
    async with asyncio.timeout(20):
        assert reason in await heard.get()
    await asyncio.sleep(0.02)
    assert heard.empty()
    task.cancel()
    await asyncio.wait([task])


async def test_the_kernel_is_heard_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "NETWORK_SETTLE", 0.001)
    kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    heard: asyncio.Queue[str] = asyncio.Queue()
    task = asyncio.create_task(
        watch_world(SetClock(), heard.put_nowait, addresses=frozenset, interval=3600, netlink=lambda: ours)
    )
    with kernel:
        for _ in range(3):
            await asyncio.sleep(0.005)
            kernel.send(done())
        await asyncio.sleep(0.005)
        kernel.send(link(1))
        async with asyncio.timeout(20):
            assert await heard.get() == "the network changed"
        task.cancel()
        await asyncio.wait([task])
    assert ours.fileno() == -1


def test_this_machine_has_interfaces() -> None:
    assert our_addresses()

"""What makes us look at every path anew."""

from __future__ import annotations

import asyncio

import pytest

from p2pchat_core import limits
from p2pchat_core.net.wake import our_addresses, watch_world

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
        ("moved", "addresses changed"),
    ],
)
async def test_changes_are_noticed_once(what: str, reason: str) -> None:
    clock, addresses = SetClock(), {"192.0.2.1"}
    heard: asyncio.Queue[str] = asyncio.Queue()
    task = asyncio.create_task(
        watch_world(clock, heard.put_nowait, addresses=lambda: frozenset(addresses), interval=0.001)
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


def test_this_machine_has_addresses() -> None:
    assert "127.0.0.1" in our_addresses()

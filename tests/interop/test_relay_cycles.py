"""Peers that come, reserve and leave again, ten thousand times: nothing of them stays behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.circuit import hop_exchange
from p2pchat_core.net.host import Host
from p2pchat_core.wire.circuit import HOP_PROTOCOL, HopClient, Status
from tests.interop.peers import Relay, our_relay

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

CYCLES = 10_000
AT_ONCE = 8
SLOTS = 2 * AT_ONCE
"""Of the relay. Whoever left may still hold one while the next comes; a leak would soon use up the rest."""
WARM_UP = 2000
"""Cycles after which memory must not grow any more."""
MEBIBYTE = 1 << 20
GROWTH = 2 * MEBIBYTE


async def come(relay: Multiaddr) -> Host:
    """Connect as somebody new and reserve."""
    host = Host(PrivateKey.generate())
    connection = await host.dial(relay)
    stream = await connection.open_stream([HOP_PROTOCOL])
    assert (await hop_exchange(stream, HopClient.reserve())).status is Status.OK
    await stream.close()
    return host


async def come_and_go(relay: Multiaddr, times: int) -> None:
    for number in range(times):
        host = await come(relay)
        if number % 3 == 0:  # without good-bye
            for connection in host.connections():
                connection.abort("The test cuts it.")
        await host.close()


async def cycles(relay: Relay, count: int) -> None:
    address = Multiaddr.parse(relay.address)
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(come_and_go(address, count // AT_ONCE))


def resident(relay: Relay) -> int:
    """Return the resident size of the relay's process in bytes; 0 where that cannot be read."""
    status = Path(f"/proc/{relay.process.process.pid}/status")
    if not status.exists():
        return 0
    return next(
        int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmRSS")
    )


async def test_nothing_stays_behind(tmp_path: Path) -> None:
    options = ("--max-reservations", str(SLOTS), "--log-level", "warning")
    async with our_relay(tmp_path, *options) as relay:
        await cycles(relay, WARM_UP)
        before = resident(relay)
        await cycles(relay, CYCLES - WARM_UP)
        await asyncio.sleep(1)
        after = resident(relay)
        print(
            f"resident after {WARM_UP} cycles {before / MEBIBYTE:.1f} MiB, after {CYCLES} {after / MEBIBYTE:.1f} MiB"
        )
        assert after - before < GROWTH
        # All slots are free again: exactly so many get one.
        address = Multiaddr.parse(relay.address)
        guests = await asyncio.gather(*(come(address) for _ in range(SLOTS)))
        with pytest.raises(AssertionError):
            await come(address)
        await asyncio.gather(*(guest.close() for guest in guests))

"""What is done to a running chat: each returns a coroutine function that takes the `Scene`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.netlab.clocks import set_clock
from tests.netlab.lab import SECOND_PUBLIC
from tests.netlab.ledger import read_ledger
from tests.netlab.peers import Relay, disk_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.netlab.cable import Profile
    from tests.netlab.peers import World
    from tests.netlab.traffic import Traffic

    Strike = Callable[["Scene"], Awaitable[None]]

__all__ = ["Scene", "Strike"]

_NOTICED: Final = 30.0


@dataclass
class Scene:
    """What a strike works with.

    Attributes:
        notes: figures to report: seconds are floats, counts whole numbers.
        healed_at: from when on it should work again, monotonic.
    """

    world: World
    traffic: Traffic
    notes: dict[str, float | int | str] = field(default_factory=dict)
    healed_at: float | None = None

    def heal(self) -> None:
        """From now on it should work again."""
        self.healed_at = time.monotonic()

    def count(self, name: str, more: int) -> None:
        """Add to a note that must be zero in the end."""
        before = self.notes.get(name, 0)
        assert isinstance(before, int)
        self.notes[name] = before + more

    async def direct_again(self, patience: float) -> None:
        """Note how long after `heal` both sides were connected directly."""
        assert self.healed_at is not None
        a, b = self.world.peers
        while time.monotonic() - self.healed_at < patience:
            status = await a.call("status")
            if any(c["peer"] == b.peer and c["path"] == "direct" for c in status["connections"]):
                self.notes["direct again"] = time.monotonic() - self.healed_at
                return
            await asyncio.sleep(0.1)
        self.notes["direct again"] = f"not within {patience:g} s"

    def figures(self) -> dict[str, float | int | str]:
        """Return the notes, with ``healed``: how long after `heal` both sides had a message."""
        if self.healed_at is None:
            return self.notes
        firsts = [line.first_after(self.healed_at) for line in (self.traffic.there, self.traffic.back)]
        late = max(float("inf") if first is None else first - self.healed_at for first in firsts)
        return {**self.notes, "healed": late}


def wait(seconds: float) -> Strike:
    """Do nothing."""

    async def strike(scene: Scene) -> None:
        await asyncio.sleep(seconds)

    return strike


# --- relays -----------------------------------------------------------------------------------------------------------


def relay_killed(seconds: float) -> Strike:
    """Kill the relay for good."""

    async def strike(scene: Scene) -> None:
        await scene.world.relay.kill()
        await asyncio.sleep(seconds)

    return strike


def relay_restarted(after: float) -> Strike:
    """Kill the relay and start it again with its key."""

    async def strike(scene: Scene) -> None:
        await _kill_relay(scene, after)
        await scene.world.relay.start()
        scene.heal()
        back = time.monotonic()
        for program in scene.world.peers:
            await program.event("relay", lambda e: e["state"] == "reserved", timeout=60)
        scene.notes["reserved again"] = time.monotonic() - back
        await asyncio.sleep(1)

    return strike


def relay_replaced(after: float) -> Strike:
    """Kill the relay and start another, with another key, at the same address."""

    async def strike(scene: Scene) -> None:
        await _kill_relay(scene, after)
        await asyncio.to_thread(shutil.rmtree, scene.world.relay.data_dir)
        await scene.world.relay.start()
        event = await scene.world.b.event("relay", lambda e: "was expected" in e["reason"], _NOTICED)
        scene.notes["said"] = f"{event['state']}: {event['reason']}"
        await asyncio.sleep(1)

    return strike


def one_of_two_relays_killed(seconds: float) -> Strike:
    """Let the listener reserve on a second relay too, then kill the first."""

    async def strike(scene: Scene) -> None:
        there = scene.world
        second = Relay(there.lab.net, there.tmp_path / "second", host=SECOND_PUBLIC)
        there.more_relays.append(second)
        await second.start()
        await there.b.call("connect", address=second.address)
        await asyncio.sleep(1)
        await there.relay.kill()
        scene.heal()
        await asyncio.sleep(seconds)

    return strike


async def _kill_relay(scene: Scene, after: float) -> None:
    await scene.world.relay.kill()
    await asyncio.sleep(after)
    for program in scene.world.peers:
        await program.event("relay", lambda e: e["state"] == "lost")
        program.events[:] = [event for event in program.events if event.get("event") != "relay"]


# --- the network ------------------------------------------------------------------------------------------------------


def unplugged(seconds: float) -> Strike:
    """Take the dialler's interface down for a while; it sees that."""

    async def strike(scene: Scene) -> None:
        site = scene.world.lab.sites[0]
        site.unplug()
        await asyncio.sleep(seconds)
        site.plug()
        scene.heal()
        await asyncio.sleep(5)

    return strike


def swallowed(seconds: float, what: str = "all", after: float = 5, direct: float = 0) -> Strike:
    """Let packets of the dialler vanish for a while: `all`, `udp`, those of the `direct` path or of the `relay`.

    Args:
        direct: how long to wait for a direct path afterwards.
    """

    async def strike(scene: Scene) -> None:
        swallow(scene.world, what)
        await asyncio.sleep(seconds)
        scene.world.lab.sites[0].spit()
        scene.heal()
        if direct:
            await scene.direct_again(direct)
        await asyncio.sleep(after)

    return strike


def swallow(there: World, what: str) -> None:
    """Begin what `swallowed` does."""
    one, other = there.lab.sites
    match what:
        case "all":
            one.swallow()
        case "udp":
            one.swallow("meta l4proto udp")
        case "direct":
            one.swallow_to(other.outside, "udp")
        case "relay":
            one.swallow_to(there.relay.host, "tcp")


def nat_forgets(seconds: float) -> Strike:
    """Let the dialler's NAT lose its memory of UDP; a port-restricted one takes the same ports again."""

    async def strike(scene: Scene) -> None:
        scene.world.lab.sites[0].forget()
        await asyncio.sleep(seconds)

    return strike


def nat_rebinds(seconds: float, direct: float) -> Strike:
    """Give the dialler's UDP flows other ports, and wait for a direct path."""

    async def strike(scene: Scene) -> None:
        scene.world.lab.sites[0].rebind()
        scene.heal()
        await asyncio.sleep(seconds)
        await scene.direct_again(direct)

    return strike


def mtu(size: int, seconds: float) -> Strike:
    """Let the dialler's NAT box refuse large packets in the proper way."""

    async def strike(scene: Scene) -> None:
        scene.world.lab.sites[0].limit_mtu(size)
        scene.heal()
        await asyncio.sleep(seconds)

    return strike


def cable(profile: Profile, seconds: float) -> Strike:
    """Change the dialler's cable."""

    async def strike(scene: Scene) -> None:
        scene.world.lab.sites[0].set_cable(profile)
        scene.heal()
        await asyncio.sleep(seconds)

    return strike


# --- the programs -----------------------------------------------------------------------------------------------------


def peer_restarted(after: float, seconds: float, *, side: int = 1) -> Strike:
    """Kill a peer in the middle of writing and start it again."""

    async def strike(scene: Scene) -> None:
        await _kill_and_start(scene, side, after)
        scene.heal()
        await asyncio.sleep(seconds)

    return strike


def killed_in_a_burst(times: int, seed: int = 1) -> Strike:
    """Kill one peer or the other in the middle of writing, again and again, and look at its disk each time."""

    async def strike(scene: Scene) -> None:
        dice = random.Random(seed)
        scene.notes |= {"kills": times, "damaged": 0, "not on disk": 0}
        for _ in range(times):
            await _speaking(scene)
            await asyncio.sleep(dice.uniform(0, 0.5))
            await _kill_and_start(scene, dice.randrange(2), 0)
        scene.heal()
        await asyncio.sleep(1)

    return strike


async def _speaking(scene: Scene) -> None:
    """Wait until something arrives, so that the next blow falls into a burst."""
    now = time.monotonic()
    lines = (scene.traffic.there, scene.traffic.back)
    while time.monotonic() < now + _NOTICED and not any(line.first_after(now) for line in lines):
        await asyncio.sleep(0.01)


async def _kill_and_start(scene: Scene, side: int, after: float) -> None:
    there, traffic = scene.world, scene.traffic
    await there.peers[side].kill()
    await traffic.pause(side)
    if there.who[side] == "ours":
        ledger = await asyncio.to_thread(read_ledger, there.data_dir(side))
        said, heard = (traffic.there, traffic.back)[:: 1 if side == 0 else -1]
        missing = (said.sent.keys() - set(ledger.said)) | ({n for n, _ in heard.got} - set(ledger.heard))
        scene.count("damaged", not ledger.whole)
        scene.count("not on disk", len(missing))
        traffic.found(side, ledger.heard)
    await asyncio.sleep(after)
    traffic.resume(side, await there.restart_peer(side))


def stopped(seconds: float, after: float) -> Strike:
    """Stop the listener's process for a while, as a closed laptop does."""

    async def strike(scene: Scene) -> None:
        process = scene.world.b.process
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        process.send_signal(signal.SIGCONT)
        scene.heal()
        await asyncio.sleep(after)

    return strike


def clock_jumps(seconds: int, after: float, *, side: int = 0) -> Strike:
    """Set the clock of a peer ahead or back; the fault must give our programs clocks of their own."""

    async def strike(scene: Scene) -> None:
        program = scene.world.peers[side]
        program.events[:] = [event for event in program.events if event.get("event") == "message"]
        set_clock(scene.world.clock(side), seconds)
        scene.heal()
        await asyncio.sleep(after)
        ends = [
            event
            for event in program.events
            if (event["event"], event.get("state")) in (("relay", "lost"), ("connection", "closed"))
        ]
        scene.notes["connections lost"] = len(ends)

    return strike


def disk_full(seconds: float, after: float) -> Strike:
    """Fill the dialler's disk and free it again; the fault must give our programs disks of their own."""

    async def strike(scene: Scene) -> None:
        filler = disk_of(scene.world.a, scene.world.data_dir(0)) / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(os.urandom(4096))
        await asyncio.sleep(seconds)
        filler.unlink()
        scene.heal()
        await asyncio.sleep(after)
        scene.notes["refused"] = scene.traffic.there.refused

    return strike

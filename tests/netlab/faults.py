"""The fault table: what is done to a chat, what is expected, and what was measured.

Every row builds a laboratory, connects two peers, lets them write to each other five times a second, strikes in the
middle of it, and counts. `faults` names the rows.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.netlab import strikes
from tests.netlab.cable import Profile
from tests.netlab.lab import laboratory_aside
from tests.netlab.matrix import UNLIMITED
from tests.netlab.nat import NatKind
from tests.netlab.peers import world
from tests.netlab.strikes import Scene
from tests.netlab.traffic import Verdict, chatting

if TYPE_CHECKING:
    from pathlib import Path

    from tests.netlab.peers import World
    from tests.netlab.strikes import Strike

__all__ = ["FAULTS", "Fault", "Outcome", "judge", "run_fault"]

PORT: Final = NatKind.PORT
_RESERVED_AGAIN: Final = 10.0
SYMMETRIC: Final = NatKind.SYMMETRIC


@dataclass
class Outcome:
    """What a row measured.

    Attributes:
        opened: seconds until the path that was waited for was there.
        notes: further figures, seconds unless the name says otherwise.
    """

    verdict: Verdict
    opened: float
    notes: dict[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """One row.

    Attributes:
        expected: what must happen, in words.
        strike: does it; the chat runs before, during and after.
        path: what to wait for before the chat begins.
        profile: of the cable of `a` from the start.
        gap: the longest silence allowed.
        healed: the longest time allowed from `Scene.heal` to the next message on both sides.
        disk: the size of a disk of their own for our programs.
        patience: for what is still under way at the end.
        refusals: messages may be refused.
        session: it takes the session protocol.
        slow: not part of the continuous tests.
    """

    name: str
    expected: str
    strike: Strike
    path: str = "direct"
    kinds: tuple[NatKind, NatKind] = (PORT, PORT)
    who: str = "ours/ours"
    profile: Profile | None = None
    rate: float = 5
    size: int = 32
    gap: float | None = None
    healed: float | None = None
    patience: float = 10
    disk: str = ""
    refusals: bool = False
    session: bool = False
    slow: bool = False


async def run_fault(fault: Fault, tmp_path: Path) -> Outcome:
    """Run one row."""
    limits = UNLIMITED if "js" in fault.who else ()
    async with (
        laboratory_aside(*fault.kinds, cables=True) as lab,
        world(lab, tmp_path, who=fault.who, limits=limits, disk=fault.disk) as there,
    ):
        if fault.profile is not None:
            lab.sites[0].set_cable(fault.profile)
        started = time.monotonic()
        dialling = asyncio.create_task(there.connect())
        try:
            await _path(there, fault.path, fault.who)
            opened = time.monotonic() - started
            async with chatting(there.a, there.b, rate=fault.rate, size=fault.size) as traffic:
                scene = Scene(there, traffic)
                await asyncio.sleep(1)
                await fault.strike(scene)
                await traffic.arrive(fault.patience)
                return Outcome(traffic.verdict(), opened, scene.figures())
        finally:
            dialling.cancel()
            await asyncio.gather(dialling, return_exceptions=True)


async def _path(there: World, path: str, who: str) -> None:
    if who.startswith("js"):
        await there.a.event(
            "connection:open", lambda e: e["peer"] == there.b.peer and e["direct"], timeout=40
        )
        return
    await there.a.event("connection", lambda e: e["peer"] == there.b.peer and e["path"] == path, timeout=40)


def judge(fault: Fault, outcome: Outcome) -> list[str]:
    """Return what was not as expected."""
    verdict, notes = outcome.verdict, outcome.notes
    wrong = []
    if not verdict.sent:
        wrong.append("nothing was sent")
    for count, what in (
        (verdict.lost, "lost"),
        (verdict.doubled, "doubled"),
        (verdict.reordered, "out of order"),
        (0 if fault.refusals else verdict.refused, "refused"),
    ):
        if count:
            wrong.append(f"{count} of {verdict.sent} {what}")
    if fault.gap is not None and verdict.gap > fault.gap:
        wrong.append(f"silent for {verdict.gap:.1f} s, allowed are {fault.gap:g} s")
    for name, allowed in (("healed", fault.healed), ("reserved again", _RESERVED_AGAIN)):
        found = notes.get(name)
        if allowed is not None and isinstance(found, float) and found > allowed:
            wrong.append(f"{name} after {found:.1f} s, allowed are {allowed:g} s")
    return wrong


FAULTS: Final = (
    Fault("nothing", "everything arrives", strikes.wait(3), gap=2),
    Fault(
        "relay killed while the chat is direct", "the chat does not notice", strikes.relay_killed(5), gap=2
    ),
    Fault(
        "relay restarted with its key after 3 s",
        "the chat does not notice; both have reserved again within 10 s",
        strikes.relay_restarted(3),
        gap=2,
    ),
    Fault(
        "relay restarted with its key after 60 s",
        "the chat does not notice; both have reserved again within 10 s",
        strikes.relay_restarted(60),
        gap=2,
        slow=True,
    ),
    Fault(
        "relay comes back with another key",
        "it is refused in words; the chat does not notice",
        strikes.relay_replaced(1),
        gap=2,
    ),
    Fault("interface down for 5 s", "goes on within 6 s", strikes.unplugged(5), healed=6),
    Fault("black hole of everything for 5 s", "goes on within 6 s", strikes.swallowed(5), healed=6),
    Fault(
        "black hole of the relay for 12 s",
        "the chat does not notice",
        strikes.swallowed(12, "relay", 1),
        gap=2,
    ),
    Fault("NAT forgets UDP, keeps the port", "the chat does not notice", strikes.nat_forgets(4), gap=2),
    Fault("loss 5 % each way", "slower; nothing is lost", strikes.wait(8), profile=Profile(loss=0.05), gap=4),
    Fault(
        "delay 300 ms (round trip)",
        "direct within 5 s",
        strikes.wait(5),
        profile=Profile(delay_ms=150),
        gap=2,
    ),
    Fault(
        "a quarter of the packets 50 ms late",
        "nothing is out of order",
        strikes.wait(5),
        profile=Profile(reorder=0.25),
        gap=2,
    ),
    Fault("MTU 1280, refused properly, 8 kB", "everything arrives", strikes.mtu(1280, 6), size=8000, gap=3),
    Fault("MTU 1200, refused properly, 8 kB", "everything arrives", strikes.mtu(1200, 6), size=8000, gap=3),
    Fault(
        "MTU 1280, silently, 8 kB",
        "everything arrives",
        strikes.cable(Profile(mtu=1280), 5),
        size=8000,
        gap=3,
    ),
    Fault(
        "MTU 1200, silently, 8 kB",
        "everything arrives",
        strikes.cable(Profile(mtu=1200), 5),
        size=8000,
        gap=3,
    ),
    Fault(
        "MTU 1200, silently, from the start, 8 kB",
        "direct; everything arrives",
        strikes.wait(4),
        profile=Profile(mtu=1200),
        size=8000,
        gap=3,
    ),
    Fault(
        "loss 20 % each way",
        "slower; nothing is lost",
        strikes.wait(15),
        path="relayed",
        profile=Profile(loss=0.2),
        patience=60,
        slow=True,
    ),
    Fault(
        "relay killed, chat on the circuit",
        "goes on when the relay is back",
        strikes.relay_restarted(3),
        path="relayed",
        kinds=(SYMMETRIC, SYMMETRIC),
        session=True,
    ),
    Fault(
        "black hole of the direct path for 20 s",
        "the circuit takes over within 10 s",
        strikes.swallowed(20, "direct"),
        gap=10,
        session=True,
        slow=True,
    ),
    Fault(
        "UDP blocked for 20 s",
        "the circuit takes over within 10 s",
        strikes.swallowed(20, "udp"),
        gap=10,
        session=True,
        slow=True,
    ),
    Fault(
        "black hole of everything for 60 s",
        "goes on within 6 s",
        strikes.swallowed(60),
        healed=6,
        session=True,
        slow=True,
    ),
    Fault(
        "interface down for 60 s",
        "goes on within 6 s",
        strikes.unplugged(60),
        healed=6,
        session=True,
        slow=True,
    ),
    Fault(
        "NAT rebinding, port changed", "goes on within 12 s", strikes.nat_rebinds(15), gap=12, session=True
    ),
    Fault(
        "one of two relays killed, chat on the circuit",
        "the circuit through the other takes over within 10 s",
        strikes.one_of_two_relays_killed(12),
        path="relayed",
        kinds=(SYMMETRIC, SYMMETRIC),
        healed=10,
        session=True,
    ),
    Fault(
        "listener killed and started again after 2 s",
        "goes on within 10 s",
        strikes.peer_restarted(2, 10),
        healed=10,
        session=True,
    ),
    Fault(
        "dialler killed and started again after 2 s",
        "goes on within 10 s",
        strikes.peer_restarted(2, 10, side=0),
        healed=10,
        session=True,
    ),
    Fault(
        "listener stopped (SIGSTOP) for 40 s",
        "goes on within 6 s",
        strikes.stopped(40, 8),
        healed=6,
        session=True,
        slow=True,
    ),
    Fault(
        "disk full while queuing",
        "what cannot be stored is refused, what was taken arrives",
        strikes.disk_full(3, 8),
        disk="16m",
        refusals=True,
        healed=5,
        session=True,
        slow=True,
    ),
    Fault(
        "kill -9 in a burst, 5 times",
        "what was taken arrives once and in order",
        strikes.peer_restarted(0, 3, times=5, side=0),
        rate=20,
        patience=60,
        session=True,
        slow=True,
    ),
    Fault(
        "kill -9 in a burst, 200 times",
        "what was taken arrives once and in order",
        strikes.peer_restarted(0, 1, times=200, side=0),
        rate=20,
        patience=120,
        session=True,
        slow=True,
    ),
    Fault(
        "path killer, 1 minute, 50 messages a second",
        "nothing lost, doubled or out of order",
        strikes.path_killer(60),
        rate=50,
        patience=60,
        session=True,
    ),
    Fault(
        "path killer, 10 minutes, 50 messages a second",
        "nothing lost, doubled or out of order",
        strikes.path_killer(600),
        rate=50,
        patience=60,
        session=True,
        slow=True,
    ),
)

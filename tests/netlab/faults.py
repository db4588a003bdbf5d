"""A fault: what is done to a chat, what is expected, and what was measured; `fault_table` has them all.

Each builds a laboratory, connects two peers, lets them write to each other five times a second, strikes in the middle
of it, and counts.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.interop.peers import NODE
from tests.netlab.clocks import faketime
from tests.netlab.lab import laboratory_aside
from tests.netlab.ledger import read_ledger
from tests.netlab.matrix import UNLIMITED
from tests.netlab.nat import NatKind
from tests.netlab.peers import world
from tests.netlab.strikes import Scene
from tests.netlab.traffic import Traffic, Verdict, chatting

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.netlab.cable import Profile
    from tests.netlab.peers import World
    from tests.netlab.strikes import Strike

__all__ = ["Fault", "Outcome", "faults_of", "judge", "run_fault"]

_RESERVED_AGAIN: Final = 10.0
_NEVER: Final = ("damaged", "not on disk", "wrong on disk", "connections lost")


@dataclass
class Outcome:
    """What a row measured.

    Attributes:
        opened: seconds until the path that was waited for was there.
        notes: further figures: seconds are floats, counts whole numbers.
    """

    verdict: Verdict
    opened: float
    notes: dict[str, float | int | str] = field(default_factory=dict)


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
        clocks: our programs have clocks of their own.
        patience: for what is still under way at the end.
        losses: messages may be lost.
        refusals: messages may be refused.
        slow: not part of the continuous tests.
    """

    name: str
    expected: str
    strike: Strike
    path: str = "direct"
    kinds: tuple[NatKind, NatKind] = (NatKind.PORT, NatKind.PORT)
    who: str = "ours/ours"
    profile: Profile | None = None
    rate: float = 5
    size: int = 32
    gap: float | None = None
    healed: float | None = None
    patience: float = 10
    disk: str = ""
    clocks: bool = False
    losses: bool = False
    refusals: bool = False
    slow: bool = False

    @property
    def raw(self) -> bool:
        """Whether one side knows no sessions, so that what is under way when a path dies may be lost."""
        return "js" in self.who

    def why_not(self) -> str | None:
        """Return why it cannot be run here, or ``None`` if it can."""
        if self.raw and not NODE.exists():
            return "needs the js-libp2p packages (make interop)"
        if self.clocks and faketime() is None:
            return "needs libfaketime (Debian: libfaketime)"
        return None


async def run_fault(fault: Fault, tmp_path: Path) -> Outcome:
    """Run one row."""
    limits = UNLIMITED if fault.raw else ()
    async with (
        laboratory_aside(*fault.kinds, cables=True) as lab,
        world(lab, tmp_path, who=fault.who, limits=limits, disk=fault.disk, clocks=fault.clocks) as there,
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
                outcome = Outcome(traffic.verdict(), opened, scene.figures())
                if not fault.raw and not fault.disk:
                    outcome.notes |= await _audit(there, traffic)
                return outcome
        finally:
            dialling.cancel()
            await asyncio.gather(dialling, return_exceptions=True)


async def _audit(there: World, traffic: Traffic) -> dict[str, float | int | str]:
    """Kill both and compare what their disks say with what was sent: once, in order, nothing missing."""
    notes: dict[str, float | int | str] = {}
    for side, (said, heard) in enumerate(((traffic.there, traffic.back), (traffic.back, traffic.there))):
        await there.peers[side].kill()
        ledger = await asyncio.to_thread(read_ledger, there.data_dir(side))
        if not ledger.whole:
            notes["damaged"] = 1
        for what, line, stored in (("said", said, ledger.said), ("heard", heard, ledger.heard)):
            if wrong := faults_of(stored, line.sent):
                notes["wrong on disk"] = f"{what} by {'ab'[side]}: {wrong}"
    return notes


def faults_of(stored: list[int], owed: Iterable[int]) -> str:
    """Return what is wrong with the numbers `stored`, in that order, if those `owed` must be among them."""
    missing = sorted(set(owed) - set(stored))
    doubled = sorted(number for number, count in Counter(stored).items() if count > 1)
    late = [later for earlier, later in itertools.pairwise(stored) if later < earlier]
    found = (("missing", missing), ("doubled", doubled), ("out of order", late))
    return ", ".join(f"{what} {numbers[:5]}" for what, numbers in found if numbers)


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
        (0 if fault.losses else verdict.lost, "lost"),
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
    wrong += [f"{notes[name]} {name}" for name in _NEVER if notes.get(name)]
    return wrong

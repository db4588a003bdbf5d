"""The path killer: one fault after another, at random, while both sides write all the time."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.netlab.strikes import swallow

if TYPE_CHECKING:
    from tests.netlab.strikes import Scene, Strike
    from tests.netlab.traffic import Line

__all__ = ["Blow", "path_killer", "silence_of"]

_KINDS: Final = ("direct", "direct", "udp", "nat", "relay", "relay process", "all")
# What each leaves, if it is there.
_LEAVES: Final = {
    "direct": "relayed",
    "udp": "relayed",
    "nat": "relayed",
    "relay": "direct",
    "relay process": "direct",
    "all": "",
}
_LONGEST: Final = 6.0
_REST: Final = 4.0


@dataclass(frozen=True)
class Blow:
    """One fault: from when to when, monotonic seconds, and when the next one began.

    Attributes:
        left: whether both sides had a path besides those that it hit.
    """

    kind: str
    left: bool
    began: float
    healed: float
    next: float


def silence_of(blow: Blow, line: Line) -> float:
    """Return the longest silence that began in the time of `blow`.

    Where no path was left, the time of the fault itself does not count: what is measured is the time to come back.
    """
    longest = 0.0
    for begin, end in line.silences(0):
        if blow.began <= begin < blow.next:
            dark = max(0.0, min(end, blow.healed) - begin) if not blow.left else 0.0
            longest = max(longest, end - begin - dark)
    return longest


def path_killer(seconds: float, seed: int = 1) -> Strike:
    """Keep killing one path or the other at random, sometimes all of them, or the relay itself."""

    async def strike(scene: Scene) -> None:
        dice = random.Random(seed)
        end = time.monotonic() + seconds
        found: list[tuple[str, bool, float, float]] = []
        while (began := time.monotonic()) < end:
            kind = dice.choice(_KINDS)
            left = await _path_left(scene, kind)
            await _hit(scene, kind, dice.uniform(0.5, _LONGEST))
            healed = time.monotonic()
            await asyncio.sleep(dice.uniform(1, _REST))
            found.append((kind, left, began, healed))
        await scene.traffic.arrive(60)
        ends = [began for _, _, began, _ in found[1:]] + [time.monotonic()]
        blows = [Blow(*one, end) for one, end in zip(found, ends, strict=True)]
        lines = (scene.traffic.there, scene.traffic.back)
        some = [max(silence_of(blow, line) for line in lines) for blow in blows if blow.left]
        none = [max(silence_of(blow, line) for line in lines) for blow in blows if not blow.left]
        scene.notes["strikes"] = len(blows)
        _note(scene, "gap", some)
        _note(scene, "back where no path was left", none)
        worst = dict.fromkeys(dict.fromkeys(_KINDS), 0.0)
        for blow in blows:
            worst[blow.kind] = max(worst[blow.kind], *(silence_of(blow, line) for line in lines))
        scene.notes["worst by kind"] = " ".join(
            f"{kind} {value:.1f} s" for kind, value in worst.items() if value
        )

    return strike


async def _path_left(scene: Scene, kind: str) -> bool:
    a, b = scene.world.peers
    connections = (await a.call("status"))["connections"]
    return any(one["peer"] == b.peer and one["path"] == _LEAVES[kind] for one in connections)


async def _hit(scene: Scene, kind: str, seconds: float) -> None:
    there = scene.world
    site = there.lab.sites[0]
    if kind == "nat":
        site.rebind()
    elif kind == "relay process":
        await there.relay.kill()
    else:
        swallow(there, kind)
    await asyncio.sleep(seconds)
    if kind == "relay process":
        await there.relay.start()
    elif kind != "nat":
        site.spit()


def _note(scene: Scene, name: str, values: list[float]) -> None:
    if values:
        values = sorted(values)
        scene.notes[f"{name} median"] = statistics.median(values)
        scene.notes[f"{name} p95"] = values[min(len(values) - 1, int(len(values) * 0.95))]
        scene.notes[f"{name} worst"] = values[-1]

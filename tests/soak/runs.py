"""The two runs: connecting and hanging up again and again, and being connected for hours without a word."""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from p2pchat_core.chat.events import PathKind
from tests.soak.census import Census, take_census
from tests.soak.skipping_loop import LoopClock, run_skipping
from tests.soak.small_world import SmallWorld, small_world

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["MEMORY_GROWTH", "Endurance", "run", "run_cycles", "run_idle"]

MEMORY_GROWTH: Final = 0.05
"""The share by which memory may grow after the warm-up."""
_WARM_UP_CYCLES: Final = 100
_WARM_UP_SECONDS: Final = 600.0
_QUIET: Final = 15.0
_PAUSE: Final = 0.7
_SAMPLES: Final = 10


@dataclass(frozen=True)
class Endurance:
    """What a run found.

    Attributes:
        rounds: cycles, or seconds on the clock of the loop, after the warm-up.
        seconds: it took.
        left: what there was more of at the end than after the warm-up.
        samples: resident bytes, from the end of the warm-up to the end.
    """

    rounds: float
    seconds: float
    left: dict[str, int]
    samples: list[int]
    before: Census
    after: Census

    @property
    def growth(self) -> float:
        """The share by which memory has grown."""
        return self.after.memory_growth(self.before)


def run(which: str, *, cycles: int, hours: float) -> Endurance:
    """Run ``cycles`` or ``idle`` at this length, with progress on standard error.

    In a process of its own: what other runs, or a test's log, hold on to must not be counted.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_run, which, cycles, hours).result()


def _run(which: str, cycles: int, hours: float) -> Endurance:
    say = partial(print, file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="p2pchat-soak-") as name:
        if which == "cycles":
            return run_cycles(Path(name), cycles, min(_WARM_UP_CYCLES, cycles), say)
        return run_idle(Path(name), hours * 3600, min(_WARM_UP_SECONDS, hours * 1800), say)


def run_cycles(directory: Path, count: int, warm_up: int, say: Callable[[str], None] = print) -> Endurance:
    """Connect, talk and hang up `count` times after `warm_up` times."""
    return asyncio.run(_cycles(directory, count, warm_up, say))


async def _cycles(directory: Path, count: int, warm_up: int, say: Callable[[str], None]) -> Endurance:
    async with small_world(directory) as world:
        for _ in range(warm_up):
            await world.meet()
            await world.part()
        before = await _at_rest(None, world.part)
        began = time.monotonic()
        samples = [before.memory]
        step = max(1, count // _SAMPLES)
        for number in range(1, count + 1):
            await world.meet()
            await world.part()
            if number % step == 0:
                samples.append(take_census().memory)
                say(f"{number} cycles, {samples[-1] / 2**20:.1f} MiB")
        after = await _at_rest(before, world.part)
        seconds = time.monotonic() - began
        return Endurance(count, seconds, after.more_than(before), samples, before, after)


async def _at_rest(before: Census | None, part: Callable[[], Awaitable[None]] | None = None) -> Census:
    """Count when what was under way, a ping or a good-bye, is over, or has had more time than it may take.

    Args:
        part: hangs up once more, should one side have dialled the other again at the same moment.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _QUIET
    last = take_census()
    while loop.time() < deadline:
        await asyncio.sleep(_PAUSE)
        if part is not None:
            await part()
        now = take_census()
        if not now.more_than(before if before is not None else last):
            return now
        last = now
    return last


def run_idle(
    directory: Path, seconds: float, warm_up: float, say: Callable[[str], None] = print
) -> Endurance:
    """Be connected for `seconds` on an injected clock after a `warm_up`, and say nothing."""
    found: Endurance = run_skipping(lambda clock: _idle(directory, clock, seconds, warm_up, say))
    return found


async def _idle(
    directory: Path, clock: LoopClock, seconds: float, warm_up: float, say: Callable[[str], None]
) -> Endurance:
    # Shorter than the run, so that the renewal is part of it.
    async with small_world(directory, clock=clock, reservation=int(seconds / 2)) as world:
        await world.meet()
        await asyncio.sleep(warm_up)
        connections = _direct_connections(world)
        before = await _at_rest(None)
        began, hour = time.monotonic(), clock.monotonic()
        samples = [before.memory]
        for number in range(1, _SAMPLES + 1):
            await asyncio.sleep(hour + seconds * number / _SAMPLES - clock.monotonic())
            samples.append(take_census().memory)
            say(f"{seconds * number / _SAMPLES / 60:.0f} minutes, {samples[-1] / 2**20:.1f} MiB")
        after = await _at_rest(before)
        assert len(connections) == 2
        assert _direct_connections(world) == connections, "a direct connection was lost"
        reserved = [relay for side in (world.alice, world.bob) for relay in side.status().relays]
        assert all(relay.expires is not None and relay.expires > clock.time() for relay in reserved), reserved
        took = time.monotonic() - began
        await world.alice.ping(world.bob.peer_id)
        return Endurance(seconds, took, after.more_than(before), samples, before, after)


def _direct_connections(world: SmallWorld) -> list[str]:
    """Return the direct ones of both; the circuit that they began on ends when its time is up."""
    connections = [one for side in (world.alice, world.bob) for one in side.status().connections]
    return [one.remote_address for one in connections if one.path is PathKind.DIRECT]

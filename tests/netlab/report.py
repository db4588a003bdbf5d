"""``python -m tests.netlab.report [matrix] [js] [cones] [faults] [NAME...]``: run and print the tables.

``matrix`` is every ordered pair of NAT kinds, ``js`` the same with a js-libp2p peer as listener and as dialler,
``cones`` twenty meetings of each pair of cones, ``faults`` the fault table; a NAME chooses rows of the latter by a
part of their name.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import statistics
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.netlab.fault_table import FAULTS
from tests.netlab.faults import judge, run_fault
from tests.netlab.lab import laboratory_aside
from tests.netlab.matrix import UNLIMITED, expected_path, meet, one_meeting, part
from tests.netlab.namespaces import why_not
from tests.netlab.nat import NatKind
from tests.netlab.peers import world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netlab.matrix import Meeting

__all__: list[str] = []

_TABLES: Final = ("matrix", "js", "cones", "faults")


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="p2pchat-netlab-") as name:
        yield Path(name)


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Keep what the programs log off the screen."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def _figure(value: float | int | str) -> str:
    return f"{value:.1f} s" if isinstance(value, float) else str(value)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


async def matrix() -> int:
    """Print every ordered pair, ours with ours."""
    return await _meetings([("ours/ours", one, other) for one, other in product(NatKind, repeat=2)])


async def js() -> int:
    """Print every ordered pair of ours with js, and of js with ours."""
    pairs = list(product(NatKind, repeat=2))
    return await _meetings([(who, *pair) for who in ("ours/js", "js/ours") for pair in pairs])


async def _meetings(pairs: list[tuple[str, NatKind, NatKind]]) -> int:
    wrong = 0
    print(
        "| who | dialler behind | listener behind | theory | found | first message | direct after | addresses |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for who, one, other in pairs:
        expected = expected_path(who, one, other)
        with _directory() as directory, _hushed():
            found = await one_meeting(one, other, directory, who=who)
        wrong += found.path != expected
        first = "-" if found.path == "none" else f"{found.first_message:.2f} s ({found.first_path})"
        cells = (who, one, other, expected, found.path, first, _seconds(found.direct), found.detail)
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
    return wrong


async def cones(times: int = 20) -> int:
    """Print how often each pair of cones met directly."""
    wrong = 0
    print(
        "| who | dialler behind | listener behind | direct | first message, median and worst | direct after |"
    )
    print("|---|---|---|---|---|---|")
    kinds = [kind for kind in NatKind if kind.cone]
    for who, one, other in product(("ours/ours", "ours/js", "js/ours"), kinds, kinds):
        found = await _meet_often(who, one, other, times)
        firsts = [meeting.first_message for meeting in found]
        directs = [meeting.direct for meeting in found if meeting.direct is not None]
        wrong += len(directs) != times
        cells = (who, one, other, f"{len(directs)} of {times}", _spread(firsts), _spread(directs))
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
        for meeting in found:
            if meeting.direct is None:
                print(f"{who}, {one}, {other}: {meeting}", file=sys.stderr)
    return wrong


async def _meet_often(who: str, one: NatKind, other: NatKind, times: int) -> list[Meeting]:
    found = []
    limits = UNLIMITED if "js" in who else ()
    if who.startswith(
        "js"
    ):  # it keeps the stream of its last chat, closed or not, so each meeting needs a new one
        for _ in range(times):
            with _directory() as directory, _hushed():
                found.append(await one_meeting(one, other, directory, who=who))
        return found
    with _directory() as directory, _hushed():
        async with (
            laboratory_aside(one, other) as lab,
            world(lab, directory, who=who, limits=limits) as there,
        ):
            for _ in range(times):
                found.append(await meet(there, who=who))
                await part(there)
    return found


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} s, {max(values):.2f} s" if values else "-"


async def faults(names: list[str]) -> int:
    """Print the fault table, or the rows that are named."""
    wrong = 0
    print(
        "| fault | expected | path after | sent | lost, doubled, out of order | gap | p50, p99 | more | verdict |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for fault in FAULTS:
        if names and not any(name in fault.name for name in names):
            continue
        if (reason := fault.why_not()) is not None:
            print(f"{fault.name}: not run, it {reason}", file=sys.stderr)
            continue
        cells = [fault.name, fault.expected]
        try:
            with _directory() as directory, _hushed():
                outcome = await run_fault(fault, directory)
        except AssertionError as error:
            print(
                f"| {' | '.join(cells)} | - | - | - | - | - | | {str(error).partition(';')[0]} |", flush=True
            )
            wrong += 1
            continue
        verdict = outcome.verdict
        objections = judge(fault, outcome)
        wrong += bool(objections)
        more = ", ".join(f"{name} {_figure(value)}" for name, value in outcome.notes.items())
        cells += [
            f"{outcome.opened:.2f} s",
            f"{verdict.sent}",
            f"{verdict.lost}, {verdict.doubled}, {verdict.reordered}",
            f"{verdict.gap:.1f} s",
            f"{verdict.p50 * 1000:.0f}, {verdict.p99 * 1000:.0f} ms",
            more,
            "; ".join(objections) or "as expected",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
    return wrong


async def _main(chosen: list[str]) -> int:
    names = [name for name in chosen if name not in _TABLES]
    tables = [name for name in chosen if name in _TABLES] or (["faults"] if names else list(_TABLES))
    wrong = 0
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} processors, load average {load} at the beginning")
    for table in tables:
        print(f"\n{table}\n")
        if table == "faults":
            wrong += await faults(names)
        else:
            wrong += await {"matrix": matrix, "js": js, "cones": cones}[table]()
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.netlab.report", description=__doc__)
    parser.add_argument("chosen", nargs="*", metavar="TABLE-OR-NAME")
    if (reason := why_not()) is not None:
        sys.exit(f"There can be no network laboratory here: {reason}.")
    sys.exit(asyncio.run(_main(parser.parse_args().chosen)))

"""What the benchmarks share: the machine, the order of turns, and the table with the ratios first."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "MEGABYTE",
    "ROOT",
    "Measure",
    "machine",
    "our_version",
    "print_table",
    "processor_seconds",
    "turns",
]

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

MEGABYTE = 10**6


@dataclass(frozen=True)
class Measure:
    """One line of a table.

    Attributes:
        aim: what the ratio to the reference should be.
    """

    title: str
    unit: str
    digits: int
    aim: str = ""


def turns(things: list[Any], number: int) -> Iterator[Any]:
    """Return the things in order, and the other way round every second time."""
    return iter(things if number % 2 else things[::-1])


def processor_seconds(pid: int) -> float:
    """Return the processor time that the threads of a process have used."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def machine() -> str:
    """Return a line on the machine."""
    name = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    return f"{name}, {os.cpu_count()} processors, {platform.system()} {platform.release()}"


def our_version() -> str:
    """Return which p2pchat this is."""
    try:
        return f"p2pchat {version('p2pchat')}"
    except PackageNotFoundError:
        return "p2pchat (not installed)"


def print_table(
    measures: Mapping[str, Measure],
    results: Mapping[str, Mapping[str, Sequence[float]]],
    reference: str | None,
    *,
    spread: bool = False,
) -> None:
    """Print the medians: first the ratio of every side to the `reference`, then the sides themselves.

    Args:
        measures: the lines.
        results: for each side, for each measure, what was measured.
        reference: the side that the others are compared with, or ``None`` for no comparison.
        spread: also print the smallest and the largest value.
    """
    compared = [side for side in results if reference is not None and side != reference]
    heads = [f"{side} : {reference}" for side in compared] + ["aim"] * bool(compared) + [*results, ""]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name, measure in measures.items():
        medians = {
            side: statistics.median(values[name]) for side, values in results.items() if values.get(name)
        }
        cells = [
            f"**{medians[side] / medians[reference]:.2f}**" if {side, reference} <= medians.keys() else "–"
            for side in compared
            if reference is not None
        ]
        cells += [measure.aim] * bool(compared)
        for side, values in results.items():
            if side not in medians:
                cells.append("–")
                continue
            cells.append(f"{medians[side]:,.{measure.digits}f}")
            if spread:
                low, high = min(values[name]), max(values[name])
                cells[-1] += f" ({low:,.{measure.digits}f}–{high:,.{measure.digits}f})"
        print(f"| {' | '.join(cells)} | {measure.title}{f', {measure.unit}' * bool(measure.unit)} |")

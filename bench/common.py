"""What the benchmarks share: the machine and the versions, the order of turns, and the tables with the ratios first."""

from __future__ import annotations

import json
import os
import platform
import resource
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
    "PEERS",
    "ROOT",
    "Measure",
    "installed",
    "js_installed",
    "machine",
    "middle",
    "open_many_files",
    "our_version",
    "percentile",
    "print_table",
    "processor_seconds",
    "ratio",
    "resident",
    "spread",
    "summary",
    "turns",
    "versions",
]

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).resolve().parent / "peers"
JS_MODULES = ROOT / "tests" / "interop" / "js" / "node_modules"
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


# --- the order ----------------------------------------------------------------------------------------------------


def turns(things: list[Any], number: int) -> Iterator[Any]:
    """Return the things in order, and the other way round every second time."""
    return iter(things if number % 2 else things[::-1])


# --- processes ----------------------------------------------------------------------------------------------------


def processor_seconds(pid: int) -> float:
    """Return the processor time that the threads of a process have used."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def resident(pid: int | str = "self") -> int:
    """Return the bytes a process has in memory."""
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def open_many_files() -> None:
    """Let this process, and those it starts, open as many files as the system lets it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


# --- what it ran on -----------------------------------------------------------------------------------------------


def machine() -> str:
    """Return a line on the machine."""
    name = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    return f"{name}, {os.cpu_count()} processors, {platform.system()} {platform.release()}"


def installed(package: str) -> str:
    """Return a Python package with its version."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} (not installed)"


def our_version() -> str:
    """Return which p2pchat this is; it need not be installed."""
    from p2pchat_core import __version__

    return f"p2pchat {__version__}"


def js_installed(package: str) -> str:
    """Return a package of the JavaScript side with its version."""
    try:
        return f"{package} {json.loads((JS_MODULES / package / 'package.json').read_text())['version']}"
    except FileNotFoundError:
        return f"{package} (not installed)"


def versions(python: Sequence[str] = (), js: Sequence[str] = ()) -> str:
    """Return a line on p2pchat, Python, and these packages of both sides."""
    ours = [our_version(), f"Python {platform.python_version()}", *map(installed, python)]
    return "; ".join([", ".join(ours), *([", ".join(map(js_installed, ("node", *js)))] if js else [])])


# --- figures ------------------------------------------------------------------------------------------------------


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the others does not exceed."""
    return sorted(values)[round(share * (len(values) - 1))]


def summary(values: Sequence[float], digits: int) -> str:
    """Return median, 95th and 99th percentile and the largest."""
    if not values:
        return "–"
    found = [statistics.median(values), percentile(values, 0.95), percentile(values, 0.99), max(values)]
    return " / ".join(f"{value:,.{digits}f}" for value in found)


def middle(values: Sequence[float], digits: int) -> str:
    """Return the median."""
    return f"{statistics.median(values):,.{digits}f}" if values else "–"


def spread(values: Sequence[float], digits: int) -> str:
    """Return the median, with the smallest and the largest."""
    if not values:
        return "–"
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f})"


def ratio(values: Sequence[float], reference: Sequence[float]) -> str:
    """Return the ratio of the medians."""
    if not values or not reference or not (below := statistics.median(reference)):
        return "–"
    return f"**{statistics.median(values) / below:.2f}**"


def print_table(
    measures: Mapping[str, Measure],
    results: Mapping[str, Mapping[str, Sequence[float]]],
    ratios: Sequence[tuple[str, str]] = (),
    *,
    spreads: bool = False,
) -> None:
    """Print the medians: first the ratios of sides to others, then the sides themselves.

    Args:
        measures: the lines.
        results: for each side, for each measure, what was measured.
        ratios: which side is compared with which; those that were not measured are left out.
        spreads: also print the smallest and the largest value.
    """
    ratios = [(side, other) for side, other in ratios if {side, other} <= results.keys()]
    with_aims = bool(ratios) and any(measure.aim for measure in measures.values())
    heads = [f"{side} : {other}" for side, other in ratios] + ["aim"] * with_aims + [*results, ""]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name, measure in measures.items():
        found = {side: values.get(name, ()) for side, values in results.items()}
        cells = [ratio(found[side], found[other]) for side, other in ratios]
        cells += [measure.aim] * with_aims
        cells += [(spread if spreads else middle)(values, measure.digits) for values in found.values()]
        print(f"| {' | '.join(cells)} | {measure.title}{f', {measure.unit}' * bool(measure.unit)} |")

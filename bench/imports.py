"""What loading modules costs on the way to each face of p2pchat, by package, in turns.

    python bench/imports.py [--runs 5]

`python -X importtime` tells for every module what it took alone; the table adds them up. Being told costs time too,
so the shares count, and the first line has what loading takes without that.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict

from common import machine, turns, versions

POINTS = {
    "`p2pchat --version`": "import p2pchat_tui.cli",
    "first frame": "import p2pchat_tui.cli, p2pchat_tui.app",
    "address": "import p2pchat_tui.cli, p2pchat_tui.app, p2pchat_tui.standalone",
    "headless": "import p2pchat_tui.cli, p2pchat_tui.headless",
    "relay serving": "import p2pchat_relay.cli, p2pchat_relay.daemon, p2pchat_relay.event_loop",
    "direct connection": "import p2pchat_core.net.webrtc.transport",
}
LINES = 12
OTHERS, STANDARD = "other packages", "standard library"


def package(module: str) -> str:
    """Return what a module is counted with."""
    top = module.strip().partition(".")[0]
    return STANDARD if top in sys.stdlib_module_names or top.startswith("_") else top


def loading(code: str) -> float:
    """Return the milliseconds that an interpreter with these imports takes, start and end included."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - started) * 1e3


def cost(code: str) -> Counter[str]:
    """Return the milliseconds for each package."""
    argv = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    found: Counter[str] = Counter()
    for line in done.stderr.splitlines():
        if line.startswith("import time:") and "[us]" not in line:
            own, _, module = line.removeprefix("import time:").split("|")
            found[package(module)] += int(own) / 1000  # type: ignore[assignment]
    return found


def main() -> None:
    """Measure all points in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    points = {"nothing": "pass"} | POINTS
    whole: dict[str, list[float]] = defaultdict(list)
    parts: dict[str, list[Counter[str]]] = defaultdict(list)
    for number in range(runs + 1):
        for point in turns(list(points), number):
            if number:  # the first run fills the caches
                whole[point].append(loading(points[point]))
                parts[point].append(cost(points[point]))
            else:
                loading(points[point])
    medians = {
        point: {name: statistics.median(run[name] for run in found) for name in set().union(*found)}
        for point, found in parts.items()
    }
    print(f"{machine()}\n{versions(['textual', 'aiortc', 'cryptography', 'websockets'])}")
    print(f"Milliseconds, medians of {runs} runs in turns.\n")
    report({point: statistics.median(values) for point, values in whole.items()}, medians)


def report(whole: dict[str, float], medians: dict[str, dict[str, float]]) -> None:
    """Print the whole, then the packages that cost most, then the rest."""
    print(f"| | {' | '.join(medians)} |\n|---|{'---|' * len(medians)}")
    nothing = whole["nothing"]
    print(f"| : nothing | {' | '.join(f'**{whole[point] / nothing:.1f}**' for point in medians)} |")
    print(f"| the whole command | {' | '.join(f'{whole[point]:.0f}' for point in medians)} |")
    highest: Counter[str] = Counter()
    for costs in medians.values():
        for name, value in costs.items():
            highest[name] = max(highest[name], value)  # type: ignore[assignment]
    named = [name for name, _ in highest.most_common(LINES)]
    for name in named:
        cells = [f"{costs[name]:.1f}" if name in costs else "" for costs in medians.values()]
        print(f"| {name} | {' | '.join(cells)} |")
    rest = [sum(value for name, value in costs.items() if name not in named) for costs in medians.values()]
    print(f"| {OTHERS} | {' | '.join(f'{value:.1f}' for value in rest)} |")


if __name__ == "__main__":
    main()

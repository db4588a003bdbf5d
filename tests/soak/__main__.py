"""``python -m tests.soak [cycles] [idle] [--cycles 1000] [--hours 2]``: run at full length, print a table."""

from __future__ import annotations

import argparse
import sys

from tests.soak.runs import MEMORY_GROWTH, Endurance, run


def _row(name: str, found: Endurance) -> bool:
    bad = bool(found.left) or found.growth >= MEMORY_GROWTH
    left = ", ".join(f"{count} {what}" for what, count in sorted(found.left.items())) or "nothing"
    memory = f"{found.before.memory / 2**20:.1f} → {found.after.memory / 2**20:.1f} MiB ({found.growth:+.1%})"
    tasks = found.after.tasks.total()
    sockets = found.after.files["socket"]
    print(f"| {name} | {found.seconds:.0f} s | {memory} | {tasks} | {sockets} | {left} |", flush=True)
    return not bad


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("which", nargs="*", metavar="cycles|idle")
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--hours", type=float, default=2.0)
    options = parser.parse_args()
    names = {"cycles": f"{options.cycles} cycles", "idle": f"{options.hours:g} idle hours"}
    if unknown := set(options.which) - names.keys():
        parser.error(f"there is no run called {', '.join(unknown)}")
    print("| run | took | memory | tasks | sockets | left behind |")
    print("|---|---|---|---|---|---|", flush=True)
    good = True
    for which in options.which or names:
        good &= _row(names[which], run(which, cycles=options.cycles, hours=options.hours))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

"""Time from starting a command to its first address, with nothing configured.

    python bench/start.py [--runs 10]

`p2pchat` runs in a pseudo-terminal of 120x40 and is looked at as a terminal would show it: its first frame, then a
complete address. `p2pchat headless` and `p2pchat-relay` are read line by line. Each run starts with an empty data
directory (a new identity) and once more with the same.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.end_to_end.test_two_terminals import address_on, chat  # noqa: E402
from tests.interop.peers import our_relay, ours  # noqa: E402


async def screen(data_dir: Path) -> dict[str, float]:
    """Return milliseconds to the first frame and to the complete address on the screen."""
    started = time.perf_counter()
    async with chat(data_dir) as terminal:
        await terminal.until(lambda shown: "Your address" in shown.text, "the first frame")
        frame = time.perf_counter()
        await address_on(terminal)
        address = time.perf_counter()
        terminal.type("\x11")
        await terminal.ended()
    return {"screen: first frame": (frame - started) * 1e3, "screen: address": (address - started) * 1e3}


async def headless(data_dir: Path) -> dict[str, float]:
    """Return milliseconds to the `listening` event."""
    started = time.perf_counter()
    async with ours(data_dir) as program:
        await program.event("listening", lambda e: bool(e["addresses"]))
        return {"headless: address": (time.perf_counter() - started) * 1e3}


async def relay(data_dir: Path) -> dict[str, float]:
    """Return milliseconds to the first printed address."""
    started = time.perf_counter()
    async with our_relay(data_dir):
        return {"relay: address": (time.perf_counter() - started) * 1e3}


async def run(runs: int) -> None:
    """Measure everything and print the table."""
    results: dict[str, list[float]] = {}
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            for measure in (screen, headless, relay):
                for start in ("first start", "again"):
                    for name, value in (await measure(Path(folder) / measure.__name__)).items():
                        results.setdefault(f"{name}, {start}", []).append(value)
    print(f"{runs} runs; {platform.platform()}, Python {platform.python_version()}\n")
    print("| what | median, ms | worst, ms |\n|---|---|---|")
    for name, values in results.items():
        print(f"| {name} | {statistics.median(values):.0f} | {max(values):.0f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    asyncio.run(run(parser.parse_args().runs))

"""Start: from a command to its version, its first frame and its address, and the memory it has then, in turns.

    python bench/start.py [--runs 10] [--posting bench/.posting/bin/posting]

The screens run in a pseudo-terminal of 120x40 and are looked at as a terminal would show them. Beside p2pchat: an empty
Textual app and a bare interpreter, which are the limit for it, and posting, a program made with the same library, if
`make bench` has set up its environment. `p2pchat headless` and `p2pchat-relay` are read line by line. Each of ours
starts with an empty data directory (a new identity) and once more with the same.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from common import MEGABYTE, ROOT, Measure, machine, print_table, resident, turns, versions

from tests.end_to_end.test_two_terminals import address_on, chat
from tests.interop.peers import our_relay, ours
from tests.support.terminal import Terminal

SETTLE = 1.0
"""Seconds from the first frame to when memory is read."""
POSTING = ROOT / "bench" / ".posting" / "bin" / "posting"
EMPTY = """
from textual.app import App
from textual.widgets import Static

class Empty(App):
    def compose(self):
        yield Static("first frame")

Empty().run()
"""
MEASURES = {
    "version": Measure("`--version` (bare: nothing at all); aim < 100", "ms", 0),
    "frame": Measure("first frame; aim < 400", "ms", 0),
    "frame_again": Measure("first frame, data directory there; aim < 400", "ms", 0),
    "address": Measure("address on the screen", "ms", 0),
    "address_again": Measure("address on the screen, data directory there", "ms", 0),
    "memory": Measure(f"memory {SETTLE:g} s after the first frame", "MB", 0),
    "headless": Measure("headless: address", "ms", 0),
    "headless_again": Measure("headless: address, data directory there", "ms", 0),
    "relay": Measure("relay: serving; aim < 300", "ms", 0),
    "relay_again": Measure("relay: serving, data directory there; aim < 300", "ms", 0),
}
Found = dict[str, float]


def since(started: float) -> float:
    """Return the milliseconds since then."""
    return (time.perf_counter() - started) * 1e3


def command(*argv: str) -> float:
    """Return the milliseconds a command takes from start to end."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *argv], check=True, stdout=subprocess.DEVNULL)
    return since(started)


async def screen(data_dir: Path, suffix: str) -> Found:
    """Start the screen and look at it."""
    started = time.perf_counter()
    async with chat(data_dir) as terminal:
        await terminal.until(lambda shown: "Your address" in shown.text, "the first frame")
        found = {f"frame{suffix}": since(started)}
        await address_on(terminal)
        found[f"address{suffix}"] = since(started)
        if suffix:
            await asyncio.sleep(SETTLE)
            found["memory"] = resident(terminal.pid) / MEGABYTE
        terminal.type("\x11")
        await terminal.ended()
    return found


async def measure_ours() -> Found:
    """Do everything once with ours."""
    found = {"version": command("-m", "p2pchat_tui", "--version")}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for suffix in ("", "_again"):
            found |= await screen(home / "screen", suffix)
            started = time.perf_counter()
            async with ours(home / "headless") as program:
                await program.event("listening", lambda e: bool(e["addresses"]))
                found[f"headless{suffix}"] = since(started)
            started = time.perf_counter()
            async with our_relay(home / "relay"):
                found[f"relay{suffix}"] = since(started)
    return found


async def other_screen(argv: list[str | Path], text: str) -> Found:
    """Start a program that has a screen of its own and look at it."""
    started = time.perf_counter()
    async with Terminal(argv) as terminal:
        await terminal.until(lambda shown: text in shown.text, "the first frame")
        found = {"frame": since(started)}
        await asyncio.sleep(SETTLE)
        found["memory"] = resident(terminal.pid) / MEGABYTE
    return found


async def measure_posting(program: Path) -> Found:
    """Start posting in a home of its own."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.copy()
        os.environ.update(dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), folder))
        os.environ.pop("PYTHONPATH", None)  # that leads to ours
        try:
            return await other_screen([program], "Enter a URL")
        finally:
            os.environ.clear()
            os.environ.update(before)


async def measure_bare() -> Found:
    """Start what lies underneath: the interpreter, and an app with nothing in it."""
    return {"version": command("-c", "pass")} | await other_screen(
        [sys.executable, "-c", EMPTY], "first frame"
    )


async def run(arguments: argparse.Namespace) -> None:
    """Measure everything in turns and print the table."""
    sides = {"ours": measure_ours, "bare": measure_bare}
    beside = "no posting: its environment is not set up"
    if arguments.posting.exists():
        sides["posting"] = lambda: measure_posting(arguments.posting)
        beside = version_of(arguments.posting)
    results: dict[str, defaultdict[str, list[float]]] = {name: defaultdict(list) for name in sides}
    for number in range(arguments.runs + 1):
        for name in turns(list(sides), number):
            found = await sides[name]()
            if number:  # the first run fills the caches
                for measure, value in found.items():
                    results[name][measure].append(value)
    print(f"{machine()}\n{versions(['textual'])}; {beside}")
    print(f"Medians (smallest–largest) of {arguments.runs} runs in turns.\n")
    print_table(MEASURES, results, [("ours", "posting"), ("ours", "bare")], spreads=True)


def version_of(program: Path) -> str:
    """Return which posting that is."""
    code = "from importlib.metadata import version as v; print('posting', v('posting') + ', textual', v('textual'))"
    argv = [program.parent / "python", "-I", "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--posting", type=Path, default=POSTING, help="where posting is installed")
    asyncio.run(run(parser.parse_args()))

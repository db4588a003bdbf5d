"""Keypress to screen, with an empty conversation and with a hundred thousand messages, and what opening that takes.

    python bench/screen.py [--messages 100000] [--keys 100]

The program runs in a pseudo-terminal of 120x40 over a service without a network, and is looked at as a terminal would
show it, so the times include the emulator's. Memory is the resident set of the program, read from /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import platform
import statistics
import string
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.terminal import Terminal  # noqa: E402
from tests.tui.fake_service import BOB, address_of  # noqa: E402

PROGRAM = """
import sys
from p2pchat_tui.app import P2PChatApp
from tests.tui.fake_service import BOB, FakeService, FixedClock, NOW, Stored, address_of

class Full(FakeService):
    async def history(self, peer, limit=100, *, before=None, around=None):
        return [] if before else self.past.get(peer, [])

WORDS = "the quick brown fox jumps over the lazy dog and nobody minds at all "
count = int(sys.argv[1])
past = [
    Stored(f"{n:032x}", f"#{n} " + WORDS[: n % 67] * (1 + n % 3), n % 2 == 1, NOW - 60 * (count - n))
    for n in range(count)
]

async def factory():
    return Full(past={BOB: past} if past else {})

P2PChatApp(factory, name="alice", clock=FixedClock()).run()
"""
PAGE_UP, CLEAR = "\x1b[5~", "\x15"


async def measure(messages: int, keys: int) -> dict[str, list[float]]:
    """Return milliseconds (and mebibytes) by what they are of."""
    found: dict[str, list[float]] = {}
    last = f"▎ #{messages - 1} " if messages else "Write a message"
    async with Terminal([sys.executable, "-c", PROGRAM, str(messages)]) as terminal:
        await terminal.until(lambda shown: "Listening on" in shown.text, "the start", 60)
        terminal.paste(address_of(BOB))
        await terminal.until(lambda shown: "Enter connects" in shown.text, "the address")
        terminal.type("\r")
        found["opening"] = [await _until(terminal, last, 60)]
        await asyncio.sleep(1)
        for number in range(keys):
            if number % 20 == 0:
                terminal.type(CLEAR)
                await asyncio.sleep(0.2)
                typed = ""
            typed += string.ascii_letters[number * 7 % 52]
            terminal.type(typed[-1])
            found.setdefault("a key", []).append(await _until(terminal, f"│ {typed} "))
        for _ in range(min(messages // 50, 30)):
            before = terminal.text
            terminal.type(PAGE_UP)
            found.setdefault("a page up", []).append(await _changed(terminal, before))
            await asyncio.sleep(0.05)
        if (memory := resident(terminal.pid)) is not None:
            found["memory, MiB"] = [memory]
    return found


def resident(pid: int) -> float | None:
    """Return the mebibytes a process has in memory, where the system tells."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    rows = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines())
    return int(rows["VmRSS"].split()[0]) / 1024


async def _until(terminal: Terminal, text: str, timeout: float = 20) -> float:
    started = time.perf_counter()
    await terminal.until(lambda shown: text in shown.text, text, timeout)
    return (time.perf_counter() - started) * 1e3


async def _changed(terminal: Terminal, before: str) -> float:
    started = time.perf_counter()
    await terminal.until(lambda shown: shown.text != before, "another page")
    return (time.perf_counter() - started) * 1e3


async def run(messages: int, keys: int) -> None:
    """Measure both and print the table."""
    print(f"{platform.platform()}, Python {platform.python_version()}, {keys} keys\n")
    print("| messages | what | median, ms | 95 %, ms | worst, ms |\n|---|---|---|---|---|")
    for count, (name, values) in itertools.chain(
        ((0, item) for item in (await measure(0, keys)).items()),
        ((messages, item) for item in (await measure(messages, keys)).items()),
    ):
        values.sort()
        high = values[min(len(values) - 1, int(len(values) * 0.95))]
        print(f"| {count} | {name} | {statistics.median(values):.1f} | {high:.1f} | {values[-1]:.1f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--keys", type=int, default=100)
    arguments = parser.parse_args()
    asyncio.run(run(arguments.messages, arguments.keys))

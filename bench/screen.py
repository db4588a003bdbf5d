"""A long history beside none: start, opening a conversation, keypress to screen, and memory, in turns.

    python bench/screen.py [--messages 100000] [--conversations 1000] [--keys 50] [--runs 3]

The whole program runs in a pseudo-terminal of 120x40, over a history file with that many conversations, one of which
has that many messages, and over one with two conversations and forty messages. What it draws is looked at as a
terminal would show it, so the times include the emulator's.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import sqlite3
import string
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from common import MEGABYTE, Measure, machine, print_table, processor_seconds, resident, turns, versions

from p2pchat_core.chat import contact_table, search_index
from p2pchat_core.chat.store_file import open_or_replace
from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.identity.peer_id import PeerId
from tests.end_to_end.test_two_terminals import chat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.terminal import Terminal

SHORT = (2, 40)
LINE = 20
FIND, PAGE_UP, CLEAR, QUIT = "\x0b", "\x1b[5~", "\x15", "\x11"
NAME = "Archivist"
WORDS = "the quick brown fox jumps over the lazy dog and nobody minds at all "
IDLE, LOOK_EVERY = 0.02, 0.5
"""A program that uses less than that share of a processor between two looks, seconds apart, is done."""
MEASURES = {
    "frame": Measure("first frame", "ms", 0),
    "list": Measure("list of conversations", "ms", 0),
    "settled": Measure(f"nothing more to do (seen every {LOOK_EVERY} s)", "ms", 0),
    "memory": Measure("memory after the start", "MB", 0),
    "open": Measure("opening the conversation", "ms", 1),
    "key": Measure("a key to the screen", "ms", 1, "≤ 1.2"),
    "page": Measure("a page up", "ms", 1),
    "memory_after": Measure("memory after reading", "MB", 0),
}


def fill(data_dir: Path, conversations: int, messages: int) -> None:
    """Write a history: short conversations, and the last with so many messages."""
    data_dir.mkdir()
    db, _ = open_or_replace(data_dir / "history.sqlite3")
    search_index.attach(db)
    now = time.time()
    for number in range(conversations):
        last = number == conversations - 1
        peer = str(PeerId.from_public_key(PrivateKey.generate().public_key))
        name = NAME if last else f"Friend {number}"
        contact_table.save(db, contact_table.Person(peer, now, accepted=True, name=name))
        write(db, peer, texts(messages) if last else iter(["hello"]), now)
    db.close()


def texts(count: int) -> Iterator[str]:
    """Yield what was said."""
    for number in range(count):
        yield f"#{number} " + WORDS[: number % 67] * (1 + number % 3)


def write(db: sqlite3.Connection, peer: str, said: Iterator[str], now: float) -> None:
    """Write one conversation, one transaction for all."""
    with db:
        db.executemany(
            "INSERT INTO messages (message_id, peer, text, outgoing, sent_at, state, sequence)"
            " VALUES (?, ?, ?, 0, ?, 'received', ?)",
            (
                (
                    hashlib.md5(f"{peer}{number}".encode()).digest(),
                    peer,
                    text,
                    now - 86_400 + number * 0.1,
                    number + 1,
                )
                for number, text in enumerate(said)
            ),
        )


async def until(terminal: Terminal, text: str, timeout: float = 30) -> float:
    """Wait for a text and return the milliseconds."""
    started = time.perf_counter()
    await terminal.until(lambda shown: text in shown.text, text, timeout)
    return (time.perf_counter() - started) * 1e3


async def measure(data_dir: Path, last: str, keys: int) -> dict[str, list[float]]:
    """Start the program, open the conversation, type and read."""
    found: dict[str, list[float]] = defaultdict(list)
    async with chat(data_dir, "--no-embedded-relay", "--no-stun") as terminal:
        found["frame"] = [await until(terminal, "Your address")]
        found["list"] = [found["frame"][0] + await until(terminal, "away · ")]
        found["settled"] = [found["frame"][0] + await settled(terminal)]
        found["memory"] = [resident(terminal.pid) / MEGABYTE]
        terminal.type(FIND)
        await until(terminal, "Find a conversation")
        terminal.type(NAME[:5])
        await until(terminal, NAME[:5])
        await asyncio.sleep(0.3)
        terminal.type("\r")
        found["open"] = [await until(terminal, last)]
        await settled(terminal)
        typed = ""
        for number in range(keys):
            if len(typed) == LINE:
                terminal.type(CLEAR)
                await terminal.until(lambda shown: f"│ {typed} " not in shown.text, "an empty line")  # noqa: B023
                typed = ""
            typed += string.ascii_letters[number * 7 % 52]
            terminal.type(typed[-1])
            found["key"].append(await until(terminal, f"│ {typed} "))
        for _ in range(2):
            found["page"].append(await changed(terminal))
        found["memory_after"] = [resident(terminal.pid) / MEGABYTE]
        terminal.type(QUIT)
        await terminal.ended()
    return found


async def settled(terminal: Terminal) -> float:
    """Wait until the program has nothing to do and return the milliseconds that took."""
    started, used = time.perf_counter(), processor_seconds(terminal.pid)
    while True:
        await asyncio.sleep(LOOK_EVERY)
        before, used = used, processor_seconds(terminal.pid)
        if used - before < IDLE * LOOK_EVERY:
            return (time.perf_counter() - started - LOOK_EVERY) * 1e3


async def changed(terminal: Terminal) -> float:
    """Page up and return the milliseconds until the screen is another."""
    before, started = terminal.text, time.perf_counter()
    terminal.type(PAGE_UP)
    await terminal.until(lambda shown: shown.text != before, "another page")
    elapsed = (time.perf_counter() - started) * 1e3
    await asyncio.sleep(0.1)
    return elapsed


async def run(arguments: argparse.Namespace) -> None:
    """Measure both in turns and print the table."""
    sizes = {"long": (arguments.conversations, arguments.messages), "short": SHORT}
    results: dict[str, defaultdict[str, list[float]]] = {name: defaultdict(list) for name in sizes}
    with tempfile.TemporaryDirectory() as folder:
        for name, size in sizes.items():
            fill(Path(folder) / name, *size)
        for number in range(arguments.runs):
            for name in turns(list(sizes), number):
                last = f"▎ #{sizes[name][1] - 1} "
                for what, values in (await measure(Path(folder) / name, last, arguments.keys)).items():
                    results[name][what] += values
        written = (Path(folder) / "long" / "history.sqlite3").stat().st_size / MEGABYTE
    print(f"{machine()}\n{versions(['textual'])}, SQLite {sqlite3.sqlite_version}")
    print(
        f"Medians (smallest–largest) of {arguments.runs} runs in turns. "
        f"Long: {arguments.conversations:,} conversations, one with "
        f"{arguments.messages:,} messages ({written:.0f} MB); short: {SHORT[0]} and {SHORT[1]}.\n"
    )
    print_table(MEASURES, results, [("long", "short")], spreads=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--conversations", type=int, default=1000)
    parser.add_argument("--keys", type=int, default=50)
    parser.add_argument("--runs", type=int, default=3)
    asyncio.run(run(parser.parse_args()))

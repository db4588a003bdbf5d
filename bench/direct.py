"""The direct connection, ours and js-libp2p's, and what lies underneath, in turns in one run.

    python bench/direct.py [--rounds 5] [--megabytes 32] [--pings 500] [--only bulk|rtt] [--pairs 'ours → js']

Measured are the round trip of 32 bytes on an open stream and bulk data over one stream, each pair in two processes
over loopback: ours, js-libp2p in Node, and bare data channels of aiortc and of libdatachannel (node-datachannel).
Medians of all rounds, with lowest and highest. Needs `make interop`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.interop.peers import JS, NODE, our_relay  # noqa: E402
from tests.support.program import CommandFailedError, Program  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

MEGABYTE = 10**6
BLOCK = 65536
CONNECT_ATTEMPTS = 5
KINDS = {
    "ours": ("streams", [sys.executable, ROOT / "bench" / "direct_peer.py", "streams"]),
    "js": ("streams", [NODE, "direct.mjs", "streams"]),
    "aiortc": ("channels", [sys.executable, ROOT / "bench" / "direct_peer.py", "channels"]),
    "libdatachannel": ("channels", [NODE, "direct.mjs", "channels"]),
}
PAIRS = (
    ("ours", "js"),
    ("js", "ours"),
    ("js", "js"),
    ("ours", "ours"),
    ("aiortc", "libdatachannel"),
    ("libdatachannel", "aiortc"),
    ("aiortc", "aiortc"),
    ("libdatachannel", "libdatachannel"),
)
RATIOS = {
    "rtt": (
        ("ours → js", "js → js", "≤ 1"),
        ("js → ours", "js → js", "≤ 1"),
        ("ours → ours", "js → js", "≤ 1"),
        ("ours → js", "aiortc → libdatachannel", "≤ 1.5"),
        ("ours → ours", "aiortc → aiortc", "≤ 1.5"),
    ),
    "bulk": (
        ("ours → js", "aiortc → libdatachannel", "≥ 0.9"),
        ("js → ours", "libdatachannel → aiortc", "≥ 0.9"),
        ("ours → ours", "aiortc → aiortc", "≥ 0.9"),
        ("ours → js", "js → js", ""),
        ("js → ours", "js → js", ""),
    ),
    "sender": (("ours → js", "aiortc → libdatachannel", ""), ("ours → js", "js → js", "")),
    "receiver": (("js → ours", "libdatachannel → aiortc", ""), ("js → ours", "js → js", "")),
}


MEASURES = ("rtt", "bulk", "sender", "receiver")
TICK = os.sysconf("SC_CLK_TCK")


def processor_seconds(program: Program) -> float:
    """Return the processor time that a program has used."""
    fields = Path(f"/proc/{program.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


@dataclass
class Pair:
    """Two connected programs; the first one begins."""

    name: str
    left: Program
    right: Program
    cpu: dict[str, float] = field(default_factory=dict)
    results: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in MEASURES})

    async def measure(self, what: str, arguments: argparse.Namespace) -> float:
        """Measure once: milliseconds of a round trip, or megabytes a second."""
        who = {"peer": self.right.peer} if self.right.peer else {}
        if what == "rtt":
            return float((await self.left.call("pings", count=arguments.pings, **who))["ms"])
        size = arguments.megabytes * MEGABYTE // BLOCK * BLOCK
        before = [processor_seconds(program) for program in (self.left, self.right)]
        seconds = float((await self.left.call("send", size=size, **who))["seconds"])
        for name, program, used in zip(("sender", "receiver"), (self.left, self.right), before, strict=True):
            self.cpu[name] = (processor_seconds(program) - used) * 1e9 / size
        return size / MEGABYTE / seconds


async def start(stack: AsyncExitStack, kind: str) -> Program:
    """Start one program of a kind."""
    argv = KINDS[kind][1]
    cwd = JS if argv[0] == NODE else ROOT
    program = await stack.enter_async_context(await Program.start(kind, argv, cwd=cwd))
    program.peer = (await program.event("ready"))["peer"]
    return program


async def connect_streams(left: Program, right: Program, relay: str) -> None:
    """Let the first dial the second through a relay."""
    await right.call("relay", address=relay)
    event = await right.event("listening", lambda e: bool(e["addresses"]))
    for attempt in range(CONNECT_ATTEMPTS):
        try:
            await left.call("connect", address=event["addresses"][0])
            break
        except CommandFailedError:  # js to js fails now and then
            if attempt == CONNECT_ATTEMPTS - 1:
                raise


async def connect(stack: AsyncExitStack, left_kind: str, right_kind: str, relay: str) -> Pair:
    """Start two programs and connect them."""
    left, right = await start(stack, left_kind), await start(stack, right_kind)
    if KINDS[left_kind][0] == "streams":
        await connect_streams(left, right, relay)
    else:
        offer = await left.call("offer")
        answer = await right.call("answer", sdp=offer["sdp"])
        await left.call("accept", sdp=answer["sdp"])
    return Pair(f"{left_kind} → {right_kind}", left, right)


def turns(things: list[Pair], number: int) -> Iterator[Pair]:
    """Return the things in order, and the other way round every second time."""
    return iter(things if number % 2 else things[::-1])


def cell(values: list[float], digits: int) -> str:
    """Return median, lowest and highest."""
    if not values:
        return "–"
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def report(pairs: list[Pair], arguments: argparse.Namespace) -> None:
    """Print the ratios, then the figures."""
    print(f"{machine()}\n{versions()}")
    print(f"{arguments.rounds} rounds in turns, {arguments.megabytes} MB and {arguments.pings} pings each.\n")
    named = {pair.name: pair for pair in pairs}
    print("| | measure | ratio of medians | aim |\n|---|---|---|---|")
    for what, rows in RATIOS.items():
        for one, other, aim in rows:
            values = [named[name].results[what] for name in (one, other) if name in named]
            if len(values) == 2 and all(values):
                ratio = statistics.median(values[0]) / statistics.median(values[1])
                print(f"| {one} : {other} | {what} | **{ratio:.2f}** | {aim} |")
    print(
        "\n| | round trip, ms | bulk, MB/s | processor seconds per GB: sender | receiver |\n|---|---|---|---|---|"
    )
    for pair in pairs:
        cells = [
            cell(pair.results[name], digits) for name, digits in zip(MEASURES, (3, 1, 1, 1), strict=True)
        ]
        print(f"| {pair.name} | {' | '.join(cells)} |")


def machine() -> str:
    """Return a line on the machine."""
    name = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    return f"{name}, {os.cpu_count()} processors, {platform.system()} {platform.release()}"


def versions() -> str:
    """Return a line on what was measured with what."""

    def of(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return "(not installed)"

    js = json.loads((JS / "package.json").read_text())["dependencies"]
    bare = json.loads((JS / "node_modules" / "node-datachannel" / "package.json").read_text())["version"]
    return (
        f"p2pchat {of('p2pchat')} and aiortc {of('aiortc')} on Python {platform.python_version()}; js-libp2p "
        f"{js['libp2p']} on Node {js['node']}, node-datachannel {bare}"
    )


async def run(arguments: argparse.Namespace) -> None:
    """Connect all pairs, measure in turns, report."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        relay = await stack.enter_async_context(our_relay(folder / "relay"))
        wanted = [pair for pair in PAIRS if not arguments.pairs or " → ".join(pair) in arguments.pairs]
        pairs = [await connect(stack, left, right, relay.address) for left, right in wanted]
        for number in range(arguments.rounds + 1):
            for what in ("rtt", "bulk"):
                if arguments.only not in (None, what):
                    continue
                for pair in turns(pairs, number):
                    try:
                        value = await pair.measure(what, arguments)
                    except CommandFailedError as error:
                        print(f"{pair.name}, {what}: {error}", file=sys.stderr)
                        continue
                    if number:  # the first round warms up
                        pair.results[what].append(value)
                        if what == "bulk":
                            for name, used in pair.cpu.items():
                                pair.results[name].append(used)
        report(pairs, arguments)


def parse(argv: list[str] | None = None) -> Any:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=32, help="bulk data of one round")
    parser.add_argument("--pings", type=int, default=500, help="round trips of one round")
    parser.add_argument("--only", choices=("rtt", "bulk"), help="measure one of the two alone")
    parser.add_argument("--pairs", nargs="*", help="measure these alone")
    if not NODE.exists():
        parser.exit(2, "The JavaScript side is not installed: run make interop.\n")
    return parser.parse_args(argv)


if __name__ == "__main__":
    asyncio.run(run(parse()))

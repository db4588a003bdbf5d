"""Our relay and js-libp2p's, side by side on this machine with the same clients (go-libp2p's), alternating in one run.

    python bench/relay.py [--rounds 5] [--megabytes 64] [--reservations 2000] [--only ours|js]

Throughput and round trips are those of one circuit without limits, end to end through Noise and yamux, between two
processes. Memory per reservation is what the relay's resident size grows by from its start to that many peers who are
connected and hold a reservation. Processor time is the relay's own, so it tells what the relay would do if it had a
processor to itself and the clients another. Needs Linux, and `make interop` with go installed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import statistics
import tempfile
from collections import defaultdict
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from common import MEGABYTE, Measure, machine, our_version, print_table, processor_seconds, turns

from tests.interop.circuit_peers import GO, UNLIMITED, circuit_address
from tests.interop.peers import JS, NODE, Relay, our_relay
from tests.support.program import Program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SIDES = ("ours", "js")
PINGS = 200
AT_ONCE = 16
"""Clients that connect or reserve at the same time."""
SETTLE = 3.0
"""Seconds after which a relay's memory is read: identify has run and garbage was collected by then."""
SMALL_CROWD = 200

# Neither relay limits anything here, nor logs what the other does not.
OURS = ("--no-stun", "--log-level", "warning", "--max-reservations", "100000", *UNLIMITED)
# js closes connections beyond 300 and counts handshakes per address; both are out of the way.
JS_OPTIONS = {
    "reservations": {"applyDefaultLimit": False},
    "connectionManager": {
        "maxConnections": 100_000,
        "inboundConnectionThreshold": 100_000,
        "maxIncomingPendingConnections": 1000,
    },
}


MEASURES = {
    "throughput": Measure("circuit throughput", "MB/s", 1, "≥ 1"),
    "cpu_mb": Measure("processor time per 100 MB", "ms", 0),
    "rtt": Measure("round trip, median", "ms", 3, "≤ 1"),
    "rtt_p99": Measure("round trip, 99th percentile", "ms", 3, "≤ 1"),
    "handshakes": Measure("handshakes", "/s", 0, "≥ 1"),
    "cpu_handshake": Measure("processor time per handshake", "ms", 2),
    "reservations": Measure("reservations", "/s", 0, "≥ 1"),
    "cpu_reservation": Measure("processor time per reservation", "ms", 2),
    "held": Measure("reservations held at once", "", 0),
    "memory": Measure("memory per reservation", "kB", 1, "≤ 0.5"),
    "start_memory": Measure("memory after the start", "MB", 1),
}


@dataclass
class Side:
    """One relay under test and what was measured of it."""

    name: str
    results: defaultdict[str, list[float]]

    @asynccontextmanager
    async def relay(self) -> AsyncIterator[Relay]:
        """Start a fresh relay of this kind."""
        if self.name == "ours":
            with tempfile.TemporaryDirectory() as folder:
                async with our_relay(Path(folder), *OURS) as relay:
                    yield relay
        else:
            async with await Program.start(
                "js relay", [NODE, "relay.mjs", json.dumps(JS_OPTIONS)], cwd=JS
            ) as program:
                yield Relay((await program.event("ready"))["addresses"], program)

    def add(self, name: str, value: float) -> None:
        """Keep one result."""
        self.results[name].append(value)


def resident(relay: Relay) -> int:
    """Return the resident size of the relay's process in bytes."""
    for line in Path(f"/proc/{relay.process.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not tell the resident size")


def sockets(relay: Relay) -> int:
    """Return how many sockets the relay's process has open."""
    links = Path(f"/proc/{relay.process.process.pid}/fd").iterdir()
    return sum(os.readlink(link).startswith("socket:") for link in links)


@asynccontextmanager
async def go_peer(name: str) -> AsyncIterator[Program]:
    """Run the go-libp2p program of the interop tests."""
    async with await Program.start(name, [GO / "peer"]) as program:
        program.peer = (await program.event("ready"))["peer"]
        yield program


# --- one circuit --------------------------------------------------------------------------------------------------


@dataclass
class Circuit:
    """A circuit through one relay between two go peers."""

    side: Side
    relay: Relay
    source: Program
    target: str

    async def measure(self, megabytes: int, *, keep: bool) -> None:
        """Send bulk data and pings once; `keep` the figures or not."""
        before = processor_seconds(self.relay.process.process.pid)
        sent = await self.source.call("send", peer=self.target, size=megabytes * MEGABYTE)
        used = processor_seconds(self.relay.process.process.pid) - before
        times = sorted((await self.source.call("pings", peer=self.target, count=PINGS))["ms"])
        if keep:
            self.side.add("throughput", megabytes / sent["seconds"])
            self.side.add("cpu_mb", used * 1e3 / megabytes * 100)
            self.side.add("rtt", statistics.median(times))
            self.side.add("rtt_p99", times[int(len(times) * 0.99)])


async def circuits(sides: list[Side], rounds: int, megabytes: int) -> None:
    """Measure a circuit through each relay, in turns."""
    async with AsyncExitStack() as stack:
        opened = []
        for side in sides:
            relay = await stack.enter_async_context(side.relay())
            source = await stack.enter_async_context(go_peer("source"))
            target = await stack.enter_async_context(go_peer("target"))
            await target.call("reserve", address=relay.address)
            await source.call("connect", address=circuit_address(relay.address, target.peer))
            opened.append(Circuit(side, relay, source, target.peer))
        for number in range(rounds + 1):
            for circuit in turns(opened, number):
                await circuit.measure(megabytes, keep=number > 0)  # the first round warms up


# --- many peers -----------------------------------------------------------------------------------------------------


async def timed(side: Side, relay: Relay, crowd: Program, cmd: str, rate: str, cpu: str) -> None:
    """Let the whole crowd do something, and keep how many did it per second and what each cost the relay."""
    before = processor_seconds(relay.process.process.pid)
    done = await crowd.call(cmd, address=relay.address, at=AT_ONCE)
    side.add(rate, done["count"] / done["seconds"])
    side.add(cpu, (processor_seconds(relay.process.process.pid) - before) * 1e3 / done["count"])


async def crowds(sides: list[Side], rounds: int) -> None:
    """Measure handshakes and reservations, in turns."""
    async with AsyncExitStack() as stack:
        crowd = await stack.enter_async_context(go_peer("crowd"))
        await crowd.call("crowd", count=SMALL_CROWD)
        relays = [await stack.enter_async_context(side.relay()) for side in sides]
        discarded = Side("warm-up", defaultdict(list))
        for number in range(rounds + 1):
            for side, relay in turns(list(zip(sides, relays, strict=True)), number):
                kept = side if number else discarded
                await timed(kept, relay, crowd, "crowd-connect", "handshakes", "cpu_handshake")
                await timed(kept, relay, crowd, "crowd-reserve", "reservations", "cpu_reservation")
                await crowd.call("crowd-leave", address=relay.address, at=AT_ONCE)
                await asyncio.sleep(0.5)


async def memory(side: Side, count: int) -> None:
    """Let `count` peers hold a reservation at once."""
    async with side.relay() as relay, go_peer("crowd") as crowd:
        await crowd.call("crowd", count=count)
        await asyncio.sleep(SETTLE)
        empty, idle = resident(relay), sockets(relay)
        await crowd.call("crowd-connect", address=relay.address, at=AT_ONCE)
        reserved = await crowd.call("crowd-reserve", address=relay.address, at=AT_ONCE)
        await asyncio.sleep(SETTLE)
        # A relay that had closed some of the connections would hold less than it granted.
        side.add("held", min(reserved["count"], sockets(relay) - idle))
        side.add("start_memory", empty / MEGABYTE)
        side.add("memory", (resident(relay) - empty) / 1e3 / count)


# --- the report ------------------------------------------------------------------------------------------------------


def print_report(sides: list[Side], arguments: argparse.Namespace) -> None:
    """Print what was measured, on what."""
    print(f"{machine()}\n{versions()}")
    print(
        f"Medians of {arguments.rounds} rounds in turns, {arguments.megabytes} MB and {PINGS} pings each; "
        f"crowds of {SMALL_CROWD} and {arguments.reservations}.\n"
    )
    print_table(
        MEASURES, {side.name: side.results for side in sides}, "js" if len(sides) == len(SIDES) else None
    )


def versions() -> str:
    """Return a line on what was measured with what."""
    loop = "uvloop" if find_spec("uvloop") else "asyncio"
    js = json.loads((JS / "package.json").read_text())["dependencies"]
    go = next(line.split()[-1] for line in (GO / "go.mod").read_text().splitlines() if "/go-libp2p v" in line)
    return (
        f"{our_version()} on Python {platform.python_version()} with {loop}; js-libp2p {js['libp2p']} with "
        f"circuit-relay-v2 {js['@libp2p/circuit-relay-v2']} on Node {js['node']}; clients go-libp2p {go}"
    )


async def run(arguments: argparse.Namespace) -> None:
    """Run all measurements."""
    sides = [Side(name, defaultdict(list)) for name in SIDES if arguments.only in (None, name)]
    await circuits(sides, arguments.rounds, arguments.megabytes)
    await crowds(sides, arguments.rounds)
    for side in sides:
        await memory(side, arguments.reservations)
    print_report(sides, arguments)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=64, help="bulk data of one round")
    parser.add_argument("--reservations", type=int, default=2000, help="peers that hold one at once")
    parser.add_argument("--only", choices=SIDES, help="measure one relay alone")
    if not (GO / "peer").exists() or not NODE.exists():
        parser.exit(2, "The clients are not built: install go and run make interop.\n")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(run(parser.parse_args()))

"""Bulk data over the direct connection on a long path, ours and js-libp2p's, in turns in one run.

    sudo python bench/direct_lab.py [--rounds 3] [--rtt 50] [--loss 0 0.01] [--seconds 8]

Two hosts behind NATs in the network laboratory (`tests/netlab`), connected through a cable with that round trip that
loses that share of packets each way. Every transfer carries as much as is expected to take `--seconds`. Needs root on
Linux and `make interop`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from direct import BLOCK, KINDS, MEGABYTE, Pair, cell, connect_streams, machine, turns, versions  # noqa: E402

from tests.interop.peers import JS, NODE  # noqa: E402
from tests.netlab.cable import Profile  # noqa: E402
from tests.netlab.lab import PUBLIC, laboratory_aside  # noqa: E402
from tests.netlab.nat import NatKind  # noqa: E402
from tests.netlab.peers import RELAY_PORT, Relay  # noqa: E402
from tests.support.program import CommandFailedError, Program  # noqa: E402

if TYPE_CHECKING:
    from tests.netlab.namespaces import Namespace

PAIRS = (("ours", "js"), ("js", "ours"), ("js", "js"), ("ours", "ours"))
FIRST = 2 * MEGABYTE


async def start(stack: AsyncExitStack, namespace: Namespace, kind: str) -> Program:
    """Start one program of a kind in a namespace."""
    argv = KINDS[kind][1]
    arguments = namespace.argv(*argv, f"stun:{PUBLIC}:{RELAY_PORT}")
    cwd = JS if argv[0] == NODE else ROOT
    program = await stack.enter_async_context(await Program.start(kind, arguments, cwd=cwd))
    program.peer = (await program.event("ready", timeout=60))["peer"]
    return program


async def send(pair: Pair, size: int) -> float:
    """Send about `size` bytes; return megabytes a second."""
    size = max(BLOCK, size // BLOCK * BLOCK)
    reply = await pair.left.call("send", size=size, peer=pair.right.peer)
    return size / MEGABYTE / float(reply["seconds"])


async def run(arguments: argparse.Namespace) -> None:
    """Build the laboratory, connect, measure in turns, report."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lab = await stack.enter_async_context(laboratory_aside(NatKind.FULL, NatKind.FULL, cables=True))
        relay = Relay(lab.net, folder)
        await relay.start()
        stack.push_async_callback(relay.kill)
        pairs = []
        for left_kind, right_kind in PAIRS:
            left = await start(stack, lab.sites[0].host, left_kind)
            right = await start(stack, lab.sites[1].host, right_kind)
            await connect_streams(left, right, relay.address)
            pairs.append(Pair(f"{left_kind} → {right_kind}", left, right))
        results: dict[tuple[str, float], list[float]] = {}
        for loss in arguments.loss:
            lab.sites[0].set_cable(Profile(delay_ms=arguments.rtt / 2, loss=loss))
            rates: dict[str, float] = {}
            for number in range(arguments.rounds + 1):
                for pair in turns(pairs, number):
                    size = (
                        FIRST
                        if pair.name not in rates
                        else int(rates[pair.name] * arguments.seconds * MEGABYTE)
                    )
                    try:
                        rates[pair.name] = await send(pair, size)
                    except CommandFailedError as error:
                        print(f"{pair.name}, loss {loss}: {error}", file=sys.stderr)
                        continue
                    if number:  # the first round warms up and finds the size
                        results.setdefault((pair.name, loss), []).append(rates[pair.name])
        report(results, arguments)


def report(results: dict[tuple[str, float], list[float]], arguments: argparse.Namespace) -> None:
    """Print ratios to js, and the figures."""
    print(f"{machine()}\n{versions()}")
    print(f"Round trip {arguments.rtt} ms, {arguments.rounds} rounds in turns; megabytes a second.\n")
    print("| | " + " | ".join(f"loss {loss:g} | : js → js" for loss in arguments.loss) + " |")
    print("|---|" + "---|---|" * len(arguments.loss))
    for name in (f"{left} → {right}" for left, right in PAIRS):
        cells = []
        for loss in arguments.loss:
            values, js = results.get((name, loss), []), results.get(("js → js", loss), [])
            ratio = sorted(values)[len(values) // 2] / sorted(js)[len(js) // 2] if values and js else 0.0
            cells += [cell(values, 2), f"**{ratio:.2f}**"]
        print(f"| {name} | {' | '.join(cells)} |")


def parse() -> Any:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rtt", type=float, default=50.0, help="round trip in milliseconds")
    parser.add_argument(
        "--loss", type=float, nargs="+", default=[0.0, 0.01], help="shares of packets lost each way"
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="how long a transfer should take")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(run(parse()))

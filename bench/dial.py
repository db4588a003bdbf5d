"""Dial times through one relay, ours and js-libp2p's, alternating in one run.

    python bench/dial.py [--rounds 30] [--relay ours|js] [--dead-stun]

Every round dials once in each of the four combinations and hangs up again. A dial is measured from the command to
the open direct connection with its first ping answered; the round trip is the best of five pings on it. With
`--dead-stun` all are told of a STUN server that never answers. Needs `make interop`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import platform
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from common import ROOT, machine

from tests.interop.peers import js_listening, js_peer, js_relay, our_relay, ours
from tests.support.program import CommandFailedError

if TYPE_CHECKING:
    from tests.support.program import Program

PACE = 0.3
OURS = ("--no-embedded-relay", "--no-stun")
DEAD_STUN = "stun:192.0.2.1:3478"  # for documentation only (RFC 5737), so nobody's


async def dial(dialer: Program, listener: Program, address: str) -> tuple[float, float]:
    """Dial once, hang up, and return (milliseconds to the first answer, best round trip in milliseconds)."""
    started = time.perf_counter()
    await dialer.call("connect", address=address)
    if dialer.name.startswith("ours"):
        await dialer.call("ping", peer=listener.peer)
    elapsed = (time.perf_counter() - started) * 1e3
    key = "rtt_ms" if dialer.name.startswith("ours") else "rtt"
    rtt = min([(await dialer.call("ping", peer=listener.peer))[key] for _ in range(5)])
    # Ours first and on purpose: whoever of ours is hung up on dials again by itself.
    for program, other in sorted(
        [(dialer, listener), (listener, dialer)], key=lambda pair: pair[0].name, reverse=True
    ):
        with contextlib.suppress(CommandFailedError):
            await program.call("disconnect" if program.name.startswith("ours") else "hangup", peer=other.peer)
    await asyncio.sleep(PACE)
    dialer.events.clear()
    listener.events.clear()
    return elapsed, rtt


def summary(values: list[float], digits: int) -> str:
    """Return median, 95th and 99th percentile and worst."""
    ordered = sorted(values)
    p95, p99 = (ordered[round(share * (len(ordered) - 1))] for share in (0.95, 0.99))
    return " / ".join(f"{v:.{digits}f}" for v in (statistics.median(ordered), p95, p99, ordered[-1]))


async def run(rounds: int, relay_kind: str, dead_stun: bool) -> None:
    """Run all rounds and print the table."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        relay = await stack.enter_async_context(
            our_relay(folder / "relay") if relay_kind == "ours" else js_relay()
        )
        options = ("--no-embedded-relay", "--stun", DEAD_STUN) if dead_stun else OURS
        we, also_we = [
            await stack.enter_async_context(
                ours(folder / name, *options, "--relay", relay.address, name=name)
            )
            for name in ("ours 1", "ours 2")
        ]
        js, also_js = [
            await stack.enter_async_context(js_peer(stun=[DEAD_STUN] * dead_stun)) for _ in range(2)
        ]
        addresses = {}
        for program in (we, also_we):
            event = await program.event("listening", lambda e: bool(e["addresses"]))
            addresses[program] = event["addresses"][0]
        for program in (js, also_js):
            addresses[program] = await js_listening(program, relay.address)
        pairs = {
            "ours → js": (we, js),
            "js → ours": (js, we),
            "js → js": (also_js, js),
            "ours → ours": (we, also_we),
        }
        times: dict[str, list[float]] = {name: [] for name in pairs}
        rtts: dict[str, list[float]] = {name: [] for name in pairs}
        failures = dict.fromkeys(pairs, 0)
        for number in range(rounds + 1):
            for name, (dialer, listener) in pairs.items():
                try:
                    elapsed, rtt = await dial(dialer, listener, addresses[listener])
                except Exception as error:
                    failures[name] += 1
                    print(f"{name}: {error}", file=sys.stderr)
                    continue
                if number:  # the first round warms up
                    times[name].append(elapsed)
                    rtts[name].append(rtt)
    whose = "our" if relay_kind == "ours" else "js"
    print(f"{rounds} dials each through {whose} relay; {machine()}, Python {platform.python_version()}")
    pinned = json.loads((ROOT / "tests/interop/js/package.json").read_text())["dependencies"]
    versions = ", ".join(f"{name} {pinned[name]}" for name in ("node", "libp2p", "@libp2p/webrtc"))
    print(f"aiortc {version('aiortc')}; {versions}")
    print("The STUN server never answers." if dead_stun else "No STUN server.")
    print("\n| dial | first answer, ms (median / p95 / p99 / worst) | RTT, ms (the same) | failed |")
    print("|---|---|---|---|")
    for name in pairs:
        print(f"| {name} | {summary(times[name], 0)} | {summary(rtts[name], 2)} | {failures[name]} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--relay", choices=["ours", "js"], default="ours")
    parser.add_argument("--dead-stun", action="store_true", help="name a STUN server that never answers")
    arguments = parser.parse_args()
    asyncio.run(run(arguments.rounds, arguments.relay, arguments.dead_stun))

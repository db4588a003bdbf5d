"""Dial times through one relay, ours and js-libp2p's, in turns in one run.

    python bench/dial.py [--rounds 30] [--relay ours|js] [--dead-stun]

Every round dials once in each combination and hangs up again. A dial is measured from the command to the open direct
connection with its first ping answered; the round trip is the best of five pings on it. With `--dead-stun` every round
dials once more in the combinations with ours between peers that were told of a STUN server that never answers.
Needs `make interop`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from common import machine, ratio, summary, turns, versions

from tests.interop.peers import NODE, js_listening, js_peer, js_relay, our_relay, ours
from tests.support.program import CommandFailedError

if TYPE_CHECKING:
    from tests.interop.peers import Relay
    from tests.support.program import Program

PACE = 0.3
REFERENCE = "js → js"
NO_STUN = ("--no-embedded-relay", "--no-stun")
DEAD_STUN = "stun:192.0.2.1:3478"  # for documentation only (RFC 5737), so nobody's
DEAD = ", STUN dead"


@dataclass
class Pair:
    """Who dials whom, and what was measured."""

    name: str
    dialer: Program
    listener: Program
    address: str
    times: list[float] = field(default_factory=list)
    rtts: list[float] = field(default_factory=list)
    failed: int = 0

    async def dial(self) -> tuple[float, float]:
        """Dial once, hang up, and return (milliseconds to the first answer, best round trip in milliseconds)."""
        dialer, listener = self.dialer, self.listener
        started = time.perf_counter()
        await dialer.call("connect", address=self.address)
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
                hang_up = "disconnect" if program.name.startswith("ours") else "hangup"
                await program.call(hang_up, peer=other.peer)
        await asyncio.sleep(PACE)
        dialer.events.clear()
        listener.events.clear()
        return elapsed, rtt

    async def measure(self, *, keep: bool) -> None:
        """Dial once; `keep` the figures or not."""
        try:
            elapsed, rtt = await self.dial()
        except Exception as error:
            self.failed += 1
            print(f"{self.name}: {error}", file=sys.stderr)
            return
        if keep:
            self.times.append(elapsed)
            self.rtts.append(rtt)


async def people(
    stack: AsyncExitStack, folder: Path, relay: Relay, *, dead_stun: bool
) -> dict[str, tuple[Program, str]]:
    """Start two of ours and two of js, and return each with its address."""
    found = {}
    options = ("--no-embedded-relay", "--stun", DEAD_STUN) if dead_stun else NO_STUN
    for name in ("ours 1", "ours 2"):
        program = await stack.enter_async_context(
            ours(folder / f"{name}{dead_stun}", *options, "--relay", relay.address, name=name)
        )
        event = await program.event("listening", lambda e: bool(e["addresses"]))
        found[name] = program, event["addresses"][0]
    for name in ("js 1", "js 2"):
        program = await stack.enter_async_context(js_peer(stun=[DEAD_STUN] * dead_stun))
        found[name] = program, await js_listening(program, relay.address)
    return found


def pairs_of(people: dict[str, tuple[Program, str]], suffix: str = "") -> list[Pair]:
    """Return the combinations."""
    found = []
    for name, left, right in (
        ("ours → js", "ours 1", "js 1"),
        ("js → ours", "js 1", "ours 1"),
        ("ours → ours", "ours 1", "ours 2"),
        (REFERENCE, "js 2", "js 1"),
    ):
        if name != REFERENCE or not suffix:
            found.append(Pair(name + suffix, people[left][0], *people[right]))
    return found


async def run(arguments: argparse.Namespace) -> None:
    """Run all rounds and print the table."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        relay = await stack.enter_async_context(
            our_relay(folder / "relay") if arguments.relay == "ours" else js_relay()
        )
        pairs = pairs_of(await people(stack, folder, relay, dead_stun=False))
        if arguments.dead_stun:
            pairs += pairs_of(await people(stack, folder, relay, dead_stun=True), DEAD)
        for number in range(arguments.rounds + 1):
            for pair in turns(pairs, number):
                await pair.measure(keep=number > 0)  # the first round warms up
    print(f"{machine()}\n{versions(['aiortc'], ['libp2p', '@libp2p/webrtc'])}")
    whose = "our" if arguments.relay == "ours" else "js's"
    print(
        f"{arguments.rounds} dials of each in turns, through {whose} relay; no STUN server, or a dead one.\n"
    )
    report(pairs)


def report(pairs: list[Pair]) -> None:
    """Print the ratios, then the figures."""
    named = {pair.name: pair for pair in pairs}
    print(
        f"| : {REFERENCE} | aim | dead : no STUN | aim | dial | first answer, ms (median / p95 / p99 / worst) "
        "| RTT, ms (the same) | failed |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for pair in pairs:
        cells = ["–", "", "–", ""]
        if pair.name != REFERENCE:
            cells[:2] = ratio(pair.times, named[REFERENCE].times), "< 1"
        if pair.name.endswith(DEAD):
            cells[2:] = ratio(pair.times, named[pair.name.removesuffix(DEAD)].times), "≤ 1.1"
        cells += [pair.name, summary(pair.times, 0), summary(pair.rtts, 2), str(pair.failed)]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--relay", choices=["ours", "js"], default="ours")
    parser.add_argument("--dead-stun", action="store_true", help="also with a STUN server that never answers")
    if not NODE.exists():
        parser.exit(2, "The JavaScript side is not installed: run make interop.\n")
    asyncio.run(run(parser.parse_args()))

"""From Enter in one p2pchat to the message on the other's screen, beside what typing a letter costs, in turns.

    python bench/message.py [--messages 100]

Two programs in pseudo-terminals of 120x40, connected directly, speak in turns. A letter that is typed into one of them
and seen on the same screen passes everything but the network and the history, so it is what a message is compared with.
Both times include the terminal emulators'.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from common import machine, percentile, ratio, summary, turns, versions

from tests.end_to_end.test_two_terminals import chat, meet
from tests.interop.peers import our_relay

if TYPE_CHECKING:
    from tests.support.terminal import Terminal

PAUSE = 0.15
"""Seconds between two, so that each is measured alone."""
WARM_UP = 4


async def letters(speaker: Terminal, text: str) -> float:
    """Type a text without its last letter, then that, and return how long until it is on the same screen."""
    speaker.type(text[:-1])
    await speaker.until(lambda shown: f"│ {text[:-1]} " in shown.text, "what was typed")
    await asyncio.sleep(PAUSE)
    started = time.perf_counter()
    speaker.type(text[-1])
    await speaker.until(lambda shown: f"│ {text} " in shown.text, "the letter")
    return (time.perf_counter() - started) * 1e3


async def enter(speaker: Terminal, listener: Terminal, text: str) -> float:
    """Press Enter and return how long until the text is on the other screen."""
    started = time.perf_counter()
    speaker.type("\r")
    await listener.until(lambda shown: text in shown.text, "the message")
    return (time.perf_counter() - started) * 1e3


async def run(messages: int) -> None:
    """Let two meet and talk, and print the table."""
    typed: list[float] = []
    sent: list[float] = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        relay = await stack.enter_async_context(our_relay(folder / "relay"))
        both = [
            await stack.enter_async_context(chat(folder / name, "--relay", relay.address))
            for name in ("alice", "bob")
        ]
        await meet(*both)
        for number in range(messages + WARM_UP):
            speaker, listener = turns(both, number)
            text = f"message {number:04d}"
            await asyncio.sleep(PAUSE)
            found = await letters(speaker, text), await enter(speaker, listener, text)
            if number >= WARM_UP:
                typed.append(found[0])
                sent.append(found[1])
    print(f"{machine()}\n{versions(['textual', 'aiortc'])}")
    print(f"{messages} messages, both ways in turns.\n")
    high = [percentile(values, 0.95) for values in (sent, typed)]
    print(
        "| Enter : letter, median | 95 % | Enter to the other's screen, ms (median / p95 / p99 / worst) | aim ",
        end="",
    )
    print("| letter to the same screen, ms (the same) |\n|---|---|---|---|---|")
    ratios = f"{ratio(sent, typed)} | {ratio(high[:1], high[1:])}"
    print(f"| {ratios} | {summary(sent, 1)} | p95 < 50 | {summary(typed, 1)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=100)
    asyncio.run(run(parser.parse_args().messages))

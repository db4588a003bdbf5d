"""Prints how the two friends fare while a stranger attacks: ``python -m tests.attack [NAME ...]``."""

from __future__ import annotations

import asyncio
import gc
import logging
import platform
import statistics
import sys
import tempfile
from pathlib import Path

from p2pchat_core import __version__
from tests.attack.attacks import ATTACKS
from tests.attack.stage import Stage, quietly, resident, stage


class Reasons(logging.Handler):
    """Keeps the last thing the victim's program had to say about its connections."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.peer = ""
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if self.peer and self.peer in text:
            self.last = text


async def measured(scene: Stage, name: str, reasons: Reasons) -> str:
    """Run one attack and return its line."""
    gc.collect()
    stranger = scene.stranger()
    before, peak, times = resident(), 0, []
    reasons.peer, reasons.last = stranger.host.peer.short(), ""
    attack = asyncio.ensure_future(quietly(ATTACKS[name](stranger)))
    while not attack.done():
        times.append(await scene.talk())
        peak = max(peak, resident() - before)
        await asyncio.sleep(0.01)
    told = reasons.last
    await scene.dismiss()
    return (
        f"{name:<32} {statistics.median(times) * 1e3:>7.1f} {max(times) * 1e3:>7.1f} {peak / 2**20:>7.1f}"
        f"  {told[:110]}"
    )


async def main(names: list[str]) -> None:
    """Run the named attacks, or all."""
    reasons = Reasons()
    logging.getLogger("p2pchat_core").addHandler(reasons)
    logging.getLogger("p2pchat_core").setLevel(logging.DEBUG)
    logging.getLogger("p2pchat_core").propagate = False
    print(f"p2pchat {__version__}, Python {platform.python_version()}, {platform.platform()}")
    print("A message of the friend while it goes on, ms; memory of all five programs in one process, MiB\n")
    print(f"{'attack':<32} {'median':>7} {'worst':>7} {'memory':>7}  what the victim said of it last")
    with tempfile.TemporaryDirectory() as folder:
        async with stage(Path(folder)) as scene:
            quiet = [await scene.talk() for _ in range(20)]
            print(f"{'(none)':<32} {statistics.median(quiet) * 1e3:>7.1f} {max(quiet) * 1e3:>7.1f}")
            for name in names or ATTACKS:
                print(await measured(scene, name, reasons), flush=True)


asyncio.run(main(sys.argv[1:]))

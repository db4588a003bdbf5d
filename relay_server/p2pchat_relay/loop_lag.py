"""How late the event loop is: what a daemon with too much to do, or one that blocks, shows first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from p2pchat_relay.limits import LOOP_LAG_INTERVAL

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["measure_loop_lag"]


async def measure_loop_lag(report: Callable[[float], None]) -> None:
    """Tell `report` every `limits.LOOP_LAG_INTERVAL` seconds how many seconds too late it is. Runs until
    cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LOOP_LAG_INTERVAL
        await asyncio.sleep(LOOP_LAG_INTERVAL)
        report(max(0.0, loop.time() - due))

"""Notices that the world may have changed: we were asleep or stopped, the clock was set, our addresses are others."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.net.interfaces import local_addresses

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2pchat_core.clock import Clock

__all__ = ["our_addresses", "watch_world"]

logger = logging.getLogger(__name__)


def our_addresses() -> frozenset[str]:
    """Return the addresses others see us at, as far as this machine knows."""
    return frozenset(
        address for family in (socket.AF_INET, socket.AF_INET6) for address in local_addresses(family)
    )


async def watch_world(
    clock: Clock,
    changed: Callable[[str], None],
    *,
    addresses: Callable[[], frozenset[str]] = our_addresses,
    interval: float = limits.WAKE_INTERVAL,
) -> None:
    """Call `changed` with a reason, for ever, whenever there is one to look at every path anew."""
    monotonic, wall, known = clock.monotonic(), clock.time(), addresses()
    while True:
        await asyncio.sleep(interval)
        passed, shown = clock.monotonic() - monotonic, clock.time() - wall
        monotonic, wall = monotonic + passed, wall + shown
        before, known = known, addresses()
        if passed - interval > limits.WAKE_JUMP:
            reason = f"this program stood still for {passed:.0f} s"
        elif abs(shown - passed) > limits.WAKE_JUMP:
            reason = f"the clock jumped by {shown - passed:+.0f} s, as after a sleep"
        elif known != before:
            reason = "our addresses changed"
        else:
            continue
        logger.info("checking every path: %s", reason)
        changed(reason)

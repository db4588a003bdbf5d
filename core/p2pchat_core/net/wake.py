"""Notices that the world may have changed: we were asleep or stopped, the clock was set, our addresses are others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.net.interfaces import interface_names, visible_addresses
from p2pchat_core.net.network_watch import NetworkWatch, open_netlink

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from p2pchat_core.clock import Clock

__all__ = ["our_addresses", "watch_world"]

logger = logging.getLogger(__name__)


def our_addresses() -> frozenset[str]:
    """Return the addresses others see us at and the interfaces there are, as far as this machine easily knows."""
    return visible_addresses() | frozenset(interface_names())


async def watch_world(
    clock: Clock,
    changed: Callable[[str], None],
    *,
    addresses: Callable[[], frozenset[str]] = our_addresses,
    interval: float = limits.WAKE_INTERVAL,
    netlink: Callable[[], socket.socket | None] = open_netlink,
) -> None:
    """Call `changed` with a reason, for ever, whenever there is one to look at every path anew.

    Where the kernel tells of network changes (`netlink`) that is heard at once; elsewhere `addresses` are compared.
    """
    told = asyncio.Event()
    sock = netlink()
    watch = None if sock is None else NetworkWatch(sock, told.set)
    monotonic, wall, known = clock.monotonic(), clock.time(), addresses()
    try:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await told.wait()
            passed, shown = clock.monotonic() - monotonic, clock.time() - wall
            monotonic, wall = monotonic + passed, wall + shown
            before, known = known, addresses()
            if passed - interval > limits.WAKE_JUMP:
                reason = f"this program stood still for {passed:.0f} s"
            elif abs(shown - passed) > limits.WAKE_JUMP:
                reason = f"the clock jumped by {shown - passed:+.0f} s, as after a sleep"
            elif told.is_set() or known != before:
                reason = "the network changed"
            else:
                continue
            told.clear()
            logger.info("checking every path: %s", reason)
            changed(reason)
    finally:
        if watch is not None:
            watch.close()

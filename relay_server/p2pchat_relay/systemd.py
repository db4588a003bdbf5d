"""Tells systemd what state the relay is in, and that it lives (sd_notify and the watchdog, without a library)."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["feed_watchdog", "notify", "watchdog_interval"]


def notify(*lines: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send lines such as ``READY=1``, ``STOPPING=1``, ``RELOADING=1``, ``STATUS=…`` to whoever started us.

    Returns false where nobody wants to know. Never raises and never waits.
    """
    path = environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            # "@" stands for the zero byte of an abstract socket.
            sock.sendto("\n".join(lines).encode(), "\0" + path[1:] if path[0] == "@" else path)
    except OSError:
        return False
    return True


def watchdog_interval(environ: Mapping[str, str] = os.environ) -> float | None:
    """Return how often the watchdog is to be fed, in seconds: half of its patience; ``None`` without one."""
    microseconds, process = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID")
    if not (microseconds.isascii() and microseconds.isdigit()) or process not in (None, str(os.getpid())):
        return None
    return int(microseconds[:15]) / 2e6 or None


async def feed_watchdog(interval: float, *, environ: Mapping[str, str] = os.environ) -> None:
    """Tell systemd every `interval` seconds that the event loop takes turns. Runs until cancelled."""
    while True:
        notify("WATCHDOG=1", environ=environ)
        await asyncio.sleep(interval)

"""How long to wait before trying a peer again that refused or reset the last streams."""

from __future__ import annotations

import asyncio
import contextlib

from p2pchat_core import limits

__all__ = ["Retries"]


class Retries:
    """Counts attempts to open a stream; each waits twice as long as the one before.

    Attributes:
        count: attempts since the peer last proved willing.
    """

    def __init__(self) -> None:
        self.count = 0
        self._hope = asyncio.Event()

    def reset(self) -> None:
        """The peer has proved willing: the next attempt need not wait."""
        self.count = 0

    def be_hopeful(self) -> None:
        """There is reason to try now, also for an attempt that is waiting."""
        self.count = 0
        self._hope.set()

    async def back_off(self) -> None:
        """Count an attempt, and wait before it if there were others."""
        attempts, self.count = self.count, self.count + 1
        if not attempts:
            return
        delay = min(limits.CHAT_RETRY_MAX, limits.CHAT_RETRY_MIN * 2.0 ** min(attempts - 1, 16))
        self._hope.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._hope.wait()

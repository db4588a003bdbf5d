"""Attempts at the same thing, begun one after another, of which the first that works is kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["first_of"]

Result = TypeVar("Result")


async def first_of(
    attempt: Callable[[], Awaitable[Result]], starts: Sequence[float], discard: Callable[[Result], None]
) -> Result:
    """Begin an attempt at each of `starts` (ascending seconds from now) until one has worked, and return its result.

    An attempt that fails ends all: whoever answers so to one answers so to the next. One that merely hangs does not.

    Args:
        discard: takes back the result of an attempt that came too late.

    Raises:
        P2PChatError: of the attempt that failed first.
    """
    running: set[asyncio.Future[Result]] = set()
    try:
        for index, begin in enumerate(starts):
            running.add(asyncio.ensure_future(attempt()))
            pause = starts[index + 1] - begin if index + 1 < len(starts) else None
            done, _ = await asyncio.wait(running, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            if done:
                winner = next((one for one in done if one.exception() is None), next(iter(done)))
                running.discard(winner)
                return winner.result()
    finally:
        for one in running:
            one.cancel()
        if running:
            await asyncio.wait(running)
        for one in running:
            if not one.cancelled() and one.exception() is None:
                discard(one.result())
    raise AssertionError("there is no attempt")

"""Attempts begun one after another."""

from __future__ import annotations

import asyncio

import pytest

from p2pchat_core.errors import DialError
from p2pchat_core.net.side_by_side import first_of


class Attempts:
    """Each attempt does what was planned for it."""

    def __init__(self, *plans: str) -> None:
        self.plans = list(plans)
        self.cancelled: list[int] = []
        self.discarded: list[str] = []
        self.begun = 0

    async def __call__(self) -> str:
        number, self.begun = self.begun, self.begun + 1
        plan = self.plans[number]
        try:
            if plan in ("hangs", "is late"):
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.append(number)
            if plan == "is late":
                return f"late {number}"
            raise
        if plan == "fails":
            raise DialError("no")
        return f"{number}"


async def run(attempts: Attempts, *starts: float) -> str:
    async with asyncio.timeout(20):
        return await first_of(attempts, starts, attempts.discarded.append)


async def test_one_that_works_is_enough() -> None:
    attempts = Attempts("works", "works")
    assert await run(attempts, 0.0, 3600.0) == "0"
    assert attempts.begun == 1


async def test_one_that_hangs_does_not_hold_up_the_next() -> None:
    attempts = Attempts("hangs", "hangs", "works")
    assert await run(attempts, 0.0, 0.001, 0.002) == "2"
    assert sorted(attempts.cancelled) == [0, 1]
    assert attempts.discarded == []


async def test_one_that_fails_ends_all() -> None:
    attempts = Attempts("hangs", "fails", "works")
    with pytest.raises(DialError):
        await run(attempts, 0.0, 0.001, 3600.0)
    assert attempts.cancelled == [0]
    assert attempts.begun == 2


async def test_what_comes_too_late_is_taken_back() -> None:
    attempts = Attempts("is late", "works")
    assert await run(attempts, 0.0, 0.001) == "1"
    assert attempts.discarded == ["late 0"]

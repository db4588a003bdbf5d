"""Runs many laboratories at once: each of them mostly waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["side_by_side"]

T = TypeVar("T")


def side_by_side(jobs: Mapping[str, Callable[[], Awaitable[T]]], at_once: int) -> dict[str, T | Exception]:
    """Run all `jobs` in an event loop of their own, `at_once` at a time; return what each returned or raised."""

    async def run_all() -> dict[str, T | Exception]:
        places = asyncio.Semaphore(at_once)
        found: dict[str, T | Exception] = {}

        async def run_one(name: str, job: Callable[[], Awaitable[T]]) -> None:
            async with places:
                try:
                    found[name] = await job()
                except Exception as error:
                    found[name] = error

        async with asyncio.TaskGroup() as group:
            for name, job in jobs.items():
                group.create_task(run_one(name, job))
        return found

    return asyncio.run(run_all())

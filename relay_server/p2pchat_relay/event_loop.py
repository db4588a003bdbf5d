"""Runs the relay on uvloop where it is installed (extra ``fast``), and on asyncio's own loop elsewhere."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["loop_factory", "loop_name", "run"]

_T = TypeVar("_T")


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes the event loop."""
    try:
        import uvloop
    except ImportError:  # also where it is installed and does not fit the machine
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def loop_name(loop: asyncio.AbstractEventLoop) -> str:
    """Return which loop it is, for the log."""
    return type(loop).__module__.partition(".")[0]


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run `main` as `asyncio.run` does."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main)

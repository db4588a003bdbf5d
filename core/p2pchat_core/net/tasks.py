"""Owned background tasks: nothing runs that nobody will cancel, await and hear the failure of."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["TaskOwner"]

logger = logging.getLogger(__name__)


class TaskOwner:
    """A set of tasks that live as long as their owner.

    A task that fails is logged with its traceback and forgotten: one peer's trouble must not end another's. `close`
    cancels what still runs and waits for it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def spawn(self, coro: Coroutine[Any, Any, object], name: str) -> asyncio.Task[Any] | None:
        """Run `coro` until it ends or the owner closes. After `close` it is dropped and ``None`` returned."""
        if self._closed:
            coro.close()
            return None
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(coro, name=f"{self._name}: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def cancel(self) -> None:
        """Ask every task to end and take no new ones; does not wait."""
        self._closed = True
        for task in self._tasks:
            task.cancel()

    async def close(self, *, grace: float = 0.0) -> None:
        """Await every task (but the calling one), and cancel those that do not end within `grace` seconds."""
        self._closed = True
        current = asyncio.current_task()
        waiting = [task for task in self._tasks if task is not current]
        try:
            if grace > 0 and waiting:
                await asyncio.wait(waiting, timeout=grace)
        finally:
            self.cancel()
            if waiting:
                await asyncio.wait(waiting)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("task %s failed", task.get_name(), exc_info=error)

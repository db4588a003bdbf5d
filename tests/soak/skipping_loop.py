"""An event loop on which hours pass in seconds: when nothing is to be done, its clock skips to the next timer.

Sockets, threads and everything that runs are real; only waiting is not. What is sent over loopback is there at once,
so a loop with no thread at work and no socket to be read has nothing to wait for but its own timers. Its clock stands
still otherwise, so that a slow machine is no different from a fast one.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LoopClock", "SkippingLoop", "run_skipping"]

# What the kernel may need to carry a datagram from one of our sockets to another.
_SETTLE: Final = 0.001
# A thread that is at work wakes the loop when it is done; should that be missed, look again after this.
_THREAD: Final = 0.1


class _SkippingSelector(selectors.BaseSelector):
    """A selector that waits for nothing but sockets and threads; the rest of the time is skipped."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.now = time.monotonic()
        self.threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return self._real.select(0)
        if self.threads or timeout is None:
            return self._real.select(_THREAD if self.threads else None)
        ready = self._real.select(min(timeout, _SETTLE))
        if not ready and not self.threads:
            self.now += timeout
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class SkippingLoop(asyncio.SelectorEventLoop):
    """The loop; its `time` is its own."""

    def __init__(self) -> None:
        self._skipping = _SkippingSelector()  # first, because the base asks for the time
        super().__init__(self._skipping)

    def time(self) -> float:
        """Seconds, those that were skipped included."""
        return self._skipping.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run `func` in a thread; no time is skipped meanwhile."""
        future = super().run_in_executor(executor, func, *args)
        self._skipping.threads += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _future: asyncio.Future[Any]) -> None:
        self._skipping.threads -= 1


class LoopClock:
    """The clock that belongs to a loop, to be given to whatever takes a `Clock`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wall = time.time() - loop.time()

    def monotonic(self) -> float:
        """Seconds on the loop."""
        return self._loop.time()

    def time(self) -> float:
        """Unix seconds, as far ahead as the loop is."""
        return self._wall + self._loop.time()


def run_skipping(main: Callable[[LoopClock], Any]) -> Any:
    """Run the coroutine that `main` makes of a clock on a `SkippingLoop`, and return its result."""
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        return runner.run(main(LoopClock(runner.get_loop())))

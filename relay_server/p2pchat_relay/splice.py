"""Join two streams into a circuit: copy both directions, with backpressure and limits."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2pchat_core.errors import P2PChatError
from p2pchat_relay.limits import SPLICE_CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2pchat_core.net.stream import Stream

__all__ = ["End", "SpliceResult", "splice"]


class End(enum.Enum):
    """Why a circuit ended."""

    CLOSED = "both sides finished"
    BROKEN = "one side reset it or lost its connection"
    BYTES = "the byte limit was reached"
    TIME = "the time limit was reached"
    IDLE = "nothing was passed on for too long"


@dataclass(frozen=True, slots=True)
class SpliceResult:
    """What one circuit carried.

    Attributes:
        to_target: bytes passed from the source to the target.
        to_source: bytes passed the other way.
    """

    end: End
    to_target: int
    to_source: int


class _LimitReachedError(Exception):
    """One direction has carried all it may."""


class _Direction:
    """Copies one way, in the same turn of the event loop in which something comes or room is made.

    Holds at most one chunk, and reads the next only when the other side has taken it. Reading is what gives the sender
    its window back: a receiver that stops, stops its sender and nobody else.
    """

    def __init__(
        self, reader: Stream, writer: Stream, max_bytes: int, spend: Callable[[int], float] | None
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._max_bytes = max_bytes
        self._spend = spend
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._moving = False
        self._delayed: asyncio.TimerHandle | None = None
        self.copied = 0
        self.active_at = self._loop.time()

    async def run(self) -> None:
        self._reader.on_readable = self._writer.on_writable = self._move
        try:
            self._move()
            await self._ended
        finally:
            self._reader.on_readable = self._writer.on_writable = None
            if self._delayed is not None:
                self._delayed.cancel()
        await self._writer.close_write()

    def _move(self) -> None:
        if self._moving or self._delayed is not None or self._ended.done():
            return
        self._moving = True
        try:
            while self._writer.can_send() and (data := self._reader.read_nowait(SPLICE_CHUNK)) is not None:
                if not data:
                    self._ended.set_result(None)
                    break
                if self._spend is not None and (delay := self._spend(len(self._allowed(data)))) > 0:
                    self._delayed = self._loop.call_later(delay, self._resume, data)
                    break
                self._pass_on(data)
        except Exception as error:
            self._ended.set_exception(error)
        finally:
            self._moving = False

    def _resume(self, data: bytes) -> None:
        self._delayed = None
        try:
            self._pass_on(data)
        except Exception as error:
            self._ended.set_exception(error)
        self._move()

    def _pass_on(self, data: bytes) -> None:
        if allowed := self._allowed(data):
            self._writer.send(allowed)
            self.copied += len(allowed)
            self.active_at = self._loop.time()
        if len(allowed) < len(data):
            raise _LimitReachedError

    def _allowed(self, data: bytes) -> bytes:
        return data[: self._max_bytes - self.copied] if self._max_bytes else data


class _IdleWatch:
    """Lets `deadline` pass when neither direction has moved for `seconds`; 0 is never.

    Looked at once in a while instead of being put off with every chunk, which would cost more than the chunk.
    """

    def __init__(self, seconds: float, deadline: asyncio.Timeout, *directions: _Direction) -> None:
        self.expired = False
        self._seconds = seconds
        self._deadline = deadline
        self._directions = directions
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(seconds, self._check) if seconds else None

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _check(self) -> None:
        left = max(d.active_at for d in self._directions) + self._seconds - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._check)
        elif not self._deadline.expired():
            self.expired = True
            self._deadline.reschedule(self._loop.time())


async def splice(
    source: Stream,
    target: Stream,
    *,
    seconds: float = 0,
    max_bytes: int = 0,
    idle_seconds: float = 0,
    spend: Callable[[int], float] | None = None,
) -> SpliceResult:
    """Copy between `source` and `target` until both have ended, either breaks, or a limit is reached.

    A half-close is passed on. In every other case, cancellation included, both streams are reset: what is cut
    is cut for both. What a stream had `unread` is copied and counted like everything else.

    Args:
        source: the stream of the peer that asked for the circuit.
        target: the stream of the peer it leads to.
        seconds: how long the circuit may last; 0 is for ever.
        max_bytes: how much each direction may carry; 0 is without limit. One byte more ends the circuit.
        idle_seconds: how long nothing may move; 0 is for ever.
        spend: told the size of each chunk, returns how many seconds to wait before it is passed on.
    """
    there = _Direction(source, target, max_bytes, spend)
    back = _Direction(target, source, max_bytes, spend)
    end = End.BROKEN
    idle = False
    try:
        async with asyncio.timeout(seconds or None) as deadline:
            watch = _IdleWatch(idle_seconds, deadline, there, back)
            try:
                end = await _run_both(there, back)
            finally:
                watch.cancel()
                idle = watch.expired
    except TimeoutError:
        end = End.IDLE if idle else End.TIME
    finally:
        if end is not End.CLOSED:
            source.abort()
            target.abort()
    return SpliceResult(end, there.copied, back.copied)


async def _run_both(there: _Direction, back: _Direction) -> End:
    end = End.CLOSED
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(there.run(), name="circuit: source to target")
            group.create_task(back.run(), name="circuit: target to source")
    except* P2PChatError:
        end = End.BROKEN
    except* _LimitReachedError:
        end = End.BYTES
    return end

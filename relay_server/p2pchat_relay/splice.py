"""Join two streams into a circuit: copy both directions, with backpressure and limits."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2pchat_core.errors import P2PChatError
from p2pchat_relay.limits import SPLICE_CHUNK

if TYPE_CHECKING:
    from p2pchat_core.net.stream import Stream

__all__ = ["End", "SpliceResult", "splice"]


class End(enum.Enum):
    """Why a circuit ended."""

    CLOSED = "both sides finished"
    BROKEN = "one side reset it or lost its connection"
    BYTES = "the byte limit was reached"
    TIME = "the time limit was reached"


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
    """Copies one way. Holds one chunk, and reads the next only when the other side has taken it.

    Reading is what gives the sender its window back: a receiver that stops, stops its sender and nobody else.
    """

    def __init__(self, reader: Stream, writer: Stream, max_bytes: int) -> None:
        self._reader = reader
        self._writer = writer
        self._max_bytes = max_bytes
        self.copied = 0

    async def run(self) -> None:
        while data := await self._reader.read(SPLICE_CHUNK):
            allowed = data[: self._max_bytes - self.copied] if self._max_bytes else data
            if allowed:
                await self._writer.write(allowed)
                self.copied += len(allowed)
            if len(allowed) < len(data):
                raise _LimitReachedError
        await self._writer.close_write()


async def splice(source: Stream, target: Stream, *, seconds: float = 0, max_bytes: int = 0) -> SpliceResult:
    """Copy between `source` and `target` until both have ended, either breaks, or a limit is reached.

    A half-close is passed on. In every other case, cancellation included, both streams are reset: what is cut
    is cut for both. What a stream had `unread` is copied and counted like everything else.

    Args:
        source: the stream of the peer that asked for the circuit.
        target: the stream of the peer it leads to.
        seconds: how long the circuit may last; 0 is for ever.
        max_bytes: how much each direction may carry; 0 is without limit. One byte more ends the circuit.
    """
    there = _Direction(source, target, max_bytes)
    back = _Direction(target, source, max_bytes)
    end = End.BROKEN
    try:
        async with asyncio.timeout(seconds or None):
            end = await _run_both(there, back)
    except TimeoutError:
        end = End.TIME
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

"""Numbered messages both ways, and a verdict: what was lost, doubled or out of order, and how long nothing came."""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import itertools
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.support.program import CommandFailedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.program import Program

__all__ = ["Line", "Traffic", "Verdict", "chatting"]

# The raw chat protocol has no frames: messages may arrive joined or in pieces, so each ends with its mark.
_MARK: Final = re.compile(r"<(\d+)>")
_LONGEST_MARK: Final = 16
_SILENCE: Final = 3600.0


@dataclass
class Line:
    """One direction: what was sent and received, and when (monotonic seconds).

    Attributes:
        sent: what the sending program took; it owes us these.
        unsure: what it was killed over before it answered: these may arrive or not.
        refused: how many it did not take.
    """

    sent: dict[int, float] = field(default_factory=dict)
    unsure: set[int] = field(default_factory=set)
    refused: int = 0
    next: int = 0
    got: list[tuple[int, float]] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """Messages that have not arrived."""
        return len(self.sent.keys() - {number for number, _ in self.got})

    def gap(self, start: float, end: float) -> float:
        """The longest time without an arrival between `start` and `end`."""
        times = [start, *(at for _, at in self.got if start <= at <= end), end]
        return max(later - earlier for earlier, later in itertools.pairwise(times))

    def silences(self, longest: float) -> list[tuple[float, float]]:
        """Return every time between two arrivals that was longer than `longest`, as its beginning and end."""
        times = [at for _, at in self.got]
        return [pair for pair in itertools.pairwise(times) if pair[1] - pair[0] > longest]

    def first_after(self, moment: float) -> float | None:
        """When the first message came that was received after `moment`."""
        index = bisect.bisect_left(self.got, moment, key=lambda one: one[1])
        return self.got[index][1] if index < len(self.got) else None


@dataclass(frozen=True)
class Verdict:
    """Of both directions together; times in seconds.

    Attributes:
        refused: sends that were answered with an error; they count as neither sent nor lost.
        gap: the longest silence on either side.
        p50, p99: how long messages took.
    """

    sent: int
    lost: int
    doubled: int
    reordered: int
    refused: int
    gap: float
    p50: float
    p99: float

    @property
    def whole(self) -> bool:
        """Whether everything arrived once and in order."""
        return not (self.lost or self.doubled or self.reordered)


class Traffic:
    """Two programs that keep writing to each other.

    Attributes:
        there, back: the two directions.
    """

    def __init__(self, a: Program, b: Program, *, rate: float, size: int) -> None:
        self._interval = 1 / rate
        self._size = size
        self.there, self.back = Line(), Line()
        self._programs = [a, b]
        self._lines = [self.there, self.back]
        self._peers = [a.peer, b.peer]
        self._tasks: list[dict[str, asyncio.Task[None]]] = [{}, {}]
        self._pending = ["", ""]
        self._asking = [False, False]
        self._began = time.monotonic()
        self._ended = 0.0

    def start(self) -> None:
        """Begin to write and read."""
        for side in (0, 1):
            self._start(side)

    async def stop(self) -> None:
        """End it."""
        for side in (0, 1):
            await self.pause(side)

    async def pause(self, side: int) -> None:
        """Have one side write and read no more, after its program was killed; what it still said is read."""
        await asyncio.sleep(0.01)  # for what was answered in its last moment
        tasks, self._tasks[side] = self._tasks[side], {}
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        for event in self._programs[side].events:
            if event.get("event") == "message":
                self._take(side, event)

    def found(self, side: int, numbers: list[int]) -> None:
        """Count what one side had stored when it was killed and had no time to show."""
        line, now = self._lines[1 - side], time.monotonic()
        shown = {number for number, _ in line.got}
        line.got += [(number, now) for number in numbers if number not in shown]
        self._pending[side] = ""

    def resume(self, side: int, program: Program) -> None:
        """Go on after `pause` with the program that took the place of the one that was killed."""
        self._programs[side] = program
        self._start(side)

    def _start(self, side: int) -> None:
        loop = asyncio.get_running_loop()
        self._tasks[side] = {
            "write": loop.create_task(self._write(side)),
            "read": loop.create_task(self._read(side)),
        }

    async def arrive(self, patience: float) -> bool:
        """Wait until everything sent has arrived; return whether it has."""
        self._ended = time.monotonic()
        self._interval = _SILENCE
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                # What a program is just being asked to send may yet be owed to us.
                while any(self._asking) or self.there.missing or self.back.missing:
                    await asyncio.sleep(0.05)
        return not (self.there.missing or self.back.missing)

    def verdict(self) -> Verdict:
        """Judge what has been sent and received so far."""
        delays: list[float] = []
        doubled = reordered = 0
        for line in (self.there, self.back):
            numbers = [number for number, _ in line.got]
            doubled += len(numbers) - len(set(numbers))
            firsts = list(dict.fromkeys(numbers))
            reordered += sum(later < earlier for earlier, later in itertools.pairwise(firsts))
            delays += [at - line.sent[number] for number, at in line.got if number in line.sent]
        delays.sort()
        end = self._ended or time.monotonic()
        return Verdict(
            sent=len(self.there.sent) + len(self.back.sent),
            lost=self.there.missing + self.back.missing,
            doubled=doubled,
            reordered=reordered,
            refused=self.there.refused + self.back.refused,
            gap=max(line.gap(self._began, end) for line in (self.there, self.back)),
            p50=delays[len(delays) // 2] if delays else float("inf"),
            p99=delays[int(len(delays) * 0.99)] if delays else float("inf"),
        )

    async def _write(self, side: int) -> None:
        line, sender = self._lines[side], self._programs[side]
        due = time.monotonic()
        while True:
            while self._interval == _SILENCE or time.monotonic() < due:
                await asyncio.sleep(min(self._interval, 0.05))
            due = max(due + self._interval, time.monotonic() - 1)
            number = line.next
            line.next += 1
            line.unsure.add(number)
            started = time.monotonic()
            self._asking[side] = True
            try:
                await sender.call(
                    "send", peer=self._peers[1 - side], text=f"<{number}>".rjust(self._size, ".")
                )
            except CommandFailedError:
                line.unsure.discard(number)
                line.refused += 1
            except (AssertionError, OSError):  # it was killed
                return
            else:
                line.unsure.discard(number)
                line.sent[number] = started
            finally:
                self._asking[side] = False

    async def _read(self, side: int) -> None:
        receiver, sender = self._programs[side], self._peers[1 - side]
        while True:
            event = await receiver.event("message", lambda e: e.get("peer", sender) == sender, _SILENCE)
            self._take(side, event)

    def _take(self, side: int, event: dict[str, Any]) -> None:
        now = time.monotonic()
        if event.get("again"):  # told by the run before this one, too, or not: both are allowed
            told = {number for number, _ in self._lines[1 - side].got}
            if all(int(match[1]) in told for match in _MARK.finditer(event["text"])):
                return
        text = self._pending[side] + event["text"]
        end = 0
        for match in _MARK.finditer(text):
            self._lines[1 - side].got.append((int(match[1]), now))
            end = match.end()
        self._pending[side] = text[end:][-_LONGEST_MARK:]


@contextlib.asynccontextmanager
async def chatting(a: Program, b: Program, *, rate: float = 5, size: int = 32) -> AsyncIterator[Traffic]:
    """Let two connected programs write to each other, `rate` messages a second of `size` characters each way."""
    traffic = Traffic(a, b, rate=rate, size=size)
    traffic.start()
    try:
        yield traffic
    finally:
        await traffic.stop()

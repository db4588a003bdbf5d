"""One source of events, many listeners, each with a bounded queue of its own.

A listener that falls behind costs nobody else anything, in three stages:

1. While a queue is more than half full, `EventHub.wait_for_room` makes the chat read slower from peers, so that what
   they say waits on their side of the network rather than being lost on ours.
2. Facts that replace one another (the address list, one relay's state, one step of one peer) are coalesced: the newest
   takes the place of the one still waiting.
3. A queue that is full all the same loses its oldest event, and the listener is told how many it has lost by an
   `ErrorEvent` with the code ``events_lost``. Messages are in the history by then.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Self

from p2pchat_core.chat.events import ErrorEvent, Event, ListeningEvent, RelayEvent, StepEvent
from p2pchat_core.errors import ConfigError
from p2pchat_core.limits import EVENT_QUEUE, EVENT_ROOM_TIMEOUT, EVENT_SUBSCRIBERS

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["EventHub", "EventStream"]


def _replaces(event: Event) -> Hashable | None:
    """Return what two events must have in common for the newer to replace the older."""
    match event:
        case ListeningEvent():
            return ListeningEvent
        case RelayEvent(address=address):
            return (RelayEvent, address)
        case StepEvent(peer=peer, step=step):
            return (StepEvent, peer, step)
        case _:
            return None


class EventStream:
    """The events since `subscribe`, in order; iterate with ``async for``. The loop ends after `close`."""

    def __init__(
        self, capacity: int, on_taken: Callable[[], None], on_close: Callable[[EventStream], None]
    ) -> None:
        self._capacity = capacity
        self._on_taken = on_taken
        self._on_close = on_close
        self._queue: deque[Event] = deque()
        self._lost = 0
        self._wake = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def crowded(self) -> bool:
        """Whether the listener is so far behind that peers should wait."""
        return len(self._queue) > self._capacity // 2

    def put(self, event: Event) -> None:
        """Append `event` for the listener; never waits (see the module for what gives way)."""
        if self._closed:
            return
        if self.crowded and self._coalesce(event):
            return
        if len(self._queue) >= self._capacity:
            self._queue.popleft()
            self._lost += 1
        self._queue.append(event)
        self._wake.set()

    def close(self) -> None:
        """Take no more events. What is queued may still be read; then the iteration ends."""
        if not self._closed:
            self._closed = True
            self._wake.set()
            self._on_close(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._queue and not self._lost:
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        if self._lost:
            lost, self._lost = self._lost, 0
            return ErrorEvent(
                "events_lost", f"{lost} events came faster than they were read and are not shown."
            )
        event = self._queue.popleft()
        self._on_taken()
        return event

    def _coalesce(self, event: Event) -> bool:
        key = _replaces(event)
        if key is None:
            return False
        for index in range(len(self._queue) - 1, -1, -1):
            if _replaces(self._queue[index]) == key:
                # Moved to the end rather than changed in place: order among different facts stays true.
                del self._queue[index]
                self._queue.append(event)
                return True
        return False


class EventHub:
    """Hands every emitted event to every listener."""

    def __init__(self, capacity: int = EVENT_QUEUE) -> None:
        self._capacity = capacity
        self._streams: list[EventStream] = []
        self._room = asyncio.Event()
        self._room.set()

    def subscribe(self) -> EventStream:
        """Return a new listener that hears everything from now on.

        Raises:
            ConfigError: there are too many listeners already.
        """
        if len(self._streams) >= EVENT_SUBSCRIBERS:
            raise ConfigError(f"There are {EVENT_SUBSCRIBERS} event listeners already.")
        stream = EventStream(self._capacity, self._update, self._forget)
        self._streams.append(stream)
        return stream

    def emit(self, event: Event) -> None:
        """Give `event` to every listener; never waits, never raises."""
        for stream in self._streams:
            stream.put(event)
        self._update()

    @property
    def drained(self) -> bool:
        """Whether every listener has taken everything."""
        return not any(len(stream) for stream in self._streams)

    async def wait_for_room(self) -> None:
        """Return once no listener is far behind, or after `EVENT_ROOM_TIMEOUT`."""
        if self._room.is_set():
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EVENT_ROOM_TIMEOUT):
                await self._room.wait()

    def close(self) -> None:
        """End every listener's iteration once it has read what is queued."""
        for stream in list(self._streams):
            stream.close()

    def _forget(self, stream: EventStream) -> None:
        self._streams.remove(stream)
        self._update()

    def _update(self) -> None:
        if any(stream.crowded for stream in self._streams):
            self._room.clear()
        else:
            self._room.set()

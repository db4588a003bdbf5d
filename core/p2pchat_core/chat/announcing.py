"""Sees to it that every stored message is told to the faces, also when the program was killed in between.

What a peer said is stored together with a note that it has not been told. The note is removed once the event was taken
by every listener, a moment later and for many messages at once. What still has its note when the program starts is
told then, before anything new; it may have been told before, so those events say ``again``.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.chat.events import MessageEvent
from p2pchat_core.errors import StoreError
from p2pchat_core.net.tasks import TaskOwner

if TYPE_CHECKING:
    from p2pchat_core.chat.event_hub import EventHub
    from p2pchat_core.chat.store import Store

__all__ = ["Announcer"]

logger = logging.getLogger(__name__)


class Announcer:
    """Removes the notes of one service's messages."""

    def __init__(self, store: Store, hub: EventHub) -> None:
        self._store = store
        self._hub = hub
        self._told: list[tuple[str, str]] = []
        self._tasks = TaskOwner("announcer")
        self._running = False

    async def tell_the_rest(self) -> None:
        """Tell what was stored in an earlier run and perhaps not told.

        Raises:
            StoreError: it cannot be read.
        """
        after = 0
        while page := await self._store.untold(after, limits.ANNOUNCE_PAGE):
            for message in page:
                after = message.position
                self._hub.emit(
                    MessageEvent(message.peer, message.text, message.message_id, message.sent_at, again=True)
                )
                self.told(message.peer, message.message_id)
            await self._hub.wait_for_room()

    def told(self, peer: str, message_id: str) -> None:
        """The event of this message was emitted."""
        self._told.append((peer, message_id))
        if not self._running:
            self._running = True
            self._tasks.spawn(self._record(), "record what was told")

    async def close(self) -> None:
        """Record what was told so far. Never raises."""
        await self._tasks.close()
        if self._hub.drained:
            await self._flush()

    async def _record(self) -> None:
        try:
            while self._told:
                await asyncio.sleep(limits.ANNOUNCE_DELAY)
                # Beyond that many, what was not taken has fallen out of the queue.
                if self._hub.drained or len(self._told) > limits.EVENT_QUEUE:
                    await self._flush()
        finally:
            self._running = False

    async def _flush(self) -> None:
        told, self._told = self._told, []
        try:
            await self._store.mark_told(told)
        except StoreError as error:
            # They will be told once more, by the next run.
            logger.debug("what was told could not be recorded: %s", error)

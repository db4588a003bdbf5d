"""What one peer says to us over `/p2pchat/session/1.0.0`: stored, then shown, then acknowledged."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.chat.events import ErrorEvent, MessageEvent
from p2pchat_core.errors import NoAnswerError, StoreError
from p2pchat_core.wire.session import FAREWELL, Farewell, Listener

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from p2pchat_core.chat.announcing import Announcer
    from p2pchat_core.chat.event_hub import EventHub
    from p2pchat_core.chat.store import Store
    from p2pchat_core.clock import Clock
    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.net.stream import Stream
    from p2pchat_core.net.tasks import TaskOwner
    from p2pchat_core.wire.session import Message

__all__ = ["Listening"]

logger = logging.getLogger(__name__)


class _Ear:
    """One stream that the peer speaks on."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.machine = Listener([FAREWELL])
        self.ended = asyncio.Event()
        self._writing = asyncio.Lock()

    async def flush(self) -> None:
        """Write what the machine has to say."""
        async with self._writing:
            if output := self.machine.take_output():
                await self.stream.write(output)

    async def say_farewell(self, reason: Farewell) -> None:
        """Say good-bye and wait until the speaker has heard it; at once if it does not know how."""
        if self.machine.say_farewell(reason):
            await self.flush()
            await self.ended.wait()


class Listening:
    """Serves the streams that the peer speaks on, any number at once (docs/session-protocol.md rule 7)."""

    def __init__(
        self,
        peer: PeerId,
        *,
        store: Store,
        hub: EventHub,
        announcer: Announcer,
        clock: Clock,
        tasks: TaskOwner,
        slow_down: Callable[[int], Awaitable[None]],
        on_farewell: Callable[[Farewell], None],
    ) -> None:
        """Begin with no stream.

        Args:
            slow_down: awaited with the bytes of every read before the next one.
            on_farewell: called when the peer says good-bye.
        """
        self.peer = peer
        self._name = str(peer)
        self._store = store
        self._hub = hub
        self._announcer = announcer
        self._clock = clock
        self._tasks = tasks
        self._slow_down = slow_down
        self._on_farewell = on_farewell
        self._in_order = asyncio.Lock()  # from storing to showing
        self._complained = False
        self._ears: list[_Ear] = []

    @property
    def idle(self) -> bool:
        """Whether the peer has no stream open."""
        return not self._ears

    async def serve(self, stream: Stream) -> None:
        """Handle a stream that the peer opened, until it ends."""
        ear = _Ear(stream)
        self._ears.append(ear)
        while len(self._ears) > limits.CHAT_MAX_STREAMS:
            self._ears.pop(0).stream.abort()
        try:
            await self._serve(ear)
        finally:
            ear.ended.set()
            if ear in self._ears:
                self._ears.remove(ear)

    async def farewell(self, reason: Farewell) -> None:
        """Say good-bye on the newest stream and wait until it is heard.

        Raises:
            StreamError, ConnectionLostError: see `Stream.write`.
        """
        if self._ears:
            await self._ears[-1].say_farewell(reason)

    async def _serve(self, ear: _Ear) -> None:
        stream, machine = ear.stream, ear.machine
        if not await self._greeted(ear):
            return
        while data := await stream.read(limits.CHAT_MAX_READ):
            stream.connection.heard_at = self._clock.monotonic()
            messages = machine.receive_data(data)
            if messages:
                if not await self._keep(ear, messages):
                    logger.debug("%s has begun another log", self.peer.short())
                    stream.abort()
                    return
                machine.acknowledge(machine.received)
                await ear.flush()
            if machine.farewell is not None:
                self._on_farewell(machine.farewell)
                return
            await self._slow_down(len(data))
        machine.receive_eof()

    async def _greeted(self, ear: _Ear) -> bool:
        machine = ear.machine
        try:
            async with asyncio.timeout(limits.SESSION_OPEN_TIMEOUT):
                while machine.hello is None:
                    data = await ear.stream.read(limits.CHAT_MAX_READ)
                    if not data:
                        return False
                    machine.receive_data(data)
        except TimeoutError:
            raise NoAnswerError("The peer opened a chat and said nothing.") from None
        position = await self._store.greet(self._name, machine.hello.log, machine.hello.first)
        machine.welcome(position)
        await ear.flush()
        return True

    async def _keep(self, ear: _Ear, messages: list[Message]) -> bool:
        """Store and show messages, however long the disk needs; ``False`` if their log is not the newest."""
        machine = ear.machine
        assert machine.hello is not None
        while True:
            # A task of its own: if the connection ends meanwhile, what was stored is still shown.
            task = self._tasks.spawn(self._store_and_show(machine.hello.log, messages), "store what was said")
            if task is None:
                raise StoreError("The conversation has ended.")
            newest = await asyncio.shield(task)
            if newest is not None:
                return bool(newest)
            # "Not now", as a sign of life: what cannot be kept is neither shown nor acknowledged.
            machine.acknowledge(machine.acknowledged, window=0)
            await ear.flush()
            await asyncio.sleep(limits.SESSION_STORE_RETRY)

    async def _store_and_show(self, log: bytes, messages: list[Message]) -> bool | None:
        """Return whether `log` is the speaker's newest; ``None`` if nothing can be stored now."""
        async with self._in_order:
            try:
                fresh = await self._store.receive(self._name, log, messages, self._clock.time())
            except StoreError as error:
                self._complain(error)
                return None
            self._complained = False
            for message in fresh or ():
                self._hub.emit(MessageEvent(self._name, message.text, message.message_id, message.sent_at))
                self._announcer.told(self._name, message.message_id)
            return fresh is not None

    def _complain(self, error: StoreError) -> None:
        if not self._complained:
            self._complained = True
            self._hub.emit(ErrorEvent(error.code, str(error), self._name))

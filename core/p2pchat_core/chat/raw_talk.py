"""Talking over ``/libp2p/examples/chat/1.0.0`` with whoever knows no sessions, such as the browser page.

That protocol (docs/wire.md section 11) has no frames and no acknowledgements. Whoever speaks first opens a stream; both
then speak on it. So every chat stream is read, and we write on the newest: the last the peer opened, or our own if that
is newer. A stream is never half-closed by us, because the browser page does not survive that, and after a loss the page
can only be repaired by a stream that we open; so we do, even with nothing to say.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Final

from p2pchat_core import limits
from p2pchat_core.chat.events import ErrorEvent, MessageEvent, SentEvent
from p2pchat_core.chat.model import MessageState, StoredMessage
from p2pchat_core.chat.paths import rank
from p2pchat_core.errors import (
    NoAnswerError,
    NotConnectedError,
    P2PChatError,
    StoreError,
    StrangerLimitError,
    StreamLimitError,
)
from p2pchat_core.wire.chat import CHAT_PROTOCOL, ChatDecoder, encode_message

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from p2pchat_core.chat.announcing import Announcer
    from p2pchat_core.chat.event_hub import EventHub
    from p2pchat_core.chat.retries import Retries
    from p2pchat_core.chat.store import Store
    from p2pchat_core.clock import Clock
    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.identify import PeerInfo
    from p2pchat_core.net.stream import Stream
    from p2pchat_core.net.tasks import TaskOwner

__all__ = ["RawTalk"]

logger = logging.getLogger(__name__)

_OUR_AGENT: Final = "p2pchat"
_MAX_REPAIRS: Final = 5


class RawTalk:
    """The chat streams with one peer, in both directions.

    Attributes:
        streams: oldest first; the last is the one we write on.
        repair: a stream is to be opened although there is nothing to say, or one on a better path.
    """

    def __init__(
        self,
        peer: PeerId,
        *,
        connections: Callable[[PeerId], list[Connection]],
        identified: Callable[[Connection], Awaitable[PeerInfo | None]],
        store: Store,
        hub: EventHub,
        announcer: Announcer,
        clock: Clock,
        tasks: TaskOwner,
        retries: Retries,
        slow_down: Callable[[int], Awaitable[None]],
        on_sent: Callable[[], None],
        on_hope: Callable[[], None],
        on_broken: Callable[[], None],
    ) -> None:
        """Begin with no stream.

        Args:
            slow_down: awaited with the bytes of every read before the next one.
            on_sent: called for each message that was handed over.
            on_hope: called when the peer has proved willing, so that what waits may be tried at once.
            on_broken: called when a stream has to be repaired.
        """
        self.peer = peer
        self.streams: list[Stream] = []
        self.repair = False
        self._name = str(peer)
        self._connections = connections
        self._identified = identified
        self._store = store
        self._hub = hub
        self._announcer = announcer
        self._clock = clock
        self._tasks = tasks
        self._retries = retries
        self._slow_down = slow_down
        self._on_sent = on_sent
        self._on_hope = on_hope
        self._on_broken = on_broken
        self._unrecorded: set[str] = set()  # handed over, but the store could not be told
        self._overheard = False  # more of a stranger than is kept
        self._closed = False

    async def serve(self, stream: Stream) -> None:
        """Handle a chat stream that the peer opened, until it ends."""
        self._add_stream(stream)
        best = min(map(rank, self._connections(self.peer)), default=rank(stream.connection))
        if rank(stream.connection) <= best:
            self.repair = False  # what we would have opened, the peer has
        self._on_hope()
        await self._read(stream)

    def connection_opened(self, connection: Connection) -> None:
        """There is a new connection to the peer: move to it if it is better."""
        if self.streams and rank(connection) < rank(self.streams[-1].connection):
            self.repair = True

    def path_changed(self) -> None:
        """A connection has become silent or answers again: write on another if ours is silent."""
        if not self.streams or self.streams[-1].connection.silent_since is None:
            return
        others = self._connections(self.peer)
        if any(other.silent_since is None and not other.limited for other in others):
            self.repair = True
            self._on_broken()

    async def flush(self) -> None:
        """Hand over everything that waits, opening a stream if there is none or a better one is wanted.

        Raises:
            NotConnectedError: there is no connection.
            P2PChatError: no stream could be opened, or it broke.
        """
        while True:
            message = await self._store.next_queued(self._name)
            if message is None and (not self.repair or self._retries.count > _MAX_REPAIRS):
                self.repair = False
                return
            stream = await self._stream_to_write()
            self.repair = False
            if message is not None:
                await self._hand_over(stream, message)

    def close(self) -> None:
        """Repair nothing any more. The streams are left to their connections, which end next."""
        self._closed = True
        self.streams.clear()

    # --- writing --------------------------------------------------------------------------------------------------

    async def _stream_to_write(self) -> Stream:
        """Return the newest stream, or open one.

        Raises:
            NotConnectedError: there is no connection.
            P2PChatError: there is, but no stream could be opened on it.
        """
        if not self.repair and self.streams:
            return self.streams[-1]
        if not self._connections(self.peer):
            raise NotConnectedError(f"There is no connection to {self.peer.short()}.")
        await self._retries.back_off()
        if not self.repair and self.streams:  # the peer has opened one meanwhile
            return self.streams[-1]
        connection, allow_limited = await self._choose()
        try:
            async with asyncio.timeout(limits.NEGOTIATION_TIMEOUT):
                stream = await connection.open_stream([CHAT_PROTOCOL], allow_limited=allow_limited)
        except TimeoutError:
            raise NoAnswerError(f"{self.peer.short()} did not answer when a chat was opened.") from None
        self._add_stream(stream)
        self._tasks.spawn(self._read_own(stream), "read our own stream")
        return stream

    async def _choose(self) -> tuple[Connection, bool]:
        """Return the best connection that may carry the chat, and whether it is a limited one.

        Raises:
            NotConnectedError: there is none.
            StreamLimitError: there are only limited ones, and the peer's program does not chat over those.
        """
        connections = self._connections(self.peer)
        if not connections:
            raise NotConnectedError(f"There is no connection to {self.peer.short()}.")
        for connection in sorted(connections, key=lambda one: one.silent_since is not None):
            if not connection.limited:
                return connection, False
        # js resets chat streams on limited circuits (docs/wire.md section 8.7); ours takes them.
        info = await self._identified(connections[0])
        if info is not None and info.agent.startswith(_OUR_AGENT):
            return connections[0], True
        raise StreamLimitError(
            f"{self.peer.short()} can only be reached through a relay that limits the connection, and its program "
            "chats on direct connections only; the message waits for one."
        )

    async def _hand_over(self, stream: Stream, message: StoredMessage) -> None:
        if message.message_id not in self._unrecorded:
            try:
                for piece in encode_message(message.text):
                    await stream.write(piece)
            except P2PChatError:
                self._drop(stream)
                raise
            self._unrecorded.add(message.message_id)
        await self._store.set_state(message.message_id, MessageState.SENT)
        self._unrecorded.discard(message.message_id)
        self._on_sent()
        self._hub.emit(SentEvent(self._name, message.message_id))

    # --- reading --------------------------------------------------------------------------------------------------

    def _add_stream(self, stream: Stream) -> None:
        self.streams.append(stream)
        while len(self.streams) > limits.CHAT_MAX_STREAMS:
            self.streams.pop(0).abort()

    def _drop(self, stream: Stream) -> None:
        """Forget a stream that broke; if it was the one we wrote on, another is to be opened."""
        if stream not in self.streams:
            return
        newest = self.streams[-1] is stream
        self.streams.remove(stream)
        stream.abort()
        if newest:
            self.repair = True
            self._on_broken()

    async def _read_own(self, stream: Stream) -> None:
        try:
            await self._read(stream)
        except P2PChatError as error:
            logger.debug("our chat stream with %s ended: %s", self.peer.short(), error)
        else:
            await stream.close()

    async def _read(self, stream: Stream) -> None:
        """Read until the peer ends its side. A stream that breaks is dropped and the error raised."""
        decoder = ChatDecoder()
        try:
            while data := await stream.read(limits.CHAT_MAX_READ):
                await self._received(decoder.receive_data(data))
                await self._slow_down(len(data))
            await self._received(decoder.receive_eof())
        except P2PChatError:
            if not self._closed:
                self._drop(stream)
            raise
        # The peer said good-bye in order: nothing to repair, the next message opens a new stream.
        if stream in self.streams:
            self.streams.remove(stream)

    async def _received(self, text: str) -> None:
        if not text:
            return
        self._retries.reset()
        message_id, now = secrets.token_hex(16), self._clock.time()
        try:
            await self._store.add(
                message_id, self._name, text, outgoing=False, sent_at=now, state=MessageState.RECEIVED
            )
        except StrangerLimitError as error:
            if not self._overheard:  # told once until they are accepted
                self._overheard = True
                self._hub.emit(ErrorEvent(error.code, str(error), self._name))
            return
        except StoreError as error:
            # It cannot be kept, but it can still be read.
            self._hub.emit(ErrorEvent(error.code, str(error), self._name))
        self._hub.emit(MessageEvent(self._name, text, message_id, now))
        self._announcer.told(self._name, message_id)

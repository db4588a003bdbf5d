"""Everything said with one peer, across streams and connections.

Between two p2pchat peers a session carries it (`chat/speaking.py`, `chat/listening.py`). All others are talked with
over ``/libp2p/examples/chat/1.0.0``, which is what the rest of this module is about.

That protocol (docs/wire.md section 11) has no frames and no acknowledgements. Whoever speaks first opens a stream; both
then speak on it. So every chat stream is read, and we write on the newest: the last the peer opened, or our own if that
is newer. A stream is never half-closed by us, because the browser page does not survive that, and after a loss the page
can only be repaired by a stream that we open; so we do, even with nothing to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from typing import TYPE_CHECKING, Final

from p2pchat_core import limits
from p2pchat_core.chat.allowance import Allowance
from p2pchat_core.chat.events import ErrorEvent, MessageEvent, SentEvent
from p2pchat_core.chat.listening import Listening
from p2pchat_core.chat.model import MessageState, StoredMessage
from p2pchat_core.chat.speaking import Speaking, rank
from p2pchat_core.errors import (
    MessageError,
    NoAnswerError,
    NotConnectedError,
    P2PChatError,
    StoreError,
    StrangerLimitError,
    StreamLimitError,
    UnsupportedProtocolError,
)
from p2pchat_core.net.tasks import TaskOwner
from p2pchat_core.wire.chat import CHAT_PROTOCOL, ChatDecoder, encode_message
from p2pchat_core.wire.session import SESSION_PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from p2pchat_core.chat.event_hub import EventHub
    from p2pchat_core.chat.store import Store
    from p2pchat_core.clock import Clock
    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.identify import PeerInfo
    from p2pchat_core.net.stream import Stream

__all__ = ["Conversation"]

logger = logging.getLogger(__name__)

_OUR_AGENT: Final = "p2pchat"
_MAX_REPAIRS: Final = 5


class Conversation:
    """One peer's messages in both directions.

    Messages of ours go out in the order they were stored, one at a time, each once it is stored and there is a path.
    """

    def __init__(
        self,
        peer: PeerId,
        *,
        connections: Callable[[PeerId], list[Connection]],
        identified: Callable[[Connection], Awaitable[PeerInfo | None]],
        store: Store,
        hub: EventHub,
        clock: Clock,
        unfinished: int = 0,
    ) -> None:
        """Begin to hand over what waits.

        Args:
            connections: returns the open connections to a peer, best first.
            identified: waits until the peer has said what it is, and returns that if it did.
            unfinished: how many messages the store holds for this peer that were not handed over, or said in a
                session and not acknowledged.
        """
        self.peer = peer
        self._name = str(peer)
        self._connections = connections
        self._identified = identified
        self._store = store
        self._hub = hub
        self._clock = clock
        self._unfinished = unfinished
        self._streams: list[Stream] = []  # oldest first; the last is the one we write on
        self._repair = False
        self._attempts = 0  # to open a stream since the peer last proved willing
        self._unrecorded: set[str] = set()  # handed over, but the store could not be told
        self._complaint = ""
        self._allowance = Allowance(
            limits.CHAT_INBOUND_RATE, limits.CHAT_INBOUND_ALLOWANCE, clock.monotonic()
        )
        self._handed_over = asyncio.Event()  # everything is
        if not unfinished:
            self._handed_over.set()
        self._wake = asyncio.Event()
        self._hope = asyncio.Event()
        self._tasks = TaskOwner(f"conversation with {peer.short()}")
        self._closed = False
        self._speaking = Speaking(
            peer,
            connections=connections,
            store=store,
            hub=hub,
            clock=clock,
            tasks=self._tasks,
            on_progress=self._progressed,
            on_trouble=self._complain,
        )
        self._listening = Listening(
            peer, store=store, hub=hub, clock=clock, tasks=self._tasks, slow_down=self._slow_down
        )
        self._tasks.spawn(self._pump(), "hand over messages")
        if unfinished:
            self._wake.set()

    @property
    def idle(self) -> bool:
        """Whether nothing is open, waiting or wanted, so that it may be forgotten."""
        silent = not self._streams and not self._speaking.open and self._listening.idle
        return silent and not self._unfinished and not self._repair

    @property
    def unfinished(self) -> int:
        """How many messages of ours are not handed over, or not acknowledged where they should be."""
        return self._unfinished

    async def send(self, text: str) -> str:
        """Store `text` to be handed over as soon as there is a path, and return its id.

        Raises:
            MessageError: it is empty or too long, or too many messages wait already.
            StoreError: it could not be stored.
        """
        if not text:
            raise MessageError("There is nothing to send.")
        if self._unfinished >= limits.CHAT_MAX_OUTBOX:
            raise MessageError(f"{self._unfinished} messages wait for this peer already; no more are taken.")
        try:
            clean = b"".join(encode_message(text)).decode()
        except StreamLimitError as error:
            raise MessageError(str(error)) from None
        message_id = secrets.token_hex(16)
        self._count(1)
        try:
            await self._store.add(
                message_id,
                self._name,
                clean,
                outgoing=True,
                sent_at=self._clock.time(),
                state=MessageState.QUEUED,
            )
        except BaseException:
            self._count(-1)
            raise
        self._wake.set()
        return message_id

    async def handed_over(self) -> None:
        """Wait until nothing of ours waits any more, neither for a path nor for an acknowledgement."""
        await self._handed_over.wait()

    async def serve(self, stream: Stream) -> None:
        """Handle a chat stream that the peer opened, until it ends."""
        self._add_stream(stream)
        best = min(map(rank, self._connections(self.peer)), default=rank(stream.connection))
        if rank(stream.connection) <= best:
            self._repair = False  # what we would have opened, the peer has
        self._be_hopeful()
        await self._read(stream)

    async def listen(self, stream: Stream) -> None:
        """Handle a session stream that the peer opened, until it ends."""
        self._be_hopeful()
        await self._listening.serve(stream)

    def connection_opened(self, connection: Connection) -> None:
        """There is a new connection to the peer: move to it if it is better, and hand over what waits."""
        if self._streams and rank(connection) < rank(self._streams[-1].connection):
            self._repair = True
        self._be_hopeful()

    async def close(self) -> None:
        """End every task. The streams are left to their connections, which end next. Never raises."""
        self._closed = True
        await self._tasks.close()
        self._speaking.close()
        self._streams.clear()

    # --- speaking -------------------------------------------------------------------------------------------------

    async def _pump(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._flush()
            except NotConnectedError:
                continue  # connection_opened wakes us
            except StoreError as error:
                self._complain(error)
                with contextlib.suppress(TimeoutError):  # the next message, or a pause, tries again
                    async with asyncio.timeout(limits.CHAT_RETRY_MAX):
                        await self._wake.wait()
                self._wake.set()
            except P2PChatError as error:
                self._complain(error)
                self._wake.set()

    async def _flush(self) -> None:
        """Hand over everything that waits, in a session if the peer knows them."""
        if not self._unfinished and not self._repair:
            self._speaking.consider_move()
            return
        if await self._knows_sessions():
            self._repair = False
            if not self._unfinished:
                return
            try:
                if not self._speaking.open:
                    await self._back_off()
                await self._speaking.flush()
                return
            except UnsupportedProtocolError:
                logger.debug("%s knows no sessions", self.peer.short())
        await self._flush_raw()

    async def _knows_sessions(self) -> bool:
        """Whether to try a session: unless the peer said that it knows none.

        Raises:
            NotConnectedError: there is no connection.
        """
        if self._speaking.open:
            return True
        connections = self._connections(self.peer)
        if not connections:
            raise NotConnectedError(f"There is no connection to {self.peer.short()}.")
        info = await self._identified(connections[0])
        return info is None or SESSION_PROTOCOL in info.protocols

    def _progressed(self, acknowledged: int) -> None:
        """So many messages were acknowledged, or the session needs looking after."""
        if acknowledged:
            self._attempts = 0
            self._complaint = ""
            self._count(-acknowledged)
        elif self._speaking.path_died:
            self._attempts = 0  # not the peer's doing: the next path is tried at once
        self._wake.set()

    async def _flush_raw(self) -> None:
        """Hand over everything that waits, opening a stream if there is none or a better one is wanted."""
        while True:
            message = await self._store.next_queued(self._name)
            if message is None and (not self._repair or self._attempts > _MAX_REPAIRS):
                self._repair = False
                return
            stream = await self._stream_to_write()
            self._repair = False
            if message is not None:
                await self._hand_over(stream, message)

    async def _stream_to_write(self) -> Stream:
        """Return the newest stream, or open one.

        Raises:
            NotConnectedError: there is no connection.
            P2PChatError: there is, but no stream could be opened on it.
        """
        if not self._repair and self._streams:
            return self._streams[-1]
        if not self._connections(self.peer):
            raise NotConnectedError(f"There is no connection to {self.peer.short()}.")
        await self._back_off()
        if not self._repair and self._streams:  # the peer has opened one meanwhile
            return self._streams[-1]
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
        for connection in connections:
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

    async def _back_off(self) -> None:
        """Wait before trying a peer again that refused or reset the last streams; reason for hope ends the wait."""
        attempts, self._attempts = self._attempts, self._attempts + 1
        if not attempts:
            return
        delay = min(limits.CHAT_RETRY_MAX, limits.CHAT_RETRY_MIN * 2.0 ** min(attempts - 1, 16))
        self._hope.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._hope.wait()

    def _be_hopeful(self) -> None:
        self._attempts = 0
        self._hope.set()
        self._wake.set()

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
        self._count(-1)
        self._complaint = ""
        self._hub.emit(SentEvent(self._name, message.message_id))

    def _count(self, change: int) -> None:
        self._unfinished += change
        if self._unfinished:
            self._handed_over.clear()
        else:
            self._handed_over.set()

    def _complain(self, error: P2PChatError) -> None:
        """Tell the user why messages wait, once for each reason."""
        logger.debug("chat with %s: %s", self.peer.short(), error)
        if self._unfinished and error.code != self._complaint:
            self._complaint = error.code
            self._hub.emit(ErrorEvent(error.code, str(error), self._name))

    # --- listening ------------------------------------------------------------------------------------------------

    def _add_stream(self, stream: Stream) -> None:
        self._streams.append(stream)
        while len(self._streams) > limits.CHAT_MAX_STREAMS:
            self._streams.pop(0).abort()

    def _drop(self, stream: Stream) -> None:
        """Forget a stream that broke; if it was the one we wrote on, another is to be opened."""
        if stream not in self._streams:
            return
        newest = self._streams[-1] is stream
        self._streams.remove(stream)
        stream.abort()
        if newest:
            self._repair = True
            self._wake.set()

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
        if stream in self._streams:
            self._streams.remove(stream)

    async def _received(self, text: str) -> None:
        if not text:
            return
        self._attempts = 0
        message_id, now = secrets.token_hex(16), self._clock.time()
        try:
            await self._store.add(
                message_id, self._name, text, outgoing=False, sent_at=now, state=MessageState.RECEIVED
            )
        except StrangerLimitError as error:
            self._complain_of_stranger(error)
            return
        except StoreError as error:
            # It cannot be kept, but it can still be read.
            self._hub.emit(ErrorEvent(error.code, str(error), self._name))
        self._hub.emit(MessageEvent(self._name, text, message_id, now))

    def _complain_of_stranger(self, error: P2PChatError) -> None:
        if error.code != self._complaint:
            self._complaint = error.code
            self._hub.emit(ErrorEvent(error.code, str(error), self._name))

    async def _slow_down(self, amount: int) -> None:
        delay = self._allowance.take(amount, self._clock.monotonic())
        if delay > 0:
            await asyncio.sleep(delay)
        await self._hub.wait_for_room()

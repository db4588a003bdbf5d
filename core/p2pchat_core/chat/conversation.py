"""Everything said with one peer, across streams and connections, and which protocol carries it.

Between two p2pchat peers that is a session (`chat/speaking.py`, `chat/listening.py`); with all others the raw chat
(`chat/raw_talk.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.chat.allowance import Allowance
from p2pchat_core.chat.events import ErrorEvent
from p2pchat_core.chat.listening import Listening
from p2pchat_core.chat.model import MessageState
from p2pchat_core.chat.paths import Paths
from p2pchat_core.chat.raw_talk import RawTalk
from p2pchat_core.chat.retries import Retries
from p2pchat_core.chat.speaking import Speaking
from p2pchat_core.errors import (
    MessageError,
    NotConnectedError,
    P2PChatError,
    StoreError,
    StreamLimitError,
    UnsupportedProtocolError,
)
from p2pchat_core.net.tasks import TaskOwner
from p2pchat_core.wire.chat import encode_message
from p2pchat_core.wire.session import SESSION_PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from p2pchat_core.chat.announcing import Announcer
    from p2pchat_core.chat.event_hub import EventHub
    from p2pchat_core.chat.paths import PathReport
    from p2pchat_core.chat.store import Store
    from p2pchat_core.clock import Clock
    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.identify import PeerInfo
    from p2pchat_core.net.stream import Stream
    from p2pchat_core.wire.session import Farewell

__all__ = ["Conversation"]

logger = logging.getLogger(__name__)


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
        check: Callable[[Connection], None],
        store: Store,
        hub: EventHub,
        announcer: Announcer,
        clock: Clock,
        on_farewell: Callable[[PeerId, Farewell], None],
        unfinished: int = 0,
    ) -> None:
        """Begin to hand over what waits.

        Args:
            connections: returns the open connections to a peer, best first.
            identified: waits until the peer has said what it is, and returns that if it did.
            check: have a connection pinged at once, which is suspected to be dead.
            on_farewell: called when the peer hangs up on purpose.
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
        self._active_at = float("-inf")
        self._complaint = ""
        self._allowance = Allowance(
            limits.CHAT_INBOUND_RATE, limits.CHAT_INBOUND_ALLOWANCE, clock.monotonic()
        )
        self._handed_over = asyncio.Event()  # everything is
        if not unfinished:
            self._handed_over.set()
        self._wake = asyncio.Event()
        self._retries = Retries()
        self._tasks = TaskOwner(f"conversation with {peer.short()}")
        self._paths = Paths(lambda: connections(peer))
        self._speaking = Speaking(
            peer,
            paths=self._paths,
            store=store,
            hub=hub,
            clock=clock,
            tasks=self._tasks,
            check=check,
            on_progress=self._progressed,
            on_trouble=self._complain,
            on_farewell=lambda reason: on_farewell(peer, reason),
        )
        self._listening = Listening(
            peer,
            store=store,
            hub=hub,
            announcer=announcer,
            clock=clock,
            tasks=self._tasks,
            slow_down=self._heard,
            on_farewell=lambda reason: on_farewell(peer, reason),
        )
        self._raw = RawTalk(
            peer,
            connections=connections,
            identified=identified,
            store=store,
            hub=hub,
            announcer=announcer,
            clock=clock,
            tasks=self._tasks,
            retries=self._retries,
            slow_down=self._slow_down,
            on_sent=self._sent_raw,
            on_hope=self._be_hopeful,
            on_broken=self._wake.set,
        )
        self._tasks.spawn(self._pump(), "hand over messages")
        if unfinished:
            self._wake.set()

    @property
    def idle(self) -> bool:
        """Whether nothing is open, waiting or wanted, so that it may be forgotten."""
        silent = not self._raw.streams and not self._speaking.open and self._listening.idle
        return silent and not self._unfinished and not self._raw.repair

    @property
    def active(self) -> bool:
        """Whether something was acknowledged in either direction lately."""
        return self._clock.monotonic() - self._active_at < limits.SESSION_ACTIVE

    @property
    def unfinished(self) -> int:
        """How many messages of ours are not handed over, or not acknowledged where they should be."""
        return self._unfinished

    def paths(self) -> list[PathReport]:
        """Return every path to the peer, best first, and why it is used or not."""
        current = self._speaking.connection
        if current is None and self._raw.streams:
            current = self._raw.streams[-1].connection
        return self._paths.reports(current)

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
        await self._raw.serve(stream)

    async def listen(self, stream: Stream) -> None:
        """Handle a session stream that the peer opened, until it ends."""
        self._be_hopeful()
        await self._listening.serve(stream)

    def connection_opened(self, connection: Connection) -> None:
        """There is a new connection to the peer: move to it if it is better, and hand over what waits."""
        self._raw.connection_opened(connection)
        self._speaking.hope()
        self._be_hopeful()

    def path_changed(self, connection: Connection) -> None:
        """A path has answered a ping, or has become silent: perhaps another should be used now."""
        self._paths.heard(connection, self._clock.monotonic())
        self._speaking.reconsider()
        self._raw.path_changed()

    async def farewell(self, reason: Farewell) -> None:
        """Tell the peer that its connections are about to be closed on purpose, if it understands that. Never raises.

        Returns when the peer has heard it on any stream, or after `FAREWELL_TIMEOUT`.
        """
        saying = [self._speaking.farewell(reason)] if self._speaking.open or self._listening.idle else []
        saying += [] if self._listening.idle else [self._listening.farewell(reason)]
        tasks = [task for one in saying if (task := self._tasks.spawn(_quietly(one), "farewell"))]
        if tasks:
            await asyncio.wait(tasks, timeout=limits.FAREWELL_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)

    async def close(self) -> None:
        """End every task. The streams are left to their connections, which end next. Never raises."""
        self._raw.close()
        await self._tasks.close()
        self._speaking.close()

    # --- handing over ---------------------------------------------------------------------------------------------

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
        if not self._unfinished and not self._raw.repair:
            self._speaking.reconsider()
            return
        if await self._knows_sessions():
            self._raw.repair = False
            if not self._unfinished:
                return
            try:
                if not self._speaking.open:
                    await self._retries.back_off()
                await self._speaking.flush()
                return
            except UnsupportedProtocolError:
                logger.debug("%s knows no sessions", self.peer.short())
        await self._raw.flush()

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
            self._active_at = self._clock.monotonic()
            self._retries.reset()
            self._complaint = ""
            self._count(-acknowledged)
        elif self._speaking.path_died:
            self._retries.reset()  # not the peer's doing: the next path is tried at once
        self._wake.set()

    def _sent_raw(self) -> None:
        self._count(-1)
        self._complaint = ""

    def _be_hopeful(self) -> None:
        self._retries.be_hopeful()
        self._wake.set()

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

    async def _heard(self, amount: int) -> None:
        self._active_at = self._clock.monotonic()
        await self._slow_down(amount)

    async def _slow_down(self, amount: int) -> None:
        delay = self._allowance.take(amount, self._clock.monotonic())
        if delay > 0:
            await asyncio.sleep(delay)
        await self._hub.wait_for_room()


async def _quietly(saying: Awaitable[None]) -> None:
    with contextlib.suppress(P2PChatError):
        await saying

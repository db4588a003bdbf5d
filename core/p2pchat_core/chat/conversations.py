"""All conversations of one service: who may have one, and which messages wait for whom."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.chat.announcing import Announcer
from p2pchat_core.chat.conversation import Conversation
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.net.tasks import TaskOwner
from p2pchat_core.wire.session import SESSION_PROTOCOL, Farewell

if TYPE_CHECKING:
    from p2pchat_core.chat.event_hub import EventHub
    from p2pchat_core.chat.paths import PathReport, PathState
    from p2pchat_core.chat.people import People
    from p2pchat_core.chat.store import Store
    from p2pchat_core.clock import Clock
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.node import Node
    from p2pchat_core.net.stream import Stream

__all__ = ["Conversations"]

logger = logging.getLogger(__name__)


class Conversations:
    """Makes a conversation when there is something to say or to hear, and forgets those in which nothing goes on.

    Attributes:
        known: everyone we have talked with or been connected to, those known longest first.
        announcer: sees to it that what was stored is told.
    """

    def __init__(
        self,
        node: Node,
        store: Store,
        hub: EventHub,
        clock: Clock,
        *,
        known: list[PeerId],
        people: People,
        unfinished: dict[PeerId, int],
    ) -> None:
        """Not called directly: see `load`."""
        self.known: dict[PeerId, None] = dict.fromkeys(known)
        self._node = node
        self._store = store
        self._hub = hub
        self._clock = clock
        self._people = people
        self._unfinished = unfinished
        self._open: dict[PeerId, Conversation] = {}
        self._parted: dict[PeerId, Farewell] = {}
        self.announcer = Announcer(store, hub)
        self._tasks = TaskOwner("conversations")
        node.attend(self.uses, self.any_active)
        node.liveness.on_change.append(self._path_changed)

    @classmethod
    async def load(
        cls, node: Node, store: Store, hub: EventHub, clock: Clock, people: People
    ) -> Conversations:
        """Read from the store who is known and what waits.

        Raises:
            StoreError: it cannot be read.
        """
        return cls(
            node,
            store,
            hub,
            clock,
            known=[PeerId.parse(peer) for peer in await store.peers()],
            people=people,
            unfinished={
                PeerId.parse(peer): count for peer, count in (await store.unfinished_counts()).items()
            },
        )

    def waiting(self) -> list[PeerId]:
        """Return those for whom messages of ours wait."""
        return [*self._unfinished, *(peer for peer, talk in self._open.items() if talk.unfinished)]

    def waits_for(self, peer: PeerId) -> bool:
        """Whether messages of ours wait for `peer`, for a path or for an acknowledgement."""
        talk = self._open.get(peer)
        return peer in self._unfinished or (talk is not None and talk.unfinished > 0)

    def uses(self, connection: Connection) -> bool:
        """Whether a conversation goes on with the peer of `connection`."""
        talk = self._open.get(connection.peer)
        return talk is not None and not talk.idle

    def active(self, peer: PeerId) -> bool:
        """Whether something was acknowledged lately in a session with `peer`, which did not hang up since."""
        talk = self._open.get(peer)
        return talk is not None and talk.active and peer not in self._parted

    def any_active(self) -> bool:
        """Whether this is so with anybody."""
        return any(self.active(peer) for peer in self._open)

    def parted(self, peer: PeerId) -> bool:
        """Whether `peer` hung up on purpose and has not been connected since: it is not to be dialled for its loss."""
        return peer in self._parted

    def paths(self, peer: PeerId) -> list[PathReport]:
        """Return every path to `peer`, best first, and why the conversation uses it or not; none without one."""
        talk = self._open.get(peer)
        return [] if talk is None else talk.paths()

    def judged(self) -> dict[Connection, tuple[PathState, str]]:
        """Return what the conversations make of each connection, and why."""
        reports = (report for talk in self._open.values() for report in talk.paths())
        return {report.connection: (report.state, report.reason) for report in reports}

    def __len__(self) -> int:
        return len(self._open)

    def is_contact(self, peer: PeerId) -> bool:
        """Whether the user wants to talk with `peer`."""
        return self._people.is_contact(peer)

    async def drop(self, peer: PeerId) -> None:
        """End the conversation with `peer`, and hand nothing over to it any more."""
        self.known.pop(peer, None)
        self._unfinished.pop(peer, None)
        conversation = self._open.pop(peer, None)
        if conversation is not None:
            await conversation.close()

    def take_up(self, peer: PeerId, unfinished: int) -> None:
        """So many messages wait for `peer`, with whom there is no conversation at the moment."""
        if unfinished and peer not in self._open:
            self._unfinished[peer] = unfinished

    async def send(self, peer: PeerId, text: str) -> str:
        """Store a message; see `Conversation.send`."""
        return await self._with(peer).send(text)

    async def serve(self, stream: Stream) -> None:
        """Handle a chat stream that a peer opened, until it ends."""
        await self._with(stream.connection.peer).serve(stream)

    async def listen(self, stream: Stream) -> None:
        """Handle a session stream that a peer opened, until it ends."""
        await self._with(stream.connection.peer).listen(stream)

    def connection_opened(self, connection: Connection) -> None:
        """Hand over what waits for the peer, and repair what its last connection took along."""
        peer = connection.peer
        self._parted.pop(peer, None)
        self._remember(peer)
        conversation = self._with(peer) if peer in self._unfinished else self._open.get(peer)
        if conversation is not None:
            conversation.connection_opened(connection)

    async def farewell(self, peer: PeerId, reason: Farewell) -> None:
        """Tell `peer` that we are about to hang up on purpose, if its program understands that. Never raises."""
        info = self._node.info(peer)
        if info is not None and SESSION_PROTOCOL in info.protocols and self._node.host.connections(peer):
            await self._with(peer).farewell(reason)

    async def close(self) -> None:
        """Hand over what can be within `CHAT_STOP_GRACE`, say good-bye, and end every conversation. Never raises."""
        reachable = [self._open[peer] for peer in self._open if self._node.host.connections(peer)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.CHAT_STOP_GRACE):
                await asyncio.gather(*(conversation.handed_over() for conversation in reachable))
        connected = {connection.peer for connection in self._node.host.connections()}
        await asyncio.gather(*(self.farewell(peer, Farewell.STOPPED) for peer in connected))
        await asyncio.gather(*(conversation.close() for conversation in self._open.values()))
        await self.announcer.close()
        await self._tasks.close()

    def _with(self, peer: PeerId) -> Conversation:
        conversation = self._open.get(peer)
        if conversation is None:
            self._forget_idle()
            conversation = self._open[peer] = Conversation(
                peer,
                connections=self._node.host.connections,
                identified=self._node.identify.identified,
                check=self._node.liveness.check,
                store=self._store,
                hub=self._hub,
                announcer=self.announcer,
                clock=self._clock,
                on_farewell=self._bid_farewell,
                unfinished=self._unfinished.pop(peer, 0),
            )
            self._remember(peer)
        return conversation

    def _bid_farewell(self, peer: PeerId, reason: Farewell) -> None:
        logger.info("%s hangs up on purpose (%s)", peer.short(), reason.name.lower())
        self._parted[peer] = reason
        while len(self._parted) > limits.CHAT_MAX_KNOWN_PEERS:
            del self._parted[next(iter(self._parted))]

    def _path_changed(self, connection: Connection) -> None:
        talk = self._open.get(connection.peer)
        if talk is not None:
            talk.path_changed(connection)

    def _forget_idle(self) -> None:
        if len(self._open) < limits.CHAT_MAX_CONVERSATIONS:
            return
        for peer in [peer for peer, conversation in self._open.items() if conversation.idle]:
            self._tasks.spawn(self._open.pop(peer).close(), "close an idle conversation")

    def _remember(self, peer: PeerId) -> None:
        self.known[peer] = None
        while len(self.known) > limits.CHAT_MAX_KNOWN_PEERS:
            del self.known[next(iter(self.known))]

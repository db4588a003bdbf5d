"""The parts of a running chat service: opened together, and closed in the reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Protocol

from p2pchat_core import limits
from p2pchat_core.chat.conversations import Conversations
from p2pchat_core.chat.data_dir import DataDir
from p2pchat_core.chat.dialling import Dialling
from p2pchat_core.chat.events import ErrorEvent
from p2pchat_core.chat.model import Standing
from p2pchat_core.chat.node_events import NodeEvents
from p2pchat_core.chat.people import People
from p2pchat_core.chat.profile import Profile
from p2pchat_core.chat.protocols import serve_echo
from p2pchat_core.chat.redial import Redial
from p2pchat_core.chat.store import Store
from p2pchat_core.errors import StoreError
from p2pchat_core.identity.keystore import load_or_create_identity
from p2pchat_core.net.connection import Direction
from p2pchat_core.net.node import Node, NodeConfig
from p2pchat_core.net.tasks import TaskOwner
from p2pchat_core.net.wake import watch_world
from p2pchat_core.wire.chat import CHAT_PROTOCOL, ECHO_PROTOCOL
from p2pchat_core.wire.session import SESSION_PROTOCOL

if TYPE_CHECKING:
    from p2pchat_core.chat.event_hub import EventHub
    from p2pchat_core.chat.model import ServiceConfig
    from p2pchat_core.clock import Clock
    from p2pchat_core.identity.keys import PrivateKey
    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.node import NodeListener
    from p2pchat_core.net.stream import Stream
    from p2pchat_core.net.webrtc.config import IceConfig

__all__ = ["NodeFactory", "Running"]

logger = logging.getLogger(__name__)


class NodeFactory(Protocol):
    """Makes the node of a service; tests pass their own."""

    def __call__(
        self, identity: PrivateKey, *, config: NodeConfig, listener: NodeListener, clock: Clock
    ) -> Node:
        """Return a node that has not connected to anything yet."""
        ...


class Running:
    """Everything that one service is made of, and what happens when the network calls.

    Attributes, once `open` has returned: `node`, `store`, `people`, `conversations`, `redial`, `dialling`.
    """

    node: Node
    store: Store
    people: People
    conversations: Conversations
    redial: Redial
    dialling: Dialling

    def __init__(self, config: ServiceConfig, hub: EventHub, clock: Clock) -> None:
        self._config = config
        self._hub = hub
        self._clock = clock
        self._events = NodeEvents(
            hub,
            self._connection_opened,
            self._connection_closed,
            self._network_is_back,
            self._refuses,
            self._blocked,
        )
        self._tasks = TaskOwner("chat service")
        self._parts = AsyncExitStack()
        self._closing = False

    def tells(self, connection: Connection) -> bool:
        """Whether this connection is one to a peer."""
        return self._events.tells(connection)

    async def open(self, ice: IceConfig, make_node: NodeFactory) -> None:
        """Load the identity and the history and come up. Whatever happens, `close` is to be called.

        Raises:
            ConfigError, IdentityError, StoreError: what is kept on disk cannot be used.
        """
        config, hub, clock, closing = self._config, self._hub, self._clock, self._parts
        data_dir = await asyncio.to_thread(DataDir.open, config.data_dir)
        closing.callback(data_dir.close)
        identity = config.identity
        if identity is None:
            identity = await asyncio.to_thread(load_or_create_identity, data_dir.identity)
        self.store = store = await Store.open(data_dir.history, ephemeral=config.ephemeral)
        closing.push_async_callback(store.close)
        if store.set_aside is not None:
            hub.emit(
                ErrorEvent(
                    "store_failed",
                    f"The message history was damaged; it was set aside as {store.set_aside} and a new one begun.",
                )
            )
        await store.delete_old(clock.time(), config.retention_days)
        node_config = NodeConfig(ice=ice, relay_stun=config.relay_stun)
        self.node = node = make_node(identity, config=node_config, listener=self._events, clock=clock)
        closing.push_async_callback(node.stop)
        self.people = people = await People.load(store, hub, clock)
        closing.push_async_callback(people.close)
        people.part, people.welcome = self._part, self._welcome
        self.conversations = await Conversations.load(node, store, hub, clock, people)
        closing.push_async_callback(self.conversations.close)
        self.redial = await Redial.load(node, store, clock, self.conversations)
        closing.push_async_callback(self.redial.close)
        people.addresses = self.redial.addresses_of
        self.dialling = Dialling(node, self._events, people, self.redial)
        self._profile = Profile(node, people, config.name if config.share_name else "")
        closing.push_async_callback(self._profile.close)
        node.handle(SESSION_PROTOCOL, self._serve_session, on_limited=True)
        node.handle(CHAT_PROTOCOL, self._serve_chat, on_limited=True)
        node.handle(ECHO_PROTOCOL, self._serve_echo, on_limited=True)

    def begin(self) -> None:
        """Do what is to be done in the background from now on."""
        self._tasks.spawn(self._warm_up(), "load WebRTC")
        self._tasks.spawn(watch_world(self._clock, self._world_changed), "watch the world")
        self._tasks.spawn(self._forget_old(), "forget what is old")
        for peer in self.conversations.waiting():
            self.redial.look(peer)

    async def close(self) -> None:
        """Hand back everything. Never raises."""
        self._closing = True
        await self._tasks.close()
        await self._parts.aclose()

    async def resume(self, peer: PeerId) -> None:
        """`peer` is not blocked any more: what waited for it waits again."""
        counts = await self.store.unfinished_counts()
        self.conversations.take_up(peer, counts.get(str(peer), 0))
        self.redial.look(peer)

    # --- in the background --------------------------------------------------------------------------------------------

    async def _warm_up(self) -> None:
        """Load the large WebRTC stack once others can reach us, so that the first of them need not wait for it.

        Not at once: a screen wants to draw the address first, and loading holds up every other thread.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.WARM_UP_DELAY):
                await self._events.listening.wait()
        await asyncio.sleep(limits.WEBRTC_LOAD_DELAY)
        await self.node.load()

    async def _forget_old(self) -> None:
        while True:
            await asyncio.sleep(limits.RETENTION_INTERVAL)
            try:
                await self.store.delete_old(self._clock.time(), self._config.retention_days)
            except StoreError as error:
                self._hub.emit(ErrorEvent(error.code, str(error)))

    # --- what the network does ----------------------------------------------------------------------------------------

    def _refuses(self, connection: Connection) -> bool:
        """Whether to end a connection as soon as it is known whose it is, which is all they are ever shown."""
        if self._closing:
            return False
        peer = connection.peer
        if self._blocked(peer):
            return True
        inbound = connection.direction is Direction.INBOUND
        return inbound and self._config.contacts_only and not self.people.is_contact(peer)

    def _blocked(self, peer: PeerId) -> bool:
        return self.people.standing(peer) is Standing.BLOCKED

    def _connection_opened(self, connection: Connection) -> None:
        if not self._closing:
            self.redial.connected(connection)
            self.conversations.connection_opened(connection)
            self._profile.announce(connection)

    def _connection_closed(self, connection: Connection) -> None:
        if not self._closing:
            self.redial.lost(connection.peer)

    def _world_changed(self, _reason: str) -> None:
        self.node.look_around()
        if not self._closing:
            self.redial.world_changed()

    def _network_is_back(self) -> None:
        if not self._closing:
            self.redial.be_hopeful()

    async def _serve_session(self, stream: Stream) -> None:
        if self._admitted(stream):
            await self.conversations.listen(stream)

    async def _serve_chat(self, stream: Stream) -> None:
        if self._admitted(stream):
            await self.conversations.serve(stream)

    async def _serve_echo(self, stream: Stream) -> None:
        if self._admits(stream.connection.peer):
            await serve_echo(stream)
        else:
            stream.abort()

    def _admitted(self, stream: Stream) -> bool:
        """Whether the peer may talk; one who was never heard of is a stranger from now on."""
        peer = stream.connection.peer
        if self._admits(peer):
            self.people.meet(peer)
            return True
        stream.abort()
        return False

    def _admits(self, peer: PeerId) -> bool:
        return not self._closing and self.people.admits(peer, contacts_only=self._config.contacts_only)

    # --- what the user decides about people ---------------------------------------------------------------------------

    async def _part(self, peer: PeerId) -> None:
        """End everything that goes on with `peer`."""
        self.redial.forget(peer)
        connections = self.node.host.connections(peer)
        for connection in connections:
            connection.abort("You wanted no more of it.")
        await asyncio.gather(*(connection.wait_closed() for connection in connections))
        await self.conversations.drop(peer)

    async def _welcome(self, peer: PeerId) -> None:
        """`peer` has become a contact."""
        for connection in self.node.host.connections(peer)[:1]:
            self._profile.announce(connection)

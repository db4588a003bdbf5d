"""What a user interface talks to: commands in, typed events out. One service is one identity."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Protocol

from p2pchat_core import limits
from p2pchat_core.chat.conversations import Conversations
from p2pchat_core.chat.data_dir import DataDir
from p2pchat_core.chat.event_hub import EventHub, EventStream
from p2pchat_core.chat.events import ErrorEvent, ReadyEvent, RelayState
from p2pchat_core.chat.ice import ice_config
from p2pchat_core.chat.model import (
    ConnectionStatus,
    ConnectResult,
    EchoResult,
    RelayStatus,
    ServiceConfig,
    Status,
    StoredMessage,
)
from p2pchat_core.chat.node_events import NodeEvents, path_of, relay_state, where
from p2pchat_core.chat.protocols import ask_echo, serve_echo
from p2pchat_core.chat.redial import Redial
from p2pchat_core.chat.store import Store
from p2pchat_core.clock import SystemClock
from p2pchat_core.errors import (
    AddressError,
    ConnectionLostError,
    DialError,
    MessageError,
    NoAnswerError,
    NotConnectedError,
    OwnAddressError,
    P2PChatError,
    RelayUnreachableError,
)
from p2pchat_core.identity.keystore import load_or_create_identity
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.node import Node, NodeConfig
from p2pchat_core.net.tasks import TaskOwner
from p2pchat_core.net.wake import watch_world
from p2pchat_core.wire.chat import CHAT_PROTOCOL, ECHO_PROTOCOL
from p2pchat_core.wire.circuit import HOP_PROTOCOL
from p2pchat_core.wire.dial_target import CircuitTarget, parse_target
from p2pchat_core.wire.session import SESSION_PROTOCOL

if TYPE_CHECKING:
    from p2pchat_core.clock import Clock
    from p2pchat_core.identity.keys import PrivateKey
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.node import NodeListener
    from p2pchat_core.net.stream import Stream
    from p2pchat_core.net.webrtc.config import IceConfig

__all__ = ["ChatService", "NodeFactory"]

logger = logging.getLogger(__name__)


class NodeFactory(Protocol):
    """Makes the node of a service; tests pass their own."""

    def __call__(
        self, identity: PrivateKey, *, config: NodeConfig, listener: NodeListener, clock: Clock
    ) -> Node:
        """Return a node that has not connected to anything yet."""
        ...


class ChatService:
    """Everything p2pchat does, without a face.

    All commands raise subclasses of `P2PChatError`, whose ``code`` is a stable word and whose text a sentence.
    They may run at the same time. `subscribe` may be called before `start`; nothing else may.
    """

    def __init__(
        self, config: ServiceConfig, *, clock: Clock | None = None, make_node: NodeFactory = Node
    ) -> None:
        self.config = config
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._make_node = make_node
        self._hub = EventHub()
        self._events = NodeEvents(
            self._hub, self._connection_opened, self._connection_closed, self._network_is_back
        )
        self._redial_: Redial | None = None
        self._tasks = TaskOwner("chat service")
        self._conversations_: Conversations | None = None
        self._data_dir: DataDir | None = None
        self._store_: Store | None = None
        self._node_: Node | None = None

    # --- life -------------------------------------------------------------------------------------------------------

    @property
    def peer_id(self) -> str:
        """Our PeerId, base58."""
        return str(self._node.peer)

    def subscribe(self) -> EventStream:
        """Return a stream of everything that happens from now on; ``close`` it when done."""
        return self._hub.subscribe()

    def report(self, error: P2PChatError) -> None:
        """Tell the listeners of an error that happened outside any command."""
        self._hub.emit(ErrorEvent(error.code, str(error)))

    async def start(self) -> None:
        """Load the identity and the history, come up, and begin to reserve on the configured relays.

        Raises:
            ConfigError, IdentityError, StoreError: what is kept on disk, or an option, cannot be used.
        """
        ice = ice_config(self.config.stun, self.config.turn)
        try:
            await self._open(ice)
        except BaseException:
            await self.stop()
            raise
        self._hub.emit(ReadyEvent(self.peer_id))
        for address in self.config.relays:
            try:
                await self.add_relay(address)
            except AddressError as error:
                self.report(error)
        self._tasks.spawn(self._warm_up(), "load WebRTC")
        self._tasks.spawn(watch_world(self._clock, self._world_changed), "watch the world")
        for peer in self._conversations.waiting():
            self._redial.look(peer)

    async def stop(self) -> None:
        """Hand back everything and end the event streams. Never raises; calling it again does nothing."""
        await self._tasks.close()
        redial, self._redial_ = self._redial_, None
        if redial is not None:
            await redial.close()
        conversations, self._conversations_ = self._conversations_, None
        if conversations is not None:
            await conversations.close()
        node, self._node_ = self._node_, None
        if node is not None:
            await node.stop()
        if self._store_ is not None:
            await self._store_.close()
        if self._data_dir is not None:
            self._data_dir.close()
        self._hub.close()

    async def _open(self, ice: IceConfig) -> None:
        self._data_dir = data_dir = await asyncio.to_thread(DataDir.open, self.config.data_dir)
        identity = self.config.identity
        if identity is None:
            identity = await asyncio.to_thread(load_or_create_identity, data_dir.identity)
        self._store_ = store = await Store.open(data_dir.history)
        if store.set_aside is not None:
            self._hub.emit(
                ErrorEvent(
                    "store_failed",
                    f"The message history was damaged; it was set aside as {store.set_aside} and a new one begun.",
                )
            )
        config = NodeConfig(ice=ice, relay_stun=self.config.relay_stun)
        node = self._make_node(identity, config=config, listener=self._events, clock=self._clock)
        self._node_ = node
        self._conversations_ = await Conversations.load(node, store, self._hub, self._clock)
        node.liveness.busy = self._conversations_.uses
        self._redial_ = await Redial.load(node, store, self._clock, self._conversations_)
        node.handle(SESSION_PROTOCOL, self._serve_session, on_limited=True)
        node.handle(CHAT_PROTOCOL, self._serve_chat, on_limited=True)
        node.handle(ECHO_PROTOCOL, self._serve_echo, on_limited=True)

    async def _warm_up(self) -> None:
        """Load the large WebRTC stack once others can reach us, so that the first of them need not wait for it.

        Not at once: a screen wants to draw the address first, and loading holds up every other thread.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.WARM_UP_DELAY):
                await self._events.listening.wait()
        await asyncio.sleep(limits.WEBRTC_LOAD_DELAY)
        await self._node.load()

    # --- relays and connections ---------------------------------------------------------------------------------------

    async def add_relay(self, address: str) -> None:
        """Keep a reservation on a relay from now on; `RelayEvent` tells how it goes.

        Raises:
            AddressError: it is not the address of a relay.
        """
        self._node.add_relay(Multiaddr.parse(address.strip()))

    async def connect(self, address: str) -> ConnectResult:
        """Connect to a relay and reserve on it, or connect to a peer, directly if the networks allow it.

        Raises:
            AddressError: it cannot be dialled, or is our own.
            DialError, RelayError: nobody answers there, or they refuse.
        """
        target = parse_target(address)
        if target.peer == self._node.peer:
            raise OwnAddressError("That is your own address. Give it to somebody, and enter theirs here.")
        try:
            async with asyncio.timeout(limits.CONNECT_TIMEOUT):
                if isinstance(target, CircuitTarget):
                    return await self._connect_peer(Multiaddr.parse(address.strip()))
                return await self._connect_websocket(target.address)
        except TimeoutError:
            raise NoAnswerError(f"Connecting took longer than {limits.CONNECT_TIMEOUT:g} s.") from None

    async def ping(self, peer: str) -> float:
        """Return the round trip to a connected peer in milliseconds."""
        return await self._node.ping(self._best(self._peer(peer))) * 1e3

    async def disconnect(self, peer: str) -> None:
        """Close every connection to `peer`, and do not dial it again until there is something to say.

        Raises:
            NotConnectedError: there was none; dialling it again has been given up all the same.
        """
        who = self._peer(peer)
        self._redial.give_up(who)
        self._best(who)
        await asyncio.gather(*(connection.close() for connection in self._node.host.connections(who)))

    async def _connect_peer(self, address: Multiaddr) -> ConnectResult:
        connection = await self._node.connect(address)
        await self._conversations.befriend(connection.peer)
        self._redial.learn(connection.peer, [address])
        return await self._connected(connection)

    async def _connect_websocket(self, address: Multiaddr) -> ConnectResult:
        """Connect to what answers at a WebSocket address: a relay, unless it says that it is none."""
        try:
            connection = await self._node.connect(address)
        except DialError as error:
            raise RelayUnreachableError(str(error)) from error
        info = await self._node.identify.identified(connection)
        if info is not None and HOP_PROTOCOL not in info.protocols:
            self._events.tell(connection)
            await self._conversations.befriend(connection.peer)
            return await self._connected(connection)
        relay = connection.remote_address
        if not any(
            known.peer == connection.peer and relay_state(known) is RelayState.RESERVED
            for known in self._node.relays()
        ):
            await self.add_relay(str(relay))
            await self._events.reserved(relay)
        return ConnectResult("relay", str(connection.peer), None, await self._measure(connection), str(relay))

    async def _connected(self, connection: Connection) -> ConnectResult:
        rtt = await self._measure(connection)
        return ConnectResult("peer", str(connection.peer), path_of(connection), rtt, where(connection))

    async def _measure(self, connection: Connection) -> float | None:
        """Return one round trip in milliseconds, or ``None`` from those who do not answer pings."""
        try:
            return await self._node.ping(connection) * 1e3
        except P2PChatError as error:
            logger.debug("no round trip of %s: %s", connection, error)
            return None

    # --- talking ------------------------------------------------------------------------------------------------------

    async def send(self, peer: str, text: str) -> str:
        """Store a message and return its id; `SentEvent` follows when it was handed over.

        A peer whose connection was lost gets it with the next one.

        Raises:
            NotConnectedError: there is no connection to the peer and never was one.
            MessageError: it is empty or too long, or too many wait already.
            StoreError: it could not be stored.
        """
        who = self._peer(peer)
        if who not in self._conversations.known and not self._node.host.connections(who):
            raise NotConnectedError(
                f"You have never been connected to {who.short()}; connect to its address first."
            )
        message_id = await self._conversations.send(who, text)
        self._redial.look(who)
        return message_id

    async def echo(self, peer: str, text: str) -> EchoResult:
        """Have the peer's echo service send `text` back.

        Raises:
            NotConnectedError, DialError, StreamError: the peer is not there, does not answer, or breaks off.
            MessageError: the text is too long.
        """
        data = text.encode("utf-8", "replace")
        if len(data) > limits.ECHO_MAX_TEXT:
            raise MessageError(f"An echo carries {limits.ECHO_MAX_TEXT} bytes; this text has {len(data)}.")
        connection = self._best(self._peer(peer))
        started = self._clock.monotonic()
        async with await connection.open_stream([ECHO_PROTOCOL], allow_limited=True) as stream:
            answer = await ask_echo(stream, data)
        return EchoResult(answer.decode("utf-8", "replace"), (self._clock.monotonic() - started) * 1e3)

    async def history(self, peer: str, limit: int = 100) -> list[StoredMessage]:
        """Return the newest `limit` messages with `peer`, oldest first."""
        return await self._store.history(str(self._peer(peer)), limit)

    def peers(self) -> list[str]:
        """Return everyone we have talked with or been connected to, those known longest first."""
        return [str(peer) for peer in self._conversations.known]

    def status(self) -> Status:
        """Return the whole node at a glance."""
        node = self._node
        return Status(
            peer_id=self.peer_id,
            addresses=tuple(map(str, node.addresses())),
            relays=tuple(
                RelayStatus(str(info.address), relay_state(info), info.expires) for info in node.relays()
            ),
            connections=tuple(
                ConnectionStatus(
                    str(connection.peer),
                    path_of(connection),
                    connection.limited,
                    where(connection),
                    None if connection.rtt is None else connection.rtt * 1e3,
                )
                for connection in node.host.connections()
                if self._events.tells(connection)
            ),
        )

    # --- inside -------------------------------------------------------------------------------------------------------

    @property
    def _node(self) -> Node:
        if self._node_ is None:
            raise ConnectionLostError("The chat service is not running.")
        return self._node_

    @property
    def _store(self) -> Store:
        if self._store_ is None:
            raise ConnectionLostError("The chat service is not running.")
        return self._store_

    @property
    def _redial(self) -> Redial:
        if self._redial_ is None:
            raise ConnectionLostError("The chat service is not running.")
        return self._redial_

    @property
    def _conversations(self) -> Conversations:
        if self._conversations_ is None:
            raise ConnectionLostError("The chat service is not running.")
        return self._conversations_

    def _peer(self, text: str) -> PeerId:
        peer = PeerId.parse(text)
        if peer == self._node.peer:
            raise OwnAddressError("That is your own PeerId.")
        return peer

    def _best(self, peer: PeerId) -> Connection:
        connections = self._node.host.connections(peer)
        if not connections:
            raise NotConnectedError(
                f"There is no connection to {peer.short()}; connect to its address first."
            )
        return connections[0]

    def _connection_opened(self, connection: Connection) -> None:
        if self._redial_ is not None:
            self._redial_.connected(connection)
        if self._conversations_ is not None:
            self._conversations_.connection_opened(connection)

    def _connection_closed(self, connection: Connection) -> None:
        if self._redial_ is not None:
            self._redial_.lost(connection.peer)

    def _world_changed(self, _reason: str) -> None:
        self._node.look_around()
        self._network_is_back()

    def _network_is_back(self) -> None:
        if self._redial_ is not None:
            self._redial_.be_hopeful()

    async def _serve_session(self, stream: Stream) -> None:
        if self._refuses(stream.connection.peer):
            stream.abort()
        else:
            await self._conversations.listen(stream)

    async def _serve_chat(self, stream: Stream) -> None:
        if self._refuses(stream.connection.peer):
            stream.abort()
        else:
            await self._conversations.serve(stream)

    async def _serve_echo(self, stream: Stream) -> None:
        if self._refuses(stream.connection.peer):
            stream.abort()
        else:
            await serve_echo(stream)

    def _refuses(self, peer: PeerId) -> bool:
        return self.config.contacts_only and not self._conversations.is_contact(peer)

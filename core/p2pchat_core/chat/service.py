"""What a user interface talks to: commands in, typed events out. One service is one identity."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.chat.event_hub import EventHub, EventStream
from p2pchat_core.chat.events import ErrorEvent, ReadyEvent
from p2pchat_core.chat.export import export
from p2pchat_core.chat.ice import ice_config
from p2pchat_core.chat.model import (
    ConnectionStatus,
    ConnectResult,
    Contact,
    EchoResult,
    ExportFormat,
    RelayStatus,
    Retention,
    SearchHit,
    ServiceConfig,
    Status,
    StoredMessage,
)
from p2pchat_core.chat.node_events import path_of, relay_state, where
from p2pchat_core.chat.protocols import ask_echo
from p2pchat_core.chat.running import NodeFactory, Running
from p2pchat_core.chat.verification import verification_phrase
from p2pchat_core.clock import SystemClock
from p2pchat_core.errors import (
    AddressError,
    ConnectionLostError,
    MessageError,
    NotConnectedError,
    OwnAddressError,
    P2PChatError,
    StoreError,
)
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.node import Node
from p2pchat_core.wire.chat import ECHO_PROTOCOL
from p2pchat_core.wire.session import Farewell

if TYPE_CHECKING:
    from pathlib import Path

    from p2pchat_core.chat.conversations import Conversations
    from p2pchat_core.chat.people import People
    from p2pchat_core.chat.redial import Redial
    from p2pchat_core.chat.store import Store
    from p2pchat_core.clock import Clock
    from p2pchat_core.net.connection import Connection

__all__ = ["ChatService", "NodeFactory"]


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
        self._running_: Running | None = None

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
        self._running_ = running = Running(self.config, self._hub, self._clock)
        try:
            await running.open(ice, self._make_node)
        except BaseException:
            await self.stop()
            raise
        self._hub.emit(ReadyEvent(self.peer_id))
        try:
            await self._conversations.announcer.tell_the_rest()
        except StoreError as error:
            self.report(error)
        for address in self.config.relays:
            try:
                await self.add_relay(address)
            except AddressError as error:
                self.report(error)
        running.begin()

    async def stop(self) -> None:
        """Hand back everything and end the event streams. Never raises; calling it again does nothing."""
        running, self._running_ = self._running_, None
        if running is not None:
            await running.close()
        self._hub.close()

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
            BlockedError: the user has blocked that peer.
            DialError, RelayError: nobody answers there, or they refuse.
        """
        return await self._running.dialling.connect(address)

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
        await self._conversations.farewell(who, Farewell.HUNG_UP)
        await asyncio.gather(*(connection.close() for connection in self._node.host.connections(who)))

    # --- talking ------------------------------------------------------------------------------------------------------

    async def send(self, peer: str, text: str) -> str:
        """Store a message and return its id; `SentEvent` follows when it was handed over.

        A peer whose connection was lost gets it with the next one.

        Raises:
            NotConnectedError: there is no connection to the peer and never was one.
            BlockedError: the user has blocked it.
            MessageError: it is empty or too long, or too many wait already.
            StoreError: it could not be stored.
        """
        who = self._peer(peer)
        self._people.refuse_blocked(who)
        known = who in self._conversations.known or self._people.is_contact(who)
        if not known and not self._node.host.connections(who):
            raise NotConnectedError(
                f"You have never been connected to {who.short()}; connect to its address first."
            )
        message_id = await self._conversations.send(
            who, text
        )  # at once: messages keep the order of the calls
        await self._people.befriend(who)
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

    async def history(
        self, peer: str, limit: int = 100, *, before: str | None = None, around: str | None = None
    ) -> list[StoredMessage]:
        """Return the newest `limit` messages with `peer`, oldest first.

        Args:
            before: only those before the message with this id.
            around: the message with this id and its neighbours on both sides.
        """
        return await self._store.history(str(self._peer(peer)), limit, before=before, around=around)

    async def search(self, text: str, *, peer: str | None = None, limit: int = 50) -> list[SearchHit]:
        """Return the newest messages of contacts that have every word of `text`, newest first.

        The last word may be a beginning, so it can be called with every key. No text is wrong.
        """
        return await self._store.search(text, None if peer is None else str(self._peer(peer)), limit)

    async def export(self, path: Path, format: ExportFormat, *, peer: str | None = None) -> int:
        """Write the messages with `peer`, or all but ephemeral ones, to a new file; return how many there were.

        Raises:
            StoreError: the file is there already, or cannot be written.
        """
        names = {contact.peer: contact.name for contact in self._people.contacts()}
        who = None if peer is None else str(self._peer(peer))
        return await export(self._store, path, format, peer=who, names=names)

    def peers(self) -> list[str]:
        """Return everyone we have talked with or been connected to, those known longest first."""
        return [str(peer) for peer in self._conversations.known]

    def status(self) -> Status:
        """Return the whole node at a glance."""
        running, node = self._running, self._node
        judged = self._conversations.judged()
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
                    *judged.get(connection, (None, "")),
                )
                for connection in node.host.connections()
                if running.tells(connection)
            ),
        )

    # --- people -------------------------------------------------------------------------------------------------------

    async def contacts(self) -> list[Contact]:
        """Return everyone: contacts, strangers and blocked peers, those known longest first."""
        return self._people.contacts()

    async def contact(self, peer: str) -> Contact:
        """Return what is known of one.

        Raises:
            UnknownContactError: nothing is. So do the others below, unless they say otherwise.
        """
        return self._people.contact(self._peer(peer))

    async def rename(self, peer: str, name: str) -> None:
        """Call `peer` so from now on."""
        await self._people.rename(self._peer(peer), name)

    async def annotate(self, peer: str, notes: str) -> None:
        """Keep notes about `peer`."""
        await self._people.annotate(self._peer(peer), notes)

    async def accept(self, peer: str) -> None:
        """Make `peer` a contact, known or not.

        Raises:
            BlockedError: the user has blocked it.
        """
        await self._people.accept(self._peer(peer))

    async def decline(self, peer: str) -> None:
        """Delete what a stranger said and close their connections; they may ask again.

        Raises:
            CommandError: it is no stranger.
        """
        await self._people.decline(self._peer(peer))

    async def block(self, peer: str) -> None:
        """Have nothing to do with `peer`, known or not: its connections are closed, now and whenever it comes."""
        await self._people.block(self._peer(peer))

    async def unblock(self, peer: str) -> None:
        """Let `peer` be what it was before it was blocked: a contact, or a stranger."""
        who = self._peer(peer)
        if await self._people.unblock(who):
            await self._running.resume(who)

    async def verification_phrase(self, peer: str) -> tuple[str, ...]:
        """Return the words that both sides see; known or not."""
        return await asyncio.to_thread(verification_phrase, self._node.peer, self._peer(peer))

    async def set_verified(self, peer: str, verified: bool) -> None:
        """Remember that both sides have compared the phrase, or forget it."""
        await self._people.set_verified(self._peer(peer), verified)

    async def set_retention(self, peer: str, retention: Retention) -> None:
        """Keep what is said with a contact for so long. What is older is deleted at once.

        Raises:
            CommandError: it is no contact, or the number of days makes no sense.
        """
        await self._people.set_retention(self._peer(peer), retention)
        await self._store.delete_old(self._clock.time(), self.config.retention_days)

    async def forget(self, peer: str) -> None:
        """Delete a conversation, and everything that is known of `peer`."""
        await self._people.forget(self._peer(peer))

    # --- inside -------------------------------------------------------------------------------------------------------

    @property
    def _running(self) -> Running:
        if self._running_ is None:
            raise ConnectionLostError("The chat service is not running.")
        return self._running_

    @property
    def _node(self) -> Node:
        return self._running.node

    @property
    def _store(self) -> Store:
        return self._running.store

    @property
    def _people(self) -> People:
        return self._running.people

    @property
    def _redial(self) -> Redial:
        return self._running.redial

    @property
    def _conversations(self) -> Conversations:
        return self._running.conversations

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

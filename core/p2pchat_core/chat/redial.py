"""Gets us connected again with those whom a conversation waits for, at the addresses that are known of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.errors import AddressError, P2PChatError, StoreError, UnsupportedProtocolError
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.connection import Direction
from p2pchat_core.net.tasks import TaskOwner
from p2pchat_core.wire.dial_target import CircuitTarget, parse_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from p2pchat_core.chat.conversations import Conversations
    from p2pchat_core.chat.store import Store
    from p2pchat_core.clock import Clock
    from p2pchat_core.net.connection import CircuitLimit, Connection
    from p2pchat_core.net.identify import PeerInfo
    from p2pchat_core.net.node import Node

__all__ = ["Redial"]

logger = logging.getLogger(__name__)


class Redial:
    """One task for each peer that is wanted and not connected; it ends when the peer is either connected or not wanted.

    Wanted are those for whom messages wait, and for a while contacts whose last connection was lost.
    """

    def __init__(
        self,
        node: Node,
        store: Store,
        clock: Clock,
        conversations: Conversations,
        addresses: dict[PeerId, list[Multiaddr]],
    ) -> None:
        """Not called directly: see `load`."""
        self._node = node
        self._store = store
        self._clock = clock
        self._conversations = conversations
        self._addresses = addresses
        self._lost_at: dict[PeerId, float] = {}
        self._given_up: set[PeerId] = set()
        self._hope: dict[PeerId, asyncio.Event] = {}  # of those that have a task
        self._news = asyncio.Event()  # set and replaced when there is hope
        self._dialling = asyncio.Semaphore(limits.REDIAL_MAX_PEERS)
        self._tasks = TaskOwner("redial")
        node.identify.on_identified.append(self._identified)

    @classmethod
    async def load(cls, node: Node, store: Store, clock: Clock, conversations: Conversations) -> Redial:
        """Read from the store where everyone can be reached.

        Raises:
            StoreError: it cannot be read.
        """
        known: dict[PeerId, list[Multiaddr]] = {}
        for peer, addresses in (await store.addresses()).items():
            with contextlib.suppress(AddressError):
                known[PeerId.parse(peer)] = [Multiaddr.parse(address) for address in addresses]
        return cls(node, store, clock, conversations, known)

    def learn(self, peer: PeerId, addresses: Sequence[Multiaddr]) -> None:
        """Remember that `peer` can be dialled at these addresses, as far as they lead to it through a relay."""
        before = self._addresses.get(peer, [])
        # One for each relay: the forms with and without /webrtc lead to the same circuit.
        merged: dict[Multiaddr, Multiaddr] = {}
        for address in [*addresses, *before]:
            target = _circuit_to(peer, address)
            if target is not None:
                merged.setdefault(target.relay, target.relay / "/p2p-circuit/webrtc" / peer.as_multiaddr())
        known = list(merged.values())[: limits.CHAT_MAX_ADDRESSES]
        if known != before:
            self._addresses[peer] = known
            self._tasks.spawn(self._remember(peer, known), "remember addresses")

    def look(self, peer: PeerId) -> None:
        """Begin to dial `peer` if it is wanted and not connected."""
        if peer in self._hope or not self._wanted(peer) or self._node.host.connections(peer):
            return
        self._hope[peer] = asyncio.Event()
        self._tasks.spawn(self._keep_dialling(peer), f"reach {peer.short()}")

    def lost(self, peer: PeerId) -> None:
        """A connection to `peer` has ended."""
        if self._conversations.is_contact(peer) and peer not in self._given_up:
            self._lost_at[peer] = self._clock.monotonic()
        self.look(peer)

    def give_up(self, peer: PeerId) -> None:
        """The user does not want to be connected to `peer`: dial it again only when there is something to say."""
        self._given_up.add(peer)
        self._lost_at.pop(peer, None)

    def addresses_of(self, peer: PeerId) -> tuple[str, ...]:
        """Return where `peer` can be dialled, best first."""
        return tuple(map(str, self._addresses.get(peer, ())))

    def forget(self, peer: PeerId) -> None:
        """Do not dial `peer` any more; where it was is not known."""
        self.give_up(peer)
        self._addresses.pop(peer, None)

    def connected(self, connection: Connection) -> None:
        """There is a new connection, whoever made it; a circuit that we opened is looked after."""
        self._given_up.discard(connection.peer)
        if connection.relayed and connection.direction is Direction.OUTBOUND:
            self._tasks.spawn(self._improve(connection), f"improve on a circuit to {connection.peer.short()}")
            if connection.limited:
                self._tasks.spawn(self._renew(connection), f"renew a circuit to {connection.peer.short()}")

    def be_hopeful(self) -> None:
        """The network changed for the better: try everyone at once."""
        for hope in self._hope.values():
            hope.set()
        self._news.set()
        self._news = asyncio.Event()

    async def close(self) -> None:
        """Stop dialling. Never raises."""
        if self._identified in self._node.identify.on_identified:
            self._node.identify.on_identified.remove(self._identified)
        await self._tasks.close()

    def _wanted(self, peer: PeerId) -> bool:
        if peer not in self._addresses:
            return False
        lost_at = self._lost_at.get(peer, float("-inf"))
        lately = self._clock.monotonic() - lost_at < limits.REDIAL_LINGER
        return lately or self._conversations.waits_for(peer)

    async def _keep_dialling(self, peer: PeerId) -> None:
        attempts = 0
        try:
            if self._node.peer.to_bytes() > peer.to_bytes():
                await self._pause(peer, limits.REDIAL_GLARE)
            while self._wanted(peer) and not self._node.host.connections(peer):
                try:
                    async with self._dialling, asyncio.timeout(limits.CONNECT_TIMEOUT):
                        await self._node.reach(self._addresses[peer])
                    return
                except (P2PChatError, TimeoutError) as error:
                    logger.debug("%s is not reached: %r", peer.short(), error)
                delay = min(limits.REDIAL_MAX, limits.REDIAL_MIN * 2.0 ** min(attempts, 16))
                attempts += 1
                if await self._pause(peer, delay * random.uniform(0.8, 1.2)):
                    attempts = 0
        finally:
            del self._hope[peer]

    async def _pause(self, peer: PeerId, delay: float) -> bool:
        """Wait, or not so long if there is hope; return whether there was."""
        hope = self._hope[peer]
        hope.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                return await hope.wait()
        return False

    async def _improve(self, circuit: Connection) -> None:
        """Try again and again to replace a circuit by a direct connection, as long as it is all there is."""
        delay = limits.DIRECT_RETRY_MIN
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay * random.uniform(0.8, 1.2)):
                    await self._news.wait()
            if circuit.closed or any(not c.relayed for c in self._node.host.connections(circuit.peer)):
                return
            if not self._conversations.uses(circuit):
                continue
            try:
                await self._node.improve(circuit)
            except UnsupportedProtocolError:
                return
            except P2PChatError as error:
                logger.debug("still no direct connection to %s: %s", circuit.peer.short(), error)
            delay = min(limits.DIRECT_RETRY_MAX, delay * 2)

    async def _renew(self, circuit: Connection) -> None:
        """Replace a circuit by a fresh one before its time is up, if a conversation travels on it then."""
        await asyncio.sleep(_lifetime(circuit.limit) * limits.CIRCUIT_RENEW)
        connections = self._node.host.connections(circuit.peer)
        if circuit.closed or connections[:1] != [circuit] or not self._conversations.uses(circuit):
            return
        try:
            async with asyncio.timeout(limits.CONNECT_TIMEOUT):
                await self._node.renew(circuit)
        except (P2PChatError, TimeoutError) as error:
            logger.debug("no fresh circuit to %s: %r", circuit.peer.short(), error)

    def _identified(self, peer: PeerId, info: PeerInfo) -> None:
        self.learn(peer, info.addresses)

    async def _remember(self, peer: PeerId, addresses: list[Multiaddr]) -> None:
        try:
            await self._store.add_addresses(str(peer), list(map(str, addresses)), self._clock.time())
        except StoreError as error:
            logger.warning("addresses of %s are not remembered: %s", peer.short(), error)


def _lifetime(limit: CircuitLimit | None) -> float:
    """Return the seconds a circuit surely lasts; what relays announce is not always so (js: milliseconds)."""
    seconds = None if limit is None else limit.seconds
    if not seconds:
        return limits.CIRCUIT_ASSUMED_SECONDS
    return seconds / 1000 if seconds > limits.CIRCUIT_TRUSTED_SECONDS else float(seconds)


def _circuit_to(peer: PeerId, address: Multiaddr) -> CircuitTarget | None:
    """Return how `address` leads to `peer` through a relay; what peers advertise does not end in their own id."""
    try:
        if address.names[-1:] != ("p2p",):
            address = address / peer.as_multiaddr()
        target = parse_target(address)
    except AddressError:
        return None
    return target if isinstance(target, CircuitTarget) and target.peer == peer else None

"""Gets us connected again with those whom a conversation waits for, at the addresses that are known of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.chat.address_book import AddressBook, Source
from p2pchat_core.chat.upkeep import Upkeep
from p2pchat_core.errors import P2PChatError
from p2pchat_core.net.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from p2pchat_core.chat.conversations import Conversations
    from p2pchat_core.chat.store import Store
    from p2pchat_core.clock import Clock
    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.multiformats.multiaddr import Multiaddr
    from p2pchat_core.net.connection import Connection
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
        clock: Clock,
        conversations: Conversations,
        addresses: AddressBook,
        tasks: TaskOwner,
    ) -> None:
        """Not called directly: see `load`."""
        self._node = node
        self._clock = clock
        self._conversations = conversations
        self._addresses = addresses
        self._upkeep = Upkeep(node, clock, conversations.uses, conversations.active, addresses.of)
        self._lost_at: dict[PeerId, float] = {}
        self._given_up: set[PeerId] = set()
        self._hope: dict[PeerId, asyncio.Event] = {}  # of those that have a task
        self._dialling = asyncio.Semaphore(limits.REDIAL_MAX_PEERS)
        self._tasks = tasks
        node.identify.on_identified.append(self._identified)

    @classmethod
    async def load(cls, node: Node, store: Store, clock: Clock, conversations: Conversations) -> Redial:
        """Read from the store where everyone can be reached.

        Raises:
            StoreError: it cannot be read.
        """
        tasks = TaskOwner("redial")
        addresses = await AddressBook.load(
            store, clock, tasks, lambda: [relay.address for relay in node.relays()]
        )
        return cls(node, clock, conversations, addresses, tasks)

    def learn(self, peer: PeerId, addresses: Sequence[Multiaddr]) -> None:
        """Remember that `peer` can be dialled at these addresses, as the user entered them."""
        self._addresses.learn(peer, addresses, Source.USER)
        # What the peer said while it was being dialled was judged without knowing these.
        if (info := self._node.info(peer)) is not None:
            self._identified(peer, info)

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
        self._upkeep.lost(peer)
        self.look(peer)

    def give_up(self, peer: PeerId) -> None:
        """The user does not want to be connected to `peer`: dial it again only when there is something to say."""
        self._given_up.add(peer)
        self._lost_at.pop(peer, None)

    def addresses_of(self, peer: PeerId) -> tuple[str, ...]:
        """Return where `peer` can be dialled, best first."""
        return tuple(map(str, self._addresses.of(peer)))

    def forget(self, peer: PeerId) -> None:
        """Do not dial `peer` any more; where it was is not known."""
        self.give_up(peer)
        self._addresses.forget(peer)

    def connected(self, connection: Connection) -> None:
        """There is a new connection, whoever made it."""
        self._given_up.discard(connection.peer)
        self._upkeep.connected(connection)

    def be_hopeful(self) -> None:
        """The network changed for the better: try everyone at once."""
        for hope in self._hope.values():
            hope.set()
        self._upkeep.be_hopeful()

    def world_changed(self) -> None:
        """We may be somewhere else on the network: what is still there may not be the best any more."""
        self._upkeep.world_changed()
        self.be_hopeful()

    async def close(self) -> None:
        """Stop dialling. Never raises."""
        if self._identified in self._node.identify.on_identified:
            self._node.identify.on_identified.remove(self._identified)
        await self._upkeep.close()
        await self._tasks.close()

    def _wanted(self, peer: PeerId) -> bool:
        if peer not in self._addresses:
            return False
        lost_at = self._lost_at.get(peer, float("-inf"))
        lately = self._clock.monotonic() - lost_at < limits.REDIAL_LINGER
        return (lately and not self._conversations.parted(peer)) or self._conversations.waits_for(peer)

    async def _keep_dialling(self, peer: PeerId) -> None:
        attempts = 0
        try:
            if self._node.peer.to_bytes() > peer.to_bytes():
                await self._pause(peer, limits.REDIAL_GLARE)
            while self._wanted(peer) and not self._node.host.connections(peer):
                try:
                    async with self._dialling, asyncio.timeout(limits.CONNECT_TIMEOUT):
                        await self._node.reach(self._addresses.of(peer))
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

    def _identified(self, peer: PeerId, info: PeerInfo) -> None:
        self._addresses.learn(peer, info.addresses, Source.RECORD if info.signed else Source.HINT)

"""Looks after the paths to everyone a conversation goes on with: better ones, and fresh ones before they run out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.chat.path_plan import Decline, PathPlan, Paths, Work
from p2pchat_core.errors import P2PChatError, UnsupportedProtocolError
from p2pchat_core.net.connection import Direction
from p2pchat_core.net.interfaces import visible_addresses
from p2pchat_core.net.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2pchat_core.clock import Clock
    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.multiformats.multiaddr import Multiaddr
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.node import Node

__all__ = ["Upkeep"]

logger = logging.getLogger(__name__)


class _Care:
    """What belongs to one peer."""

    def __init__(self, plan: PathPlan) -> None:
        self.plan = plan
        self.decline = Decline()
        self.direct: Connection | None = None  # the one that `decline` is about
        self.changed = asyncio.Event()


class Upkeep:
    """One task for each connected peer that can have a direct path; it ends with the last connection."""

    def __init__(
        self,
        node: Node,
        clock: Clock,
        uses: Callable[[Connection], bool],
        addresses: Callable[[PeerId], list[Multiaddr]],
        here: Callable[[], frozenset[str]] = visible_addresses,
    ) -> None:
        """Look after the connections that `uses` says a conversation is held on.

        Args:
            node: whose connections these are.
            clock: the time.
            uses: whether a conversation goes on with the peer of a connection.
            addresses: where else a peer can be dialled.
            here: the addresses that others see us at, empty without a network.
        """
        self._node = node
        self._clock = clock
        self._uses = uses
        self._addresses = addresses
        self._here = here
        self._were = here()
        self._cares: dict[PeerId, _Care] = {}
        self._tasks = TaskOwner("upkeep")
        node.on_direct_asked.append(self._asked)

    def connected(self, connection: Connection) -> None:
        """There is a new connection, whoever made it."""
        if not (connection.relayed or connection.direct):
            return
        if connection.budget is not None:
            connection.budget.when_low = lambda: self._look(connection.peer)
        care = self._cares.get(connection.peer)
        if care is not None:
            if connection.direct:
                care.plan.direct_came()
            care.changed.set()
            return
        plan = PathPlan(
            self._clock.monotonic(),
            smaller=self._node.peer.to_bytes() < connection.peer.to_bytes(),
            random=random.random,
        )
        self._cares[connection.peer] = _Care(plan)
        self._tasks.spawn(self._keep(connection.peer), f"paths to {connection.peer.short()}")

    def lost(self, peer: PeerId) -> None:
        """A connection to `peer` has ended."""
        self._look(peer)

    def be_hopeful(self) -> None:
        """The network is there again: what did not work may work now."""
        for care in self._cares.values():
            care.plan.hope(self._clock.monotonic())
            care.changed.set()

    def world_changed(self) -> None:
        """Something about the network changed: if we are somewhere else now, direct connections are made anew.

        That our network was gone for a while, or that another interface came, is no reason.
        """
        are = self._here()
        if not are or are == self._were:
            return
        self._were = are
        for care in self._cares.values():
            care.plan.direct_is_worse(self._clock.monotonic())
            care.changed.set()

    async def close(self) -> None:
        """Stop. Never raises."""
        if self._asked in self._node.on_direct_asked:
            self._node.on_direct_asked.remove(self._asked)
        await self._tasks.close()

    def _asked(self, peer: PeerId) -> None:
        care = self._cares.get(peer)
        if care is not None:
            care.plan.peer_tried(self._clock.monotonic())

    def _look(self, peer: PeerId) -> None:
        care = self._cares.get(peer)
        if care is not None:
            care.changed.set()

    async def _keep(self, peer: PeerId) -> None:
        care = self._cares[peer]
        try:
            while connections := self._node.host.connections(peer):
                best, now = connections[0], self._clock.monotonic()
                if best.direct and self._declined(care, best):
                    logger.info("%s has become slow", best)
                    care.plan.direct_is_worse(now)
                due = care.plan.next(now, self._paths(best))
                if due.work is not Work.WAIT:
                    await self._do(care.plan, due.work, best)
                    continue
                care.changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, due.at - now)):
                        await care.changed.wait()
        finally:
            del self._cares[peer]

    def _paths(self, best: Connection) -> Paths:
        ours = best.direction is Direction.OUTBOUND
        used = (best.direct or best.relayed) and self._uses(best)
        return Paths(used, not best.relayed, ours, best.budget, best.rtt)

    @staticmethod
    def _declined(care: _Care, direct: Connection) -> bool:
        if care.direct is not direct:
            care.direct, care.decline = direct, Decline()
        return care.decline.sample(direct.rtt)

    async def _do(self, plan: PathPlan, work: Work, best: Connection) -> None:
        worked = hopeless = False
        try:
            async with asyncio.timeout(limits.CONNECT_TIMEOUT):
                if work is Work.IMPROVE:
                    await self._node.improve(best)
                else:
                    await self._node.renew(best, self._addresses(best.peer))
            worked = True
        except UnsupportedProtocolError:
            hopeless = True
        except (P2PChatError, TimeoutError) as error:
            logger.debug("could not %s to %s: %r", work.value, best.peer.short(), error)
        plan.done(self._clock.monotonic(), work, worked=worked, hopeless=hopeless)

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
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.net.connection import Direction
from p2pchat_core.net.interfaces import visible_addresses
from p2pchat_core.net.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2pchat_core.clock import Clock
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
        self.silent = False  # that one
        self.attempts: dict[Work, asyncio.Task[None]] = {}
        self.changed = asyncio.Event()


class Upkeep:
    """One task for each connected peer that can have a direct path; it ends with the last connection."""

    def __init__(
        self,
        node: Node,
        clock: Clock,
        uses: Callable[[Connection], bool],
        active: Callable[[PeerId], bool],
        addresses: Callable[[PeerId], list[Multiaddr]],
        here: Callable[[], frozenset[str]] = visible_addresses,
    ) -> None:
        """Look after the connections that `uses` says a conversation is held on.

        Args:
            node: whose connections these are.
            clock: the time.
            uses: whether a conversation goes on with the peer of a connection.
            active: whether something was acknowledged in it lately, so that it is worth a second path.
            addresses: where else a peer can be dialled.
            here: the addresses that others see us at, empty without a network.
        """
        self._node = node
        self._clock = clock
        self._uses = uses
        self._active = active
        self._addresses = addresses
        self._here = here
        self._were = here()
        self._cares: dict[PeerId, _Care] = {}
        self._tasks = TaskOwner("upkeep")
        node.on_direct_asked.append(self._asked)
        node.liveness.on_change.append(self._path_changed)

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
        if self._path_changed in self._node.liveness.on_change:
            self._node.liveness.on_change.remove(self._path_changed)
        await self._tasks.close()

    def _asked(self, peer: PeerId) -> None:
        care = self._cares.get(peer)
        if care is not None:
            care.plan.peer_tried(self._clock.monotonic())

    def _path_changed(self, connection: Connection) -> None:
        self._look(connection.peer)

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
                self._note_silence(care, best, connections)
                due = care.plan.next(now, self._paths(connections))
                if due.work is not Work.WAIT:
                    self._begin(care, due.work, best)
                    continue
                care.changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, due.at - now)):
                        await care.changed.wait()
        finally:
            del self._cares[peer]
            for attempt in care.attempts.values():
                attempt.cancel()  # it would keep others from reaching the peer anew

    def _paths(self, connections: list[Connection]) -> Paths:
        best = connections[0]
        used = (best.direct or best.relayed) and self._uses(best)
        return Paths(
            used=used,
            direct=not best.relayed,
            ours=best.direction is Direction.OUTBOUND,
            budget=best.budget,
            rtt=best.rtt,
            active=used and self._active(best.peer),
            alone=sum(map(_lasts, connections)) <= 1,
            elsewhere=bool(self._elsewhere(best.peer)),
        )

    def _elsewhere(self, peer: PeerId) -> list[Multiaddr]:
        """Return the addresses of `peer` through relays that carry no path to it yet."""
        carrying = {_relay_of(one.remote_address) for one in self._node.host.connections(peer) if _lasts(one)}
        return [address for address in self._addresses(peer) if _relay_of(address) not in carrying]

    def _note_silence(self, care: _Care, best: Connection, connections: list[Connection]) -> None:
        """A direct connection that is silent while another path works may never come back: its NAT has forgotten it."""
        silent = best.direct and best.silent_since is not None and any(map(_lasts, connections))
        if silent and not care.silent:
            care.plan.direct_is_worse(self._clock.monotonic())
        elif care.silent and not silent:
            care.plan.direct_came()
            if (attempt := care.attempts.get(Work.RENEW_DIRECT)) is not None:
                attempt.cancel()
        care.silent = silent

    @staticmethod
    def _declined(care: _Care, direct: Connection) -> bool:
        if care.direct is not direct:
            care.direct, care.decline = direct, Decline()
        return care.decline.sample(direct.rtt)

    def _begin(self, care: _Care, work: Work, best: Connection) -> None:
        attempt = self._tasks.spawn(self._do(care, work, best), f"{work.value} to {best.peer.short()}")
        if attempt is not None:
            care.attempts[work] = attempt

    async def _do(self, care: _Care, work: Work, best: Connection) -> None:
        worked = hopeless = False
        peer, node = best.peer, self._node
        try:
            async with asyncio.timeout(
                limits.STANDBY_TIMEOUT if work is Work.STAND_BY else limits.CONNECT_TIMEOUT
            ):
                if work is Work.IMPROVE:
                    await node.improve(best)
                elif work is Work.STAND_BY:
                    await node.stand_by(peer, self._elsewhere(peer))
                else:
                    await node.renew(best, self._addresses(peer))
            worked = True
        except UnsupportedProtocolError:
            hopeless = True
        except (P2PChatError, TimeoutError) as error:
            logger.debug("could not %s to %s: %r", work.value, peer.short(), error)
        finally:
            care.attempts.pop(work, None)
            care.plan.done(self._clock.monotonic(), work, worked=worked, hopeless=hopeless)
            care.changed.set()


def _lasts(connection: Connection) -> bool:
    """Whether this path answers and is not about to end."""
    if connection.superseded or connection.silent_since is not None:
        return False
    return connection.budget is None or not connection.budget.spent(limits.CIRCUIT_RENEW)


def _relay_of(address: Multiaddr) -> PeerId | None:
    return PeerId.of(address.before("p2p-circuit")) if address.has("p2p-circuit") else None

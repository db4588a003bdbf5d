"""Where everyone can be dialled: what the user entered, and what the peers themselves said."""

from __future__ import annotations

import contextlib
import enum
import logging
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.errors import AddressError, StoreError
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.wire.dial_target import CircuitTarget, parse_target
from p2pchat_core.wire.scope import Scope, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from p2pchat_core.chat.store import Store
    from p2pchat_core.clock import Clock
    from p2pchat_core.net.tasks import TaskOwner

__all__ = ["AddressBook", "Source"]

logger = logging.getLogger(__name__)


class Source(enum.Enum):
    """Who says that a peer can be dialled at an address."""

    USER = "the user entered it"
    RECORD = "the peer, in a record that it signed"
    HINT = "the peer, in passing"


class AddressBook:
    """A few addresses of everyone, one for each relay, best first; kept on disk.

    What the user entered and what peers sign comes first, the newest before the older. What is not signed is taken
    only where there is room and comes last. What a peer says is taken only if it reaches as far as something that we
    know without it: nobody can send us to our own machine or network who is not there himself.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        tasks: TaskOwner,
        own_relays: Callable[[], Iterable[Multiaddr]],
        known: dict[PeerId, list[Multiaddr]],
    ) -> None:
        """Not called directly: see `load`."""
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._own_relays = own_relays
        self._known = known
        self._hints: dict[PeerId, set[Multiaddr]] = {}

    @classmethod
    async def load(
        cls, store: Store, clock: Clock, tasks: TaskOwner, own_relays: Callable[[], Iterable[Multiaddr]]
    ) -> AddressBook:
        """Read what is kept. `own_relays` returns the addresses of the relays that the user chose.

        Raises:
            StoreError: it cannot be read.
        """
        known: dict[PeerId, list[Multiaddr]] = {}
        for peer, addresses in (await store.addresses()).items():
            with contextlib.suppress(AddressError):
                known[PeerId.parse(peer)] = [Multiaddr.parse(address) for address in addresses]
        return cls(store, clock, tasks, own_relays, known)

    def __contains__(self, peer: PeerId) -> bool:
        return peer in self._known

    def of(self, peer: PeerId) -> list[Multiaddr]:
        """Return where `peer` can be dialled, best first."""
        return list(self._known.get(peer, ()))

    def forget(self, peer: PeerId) -> None:
        """Do not know any more where `peer` is; what is on the disk is the contact's."""
        self._known.pop(peer, None)
        self._hints.pop(peer, None)

    def learn(self, peer: PeerId, addresses: Sequence[Multiaddr], source: Source) -> None:
        """Take what leads to `peer` through a relay."""
        before, hints = self._known.get(peer, []), self._hints.get(peer, set())
        usable = [full for address in addresses if (full := _leading_to(peer, address)) is not None]
        if source is not Source.USER:
            narrowest = self._narrowest(peer)
            usable = [address for address in usable if scope_of(address) >= narrowest]
        sure = [address for address in before if address not in hints]
        passing = [address for address in before if address in hints]
        order = [*sure, *usable, *passing] if source is Source.HINT else [*usable, *sure, *passing]
        # One for each relay: the forms with and without /webrtc lead to the same circuit.
        known = list(dict.fromkeys(order))[: limits.CHAT_MAX_ADDRESSES]
        hints = (hints | set(usable)) - set(sure) if source is Source.HINT else hints - set(usable)
        self._hints[peer] = hints & set(known)
        if not self._hints[peer]:
            del self._hints[peer]
        if known != before:
            self._known[peer] = known
            self._tasks.spawn(self._remember(peer, known), "remember addresses")

    def _narrowest(self, peer: PeerId) -> Scope:
        """Return how narrow a scope this peer may name: that of what we know without it."""
        hints = self._hints.get(peer, set())
        trusted = [address for address in self._known.get(peer, ()) if address not in hints]
        scopes = (scope_of(address) for address in (*trusted, *self._own_relays()))
        return min((scope for scope in scopes if scope is not Scope.NOWHERE), default=Scope.WORLD)

    async def _remember(self, peer: PeerId, addresses: list[Multiaddr]) -> None:
        try:
            await self._store.add_addresses(str(peer), list(map(str, addresses)), self._clock.time())
        except StoreError as error:
            logger.warning("addresses of %s are not remembered: %s", peer.short(), error)


def _leading_to(peer: PeerId, address: Multiaddr) -> Multiaddr | None:
    """Return the form of `address` that we dial; what peers advertise does not end in their own id."""
    try:
        if address.names[-1:] != ("p2p",):
            address = address / peer.as_multiaddr()
        target = parse_target(address)
    except AddressError:
        return None
    if not isinstance(target, CircuitTarget) or target.peer != peer:
        return None
    return target.relay / "/p2p-circuit/webrtc" / peer.as_multiaddr()

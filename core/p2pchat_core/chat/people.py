"""Whom we know: contacts, strangers who ask to be one, and those the user has blocked (docs/people.md)."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.chat.contact_table import Person
from p2pchat_core.chat.events import ContactEvent, ErrorEvent
from p2pchat_core.chat.model import Contact, Standing
from p2pchat_core.chat.names import skeleton
from p2pchat_core.errors import BlockedError, CommandError, StoreError, UnknownContactError
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.net.tasks import TaskOwner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from p2pchat_core.chat.event_hub import EventHub
    from p2pchat_core.chat.model import Retention
    from p2pchat_core.chat.store import Store
    from p2pchat_core.clock import Clock

__all__ = ["People"]


class People:
    """What is known and decided about every peer, in memory and in the store. Raises `StoreError` if it cannot be kept.

    Attributes:
        addresses: says where a peer can be dialled.
        part: called to end everything that goes on with a peer, before it is blocked or forgotten.
        welcome: called when a peer has become a contact.
    """

    def __init__(self, store: Store, hub: EventHub, clock: Clock, people: dict[PeerId, Person]) -> None:
        """Not called directly: see `load`."""
        self.addresses: Callable[[PeerId], tuple[str, ...]] = lambda _: ()
        self.part: Callable[[PeerId], Awaitable[None]] = _nothing
        self.welcome: Callable[[PeerId], Awaitable[None]] = _nothing
        self._store = store
        self._hub = hub
        self._clock = clock
        self._people = people
        self._expected: list[PeerId] = []
        self._names: dict[PeerId, str] = {}  # of those who have said nothing else yet
        self._claims = self._false_claims()
        self._tasks = TaskOwner("people")

    @classmethod
    async def load(cls, store: Store, hub: EventHub, clock: Clock) -> People:
        """Read from the store who is known."""
        return cls(store, hub, clock, {PeerId.parse(p.peer): p for p in await store.people()})

    async def close(self) -> None:
        """Finish what is under way. Never raises."""
        await self._tasks.close()

    # --- who may talk to us ---------------------------------------------------------------------------------------

    def standing(self, peer: PeerId) -> Standing | None:
        """Return what the user thinks of `peer`; ``None`` if it was never heard of."""
        person = self._people.get(peer)
        return None if person is None else person.standing

    def is_contact(self, peer: PeerId) -> bool:
        """Whether the user wants to talk with `peer`."""
        return peer in self._expected or self.standing(peer) is Standing.CONTACT

    def admits(self, peer: PeerId, *, contacts_only: bool) -> bool:
        """Whether `peer` may talk to us, as a contact or as somebody who asks to be one."""
        if self.is_contact(peer):
            return True
        standing = self.standing(peer)
        if contacts_only or standing is Standing.BLOCKED:
            return False
        return standing is Standing.STRANGER or self._strangers() < limits.STRANGERS_MAX

    @contextmanager
    def expecting(self, peer: PeerId) -> Iterator[None]:
        """While the user dials `peer` it is treated as a contact, or it would ask to be one if it speaks first.

        Raises:
            BlockedError: the user has blocked it.
        """
        self.refuse_blocked(peer)
        self._expected.append(peer)
        try:
            yield
        finally:
            self._expected.remove(peer)

    def refuse_blocked(self, peer: PeerId) -> None:
        """Raise if the user has blocked `peer`.

        Raises:
            BlockedError: so it is.
        """
        if self.standing(peer) is Standing.BLOCKED:
            raise BlockedError(f"You have blocked {peer.short()}; unblock it first.")

    def meet(self, peer: PeerId) -> None:
        """`peer` speaks to us: one who was never heard of is a stranger from now on."""
        if peer not in self._people and peer not in self._expected:
            self._people[peer] = self._new(peer)
            self._tell(peer)  # before what it says
            self._tasks.spawn(self._remember(peer), f"remember {peer.short()}")

    async def befriend(self, peer: PeerId) -> None:
        """The user has dialled `peer`, or writes to it.

        Raises:
            BlockedError: the user has blocked it.
        """
        self.refuse_blocked(peer)
        if self.standing(peer) is not Standing.CONTACT:
            await self._keep((self._people.get(peer) or self._new(peer))._replace(accepted=True))
            await self.welcome(peer)

    async def announced(self, peer: PeerId, name: str) -> None:
        """`peer` says what it is called."""
        person = self._people.get(peer)
        if person is not None:
            if person.calls_itself != name:
                await self._keep(person._replace(calls_itself=name))
            return
        self._names.pop(peer, None)
        self._names[peer] = name
        while len(self._names) > limits.PROFILE_MAX_UNKNOWN:
            del self._names[next(iter(self._names))]

    # --- what the user asks and decides ---------------------------------------------------------------------------

    def contacts(self) -> list[Contact]:
        """Return everyone, those known longest first."""
        return [self._view(peer, person) for peer, person in self._people.items()]

    def contact(self, peer: PeerId) -> Contact:
        """Return what is known of one.

        Raises:
            UnknownContactError: nothing is.
        """
        return self._view(peer, self._known(peer))

    async def rename(self, peer: PeerId, name: str) -> None:
        """Call `peer` so."""
        name = _bounded("name", name.strip(), limits.CONTACT_MAX_NAME)
        await self._keep(self._known(peer)._replace(name=name))

    async def annotate(self, peer: PeerId, notes: str) -> None:
        """Keep notes about `peer`."""
        notes = _bounded("note", notes, limits.CONTACT_MAX_NOTES)
        await self._keep(self._known(peer)._replace(notes=notes))

    async def accept(self, peer: PeerId) -> None:
        """Make `peer` a contact, whether it has asked or not."""
        await self.befriend(peer)

    async def decline(self, peer: PeerId) -> None:
        """Forget what a stranger said, and that they asked.

        Raises:
            CommandError: it is no stranger.
        """
        if self._known(peer).standing is not Standing.STRANGER:
            raise CommandError(
                f"{peer.short()} has not asked for anything; a contact can be forgotten instead."
            )
        await self.forget(peer)

    async def block(self, peer: PeerId) -> None:
        """Have nothing to do with `peer` from now on."""
        person = self._people.get(peer) or self._new(peer)
        await self._keep(person._replace(blocked=True))
        await self.part(peer)

    async def unblock(self, peer: PeerId) -> bool:
        """Let `peer` be what it was before, and return whether it was blocked."""
        person = self._known(peer)
        if person.blocked:
            await self._keep(person._replace(blocked=False))
        return person.blocked

    async def set_verified(self, peer: PeerId, verified: bool) -> None:
        """The user has compared the phrase, or takes that back."""
        when = self._clock.time() if verified else None
        await self._keep(self._known(peer)._replace(verified_at=when))

    async def set_retention(self, peer: PeerId, retention: Retention) -> None:
        """Keep what is said with a contact for so long.

        Raises:
            CommandError: it is no contact, or the number of days makes no sense.
        """
        days = retention.days
        if days is not None and not 1 <= days <= limits.RETENTION_MAX_DAYS:
            raise CommandError(f"Messages are kept for 1 to {limits.RETENTION_MAX_DAYS} days, not {days}.")
        person = self._known(peer)
        if person.standing is not Standing.CONTACT:
            raise CommandError(f"{peer.short()} is not a contact.")
        if person.ephemeral != retention.ephemeral:
            await self._store.set_ephemeral(str(peer), retention.ephemeral)
        person = self._known(peer)  # which may have changed meanwhile
        await self._keep(person._replace(keep_days=days, ephemeral=retention.ephemeral))

    async def forget(self, peer: PeerId) -> None:
        """Delete everything about `peer`."""
        person = self._known(peer)
        gone = self._view(peer, person)
        await self.part(peer)
        self._people.pop(peer, None)
        self._names.pop(peer, None)
        await self._store.delete(str(peer))
        self._hub.emit(ContactEvent(gone, forgotten=True))
        self._tell()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _new(self, peer: PeerId) -> Person:
        return Person(str(peer), self._clock.time(), calls_itself=self._names.pop(peer, ""))

    def _known(self, peer: PeerId) -> Person:
        person = self._people.get(peer)
        if person is None:
            raise UnknownContactError(f"Nothing is known of {peer.short()}; connect to its address first.")
        return person

    def _strangers(self) -> int:
        return sum(person.standing is Standing.STRANGER for person in self._people.values())

    async def _remember(self, peer: PeerId) -> None:
        try:
            if (person := self._people.get(peer)) is not None:
                await self._store.save_person(person)
        except StoreError as error:
            self._hub.emit(ErrorEvent(error.code, str(error), str(peer)))

    async def _keep(self, person: Person) -> None:
        """Take a change over at once, then store it and tell about it."""
        peer = PeerId.parse(person.peer)
        self._people[peer] = person
        await self._store.save_person(person)
        self._tell(peer)

    def _tell(self, *changed: PeerId) -> None:
        """Tell about those that changed, and about those whose name is another's all at once, or no longer."""
        before, self._claims = self._claims, self._false_claims()
        others = [
            peer for peer in before.keys() | self._claims.keys() if before.get(peer) != self._claims.get(peer)
        ]
        for peer in dict.fromkeys([*changed, *others]):
            person = self._people.get(peer)
            if person is not None:
                self._hub.emit(ContactEvent(self._view(peer, person)))

    def _view(self, peer: PeerId, person: Person) -> Contact:
        return Contact(
            peer=person.peer,
            name=person.name,
            calls_itself=person.calls_itself,
            notes=person.notes,
            addresses=self.addresses(peer),
            standing=person.standing,
            verified_at=person.verified_at,
            added_at=person.added_at,
            retention=person.retention,
            impersonates=self._claims.get(peer, ""),
        )

    def _false_claims(self) -> dict[PeerId, str]:
        """Return whose own name is that of a contact, with the contact's name. A verified identity claims nothing."""
        owners: dict[str, tuple[PeerId, Person]] = {}
        for peer, person in self._people.items():
            if person.standing is Standing.CONTACT:
                for name in (person.name, person.calls_itself):
                    if shape := skeleton(name):
                        owners.setdefault(shape, (peer, person))
        claims = {}
        for peer, person in self._people.items():
            owner = owners.get(skeleton(person.calls_itself))
            if owner is not None and owner[0] != peer and person.verified_at is None:
                claims[peer] = owner[1].name or owner[1].calls_itself
        return claims


async def _nothing(_peer: PeerId) -> None:
    await asyncio.sleep(0)


def _bounded(what: str, text: str, most: int) -> str:
    if len(text) > most:
        raise CommandError(f"A {what} has at most {most} characters; this one has {len(text)}.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise CommandError(f"The {what} is not valid Unicode.") from None
    return text

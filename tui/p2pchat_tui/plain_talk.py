"""Who the user of the line mode talks with, who waits, and what those said meanwhile. No I/O.

Who is a contact, a stranger or blocked is only ever what the service says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.chat.events import ConnectionEvent, ConnectionState, MessageEvent, RelayEvent
from p2pchat_core.chat.model import Standing
from p2pchat_core.errors import CommandError
from p2pchat_tui.addresses import peer_of
from p2pchat_tui.roster import Roster

if TYPE_CHECKING:
    from p2pchat_core.chat.model import Contact

__all__ = ["Talk"]


class Talk:
    """The people of one run of the program.

    Attributes:
        current: to whom text goes.
        roster: everybody the service knows.
        waiting: who called and has no answer yet, with what they said.
    """

    def __init__(self) -> None:
        self.current: str | None = None
        self.roster = Roster()
        self.waiting: dict[str, list[MessageEvent]] = {}
        self._turned_away: set[str] = set()
        self._relays: set[str] = set()
        self._dialing: str | None = None

    def name(self, peer: str) -> str:
        """Return what to call `peer`, safe to print."""
        return self.roster.name_of(peer)

    # --- what happens -------------------------------------------------------------------------------------------

    def relay(self, event: RelayEvent) -> None:
        """Remember that this peer is a relay, and nobody to talk to."""
        if len(self._relays) < limits.SCREEN_ADDRESSES and (peer := peer_of(event.address)):
            self._relays.add(peer)

    def is_relay(self, peer: str) -> bool:
        """Tell whether `peer` is one of our relays."""
        return peer in self._relays

    def contact(self, contact: Contact) -> tuple[Contact | None, list[MessageEvent]]:
        """The service says who a peer is.

        Returns:
            What it said before, and what a stranger said meanwhile that is a contact now.
        """
        before = self.roster.put(contact)
        if contact.standing is Standing.STRANGER:
            return before, []
        held = self.waiting.pop(contact.peer, [])
        self._turned_away.discard(contact.peer)
        if contact.standing is Standing.BLOCKED:
            self._leave(contact.peer)
            return before, []
        return before, held

    def forget(self, peer: str) -> None:
        """The service knows nobody of this id any more."""
        self.roster.drop(peer)
        self.waiting.pop(peer, None)
        self._leave(peer)

    def _leave(self, peer: str) -> None:
        if self.current == peer:
            self.current = None

    def connection(self, event: ConnectionEvent) -> bool:
        """Take a connection into account; True if the user must be asked about who it is."""
        if event.state is not ConnectionState.OPEN or self.is_relay(event.peer):
            return False
        return event.peer not in self._turned_away and self._called(event.peer)

    def message(self, event: MessageEvent) -> tuple[bool, bool]:
        """Take a message into account.

        Returns:
            Whether it may be shown, and whether the user must be asked about who sent it.
        """
        if self._standing(event.peer) is Standing.CONTACT:
            return True, False
        asked = self._called(event.peer)
        held = self.waiting.get(event.peer)
        if held is not None and len(held) < limits.SCREEN_HELD_MESSAGES:
            held.append(event)
        return False, asked

    def _standing(self, peer: str) -> Standing:
        contact = self.roster.get(peer)
        return Standing.STRANGER if contact is None else contact.standing

    def _called(self, peer: str) -> bool:
        """Let a stranger wait; True if that is new."""
        if self._standing(peer) is not Standing.STRANGER or peer in self.waiting or peer == self._dialing:
            return False
        if len(self.waiting) >= limits.SCREEN_STRANGERS:
            return False
        self.waiting[peer] = []
        return True

    # --- what the user does ---------------------------------------------------------------------------------------

    def dial(self, address: str | None) -> None:
        """The user dials `address`, or (None) does no longer: whoever it leads to is no stranger."""
        self._dialing = peer_of(address) if address else None

    def decline(self, peer: str) -> None:
        """`peer` was turned away; it may ask again by saying something."""
        self.waiting.pop(peer, None)
        self._turned_away.add(peer)

    def find(self, name: str, *, among: Standing | None = None) -> str:
        """Return the peer that the user means: a number of `listed`, a name, or the end or the whole of a PeerId.

        Raises:
            CommandError: it is nobody, or more than one.
        """
        listed = self.listed()
        if among is not None:
            listed = [contact.peer for contact in self.roster.contacts.values() if contact.standing is among]
        elif name.isdecimal() and 1 <= int(name[:9]) <= len(listed):
            return listed[int(name) - 1]
        end = name.lstrip(".…").lower()
        found = [peer for peer in listed if peer == name or self.name(peer).lower() == name.lower()]
        found = found or [peer for peer in listed if end and peer.lower().endswith(end)]
        if len(found) != 1:
            what = "More than one person's name ends" if found else "Nobody's name ends"
            raise CommandError(f"{what} in {name!r:.80}; /contacts lists everybody.")
        return found[0]

    def waiting_peer(self, name: str) -> str:
        """Return the stranger that the user means; without a name, the one who has waited longest.

        Raises:
            CommandError: nobody waits, or not that one.
        """
        if not self.waiting:
            raise CommandError("Nobody is waiting to talk to you.")
        peer = self.find(name) if name else next(iter(self.waiting))
        if peer not in self.waiting:
            raise CommandError(f"{self.name(peer)} is not waiting.")
        return peer

    def listed(self) -> list[str]:
        """Return everybody in the order of `/peers`: contacts, then those who wait."""
        known = self.roster.contacts.values()
        return [*(c.peer for c in known if c.standing is Standing.CONTACT), *self.waiting]

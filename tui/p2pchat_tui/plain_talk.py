"""Who the user of the line mode talks with: whom they let in, who waits, and what those said meanwhile. No I/O."""

from __future__ import annotations

from p2pchat_core import limits
from p2pchat_core.chat.events import ConnectionEvent, ConnectionState, MessageEvent, RelayEvent
from p2pchat_core.errors import CommandError
from p2pchat_tui.addresses import peer_of
from p2pchat_tui.log_lines import short_peer

__all__ = ["Talk"]


class Talk:
    """The people of one run of the program.

    Attributes:
        current: to whom text goes.
        accepted: whom the user connected to, let in, or has answered before; in the order they came.
        waiting: who called and has no answer yet, with what they said.
    """

    def __init__(self) -> None:
        self.current: str | None = None
        self.accepted: list[str] = []
        self.waiting: dict[str, list[MessageEvent]] = {}
        self._declined: set[str] = set()
        self._relays: set[str] = set()
        self._dialing: str | None = None

    # --- what happens -------------------------------------------------------------------------------------------

    def relay(self, event: RelayEvent) -> None:
        """Remember that this peer is a relay, and nobody to talk to."""
        if len(self._relays) < limits.SCREEN_ADDRESSES and (peer := peer_of(event.address)):
            self._relays.add(peer)

    def is_relay(self, peer: str) -> bool:
        """Tell whether `peer` is one of our relays."""
        return peer in self._relays

    def connection(self, event: ConnectionEvent) -> bool:
        """Take a connection into account; True if the user must be asked about who it is."""
        if event.state is not ConnectionState.OPEN or self.is_relay(event.peer):
            return False
        return self._called(event.peer)

    def message(self, event: MessageEvent) -> tuple[bool, bool]:
        """Take a message into account.

        Returns:
            Whether it may be shown, and whether the user must be asked about who sent it.
        """
        if event.peer in self.accepted:
            return True, False
        asked = self._called(event.peer)
        held = self.waiting.get(event.peer)
        if held is not None and len(held) < limits.SCREEN_HELD_MESSAGES:
            held.append(event)
        return False, asked

    def _called(self, peer: str) -> bool:
        """Let `peer` wait; True if that is new."""
        if peer in self.accepted or peer in self._declined or peer in self.waiting or peer == self._dialing:
            return False
        if len(self.waiting) >= limits.SCREEN_STRANGERS:
            return False
        self.waiting[peer] = []
        return True

    # --- what the user does ---------------------------------------------------------------------------------------

    def dial(self, address: str | None) -> None:
        """The user dials `address`, or (None) does no longer: whoever it leads to is no stranger."""
        self._dialing = peer_of(address) if address else None

    def accept(self, peer: str) -> list[MessageEvent]:
        """Let `peer` in and return what they said while they waited."""
        self._declined.discard(peer)
        if peer not in self.accepted:
            self.accepted.append(peer)
        return self.waiting.pop(peer, [])

    def decline(self, peer: str) -> None:
        """Turn `peer` away for as long as the program runs, unless the user connects to them."""
        self.waiting.pop(peer, None)
        self._declined.add(peer)

    def find(self, name: str) -> str:
        """Return the peer that the user means: a number of `listed`, or the end or the whole of a PeerId.

        Raises:
            CommandError: it is nobody, or more than one.
        """
        listed = self.listed()
        if name.isdecimal() and 1 <= int(name[:9]) <= len(listed):
            return listed[int(name) - 1]
        end = name.lstrip(".…")
        found = [peer for peer in listed if peer == name or (end and peer.lower().endswith(end.lower()))]
        if len(found) != 1:
            what = "more than one person's name ends" if found else "nobody's name ends"
            raise CommandError(f"{what[:1].upper()}{what[1:]} in {name!r:.80}; /peers lists everybody.")
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
            raise CommandError(f"{short_peer(peer)} is not waiting.")
        return peer

    def listed(self) -> list[str]:
        """Return everybody in the order of `/peers`: those let in, then those who wait."""
        return [*self.accepted, *self.waiting]

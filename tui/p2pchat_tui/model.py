"""What the screen knows: conversations, strangers, relays and log lines, changed only by the service's events.

No widget, no I/O, no clock of its own: events and commands' results go in, views come out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.chat.events import (
    ConnectionEvent,
    ConnectionState,
    ContactEvent,
    ErrorEvent,
    Event,
    ListeningEvent,
    MessageEvent,
    PathKind,
    ReadyEvent,
    RelayEvent,
    RelayState,
    SentEvent,
    StepEvent,
)
from p2pchat_core.chat.model import Standing
from p2pchat_tui import log_lines
from p2pchat_tui.addresses import peer_of, ranked
from p2pchat_tui.conversation import Conversation, Delivery, HistoryMessage, Message, OpenPath
from p2pchat_tui.log_book import LogBook
from p2pchat_tui.log_lines import LineKind
from p2pchat_tui.roster import Roster

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from p2pchat_core.chat.model import Contact
    from p2pchat_core.clock import Clock
    from p2pchat_tui.log_lines import LogLine

__all__ = ["ChatModel"]


class ChatModel:
    """The state behind the main screen."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.roster = Roster()
        self.peer_id = ""
        self.addresses: tuple[str, ...] = ()
        self.relays: dict[str, RelayEvent] = {}
        self.relay_steps: dict[str, StepEvent] = {}
        self.conversations: dict[str, Conversation] = {}
        self.selected: str | None = None
        self.dialing: str | None = None
        self._log = LogBook(clock)
        self._strangers_lost = 0

    # --- what the screen shows --------------------------------------------------------------------------------

    @property
    def current(self) -> Conversation | None:
        """The selected conversation."""
        return self.conversations.get(self.selected) if self.selected else None

    @property
    def accepted(self) -> list[Conversation]:
        """The conversations of the list, oldest first."""
        return [c for c in self.conversations.values() if c.accepted]

    @property
    def strangers(self) -> list[Conversation]:
        """Peers waiting for the user's decision."""
        return [c for c in self.conversations.values() if c.waiting]

    def lines(self) -> Sequence[LogLine]:
        """The log to show: what concerns everyone and the selected conversation, in order."""
        return self._log.lines(self.current)

    @property
    def watched(self) -> str | None:
        """The peer whose connection is of interest: the one being dialled, else the selected one."""
        return self.dialing or self.selected

    @property
    def reservation(self) -> StepEvent | None:
        """Our own step 1, unless the watched peer is the listener."""
        watched = self.conversations.get(self.watched or "")
        if self.dialing or (watched is not None and watched.outbound):
            return None
        reports = [self.relay_steps[peer] for peer in self._relay_peers() if peer in self.relay_steps]
        return next((report for report in reports if report.ok), reports[0] if reports else None)

    # --- events of the service --------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Take one event of the service into account."""
        match event:
            case ReadyEvent():
                self.peer_id = event.peer_id
            case ListeningEvent():
                self._listening(event)
            case RelayEvent():
                self._relay(event)
            case StepEvent():
                self._step(event)
            case ConnectionEvent():
                self._connection(event)
            case ContactEvent():
                self.forgotten(event.contact.peer) if event.forgotten else self.contact(event.contact)
            case MessageEvent():
                self._message(event)
            case SentEvent():
                self._sent(event)
            case ErrorEvent():
                self.fail(event.error, event.peer or None)

    def _listening(self, event: ListeningEvent) -> None:
        before, self.addresses = self.addresses, ranked(event.addresses)[: limits.SCREEN_ADDRESSES]
        for address in self.addresses:
            if address not in before:
                self._log.add(None, LineKind.LISTENING, log_lines.listening(address))

    def _relay(self, event: RelayEvent) -> None:
        before = self.relays.get(event.address)
        if before is None and len(self.relays) >= limits.SCREEN_ADDRESSES:
            return
        self.relays[event.address] = event
        bad = event.state in (RelayState.LOST, RelayState.REFUSED)
        if bad and (before is None or (before.state, before.reason) != (event.state, event.reason)):
            self.fail(event.reason or f"The relay {event.address} is {event.state.value}.")

    def _step(self, event: StepEvent) -> None:
        if event.peer in self._relay_peers():
            if event.step == 1:
                self.relay_steps[event.peer] = event
            return
        conversation = self._open(event.peer)
        if conversation is None:
            return
        if any(step >= event.step and step != 1 for step in conversation.steps):
            # A step that has been seen comes again: this is a new attempt.
            conversation.steps = {n: s for n, s in conversation.steps.items() if n < event.step}
        conversation.steps[event.step] = event

    def _connection(self, event: ConnectionEvent) -> None:
        if event.peer in self._relay_peers():
            return
        opens = event.state is ConnectionState.OPEN
        conversation = self._open(event.peer) if opens else self.conversations.get(event.peer)
        if conversation is None:
            return
        if opens:
            conversation.declined = False
            if event.path not in conversation.paths:
                how = "directly at" if event.path is PathKind.DIRECT else "through the relay"
                place = log_lines.endpoint(event.remote_address)
                self.say(f"{conversation.name} is connected {how} {place}.", event.peer)
            conversation.paths[event.path] = OpenPath(event, self.clock.monotonic())
            if conversation.accepted and self.selected is None:
                self.select(event.peer)
            return
        if conversation.paths.pop(event.path, None) is not None:
            kind = (
                "The direct connection"
                if event.path is PathKind.DIRECT
                else "The connection through the relay"
            )
            self.say(f"{kind} ended. {event.reason}".rstrip(), event.peer)
        if not conversation.connected:
            conversation.rtt_ms = None
            conversation.round_trips.clear()

    def _message(self, event: MessageEvent) -> None:
        conversation = self._open(event.peer)
        if conversation is None or conversation.knows(event.message_id):
            return
        if conversation.declined or conversation.blocked:
            return
        if not conversation.accepted:
            if len(conversation.held) < limits.SCREEN_HELD_MESSAGES:
                conversation.held.append(event)
            else:
                conversation.held_lost += 1
            return
        self._show_message(conversation, event)

    def _show_message(self, conversation: Conversation, event: MessageEvent) -> None:
        self._log.add(conversation, LineKind.RECEIVED, log_lines.received(event.text))
        conversation.append(Message(event.message_id, event.text, event.sent_at))
        if conversation.peer != self.selected:
            conversation.unread += 1
        self._trim(conversation)

    def _sent(self, event: SentEvent) -> None:
        conversation = self.conversations.get(event.peer)
        if conversation is not None:
            conversation.confirm(event.message_id, Delivery.DELIVERED if event.delivered else Delivery.SENT)

    # --- commands and their results ---------------------------------------------------------------------------

    def begin_dial(self, address: str) -> None:
        """The user dials `address`."""
        self.dialing = peer_of(address)
        self._log.add(None, LineKind.DIALING, log_lines.dialing(address))
        if self.dialing in self.conversations:
            self.conversations[self.dialing].steps.clear()
            self.conversations[self.dialing].outbound = True

    def dialed_relay(self, address: str) -> None:
        """The address was a relay's and it is connected."""
        self.dialing = None
        self._log.add(None, LineKind.CONNECTED, log_lines.connected(address))

    def dialed(self, address: str, peer: str, rtt_ms: float | None) -> None:
        """The address was a peer's and it is connected; it becomes the selected conversation."""
        self.dialing = None
        self._log.add(None, LineKind.CONNECTED, log_lines.connected(address))
        conversation = self._open(peer, wanted=True)
        if conversation is None:
            return
        if rtt_ms is not None:
            self.rtt(peer, rtt_ms)
            self._log.add(None, LineKind.ROUND_TRIP, log_lines.round_trip(peer, rtt_ms))
        conversation.outbound = True
        self.select(peer)

    def dial_failed(self, sentence: str) -> None:
        """The dial came to nothing."""
        self.dialing = None
        self.fail(sentence)

    def stored(self, peer: str, text: str, message_id: str) -> None:
        """Our message is stored and will be, or has been, handed over."""
        conversation = self._open(peer, wanted=True)
        if conversation is None or conversation.knows(message_id):
            return
        self._log.add(conversation, LineKind.SENT, log_lines.sending(text))
        conversation.append(Message(message_id, text, self.clock.time(), Delivery.QUEUED))
        self._trim(conversation)

    def history(self, peer: str, messages: Sequence[HistoryMessage], *, complete: bool = False) -> None:
        """Show what was said before, above what is there.

        Args:
            complete: nothing older is stored.
        """
        conversation = self.conversations.get(peer)
        if conversation is None or not conversation.accepted:
            return
        if not conversation.remember_page(messages, complete):
            self._trim(conversation)

    def wants_history(self, peer: str) -> bool:
        """Whether the history of this conversation should be read now; answers yes only once."""
        conversation = self.conversations.get(peer)
        wants = conversation is not None and not conversation.asked
        if conversation is not None:
            conversation.asked = True
        return wants

    def wants_older(self, peer: str) -> str | None:
        """Return the message before which an older page should be read now, and take it for asked."""
        conversation = self.conversations.get(peer)
        return conversation.begin_page() if conversation is not None else None

    def rtt(self, peer: str, rtt_ms: float | None) -> None:
        """The round-trip time to `peer` was measured."""
        if peer in self.conversations and rtt_ms is not None:
            self.conversations[peer].rtt_ms = rtt_ms
            self.conversations[peer].round_trips.append(rtt_ms)

    # --- people -----------------------------------------------------------------------------------------------

    def contacts(self, contacts: Iterable[Contact]) -> None:
        """Take everybody into account whom the service knows at the start."""
        everybody = list(contacts)
        for contact in everybody:
            self.roster.put(contact)
        for contact in [one for one in everybody if one.standing is Standing.CONTACT][-limits.SCREEN_PAST :]:
            self._open(contact.peer, wanted=True)
        for contact in everybody:
            self.contact(contact)

    def contact(self, contact: Contact) -> None:
        """The service says who a peer is: make or hide the conversation, give out what a stranger had said."""
        peer = contact.peer
        known = self.roster.put(contact)
        conversation = self.conversations.get(peer)
        is_new = known is None or known.standing is not Standing.CONTACT
        if conversation is None and is_new and contact.standing is Standing.CONTACT:
            conversation = self._open(peer, wanted=True)
        if conversation is None:
            return
        was_accepted, before = conversation.accepted, conversation.contact
        conversation.contact, conversation.name = contact, self.roster.name_of(peer)
        if contact.impersonates and (before is None or before.impersonates != contact.impersonates):
            self.fail(f"{conversation.name} uses the name of {contact.impersonates}, but is somebody else.")
        if conversation.accepted and not was_accepted:
            conversation.declined = conversation.refused = False
            held, conversation.held = conversation.held, []
            for event in held:
                if not conversation.knows(event.message_id):
                    self._show_message(conversation, event)
            if conversation.held_lost:
                self.say(f"{conversation.held_lost} more messages came and are in the history.", peer)
        elif was_accepted and not conversation.accepted:
            self._leave(peer)
            if not conversation.blocked:
                del self.conversations[peer]

    def accepted_now(self, peer: str) -> None:
        """The user let a stranger in: show the conversation if no other is open."""
        if self.selected is None:
            self.select(peer)

    def turned_away(self, peer: str) -> None:
        """The user declined a stranger, who may ask again by saying something."""
        conversation = self.conversations.get(peer)
        if conversation is not None:
            conversation.declined = conversation.refused = True
            conversation.held.clear()
            conversation.held_lost = 0
            self.say(f"You declined {conversation.name}.")

    def forget(self, peer: str) -> None:
        """A contact was forgotten, with everything that was said."""
        self.forgotten(peer)
        self.say(f"{log_lines.short_peer(peer)} and all that was said is forgotten.")

    def forgotten(self, peer: str) -> None:
        """The service knows nobody of this id any more; a stranger just turned away stays so."""
        self._leave(peer)
        self.roster.drop(peer)
        conversation = self.conversations.get(peer)
        if conversation is None:
            return
        if conversation.accepted:
            del self.conversations[peer]
        else:
            conversation.contact = None
            conversation.held.clear()

    def _leave(self, peer: str) -> None:
        """Go on to another conversation, if this one is open."""
        if self.selected == peer:
            others = [c.peer for c in self.accepted if c.peer != peer]
            self.selected = None
            if others:
                self.select(others[0])

    def select(self, peer: str) -> None:
        """Show the conversation with `peer`, if it is a contact."""
        contact = self.roster.get(peer)
        if contact is not None and contact.standing is Standing.CONTACT:
            self._open(peer, wanted=True)
        if peer in self.conversations and self.conversations[peer].accepted:
            left, self.selected = self.current, peer
            self.conversations[peer].unread = 0
            if left is not None:
                self._trim(left)

    def select_next(self, step: int) -> None:
        """Select the conversation `step` places further down the list, around the end."""
        peers = [conversation.peer for conversation in self.accepted]
        if peers:
            at = peers.index(self.selected) if self.selected in peers else -step
            self.select(peers[(at + step) % len(peers)])

    def say(self, sentence: str, peer: str | None = None) -> None:
        """Add a quiet line; with `peer`, to that conversation."""
        self._log.add(self.conversations.get(peer) if peer else None, LineKind.NOTE, log_lines.note(sentence))

    def fail(self, sentence: str, peer: str | None = None) -> None:
        """Add a line about something that went wrong."""
        self._log.add(
            self.conversations.get(peer) if peer else None, LineKind.FAILED, log_lines.failed(sentence)
        )

    # --- inside ----------------------------------------------------------------------------------------------

    def _relay_peers(self) -> set[str]:
        return {peer for address in self.relays if (peer := peer_of(address))}

    def _open(self, peer: str, *, wanted: bool = False) -> Conversation | None:
        """Return the conversation with `peer`, made if there is room; None for a stranger too many."""
        conversation = self.conversations.get(peer)
        if conversation is not None:
            return conversation
        if len(self.conversations) >= limits.SCREEN_CONVERSATIONS:
            self._forget_idle()
        full = len(self.conversations) >= limits.SCREEN_CONVERSATIONS
        if not wanted and peer != self.dialing and (full or len(self.strangers) >= limits.SCREEN_STRANGERS):
            self._strangers_lost += 1
            if self._strangers_lost == 1:
                self.fail("Too many strangers are calling; new ones are not shown until some are answered.")
            return None
        conversation = self.conversations[peer] = Conversation(
            peer, self.roster.name_of(peer), self.roster.get(peer), outbound=peer == self.dialing
        )
        return conversation

    def _forget_idle(self) -> None:
        for peer, conversation in list(self.conversations.items()):
            if not (conversation.accepted or conversation.connected or conversation.held):
                del self.conversations[peer]

    def _trim(self, conversation: Conversation) -> None:
        if conversation.peer == self.selected:
            conversation.trim(limits.SCREEN_MESSAGES, limits.SCREEN_MESSAGES_CHARS)
        else:
            conversation.trim(limits.SCREEN_MESSAGES_IDLE, limits.SCREEN_MESSAGES_IDLE_CHARS)

"""One conversation as the screen knows it: its messages in order, its paths, its steps.

A conversation may have a hundred thousand messages, so nothing here looks at all of them when one comes. A message is
named by its serial, which stays the same when older ones are put before it or dropped.
"""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from p2pchat_core import limits
from p2pchat_core.chat.events import ConnectionEvent, MessageEvent, PathKind, StepEvent
from p2pchat_core.chat.model import Standing
from p2pchat_tui.log_lines import LogLine, short_peer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from p2pchat_core.chat.model import Contact

__all__ = ["Conversation", "Delivery", "HistoryMessage", "Message", "OpenPath"]

_FIRST_SERIAL = 1 << 20  # room below for everything older
_SLACK = 64  # trimming a list one by one from its front would cost its whole length each time


class Delivery(enum.Enum):
    """How far one of our messages has come; the value is the sign drawn after it."""

    QUEUED = "◌"
    SENT = "✓"
    DELIVERED = "✓✓"


_STATES = {state.name.lower(): state for state in Delivery}


class HistoryMessage(Protocol):
    """A stored message, as the service's history returns it."""

    @property
    def message_id(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def outgoing(self) -> bool: ...
    @property
    def sent_at(self) -> float: ...
    @property
    def state(self) -> str: ...


@dataclass(slots=True)
class Message:
    """One message, its text as it came: not safe to draw. `state` is None for what the peer said."""

    message_id: str
    text: str
    at: float
    state: Delivery | None = None

    @property
    def outgoing(self) -> bool:
        """Whether we said it."""
        return self.state is not None


@dataclass(slots=True)
class OpenPath:
    """One open connection.

    Attributes:
        opened_at: monotonic seconds when we heard of it.
        carried: bytes of messages that went over it since, either way.
    """

    event: ConnectionEvent
    opened_at: float
    carried: int = 0


@dataclass(slots=True)
class Conversation:
    """Everything known about one peer.

    Attributes:
        name: what the user calls the peer, safe to draw; else the end of the peer id.
        contact: what the service knows of the peer; only it decides whether this is a stranger.
        declined: the user has just turned this stranger away; what is still on its way is not shown.
        refused: they were turned away before, so that connecting again is not yet a reason to ask again.
        outbound: we dialled, so steps 1 and 2 are theirs.
        asked: as much of its history has been asked for as an open conversation shows.
        loading: an older page of the history is under way.
        complete: nothing older is stored.
        first: the serial of the first of `messages`.
        steps: the latest report of each of the eight steps of the present attempt.
    """

    peer: str
    name: str = ""
    contact: Contact | None = None
    declined: bool = False
    refused: bool = False
    outbound: bool = False
    asked: bool = False
    loading: bool = False
    complete: bool = False
    unread: int = 0
    paths: dict[PathKind, OpenPath] = field(default_factory=dict)
    rtt_ms: float | None = None
    round_trips: deque[float] = field(default_factory=lambda: deque(maxlen=limits.SCREEN_ROUND_TRIPS))
    steps: dict[int, StepEvent] = field(default_factory=dict)
    lines: deque[LogLine] = field(default_factory=lambda: deque(maxlen=limits.SCREEN_LOG_LINES))
    messages: list[Message] = field(default_factory=list)
    first: int = _FIRST_SERIAL
    held: list[MessageEvent] = field(default_factory=list)
    held_lost: int = 0
    _by_id: dict[str, Message] = field(default_factory=dict)
    _chars: int = 0
    _early: OrderedDict[str, Delivery] = field(default_factory=OrderedDict)
    """Confirmations that came before the message they belong to."""

    def __post_init__(self) -> None:
        self.name = self.name or short_peer(self.peer)

    @property
    def accepted(self) -> bool:
        """Whether this is a contact; until then what they say waits in `held`."""
        return self.contact is not None and self.contact.standing is Standing.CONTACT

    @property
    def blocked(self) -> bool:
        """Whether the user wants to hear nothing of them."""
        return self.contact is not None and self.contact.standing is Standing.BLOCKED

    @property
    def connected(self) -> bool:
        """Whether any path is open."""
        return bool(self.paths)

    @property
    def waiting(self) -> bool:
        """Whether the user has still to decide about this peer, and there is a reason to ask."""
        if self.accepted or self.blocked or self.declined:
            return False
        return bool(self.held) or (self.connected and not self.refused)

    @property
    def path(self) -> PathKind | None:
        """The best open path: direct before relayed."""
        if PathKind.DIRECT in self.paths:
            return PathKind.DIRECT
        return PathKind.RELAYED if self.paths else None

    @property
    def end(self) -> int:
        """The serial that the next message will have."""
        return self.first + len(self.messages)

    def serial_of(self, message_id: str) -> int | None:
        """Return the serial of a message that is held."""
        message = self._by_id.get(message_id)
        if message is None:
            return None
        return next(self.first + n for n, held in enumerate(self.messages) if held is message)

    def knows(self, message_id: str) -> bool:
        """Whether this message is here already."""
        return message_id in self._by_id

    def message(self, serial: int) -> Message | None:
        """Return the message with this serial, if it is held."""
        index = serial - self.first
        return self.messages[index] if 0 <= index < len(self.messages) else None

    def said_by_us(self) -> list[str]:
        """Return the last texts we sent, newest first."""
        recent = self.messages[-limits.SCREEN_MESSAGES_IDLE :]
        return list(dict.fromkeys(message.text for message in reversed(recent) if message.outgoing))

    def append(self, message: Message) -> None:
        """Add what was said just now."""
        if message.state is not None:
            message.state = self._early.pop(message.message_id, message.state)
        self.messages.append(message)
        self._by_id[message.message_id] = message
        self._chars += len(message.text)
        self.carried(message.text)

    def confirm(self, message_id: str, state: Delivery) -> None:
        """One of our messages has come as far as `state`; going back is no news."""
        message = self._by_id.get(message_id)
        if message is None:
            self._early[message_id] = state
            while len(self._early) > limits.SCREEN_HELD_MESSAGES:
                self._early.popitem(last=False)
        elif message.state is not Delivery.DELIVERED:
            message.state = state

    def remember(self, stored: Sequence[HistoryMessage]) -> None:
        """Put what was said before, oldest first, above what is here."""
        known = self._by_id
        at = next((n for n, message in enumerate(stored) if message.message_id in known), len(stored))
        older = [_restored(message) for message in stored[:at]]
        self.messages[:0] = older
        self.first -= len(older)
        # What the history has and we have not heard of yet will come as an event; this is only its place.
        newer = [_restored(message) for message in stored[at:] if message.message_id not in known]
        self.messages += newer
        for message in (*older, *newer):
            known[message.message_id] = message
            self._chars += len(message.text)

    def begin_page(self) -> str | None:
        """Return the message before which an older page should be read now, and take it for asked."""
        if not self.messages or self.loading or self.complete:
            return None
        if len(self.messages) + limits.SCREEN_HISTORY > limits.SCREEN_MESSAGES:
            return None
        self.loading = True
        return self.messages[0].message_id

    def remember_page(self, stored: Sequence[HistoryMessage], complete: bool) -> bool:
        """Take a page of the history in; True if it is one that was wanted for reading back."""
        older, self.loading = self.loading, False
        self.complete = self.complete or complete
        self.remember(stored)
        return older

    def trim(self, messages: int, chars: int) -> None:
        """Forget the oldest messages beyond these bounds; the history still has them."""
        surplus = len(self.messages) - messages
        if surplus <= _SLACK and self._chars <= chars:
            return
        drop = max(0, surplus)
        dropped = sum(len(message.text) for message in self.messages[:drop])
        while self._chars - dropped > chars and drop < len(self.messages) - 1:
            dropped += len(self.messages[drop].text)
            drop += 1
        for message in self.messages[:drop]:
            self._by_id.pop(message.message_id, None)
        del self.messages[:drop]
        self.first += drop
        self._chars -= dropped
        self.asked = self.asked and not drop
        self.complete = self.complete and not drop

    def carried(self, text: str) -> None:
        """A message travelled by the best path."""
        if self.path is not None:
            self.paths[self.path].carried += len(text.encode("utf-8", "replace"))


def _restored(stored: HistoryMessage) -> Message:
    state = _STATES.get(str(stored.state), Delivery.QUEUED) if stored.outgoing else None
    return Message(stored.message_id, stored.text, stored.sent_at, state)

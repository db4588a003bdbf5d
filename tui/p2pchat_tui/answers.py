"""What comes back to the screen: events of the service, and the results of commands, as Textual messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from p2pchat_core.chat.events import Event
    from p2pchat_core.chat.model import Contact, SearchHit
    from p2pchat_tui.conversation import HistoryMessage
    from p2pchat_tui.services import DialResult

__all__ = [
    "CommandFailed",
    "ContactChanged",
    "ContactsLoaded",
    "Dialed",
    "EventsArrived",
    "Exported",
    "Forgotten",
    "Found",
    "HistoryLoaded",
    "MessageReached",
    "MessageStored",
    "PhraseRead",
    "ServiceFailed",
    "StatusRead",
]


@dataclass
class EventsArrived(Message):
    """Events of the service, in order. The handler calls `done`, and only then are more read."""

    events: Sequence[Event]
    done: Callable[[], None]


@dataclass
class ServiceFailed(Message):
    """The service could not start; `sentence` says why."""

    sentence: str


@dataclass
class Dialed(Message):
    """`connect` succeeded; `contact` is whom it reached, unless that was a relay."""

    address: str
    result: DialResult
    contact: Contact | None


@dataclass
class MessageStored(Message):
    """`send` succeeded."""

    peer: str
    text: str
    message_id: str


@dataclass
class CommandFailed(Message):
    """A command failed. `command` is its name; whom or what it was about is `subject`."""

    command: str
    subject: str
    sentence: str


@dataclass
class HistoryLoaded(Message):
    """A page of what was said with `peer`, oldest first; `complete` if nothing older is stored."""

    peer: str
    messages: Sequence[HistoryMessage]
    complete: bool


@dataclass
class MessageReached(Message):
    """The history is loaded back to this message, if `found`."""

    peer: str
    message_id: str
    found: bool


@dataclass
class StatusRead(Message):
    """Round-trip times by peer, from time to time. A newer one replaces one that waits."""

    rtts: dict[str, float | None]

    def can_replace(self, message: Message) -> bool:
        """Tell Textual that only the newest matters."""
        return isinstance(message, StatusRead)


@dataclass
class ContactsLoaded(Message):
    """Everybody the service knows, at the start."""

    contacts: Sequence[Contact]


@dataclass
class ContactChanged(Message):
    """A command about a contact succeeded; this is how the service knows them now."""

    command: str
    contact: Contact


@dataclass
class Forgotten(Message):
    """A contact and the conversation with it are deleted, or (`declined`) a stranger is turned away."""

    peer: str
    declined: bool


@dataclass
class PhraseRead(Message):
    """The words that both sides of a conversation see."""

    peer: str
    words: Sequence[str]


@dataclass
class Found(Message):
    """What a search for `text` found, newest first. A newer one replaces one that waits."""

    text: str
    hits: Sequence[SearchHit]

    def can_replace(self, message: Message) -> bool:
        """Tell Textual that only the newest matters."""
        return isinstance(message, Found)


@dataclass
class Exported(Message):
    """So many messages were written to a file."""

    path: Path
    count: int

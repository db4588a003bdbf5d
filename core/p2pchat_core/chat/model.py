"""What the chat service is given and what it answers: plain, immutable values."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from p2pchat_core.chat.events import PathKind, RelayState
    from p2pchat_core.chat.paths import PathState
    from p2pchat_core.identity.keys import PrivateKey

__all__ = [
    "ConnectResult",
    "ConnectionStatus",
    "Contact",
    "EchoResult",
    "ExportFormat",
    "MessageState",
    "RelayStatus",
    "Retention",
    "SearchHit",
    "ServiceConfig",
    "Standing",
    "Status",
    "StoredMessage",
]


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """How one chat service runs.

    Attributes:
        data_dir: everything that is kept lives below it: identity, history, lock.
        relays: multiaddrs of relays to reserve on.
        stun: `stun:host:port` URLs used besides the relays' own STUN.
        turn: `turn:user:password@host:port` URLs.
        name: what the user calls themselves.
        contacts_only: refuse what peers say that the user has never connected to.
        identity: used instead of the key in `data_dir`, for one that had to be opened with a passphrase.
        relay_stun: ask the relays themselves for our public address (they answer STUN at their port).
        ephemeral: write nothing but the identity; what is said is forgotten when the program ends.
        retention_days: messages older than this are deleted, unless the contact has its own rule; ``None`` keeps them.
        share_name: contacts may ask for `name`. Nobody else is ever told.
    """

    data_dir: Path
    relays: tuple[str, ...] = ()
    stun: tuple[str, ...] = ()
    turn: tuple[str, ...] = ()
    name: str = ""
    contacts_only: bool = False
    relay_stun: bool = True
    ephemeral: bool = False
    retention_days: int | None = None
    share_name: bool = True
    identity: PrivateKey | None = field(default=None, repr=False)


class MessageState(enum.StrEnum):
    """Where a stored message stands. Peers of the browser page never acknowledge, so theirs end at `sent`."""

    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    RECEIVED = "received"


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One line of a conversation.

    Attributes:
        message_id: 16 random bytes in hexadecimal.
        peer: base58 PeerId of the other side.
        text: as it was typed or came, not made safe for a terminal.
        sent_at: Unix seconds; for received messages when they reached us.
        sequence: counts from 1, separately for what we and what they said.
    """

    message_id: str
    peer: str
    text: str
    outgoing: bool
    sent_at: float
    state: MessageState
    sequence: int


class Standing(enum.StrEnum):
    """What the user thinks of a peer; one that dials in begins as a stranger."""

    STRANGER = "stranger"
    CONTACT = "contact"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what was said in one conversation is kept.

    Attributes:
        days: messages older than this are deleted; ``None`` leaves it to `ServiceConfig.retention_days`.
        ephemeral: nothing of this conversation is written to the disk, and it ends with the program.
    """

    days: int | None = None
    ephemeral: bool = False


@dataclass(frozen=True, slots=True)
class Contact:
    """A peer we know: a contact, a blocked one, or a stranger who asks to be one.

    Attributes:
        peer: base58 PeerId.
        name: what the user calls them, empty if nothing.
        calls_itself: what their program says they are called, empty if nothing. Anybody can say anything; it is
            bounded, and not made safe for a terminal.
        addresses: where they were last reachable, best first.
        verified_at: Unix seconds when the user confirmed that both see the same phrase.
        added_at: Unix seconds when we first heard of them.
        impersonates: the name of a contact whose name this other identity claims, empty as a rule.
    """

    peer: str
    name: str
    calls_itself: str
    notes: str
    addresses: tuple[str, ...]
    standing: Standing
    verified_at: float | None
    added_at: float
    retention: Retention
    impersonates: str = ""


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A message in which all words were found.

    Attributes:
        excerpt: the part of its text around what was found, not made safe for a terminal.
        spans: from where to where in `excerpt` the words are.
    """

    message: StoredMessage
    excerpt: str
    spans: tuple[tuple[int, int], ...]


class ExportFormat(enum.StrEnum):
    """What an exported history looks like."""

    TEXT = "text"
    JSON_LINES = "jsonl"


@dataclass(frozen=True, slots=True)
class ConnectResult:
    """What `connect` reached: a relay that now holds our reservation, or a peer.

    Attributes:
        path: how the peer is reached; ``None`` for a relay.
        rtt_ms: one round trip, if it could be measured.
        remote_address: the multiaddr, or for a direct path `host:port` of the remote candidate when known.
    """

    kind: Literal["relay", "peer"]
    peer: str
    path: PathKind | None
    rtt_ms: float | None
    remote_address: str


@dataclass(frozen=True, slots=True)
class EchoResult:
    """What came back from a peer's echo service, and how long the round trip took."""

    text: str
    rtt_ms: float


@dataclass(frozen=True, slots=True)
class RelayStatus:
    """Our slot on one relay; `expires` is Unix seconds."""

    address: str
    state: RelayState
    expires: float | None


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """One open connection to a peer.

    Attributes:
        rtt_ms: the last measured round trip.
        state: what the conversation makes of it, if there is one.
        reason: a sentence: why it is used, or why not.
    """

    peer: str
    path: PathKind
    limited: bool
    remote_address: str
    rtt_ms: float | None
    state: PathState | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """The whole node at a glance."""

    peer_id: str
    addresses: tuple[str, ...]
    relays: tuple[RelayStatus, ...]
    connections: tuple[ConnectionStatus, ...]

"""What the chat service tells a user interface: typed facts, in the order they happened.

The names are those of the JSON lines (docs/headless.md); a screen and a script hear the same.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from p2pchat_core.chat.model import Contact

__all__ = [
    "ConnectionEvent",
    "ConnectionState",
    "ContactEvent",
    "ErrorEvent",
    "Event",
    "ListeningEvent",
    "MessageEvent",
    "PathKind",
    "ReadyEvent",
    "RelayEvent",
    "RelayState",
    "SentEvent",
    "StepEvent",
]


class PathKind(enum.StrEnum):
    """How a connection travels."""

    DIRECT = "direct"
    RELAYED = "relayed"


class RelayState(enum.StrEnum):
    """Where our slot on one relay stands."""

    CONNECTING = "connecting"
    RESERVED = "reserved"
    LOST = "lost"
    REFUSED = "refused"


class ConnectionState(enum.StrEnum):
    """Whether a connection has just come or gone."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class ReadyEvent:
    """The node runs. `peer_id` is base58."""

    peer_id: str


@dataclass(frozen=True, slots=True)
class ListeningEvent:
    """The complete list of addresses others can dial, whenever it changes; the first is the one to show."""

    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RelayEvent:
    """Our reservation on a relay changed.

    Attributes:
        address: the relay's multiaddr, as configured.
        expires: Unix seconds when the reservation ends, if reserved.
        reason: one sentence, if lost or refused.
    """

    address: str
    state: RelayState
    expires: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StepEvent:
    """One of the eight steps of a connection was done or failed.

    Attributes:
        peer: base58 PeerId the connection is to (for step 1: the relay's).
        step: 1 to 8 as numbered in docs/architecture.md.
        name: the step in a few words.
        ms: milliseconds this step took.
        detail: a line more, such as the failure or the candidate pair; behind it what both sides said in this step.
    """

    peer: str
    step: int
    name: str
    ms: float
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ConnectionEvent:
    """A connection to a peer opened or closed.

    Attributes:
        remote_address: the peer's multiaddr, or for a direct path the remote candidate's `host:port` when known.
        limited: the path is a circuit with a byte or time limit.
        reason: one sentence, when closed.
        limit_bytes: how much the circuit carries in each direction, ``None`` if as much as one likes.
        limit_seconds: how long it may last, ``None`` if as long as one likes.
    """

    peer: str
    path: PathKind
    state: ConnectionState
    remote_address: str
    limited: bool = False
    reason: str = ""
    limit_bytes: int | None = None
    limit_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class ContactEvent:
    """A contact changed, a stranger appeared, or one of them is known no more (`forgotten`)."""

    contact: Contact
    forgotten: bool = False


@dataclass(frozen=True, slots=True)
class MessageEvent:
    """A peer said something.

    Attributes:
        text: as it came, not yet made safe for a terminal.
        message_id: hexadecimal, unique in our history.
        sent_at: Unix seconds; when it reached us, for peers whose protocol carries no time.
        again: it came in an earlier run, which may have told it before it ended.
    """

    peer: str
    text: str
    message_id: str
    sent_at: float
    again: bool = False


@dataclass(frozen=True, slots=True)
class SentEvent:
    """One of our messages was handed to the peer (`delivered` false) or acknowledged by it (true)."""

    peer: str
    message_id: str
    delivered: bool = False


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """Something went wrong outside any command. `code` is a stable word, `error` a sentence."""

    code: str
    error: str
    peer: str = field(default="")


Event = (
    ReadyEvent
    | ListeningEvent
    | RelayEvent
    | StepEvent
    | ConnectionEvent
    | ContactEvent
    | MessageEvent
    | SentEvent
    | ErrorEvent
)

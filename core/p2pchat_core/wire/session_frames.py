"""The frames of `/p2pchat/session/1.0.0` as values, and what is checked of each (docs/session-protocol.md)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.limits import SESSION_MAX_FEATURE, SESSION_MAX_FEATURES
from p2pchat_core.multiformats.varint import length_prefixed
from p2pchat_core.pb import session_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "FAREWELL",
    "ID_SIZE",
    "MAX_SEQUENCE",
    "SESSION_PROTOCOL",
    "SESSION_VERSION",
    "Acknowledged",
    "Farewell",
    "Hello",
    "Message",
    "Position",
    "Welcome",
    "encode_frame",
    "parse_farewell",
    "parse_features",
    "parse_frame",
    "parse_id",
    "resume_at",
]

SESSION_PROTOCOL: Final = "/p2pchat/session/1.0.0"
SESSION_VERSION: Final = 1
ID_SIZE: Final = 16
"""Bytes of a message's id and of a log's."""
MAX_SEQUENCE: Final = 2**62
"""Far beyond use, and a number that fits SQLite and leaves room to add to."""
FAREWELL: Final = "farewell"
"""The feature of those who say good-bye before they close a connection on purpose."""


class Farewell(enum.Enum):
    """Why somebody hangs up on purpose; the values are those on the wire."""

    UNKNOWN = 0
    HUNG_UP = 1
    STOPPED = 2


@dataclass(frozen=True, slots=True)
class Hello:
    """The speaker's first frame.

    Attributes:
        version: the highest it speaks.
        features: what it can do beyond the version.
        log: names the numbering; another log numbers from one again.
        first: the lowest sequence it may still say; all before are acknowledged.
    """

    version: int
    features: frozenset[str]
    log: bytes
    first: int


@dataclass(frozen=True, slots=True)
class Welcome:
    """The listener's first frame.

    Attributes:
        version: the one both speak.
        held: the last sequence it holds of this log, with all before; the speaker goes on with the next.
        held_id: the id of that message, if there is one.
        window: how many messages beyond the last acknowledged one it takes.
    """

    version: int
    features: frozenset[str]
    held: int
    held_id: bytes | None
    window: int


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        message_id: 16 random bytes.
        sent_at: Unix milliseconds by the speaker's clock.
        text: ``None`` if it is of a kind this version does not know.
    """

    sequence: int
    message_id: bytes
    sent_at: int
    text: str | None


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The listener has stored everything up to `held` and takes `window` more."""

    held: int
    window: int


@dataclass(frozen=True, slots=True)
class Position:
    """What a listener has of one speaker: everything of `log` up to `held`, whose id was `held_id`."""

    log: bytes
    held: int
    held_id: bytes | None


def resume_at(position: Position | None, log: bytes, first: int) -> Position:
    """Return where a listener at `position` stands when a speaker says hello.

    With another log it begins anew. Where the speaker knows of acknowledgements that the listener does not (its disk
    went back in time), the speaker cannot say those messages again, so the listener goes on behind them.
    """
    if position is None or position.log != log or position.held < first - 1:
        return Position(log, first - 1, None)
    return position


def encode_frame(frame: pb.Frame) -> bytes:
    """Return a frame as it is written."""
    return length_prefixed(frame.SerializeToString())


def parse_frame(raw: bytes) -> pb.Frame:
    """Parse a frame without its length.

    Raises:
        RemoteProtocolError: it is none.
    """
    frame = pb.Frame()
    try:
        frame.ParseFromString(raw)
    except DecodeError:
        raise RemoteProtocolError("A frame of the session is not well formed.") from None
    return frame


def parse_farewell(farewell: pb.Farewell, shared: frozenset[str]) -> Farewell:
    """Return the reason of a good-bye; those of later versions are unknown.

    Raises:
        RemoteProtocolError: `shared`, the features known to both, do not include it.
    """
    if FAREWELL not in shared:
        raise RemoteProtocolError("The peer said good-bye in a way that was not agreed on.")
    try:
        return Farewell(farewell.reason)
    except ValueError:
        return Farewell.UNKNOWN


def parse_id(raw: bytes, what: str) -> bytes:
    """Check the size of the id of `what` and return it.

    Raises:
        RemoteProtocolError: it is another.
    """
    if len(raw) != ID_SIZE:
        raise RemoteProtocolError(f"The id of a {what} has {len(raw)} bytes instead of {ID_SIZE}.")
    return raw


def parse_features(names: Iterable[str]) -> frozenset[str]:
    """Check how many there are and how long, and return them.

    Raises:
        RemoteProtocolError: too many, or too long.
    """
    found = frozenset(names)
    if len(found) > SESSION_MAX_FEATURES or any(len(name) > SESSION_MAX_FEATURE for name in found):
        raise RemoteProtocolError("The peer names more features than can be true.")
    return found

"""The messages of circuit relay v2 and their bytes (docs/wire.md section 8.1)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from p2pchat_core.errors import AddressError, RemoteProtocolError
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.limits import (
    CIRCUIT_MAX_BYTES,
    CIRCUIT_MAX_SECONDS,
    PROTOBUF_MAX_MESSAGE,
    RESERVATION_MAX_ADDRESSES,
    UNIX_TIME_MAX,
)
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.multiformats.varint import length_prefixed
from p2pchat_core.pb import circuit_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "HOP_PROTOCOL",
    "STOP_PROTOCOL",
    "HopConnect",
    "HopMessage",
    "HopReserve",
    "HopStatus",
    "Limit",
    "Reservation",
    "Status",
    "StopConnect",
    "StopMessage",
    "StopStatus",
    "decode_hop",
    "decode_stop",
    "encode",
]

HOP_PROTOCOL: Final = "/libp2p/circuit/relay/0.2.0/hop"
STOP_PROTOCOL: Final = "/libp2p/circuit/relay/0.2.0/stop"


class Status(enum.IntEnum):
    """How a relay or a target answered. js throws on any other number, so there are no others."""

    UNUSED = 0
    OK = 100
    RESERVATION_REFUSED = 200
    RESOURCE_LIMIT_EXCEEDED = 201
    PERMISSION_DENIED = 202
    CONNECTION_FAILED = 203
    NO_RESERVATION = 204
    MALFORMED_MESSAGE = 400
    UNEXPECTED_MESSAGE = 401


@dataclass(frozen=True, slots=True)
class Limit:
    """What a circuit may carry; that a message has one at all makes the circuit limited (section 8.5).

    Attributes:
        duration: seconds, or ``None`` for no limit of time. js relays write milliseconds here (120000 for 120
            s).
        data: bytes, or ``None`` for no limit of data. go counts each direction, js and rust both together.
    """

    duration: int | None = None
    data: int | None = None


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a relay granted.

    Attributes:
        expire: unix seconds, as the relay's clock has it.
        addresses: where the relay can be reached; those that do not parse are left out.
        voucher: a signed envelope, unverified.
    """

    expire: int
    addresses: tuple[Multiaddr, ...] = ()
    voucher: bytes | None = None


@dataclass(frozen=True, slots=True)
class HopReserve:
    """A client asks its relay for a reservation."""


@dataclass(frozen=True, slots=True)
class HopConnect:
    """A client asks a relay for a circuit to `peer`."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class HopStatus:
    """The relay's answer to either request. `limit` not ``None`` means that the circuit is limited."""

    status: Status
    reservation: Reservation | None = None
    limit: Limit | None = None


@dataclass(frozen=True, slots=True)
class StopConnect:
    """A relay tells the target that `peer` wants to reach it."""

    peer: PeerId
    limit: Limit | None = None


@dataclass(frozen=True, slots=True)
class StopStatus:
    """The target's answer."""

    status: Status
    limit: Limit | None = None


HopMessage = HopReserve | HopConnect | HopStatus
StopMessage = StopConnect | StopStatus


def encode(message: HopMessage | StopMessage) -> bytes:
    """Return `message` as it goes on the wire, with its length in front.

    Enums with the value 0 are written out: js takes a missing type for a malformed message (section 8.1).
    """
    hop, stop = circuit_pb2.HopMessage, circuit_pb2.StopMessage
    match message:
        case HopReserve():
            data = hop(type=hop.RESERVE).SerializeToString()
        case HopConnect(peer):
            data = hop(type=hop.CONNECT, peer=_peer(peer)).SerializeToString()
        case HopStatus(status, reservation, limit):
            data = hop(
                type=hop.STATUS,
                reservation=None if reservation is None else _reservation(reservation),
                limit=None if limit is None else _limit(limit),
                status=circuit_pb2.Status.Name(status),
            ).SerializeToString()
        case StopConnect(peer, limit):
            data = stop(
                type=stop.CONNECT, peer=_peer(peer), limit=None if limit is None else _limit(limit)
            ).SerializeToString()
        case StopStatus(status, limit):
            data = stop(
                type=stop.STATUS,
                limit=None if limit is None else _limit(limit),
                status=circuit_pb2.Status.Name(status),
            ).SerializeToString()
    return length_prefixed(data)


def decode_hop(data: bytes) -> HopMessage:
    """Parse one HOP message, given without its length prefix.

    Raises:
        RemoteProtocolError: it is damaged, lacks what its type needs, or has an unknown type or status.
    """
    message = circuit_pb2.HopMessage()
    _parse(message, data)
    if not message.HasField("type"):
        raise RemoteProtocolError("A HOP message has no type, or one that does not exist.")
    if message.type == circuit_pb2.HopMessage.RESERVE:
        return HopReserve()
    if message.type == circuit_pb2.HopMessage.CONNECT:
        return HopConnect(_read_peer(message))
    return HopStatus(
        _read_status(message),
        _read_reservation(message.reservation) if message.HasField("reservation") else None,
        _read_limit(message.limit) if message.HasField("limit") else None,
    )


def decode_stop(data: bytes) -> StopMessage:
    """Parse one STOP message, given without its length prefix.

    Raises:
        RemoteProtocolError: it is damaged, lacks what its type needs, or has an unknown type or status.
    """
    message = circuit_pb2.StopMessage()
    _parse(message, data)
    if not message.HasField("type"):
        raise RemoteProtocolError("A STOP message has no type, or one that does not exist.")
    limit = _read_limit(message.limit) if message.HasField("limit") else None
    if message.type == circuit_pb2.StopMessage.CONNECT:
        return StopConnect(_read_peer(message), limit)
    return StopStatus(_read_status(message), limit)


def _peer(peer: PeerId) -> circuit_pb2.Peer:
    # No addresses: a js relay parses them all and refuses the request for one it does not know (section 8.3).
    return circuit_pb2.Peer(id=peer.to_bytes())


def _reservation(reservation: Reservation) -> circuit_pb2.Reservation:
    return circuit_pb2.Reservation(
        expire=_clamp(reservation.expire, UNIX_TIME_MAX),
        addrs=[address.to_bytes() for address in reservation.addresses],
        voucher=reservation.voucher,
    )


def _limit(limit: Limit) -> circuit_pb2.Limit:
    return circuit_pb2.Limit(
        duration=None if limit.duration is None else _clamp(limit.duration, CIRCUIT_MAX_SECONDS),
        data=None if limit.data is None else _clamp(limit.data, CIRCUIT_MAX_BYTES),
    )


def _clamp(value: int, maximum: int) -> int:
    return max(0, min(value, maximum))


def _parse(message: circuit_pb2.HopMessage | circuit_pb2.StopMessage, data: bytes) -> None:
    if len(data) > PROTOBUF_MAX_MESSAGE:
        raise RemoteProtocolError(
            f"A relay message has {len(data)} bytes; {PROTOBUF_MAX_MESSAGE} are allowed."
        )
    try:
        message.ParseFromString(data)
    except DecodeError as exc:
        raise RemoteProtocolError("A relay message is damaged.") from exc


def _read_peer(message: circuit_pb2.HopMessage | circuit_pb2.StopMessage) -> PeerId:
    if not message.HasField("peer"):
        raise RemoteProtocolError("A relay's CONNECT message names no peer.")
    try:
        return PeerId.from_bytes(message.peer.id)
    except AddressError as exc:
        raise RemoteProtocolError(f"A relay's CONNECT message names no usable peer: {exc}") from exc


def _read_status(message: circuit_pb2.HopMessage | circuit_pb2.StopMessage) -> Status:
    if not message.HasField("status"):
        raise RemoteProtocolError("A relay's STATUS message has no status, or one that does not exist.")
    return Status(message.status)


def _read_reservation(message: circuit_pb2.Reservation) -> Reservation:
    return Reservation(
        _clamp(message.expire, UNIX_TIME_MAX),
        tuple(_readable(message.addrs)),
        message.voucher if message.HasField("voucher") else None,
    )


def _readable(addresses: Iterable[bytes]) -> Iterable[Multiaddr]:
    found: dict[Multiaddr, None] = {}
    for data in addresses:
        if len(found) == RESERVATION_MAX_ADDRESSES:
            break
        try:
            address = Multiaddr.from_bytes(data)
        except AddressError:
            # go skips them as well; js fails, but a protocol we do not know is no reason to go without a
            # relay.
            continue
        if len(address):
            found[address] = None
    return found


def _read_limit(message: circuit_pb2.Limit) -> Limit:
    # "0 is unlimited" (spec), and so is an absent value.
    return Limit(
        _clamp(message.duration, CIRCUIT_MAX_SECONDS) or None, _clamp(message.data, CIRCUIT_MAX_BYTES) or None
    )

"""Signed envelopes and the two records that travel in them (docs/wire.md section 7.8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from p2pchat_core.errors import AddressError, LocalProtocolError, RemoteProtocolError
from p2pchat_core.identity.keys import PrivateKey, PublicKey
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.limits import IDENTIFY_MAX_ADDRESSES, IDENTIFY_MAX_MESSAGE
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.multiformats.varint import length_prefixed
from p2pchat_core.pb import records_pb2

__all__ = ["PeerRecord", "Voucher", "open_peer_record", "open_voucher", "seal"]


@dataclass(frozen=True, slots=True)
class _Kind:
    """What tells one kind of record from another: the domain it is signed in and its type in the envelope."""

    name: str
    domain: bytes
    payload_type: bytes

    def signed_bytes(self, payload: bytes) -> bytes:
        return length_prefixed(self.domain) + length_prefixed(self.payload_type) + length_prefixed(payload)


_PEER_RECORD: Final = _Kind("peer record", b"libp2p-peer-record", b"\x03\x01")
_VOUCHER: Final = _Kind("relay voucher", b"libp2p-relay-rsvp", b"\x03\x02")


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """Where a peer says it can be reached.

    Attributes:
        peer_id: the peer, which also signs.
        seq: grows with every change; unix milliseconds are usual.
        addresses: without the peer's own ``/p2p`` at the end.
    """

    peer_id: PeerId
    seq: int
    addresses: tuple[Multiaddr, ...]


@dataclass(frozen=True, slots=True)
class Voucher:
    """A relay's word that a peer has a slot there.

    Attributes:
        relay: the relay, which also signs.
        peer: the peer with the reservation.
        expiration: unix seconds.
    """

    relay: PeerId
    peer: PeerId
    expiration: int


def seal(key: PrivateKey, record: PeerRecord | Voucher) -> bytes:
    """Sign a record and return the envelope.

    Raises:
        LocalProtocolError: the key is not that of the peer (or relay) the record speaks for.
    """
    kind, payload, signer = _encode(record)
    if signer != key.peer_id:
        raise LocalProtocolError(f"A {kind.name} of {signer} cannot be signed by {key.peer_id}.")
    return records_pb2.Envelope(
        public_key=key.public_key.to_protobuf(),
        payload_type=kind.payload_type,
        payload=payload,
        signature=key.sign(kind.signed_bytes(payload)),
    ).SerializeToString()


def open_peer_record(data: bytes) -> tuple[PublicKey, PeerRecord]:
    """Check a signed peer record and return its signer's key and the record.

    Addresses of kinds unknown here are left out, and so is what exceeds `IDENTIFY_MAX_ADDRESSES`.

    Raises:
        RemoteProtocolError: it is malformed, of another kind, wrongly signed, or not signed by its peer.
        IdentityError: the signer's key cannot be used.
    """
    key, payload = _open(data, _PEER_RECORD)
    message = records_pb2.PeerRecord()
    _parse(message, payload, _PEER_RECORD.name)
    record = PeerRecord(
        peer_id=_peer(message.peer_id, _PEER_RECORD.name),
        seq=message.seq,
        addresses=tuple(_known_addresses(message)),
    )
    _check_signer(key, record.peer_id, _PEER_RECORD.name)
    return key, record


def open_voucher(data: bytes) -> tuple[PublicKey, Voucher]:
    """Check a relay's reservation voucher and return the relay's key and the voucher.

    Whether it is for us and not yet expired is for the caller to check.

    Raises:
        RemoteProtocolError: it is malformed, of another kind, wrongly signed, or not signed by its relay.
        IdentityError: the signer's key cannot be used.
    """
    key, payload = _open(data, _VOUCHER)
    message = records_pb2.ReservationVoucher()
    _parse(message, payload, _VOUCHER.name)
    voucher = Voucher(
        relay=_peer(message.relay, _VOUCHER.name),
        peer=_peer(message.peer, _VOUCHER.name),
        expiration=message.expiration,
    )
    _check_signer(key, voucher.relay, _VOUCHER.name)
    return key, voucher


def _encode(record: PeerRecord | Voucher) -> tuple[_Kind, bytes, PeerId]:
    if isinstance(record, PeerRecord):
        info = records_pb2.PeerRecord.AddressInfo
        message = records_pb2.PeerRecord(
            peer_id=record.peer_id.to_bytes(),
            seq=record.seq,
            addresses=[info(multiaddr=address.to_bytes()) for address in record.addresses],
        )
        return _PEER_RECORD, message.SerializeToString(), record.peer_id
    voucher = records_pb2.ReservationVoucher(
        relay=record.relay.to_bytes(), peer=record.peer.to_bytes(), expiration=record.expiration
    )
    return _VOUCHER, voucher.SerializeToString(), record.relay


def _open(data: bytes, kind: _Kind) -> tuple[PublicKey, bytes]:
    if len(data) > IDENTIFY_MAX_MESSAGE:
        raise RemoteProtocolError(f"A signed {kind.name} of {len(data)} bytes is too large.")
    envelope = records_pb2.Envelope()
    _parse(envelope, data, kind.name)
    if envelope.payload_type != kind.payload_type:
        raise RemoteProtocolError(
            f"A signed {kind.name} was expected, but the envelope holds something else."
        )
    key = PublicKey.from_protobuf(envelope.public_key)
    # Over the payload as it came: encoded again, it could differ.
    if not key.verify(kind.signed_bytes(envelope.payload), envelope.signature):
        raise RemoteProtocolError(f"The signature of a {kind.name} is wrong.")
    return key, envelope.payload


def _parse(
    message: records_pb2.Envelope | records_pb2.PeerRecord | records_pb2.ReservationVoucher,
    data: bytes,
    name: str,
) -> None:
    try:
        message.ParseFromString(bytes(data))
    except DecodeError as error:
        raise RemoteProtocolError(f"A signed {name} is malformed.") from error


def _peer(multihash: bytes, name: str) -> PeerId:
    try:
        return PeerId.from_bytes(multihash)
    except AddressError as error:
        raise RemoteProtocolError(f"A signed {name} names a peer that is none. {error}") from error


def _check_signer(key: PublicKey, expected: PeerId, name: str) -> None:
    if key.peer_id != expected:
        raise RemoteProtocolError(f"A {name} of {expected} was signed by {key.peer_id}.")


def _known_addresses(message: records_pb2.PeerRecord) -> list[Multiaddr]:
    known = []
    for info in message.addresses[:IDENTIFY_MAX_ADDRESSES]:
        try:
            known.append(Multiaddr.from_bytes(info.multiaddr))
        except AddressError:
            continue  # a transport we do not know
    return known

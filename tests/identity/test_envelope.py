from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from p2pchat_core.errors import IdentityError, LocalProtocolError, RemoteProtocolError
from p2pchat_core.identity.envelope import PeerRecord, Voucher, open_peer_record, open_voucher, seal
from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.limits import IDENTIFY_MAX_ADDRESSES, IDENTIFY_MAX_MESSAGE
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.multiformats.varint import length_prefixed
from p2pchat_core.pb import records_pb2
from tests.support.vectors import vectors

if TYPE_CHECKING:
    from collections.abc import Callable

PEER, OTHER, RELAY = (PrivateKey.from_seed(bytes.fromhex(vector["seed"])) for vector in vectors("ed25519"))
PEER_RECORD, VOUCHER = vectors("envelope")
DOMAINS = {b"\x03\x01": b"libp2p-peer-record", b"\x03\x02": b"libp2p-relay-rsvp"}


def envelope(
    key: PrivateKey, payload: bytes, payload_type: bytes = b"\x03\x01", domain: bytes | None = None
) -> records_pb2.Envelope:
    """Sign any payload, as a hostile peer can."""
    domain = DOMAINS[payload_type] if domain is None else domain
    signed = length_prefixed(domain) + length_prefixed(payload_type) + length_prefixed(payload)
    return records_pb2.Envelope(
        public_key=key.public_key.to_protobuf(),
        payload_type=payload_type,
        payload=payload,
        signature=key.sign(signed),
    )


def test_peer_record_vector() -> None:
    data = bytes.fromhex(PEER_RECORD["envelope"])
    expected = PeerRecord(
        peer_id=PEER.peer_id,
        seq=int(PEER_RECORD["seq"]),
        addresses=tuple(Multiaddr.parse(text) for text in PEER_RECORD["addrs"]),
    )
    key, record = open_peer_record(data)
    assert key == PEER.public_key
    assert record == expected
    assert seal(PEER, expected) == data


def test_voucher_vector() -> None:
    data = bytes.fromhex(VOUCHER["envelope"])
    expected = Voucher(relay=RELAY.peer_id, peer=PEER.peer_id, expiration=VOUCHER["expiration"])
    assert open_voucher(data) == (RELAY.public_key, expected)
    assert seal(RELAY, expected) == data


def test_extreme_values_survive() -> None:
    record = PeerRecord(PEER.peer_id, 2**64 - 1, ())
    assert open_peer_record(seal(PEER, record))[1] == record
    voucher = Voucher(RELAY.peer_id, PEER.peer_id, 0)
    assert open_voucher(seal(RELAY, voucher))[1] == voucher


def test_sealing_for_somebody_else_is_our_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        seal(OTHER, PeerRecord(PEER.peer_id, 1, ()))
    with pytest.raises(LocalProtocolError):
        seal(PEER, Voucher(RELAY.peer_id, PEER.peer_id, 1))


@pytest.mark.parametrize(("vector", "read"), [(PEER_RECORD, open_peer_record), (VOUCHER, open_voucher)])
def test_every_changed_bit_is_noticed(vector: dict[str, Any], read: Callable[[bytes], object]) -> None:
    data = bytes.fromhex(vector["envelope"])
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        with pytest.raises((RemoteProtocolError, IdentityError)):
            read(bytes(changed))


def test_one_kind_is_not_taken_for_the_other() -> None:
    with pytest.raises(RemoteProtocolError, match="relay voucher was expected"):
        open_voucher(bytes.fromhex(PEER_RECORD["envelope"]))
    with pytest.raises(RemoteProtocolError, match="peer record was expected"):
        open_peer_record(bytes.fromhex(VOUCHER["envelope"]))


def test_signature_of_another_domain() -> None:
    payload = bytes.fromhex(PEER_RECORD["payload"])
    assert open_peer_record(envelope(PEER, payload).SerializeToString())[1].peer_id == PEER.peer_id
    with pytest.raises(RemoteProtocolError, match="signature"):
        open_peer_record(envelope(PEER, payload, domain=b"libp2p-relay-rsvp").SerializeToString())


def test_signed_by_somebody_else() -> None:
    with pytest.raises(RemoteProtocolError, match="was signed by"):
        open_peer_record(envelope(OTHER, bytes.fromhex(PEER_RECORD["payload"])).SerializeToString())
    with pytest.raises(RemoteProtocolError, match="was signed by"):
        open_voucher(envelope(PEER, bytes.fromhex(VOUCHER["payload"]), b"\x03\x02").SerializeToString())


@pytest.mark.parametrize("payload", [b"", b"\xff", b"\x0a\x02ab", b"\x10\x01"])
def test_properly_signed_rubbish(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        open_peer_record(envelope(PEER, payload).SerializeToString())
    with pytest.raises(RemoteProtocolError):
        open_voucher(envelope(RELAY, payload, b"\x03\x02").SerializeToString())


@pytest.mark.parametrize("field", ["public_key", "payload_type", "payload", "signature"])
def test_missing_fields(field: str) -> None:
    message = envelope(PEER, bytes.fromhex(PEER_RECORD["payload"]))
    message.ClearField(field)
    with pytest.raises((RemoteProtocolError, IdentityError)):
        open_peer_record(message.SerializeToString())


@pytest.mark.parametrize("data", [b"", b"\x0a", b"\xff" * 100, bytes(IDENTIFY_MAX_MESSAGE + 1)])
def test_not_an_envelope(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        open_peer_record(data)
    with pytest.raises(RemoteProtocolError):
        open_voucher(data)


def test_oversized_envelopes_are_refused_unread() -> None:
    data = bytes.fromhex(PEER_RECORD["envelope"])
    field = b"\x32" + length_prefixed(
        bytes(IDENTIFY_MAX_MESSAGE - len(data) - 3)
    )  # an unknown field to fill it up
    assert len(data + field) == IDENTIFY_MAX_MESSAGE
    assert open_peer_record(data + field)[1].peer_id == PEER.peer_id
    with pytest.raises(RemoteProtocolError, match="too large"):
        open_peer_record(data + field + b"\x38\x00")


def test_unknown_addresses_are_left_out_and_their_number_is_bounded() -> None:
    info = records_pb2.PeerRecord.AddressInfo
    known = Multiaddr.parse("/ip4/192.0.2.7/tcp/1")
    record = records_pb2.PeerRecord(peer_id=PEER.peer_id.to_bytes(), seq=1)
    record.addresses.extend([info(multiaddr=b"\x8f\x4e"), info(), info(multiaddr=known.to_bytes())])
    opened = open_peer_record(envelope(PEER, record.SerializeToString()).SerializeToString())[1]
    assert [str(address) for address in opened.addresses] == [str(known)]
    record.addresses.extend([info(multiaddr=known.to_bytes())] * 100)
    opened = open_peer_record(envelope(PEER, record.SerializeToString()).SerializeToString())[1]
    assert len(opened.addresses) == IDENTIFY_MAX_ADDRESSES - 2

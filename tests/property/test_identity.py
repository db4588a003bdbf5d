"""Any bytes and text are accepted or refused with the documented error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat_core.errors import AddressError, IdentityError, RemoteProtocolError
from p2pchat_core.identity.envelope import PeerRecord, Voucher, open_peer_record, open_voucher, seal
from p2pchat_core.identity.keys import KeyType, PrivateKey, PublicKey
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.multiformats.varint import length_prefixed
from p2pchat_core.pb import records_pb2
from tests.support.vectors import vectors

fast = settings(max_examples=100, deadline=None)

KEYS = [PrivateKey.from_seed(bytes.fromhex(vector["seed"])) for vector in vectors("ed25519")]
PUBLIC_KEYS = [bytes.fromhex(vector["public_protobuf"]) for vector in vectors("keys")]
PRIVATE_KEYS = [bytes.fromhex(vector["private_protobuf"]) for vector in vectors("keys")]
ENVELOPES = [bytes.fromhex(vector["envelope"]) for vector in vectors("envelope")]
PEERS = st.binary(min_size=1, max_size=42).map(lambda key: PeerId.from_bytes(bytes((0, len(key))) + key))
ADDRESSES = st.builds(
    lambda ip, port: Multiaddr.parse(f"/ip4/{ip}/tcp/{port}"), st.ip_addresses(v=4), st.integers(0, 65535)
)


@st.composite
def damaged(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    """Draw good bytes with a few of them changed, some inserted, or the end cut off."""
    data = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(0, 3))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    position = draw(st.integers(0, len(data)))
    data[position:position] = draw(st.binary(max_size=3))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@fast
@given(st.one_of(st.binary(max_size=200), damaged(PUBLIC_KEYS)))
def test_any_public_key(data: bytes) -> None:
    try:
        key = PublicKey.from_protobuf(data)
    except IdentityError:
        return
    again = PublicKey.from_protobuf(key.to_protobuf())
    assert again == key
    assert again.peer_id == key.peer_id
    assert not key.verify(b"data", b"no signature")


@fast
@given(st.sampled_from(KeyType), st.binary(max_size=120))
def test_any_key_of_a_known_kind(kind: KeyType, data: bytes) -> None:
    encoded = bytes((8, kind, 0x12)) + length_prefixed(data)
    for load in (PublicKey.from_protobuf, PrivateKey.from_protobuf):
        try:
            assert load(encoded).type is kind
        except IdentityError:
            continue


@settings(max_examples=50, deadline=None)
@given(damaged([data for data in PRIVATE_KEYS if len(data) < 1000]))
def test_any_private_key(data: bytes) -> None:
    try:
        key = PrivateKey.from_protobuf(data)
    except IdentityError:
        return
    assert key.public_key.verify(b"data", key.sign(b"data"))


@pytest.mark.parametrize("encoded", PUBLIC_KEYS, ids=[vector["name"] for vector in vectors("keys")])
@fast
@given(
    data=st.binary(max_size=50),
    signature=st.one_of(st.binary(max_size=80), st.binary(min_size=512, max_size=512)),
)
def test_verify_never_raises(encoded: bytes, data: bytes, signature: bytes) -> None:
    assert not PublicKey.from_protobuf(encoded).verify(data, signature)


@fast
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_signatures(seed: bytes, data: bytes) -> None:
    key = PrivateKey.from_seed(seed)
    assert key.public_key.verify(data, key.sign(data))
    assert not key.public_key.verify(data + b"\0", key.sign(data))
    assert key.peer_id.inline_key() == key.public_key


@fast
@given(PEERS, st.sampled_from(["base2", "base10", "base16", "base32", "base36", "base58btc", "base64url"]))
def test_peer_ids_survive(peer: PeerId, base: str) -> None:
    assert PeerId.parse(str(peer)) == peer
    assert PeerId.parse(peer.to_cid(base)) == peer
    assert PeerId.from_bytes(peer.to_bytes()) == peer
    assert PeerId.of(peer.as_multiaddr()) == peer
    peer.inline_key()


@fast
@given(st.one_of(st.binary(max_size=60), damaged([KEYS[0].peer_id.to_bytes()])))
def test_any_bytes_as_peer_id(data: bytes) -> None:
    try:
        peer = PeerId.from_bytes(data)
    except AddressError:
        return
    assert PeerId.parse(str(peer)).to_bytes() == data
    peer.inline_key()


@fast
@given(st.sampled_from(KEYS), st.integers(0, 2**64 - 1), st.lists(ADDRESSES, max_size=5))
def test_peer_records_survive(key: PrivateKey, seq: int, addresses: list[Multiaddr]) -> None:
    record = PeerRecord(key.peer_id, seq, tuple(addresses))
    assert open_peer_record(seal(key, record)) == (key.public_key, record)


@fast
@given(st.sampled_from(KEYS), PEERS, st.integers(0, 2**64 - 1))
def test_vouchers_survive(key: PrivateKey, peer: PeerId, expiration: int) -> None:
    voucher = Voucher(key.peer_id, peer, expiration)
    assert open_voucher(seal(key, voucher)) == (key.public_key, voucher)


@fast
@given(st.one_of(st.binary(max_size=300), damaged(ENVELOPES)))
def test_any_envelope(data: bytes) -> None:
    for read in (open_peer_record, open_voucher):
        try:
            opened: tuple[PublicKey, object] = read(data)
        except (RemoteProtocolError, IdentityError):
            continue
        assert opened[0].peer_id in {key.peer_id for key in KEYS}


@fast
@given(st.sampled_from(KEYS), st.binary(max_size=200), st.booleans())
def test_any_payload_properly_signed(key: PrivateKey, payload: bytes, voucher: bool) -> None:
    payload_type, domain = (b"\3\2", b"libp2p-relay-rsvp") if voucher else (b"\3\1", b"libp2p-peer-record")
    signed = length_prefixed(domain) + length_prefixed(payload_type) + length_prefixed(payload)
    data = records_pb2.Envelope(
        public_key=key.public_key.to_protobuf(),
        payload_type=payload_type,
        payload=payload,
        signature=key.sign(signed),
    ).SerializeToString()
    with pytest.raises(RemoteProtocolError):
        open_voucher(data) if voucher else open_peer_record(data)

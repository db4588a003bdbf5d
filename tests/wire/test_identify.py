"""Identify: both directions, merging, limits, and what is verified."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from p2pchat_core.errors import LocalProtocolError, RemoteProtocolError
from p2pchat_core.identity.envelope import PeerRecord, seal
from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.limits import (
    IDENTIFY_MAX_ADDRESSES,
    IDENTIFY_MAX_AGENT,
    IDENTIFY_MAX_MESSAGE,
    IDENTIFY_MAX_PARTS,
    IDENTIFY_MAX_PROTOCOL_NAME,
    IDENTIFY_MAX_PROTOCOLS,
    IDENTIFY_MAX_SENT,
)
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.multiformats.varint import decode_uvarint, length_prefixed
from p2pchat_core.pb import identify_pb2
from p2pchat_core.wire.identify import Identify, IdentifyReader, encode, verify
from tests.support.vectors import vectors

KEY_A = PrivateKey.from_seed(bytes(range(32)))
KEY_B = PrivateKey.from_seed(bytes(range(32, 64)))
RELAY = "/ip4/127.0.0.1/tcp/57708/ws/p2p/12D3KooWCKq9ZvccjmCqhBbPsrgpAKBHWQpgB61ruM19CyAvH1Cp"
LISTEN = tuple(map(Multiaddr.parse, (f"{RELAY}/p2p-circuit/webrtc", f"{RELAY}/p2p-circuit")))
PROTOCOLS = (
    "/ipfs/id/1.0.0",
    "/ipfs/id/push/1.0.0",
    "/ipfs/ping/1.0.0",
    "/libp2p/circuit/relay/0.2.0/stop",
    "/webrtc-signaling/0.0.1",
)


def _read(data: bytes, chunk: int = 1 << 20) -> Identify:
    reader = IdentifyReader()
    for start in range(0, len(data), chunk):
        reader.receive_data(data[start : start + chunk])
    return reader.receive_eof()


def _message(**fields: Any) -> bytes:
    return length_prefixed(identify_pb2.Identify(**fields).SerializeToString())


def _signed(identify: Identify, peer: PeerId) -> tuple[Multiaddr, ...]:
    record = verify(identify, peer)
    assert record is not None
    assert record.peer_id == peer
    return record.addresses


@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_vectors(chunk: int) -> None:
    answer, push, relay = (_read(bytes.fromhex(entry["wire"]), chunk) for entry in vectors("identify"))
    assert dataclasses.replace(answer, signed_peer_record=None) == Identify(
        public_key=KEY_A.public_key.to_protobuf(),
        listen_addresses=LISTEN,
        protocols=PROTOCOLS,
        observed_address=Multiaddr.parse("/ip4/127.0.0.1/tcp/54474/ws"),
        protocol_version="ipfs/0.1.0",
        agent_version="test/1.0.0",
    )
    assert _signed(answer, KEY_A.peer_id) == LISTEN
    assert push == dataclasses.replace(answer, public_key=None, observed_address=None)
    assert _signed(push, KEY_A.peer_id) == LISTEN
    assert relay.agent_version == "relay/1.0.0"
    assert relay.protocols == ("/ipfs/id/1.0.0", "/libp2p/circuit/relay/0.2.0/hop")
    assert verify(relay, PrivateKey.from_seed(bytes(range(64, 96))).peer_id) is None


def test_round_trip() -> None:
    for entry in vectors("identify"):
        identify = _read(bytes.fromhex(entry["wire"]))
        assert _read(encode(identify)) == identify


def test_empty_fields_are_not_written() -> None:
    """Empty bytes are no address and no key; js would fail on some of them."""
    assert encode(Identify(protocol_version="p", agent_version="a")) == _message(
        protocolVersion="p", agentVersion="a"
    )


def test_parts_are_merged_lists_grow_and_the_last_value_stays() -> None:
    data = (
        _message(protocols=["/a"], agentVersion="old", listenAddrs=[LISTEN[0].to_bytes()])
        + _message(protocols=["/b", "/a"], agentVersion="new", listenAddrs=[LISTEN[1].to_bytes()])
        + _message(signedPeerRecord=b"envelope")
    )
    assert _read(data, 1) == Identify(
        listen_addresses=LISTEN, protocols=("/a", "/b"), agent_version="new", signed_peer_record=b"envelope"
    )


def test_too_many_parts() -> None:
    part = _message(agentVersion="x")
    assert _read(part * IDENTIFY_MAX_PARTS).agent_version == "x"
    with pytest.raises(RemoteProtocolError, match="more than 10"):
        _read(part * (IDENTIFY_MAX_PARTS + 1))


def test_oversized_part_is_refused_from_its_prefix() -> None:
    with pytest.raises(RemoteProtocolError):
        IdentifyReader().receive_data(length_prefixed(bytes(IDENTIFY_MAX_MESSAGE + 1))[:2])


@pytest.mark.parametrize(
    "data", [b"", b"\x05", b"\x80", b"\x05\x32\x01", _message(agentVersion="x") + b"\x01"]
)
def test_early_end(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="before its message was complete"):
        _read(data)


def test_damaged_message() -> None:
    with pytest.raises(RemoteProtocolError, match="damaged"):
        _read(b"\x02\xff\xff")


def test_unusable_entries_are_left_out_not_fatal() -> None:
    identify = _read(
        _message(
            listenAddrs=[b"\xff\x7f", b"", LISTEN[0].to_bytes(), LISTEN[0].to_bytes()],
            observedAddr=b"\xff",
            protocols=["", "/ok", "/with\nnewline", "x" * (IDENTIFY_MAX_PROTOCOL_NAME + 1), "/ok"],
            signedPeerRecord=b"",
        )
    )
    assert identify == Identify(listen_addresses=(LISTEN[0],), protocols=("/ok",))


def test_more_than_we_keep() -> None:
    addresses = [Multiaddr.parse(f"/ip4/10.0.0.{index}/tcp/1/ws").to_bytes() for index in range(200)]
    identify = _read(_message(listenAddrs=addresses, protocols=[f"/{index}" for index in range(300)]))
    assert len(identify.listen_addresses) == IDENTIFY_MAX_ADDRESSES
    assert len(identify.protocols) == IDENTIFY_MAX_PROTOCOLS


def test_version_texts_are_printable_and_bounded() -> None:
    identify = _read(_message(agentVersion="\x1b[31mevil\u202e" + "y" * 1000, protocolVersion="ipfs/0.1.0\n"))
    assert identify.agent_version.startswith("�[31mevil�yyy")
    assert len(identify.agent_version) == IDENTIFY_MAX_AGENT
    assert identify.protocol_version == "ipfs/0.1.0�"


def test_text_that_is_not_utf8() -> None:
    data = b"\x1a\x02\xff\xfe" + b"\x1a\x02/a" + b"\x32\x02\xff\xfe"
    identify = _read(length_prefixed(data))
    assert identify.agent_version == "��"
    assert identify.protocols[-1] == "/a"


def _size(data: bytes) -> int:
    length, start = decode_uvarint(data)
    assert start + length == len(data)
    return length


def test_long_identify_is_trimmed_from_the_end() -> None:
    addresses = tuple(Multiaddr.parse(f"/dns4/{'x' * 60}.example/tcp/{port}/tls/ws") for port in range(1, 65))
    protocols = tuple(f"/protocol/{index}" for index in range(20))
    data = encode(Identify(b"key", addresses, protocols, signed_peer_record=b"r" * 2000))
    assert IDENTIFY_MAX_SENT - 100 < _size(data) <= IDENTIFY_MAX_SENT
    identify = _read(data)
    assert identify.listen_addresses == addresses[: len(identify.listen_addresses)]
    assert identify.protocols == protocols
    assert identify.signed_peer_record == b"r" * 2000


def test_many_long_protocols_are_trimmed_last() -> None:
    protocols = tuple(f"/{index:03}/{'p' * 200}" for index in range(100))
    data = encode(Identify(listen_addresses=LISTEN, protocols=protocols))
    assert _size(data) <= IDENTIFY_MAX_SENT
    assert _read(data).protocols[0] == protocols[0]


def test_signed_record_that_takes_more_than_half_is_left_out() -> None:
    assert _read(encode(Identify(signed_peer_record=b"r" * 3000))).signed_peer_record is None


def test_texts_that_cannot_be_sent() -> None:
    assert _read(encode(Identify(agent_version="a\ud800\n"))).agent_version == "a��"
    with pytest.raises(LocalProtocolError):
        encode(Identify(protocols=("/\ud800",)))


def _record(key: PrivateKey) -> bytes:
    return seal(key, PeerRecord(key.peer_id, 1, LISTEN))


@pytest.mark.parametrize(
    "identify",
    [
        Identify(public_key=KEY_B.public_key.to_protobuf()),
        Identify(public_key=b"\x08\x01\x12\x05short"),
        Identify(public_key=b""),
        Identify(signed_peer_record=_record(KEY_B)),
        Identify(public_key=KEY_A.public_key.to_protobuf(), signed_peer_record=_record(KEY_B)),
        Identify(signed_peer_record=_record(KEY_A)[:-1] + b"\x00"),
        Identify(signed_peer_record=b"garbage"),
        Identify(signed_peer_record=b"\x0a\x02\x08\x09\x12\x02\x03\x01"),
    ],
    ids=[
        "other key",
        "bad key",
        "empty key",
        "other record",
        "good key, other record",
        "signature",
        "garbage",
        "record key",
    ],
)
def test_what_is_not_signed_by_the_peer_is_refused(identify: Identify) -> None:
    with pytest.raises(RemoteProtocolError):
        verify(identify, KEY_A.peer_id)


def test_verified() -> None:
    assert verify(Identify(), KEY_A.peer_id) is None
    identify = Identify(KEY_A.public_key.to_protobuf(), signed_peer_record=_record(KEY_A))
    assert _signed(identify, KEY_A.peer_id) == LISTEN

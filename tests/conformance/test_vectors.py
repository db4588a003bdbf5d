"""Examples that others publish: multihash, unsigned varints, STUN."""

from __future__ import annotations

import struct
import zlib

import pytest

from p2pchat_core.errors import AddressError, RemoteProtocolError
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.multiformats.multihash import IDENTITY, SHA2_256, Multihash
from p2pchat_core.multiformats.varint import decode_uvarint, encode_uvarint
from p2pchat_relay.stun import Endpoint, StunResponder, parse_binding_request

# --- multihash ---------------------------------------------------------------------------------------------------

# SHA-256 of the standard's own examples (FIPS 180-4), behind the code and the length.
_EMPTY = "1220e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_ABC = "1220ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(("data", "encoded"), [(b"", _EMPTY), (b"abc", _ABC)])
def test_multihash(data: bytes, encoded: str) -> None:
    made = Multihash.sha2_256(data)
    assert made.to_bytes().hex() == encoded
    assert Multihash.from_bytes(bytes.fromhex(encoded)) == made
    assert PeerId.from_bytes(bytes.fromhex(encoded)).to_bytes().hex() == encoded


@pytest.mark.parametrize("size", [0, 10, 20, 31, 33])
def test_shortened_hashes_name_nobody(size: int) -> None:
    """The first bytes of a hash are a multihash too, but no libp2p program makes or takes such a peer id."""
    shortened = bytes([SHA2_256, size]) + bytes.fromhex(_ABC + "00")[2 : 2 + size]
    with pytest.raises(AddressError, match="such a hash has 32"):
        Multihash.from_bytes(shortened)


@pytest.mark.parametrize("size", [0, 1, 36, 42, 127, 128])
def test_identity(size: int) -> None:
    """The published tables have no row for it: the digest is the data itself."""
    data = bytes(range(256))[:size]
    encoded = b"\x00" + encode_uvarint(size) + data
    assert Multihash.from_bytes(encoded) == Multihash(IDENTITY, data)
    assert Multihash(IDENTITY, data).to_bytes() == encoded
    assert Multihash(SHA2_256, data) != Multihash(IDENTITY, data)


# --- unsigned varints ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(1, "01"), (127, "7f"), (128, "8001"), (255, "ff01"), (300, "ac02"), (16384, "808001")],
)
def test_unsigned_varint(value: int, encoded: str) -> None:
    assert encode_uvarint(value).hex() == encoded
    assert decode_uvarint(bytes.fromhex(encoded)) == (value, len(encoded) // 2)


def test_a_varint_is_minimal_and_has_nine_bytes_at_most() -> None:
    for wrong in ("8100", "80" * 9 + "01", "ff" * 10):
        with pytest.raises(RemoteProtocolError):
            decode_uvarint(bytes.fromhex(wrong))
    assert decode_uvarint(bytes.fromhex("ff" * 8 + "7f")) == (2**63 - 1, 9)


# --- STUN (RFC 5769) -----------------------------------------------------------------------------------------------

REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae"
    "802200105354554e207465737420636c69656e74"
    "002400046e0001ff80290008932ff9b151263b36"
    "000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004e57a3bcf"
)
"""Section 2.1: a request as ICE sends it."""
_AT = Endpoint("0.0.0.0", 3478)


def _respond(data: bytes) -> bytes | None:
    answer = StunResponder(0.0).respond(data, "192.0.2.1", 32853, 0.0, at=_AT)
    return None if answer is None else answer.data


def test_the_request_of_ice_is_read_to_its_fingerprint() -> None:
    """Its PRIORITY must be understood by whoever answers; a server that is no ICE agent names it in error 420."""
    request = parse_binding_request(REQUEST)
    assert request is not None
    assert request.unknown == (0x0024,)
    answer = _respond(REQUEST)
    assert answer is not None
    assert answer[:2] == b"\x01\x11"
    assert answer[8:20] == bytes.fromhex("b7e7a701bc34d686fa87dfae")
    assert answer.endswith(bytes.fromhex("000a000200240000"))


def test_any_changed_byte_of_it_is_noticed() -> None:
    fingerprint = len(REQUEST) - 8  # with another code it would be another attribute
    for index in (*range(fingerprint), *range(fingerprint + 2, len(REQUEST))):
        changed = bytearray(REQUEST)
        changed[index] ^= 1
        assert parse_binding_request(bytes(changed)) is None, index


def test_without_its_priority_it_is_answered_with_the_address_of_the_example() -> None:
    """Section 2.2: 192.0.2.1 port 32853, as XOR-MAPPED-ADDRESS of the same transaction."""
    start, end = 40, 48
    assert REQUEST[start : start + 2] == b"\x00\x24"
    shorter = bytearray(REQUEST[:start] + REQUEST[end:-8])
    struct.pack_into("!H", shorter, 2, len(shorter) + 8 - 20)
    shorter += struct.pack("!HHI", 0x8028, 4, zlib.crc32(shorter) ^ 0x5354554E)
    answer = _respond(bytes(shorter))
    assert answer is not None
    assert answer[:2] == b"\x01\x01"
    assert answer[20:] == bytes.fromhex("002000080001a147e112a643")

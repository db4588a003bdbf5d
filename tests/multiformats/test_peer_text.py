from __future__ import annotations

import hashlib

import pytest

from p2pchat_core.errors import AddressError
from p2pchat_core.multiformats import multibase
from p2pchat_core.multiformats.base58 import b58encode
from p2pchat_core.multiformats.peer_text import cid_text, decode_peer_text, parse_peer_multihash

HASHED = b"\x12\x20" + hashlib.sha256(b"a key").digest()
INLINE = b"\x00\x24\x08\x01\x12\x20" + bytes(range(32))


@pytest.mark.parametrize("multihash", [HASHED, INLINE])
@pytest.mark.parametrize(
    "base", ["base2", "base10", "base16upper", "base32", "base36", "base58btc", "base64urlpad"]
)
def test_every_text_form(multihash: bytes, base: str) -> None:
    assert decode_peer_text(b58encode(multihash)) == multihash
    assert decode_peer_text(cid_text(multihash, base)) == multihash


@pytest.mark.parametrize("size", [1, 36, 37, 42])
def test_inlined_keys_of_possible_size(size: int) -> None:
    assert parse_peer_multihash(bytes((0, size)) + b"k" * size).digest == b"k" * size


@pytest.mark.parametrize("data", [b"\x00\x00", b"\x00\x2b" + b"k" * 43, b"\x11\x14" + b"h" * 20, b""])
def test_hashes_that_are_no_peer_ids(data: bytes) -> None:
    with pytest.raises(AddressError):
        parse_peer_multihash(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "11",
        "Q",
        "hello",
        "12D3KooW",
        multibase.encode("base32", b"\x01\x70" + HASHED),  # a CID, of a file
        multibase.encode("base32", b"\x00\x72" + HASHED),
        multibase.encode("base32", b"\x81\x00\x72" + HASHED),
        multibase.encode("base32", b"\x01"),
        multibase.encode("base58btc", HASHED),  # a multihash that is not a CID
        b58encode(HASHED) + "\n",
        "Q" * 1_000_000,
    ],
)
def test_not_a_peer_id(text: str) -> None:
    with pytest.raises(AddressError, match=r"is not a peer id\..* A peer id looks like") as caught:
        decode_peer_text(text)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()

"""The multihash inside a peer id: its rules and its two text forms (docs/wire.md section 2)."""

from __future__ import annotations

from typing import Final

from p2pchat_core.errors import AddressError, RemoteProtocolError
from p2pchat_core.limits import MAX_MULTIADDR_TEXT
from p2pchat_core.multiformats import multibase
from p2pchat_core.multiformats.base58 import b58decode
from p2pchat_core.multiformats.multihash import IDENTITY, SHA2_256, Multihash
from p2pchat_core.multiformats.quoting import quoted, unprintable_character
from p2pchat_core.multiformats.varint import decode_uvarint, encode_uvarint

__all__ = ["MAX_INLINE_KEY", "cid_text", "decode_peer_text", "parse_peer_multihash"]

MAX_INLINE_KEY: Final = 42
"""A public key of up to this many bytes is the peer id itself; a longer one is hashed."""

_CID_V1: Final = 1
_LIBP2P_KEY: Final = 0x72
_ADVICE: Final = "A peer id looks like 12D3KooW…, 52 characters; copy it again from where it was shown."


def parse_peer_multihash(data: bytes) -> Multihash:
    """Parse a multihash and check that it can be a peer id.

    Raises:
        AddressError: it is malformed, or neither an inlined key of 1 to 42 bytes nor a sha2-256 digest.
    """
    parsed = Multihash.from_bytes(data)
    if parsed.code not in (IDENTITY, SHA2_256):
        raise AddressError(f"It was made with hash function 0x{parsed.code:x}, which peer ids do not use.")
    if parsed.code == IDENTITY and not 0 < len(parsed.digest) <= MAX_INLINE_KEY:
        raise AddressError(
            f"It holds a key of {len(parsed.digest)} bytes; 1 to {MAX_INLINE_KEY} are possible."
        )
    return parsed


def decode_peer_text(text: str) -> bytes:
    """Return the multihash of a peer id written in base58btc or as a CID in any multibase.

    Raises:
        AddressError: the text is neither.
    """
    if len(text) > MAX_MULTIADDR_TEXT or unprintable_character(text) is not None or not text:
        raise AddressError(f"{quoted(text)} is not a peer id. {_ADVICE}")
    try:
        data = b58decode(text) if text[0] in "1Q" else _cid_multihash(text)
        parse_peer_multihash(data)
    except AddressError as error:
        raise AddressError(f"{quoted(text)} is not a peer id. {error} {_ADVICE}") from error
    return data


def cid_text(data: bytes, base: str = "base32") -> str:
    """Return a peer id's multihash as CIDv1 with codec libp2p-key."""
    return multibase.encode(base, encode_uvarint(_CID_V1) + encode_uvarint(_LIBP2P_KEY) + data)


def _cid_multihash(text: str) -> bytes:
    data = multibase.decode(text)
    try:
        version, offset = decode_uvarint(data)
        codec, offset = decode_uvarint(data, offset)
    except RemoteProtocolError as error:
        raise AddressError("Its version or codec is malformed.") from error
    if version != _CID_V1 or codec != _LIBP2P_KEY:
        raise AddressError("It is the CID of something else than a peer.")
    return data[offset:]

"""Multihash: a digest behind the code of its function and its length."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from p2pchat_core.errors import AddressError, RemoteProtocolError
from p2pchat_core.multiformats.varint import decode_uvarint, encode_uvarint, length_prefixed

__all__ = ["IDENTITY", "SHA2_256", "Multihash"]

IDENTITY: Final = 0x00
"""The digest is the data itself; short public keys use it."""
SHA2_256: Final = 0x12
_MAX_DIGEST: Final = 128


@dataclass(frozen=True, slots=True)
class Multihash:
    """A hash function's code and a digest made with it."""

    code: int
    digest: bytes

    @classmethod
    def sha2_256(cls, data: bytes) -> Multihash:
        """Hash `data` with SHA-256."""
        return cls(SHA2_256, hashlib.sha256(data).digest())

    @classmethod
    def from_bytes(cls, data: bytes) -> Multihash:
        """Parse one whole multihash.

        Raises:
            AddressError: a number in it is malformed, or the digest has not the length it should have.
        """
        try:
            code, offset = decode_uvarint(data)
            length, offset = decode_uvarint(data, offset)
        except RemoteProtocolError as error:
            raise AddressError("Its hash code or length is malformed.") from error
        if length != len(data) - offset or length > _MAX_DIGEST:
            raise AddressError(f"It announces a hash of {length} bytes, but {len(data) - offset} are there.")
        if code == SHA2_256 and length != 32:
            raise AddressError(f"It announces a sha2-256 hash of {length} bytes; such a hash has 32.")
        return cls(code, bytes(data[offset:]))

    def to_bytes(self) -> bytes:
        """Return the encoded form."""
        return encode_uvarint(self.code) + length_prefixed(self.digest)

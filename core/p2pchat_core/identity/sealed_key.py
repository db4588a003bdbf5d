"""A private key under a passphrase: scrypt (RFC 7914) makes the key of a ChaCha20-Poly1305 box (RFC 8439).

As text, so that it survives being pasted or printed. Inside the base64: one byte log2 of scrypt's cost N (r = 8,
p = 1), 16 bytes salt, 12 bytes nonce, then the libp2p protobuf of the key, sealed with what stands before it as
associated data.
"""

from __future__ import annotations

import base64
import binascii
import textwrap
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from p2pchat_core.errors import IdentityError, WrongPassphraseError
from p2pchat_core.identity.keys import PrivateKey

__all__ = ["NONCE_SIZE", "SALT_SIZE", "is_sealed", "open_sealed_key", "seal_key"]

SALT_SIZE: Final = 16
NONCE_SIZE: Final = 12
_HEADER_SIZE: Final = 1 + SALT_SIZE + NONCE_SIZE
_BEGIN: Final = b"-----BEGIN P2PCHAT SEALED KEY-----"
_END: Final = b"-----END P2PCHAT SEALED KEY-----"
_COST: Final = 17
"""128 MiB and about half a second for each guess."""
_COSTS: Final = range(14, 19)
"""What is read: less protects nothing, more is a file that wants to exhaust our memory (18: 256 MiB)."""


def is_sealed(data: bytes) -> bool:
    """Return whether `data` is, or claims to be, a key under a passphrase."""
    return data.lstrip().startswith(_BEGIN)


def seal_key(key: PrivateKey, passphrase: bytes, *, salt: bytes, nonce: bytes) -> bytes:
    """Return `key` as text that only `passphrase` opens. Takes 128 MiB for about half a second.

    Args:
        passphrase: its bytes in UTF-8; not empty.
        salt, nonce: `SALT_SIZE` and `NONCE_SIZE` random bytes, never used before.
    """
    if not passphrase:
        raise IdentityError("An empty passphrase protects nothing.")
    header = bytes([_COST]) + salt + nonce
    box = ChaCha20Poly1305(_stretch(passphrase, salt, _COST)).encrypt(nonce, key.to_protobuf(), header)
    lines = textwrap.wrap(base64.b64encode(header + box).decode(), 64)
    return b"\n".join([_BEGIN, *(line.encode() for line in lines), _END, b""])


def open_sealed_key(data: bytes, passphrase: bytes) -> PrivateKey:
    """Return the key in `data`. Takes up to 256 MiB for about a second.

    Raises:
        WrongPassphraseError: the passphrase is wrong, or a byte was changed; the two cannot be told apart.
        IdentityError: it is damaged in a way that no passphrase mends.
    """
    cost, salt, nonce, header, box = _parse(data)
    try:
        plain = ChaCha20Poly1305(_stretch(passphrase, salt, cost)).decrypt(nonce, box, header)
    except InvalidTag:
        raise WrongPassphraseError("The passphrase of the key is wrong.") from None
    return PrivateKey.from_protobuf(plain)


def _parse(data: bytes) -> tuple[int, bytes, bytes, bytes, bytes]:
    """Return cost, salt, nonce, the three of them as they stand, and the box."""
    text = data.strip()
    if not (text.startswith(_BEGIN) and text.endswith(_END)):
        raise IdentityError("The sealed key is not complete.")
    try:
        body = b"".join(text[len(_BEGIN) : -len(_END)].split())
        raw = base64.b64decode(body, validate=True)
    except binascii.Error:
        raise IdentityError("The sealed key is damaged.") from None
    header, box = raw[:_HEADER_SIZE], raw[_HEADER_SIZE:]
    if len(header) < _HEADER_SIZE or not box:
        raise IdentityError("The sealed key is damaged.")
    if header[0] not in _COSTS:
        raise IdentityError(f"The sealed key asks for a work of 2^{header[0]}, which is not done here.")
    return header[0], header[1 : 1 + SALT_SIZE], header[1 + SALT_SIZE :], header, box


def _stretch(passphrase: bytes, salt: bytes, cost: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=1 << cost, r=8, p=1).derive(passphrase)

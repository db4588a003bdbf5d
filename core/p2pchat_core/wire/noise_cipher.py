"""The cryptography of Noise_XX_25519_ChaChaPoly_SHA256: one cipher per direction, one hash and one chain of keys."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from p2pchat_core import limits
from p2pchat_core.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["Cipher", "SymmetricState"]

# The name has exactly 32 bytes, so it is the first handshake hash as it stands (Noise, section 5.2).
_PROTOCOL_NAME: Final = b"Noise_XX_25519_ChaChaPoly_SHA256"


class Cipher:
    """One key and its counter: "the nonce is 32 bits of zeros followed by a little-endian 64-bit counter"."""

    def __init__(self, key: bytes) -> None:
        self._aead = ChaCha20Poly1305(key)
        self._count = 0

    def _nonce(self) -> bytes | None:
        if self._count >= limits.NOISE_MAX_MESSAGES:
            return None
        nonce = self._count.to_bytes(12, "little")
        self._count += 1
        return nonce[8:] + nonce[:8]

    def encrypt(self, plaintext: bytes | memoryview, associated: bytes = b"") -> bytes:
        """Return the ciphertext and its tag of 16 bytes.

        Raises:
            LocalProtocolError: `limits.NOISE_MAX_MESSAGES` messages have been encrypted.
        """
        nonce = self._nonce()
        if nonce is None:
            raise LocalProtocolError(
                "This connection has sent all that its key may encrypt; it has to be made anew."
            )
        return self._aead.encrypt(nonce, plaintext, associated)

    def decrypt(self, ciphertext: bytes | memoryview, associated: bytes = b"") -> bytes:
        """Return the plaintext.

        Raises:
            RemoteProtocolError: the message is not the next one of the peer, unchanged.
        """
        nonce = self._nonce()
        if nonce is None:
            raise RemoteProtocolError("The peer sent more than one key may encrypt.")
        try:
            return self._aead.decrypt(nonce, ciphertext, associated)
        except InvalidTag:
            raise RemoteProtocolError(
                "Data from the peer was damaged or forged: it could not be decrypted."
            ) from None


def _hkdf(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    temporary = hmac.digest(chaining_key, material, "sha256")
    first = hmac.digest(temporary, b"\x01", "sha256")
    return first, hmac.digest(temporary, first + b"\x02", "sha256")


class SymmetricState:
    """The hash of everything said, and the chain of keys (SymmetricState in the Noise specification)."""

    def __init__(self, prologue: bytes) -> None:
        self.hash = self._chaining_key = _PROTOCOL_NAME
        self._cipher: Cipher | None = None
        self.mix_hash(prologue)

    def mix_hash(self, data: bytes) -> None:
        """Add to the hash what both sides have seen."""
        self.hash = hashlib.sha256(self.hash + data).digest()

    def mix_key(self, material: bytes) -> None:
        """Continue the chain with a shared secret; from now on messages are encrypted with a new key."""
        self._chaining_key, key = _hkdf(self._chaining_key, material)
        self._cipher = Cipher(key)

    def encrypt(self, plaintext: bytes) -> bytes:
        """Return `plaintext` as it is sent (in the clear before the first key) and add that to the hash."""
        ciphertext = plaintext if self._cipher is None else self._cipher.encrypt(plaintext, self.hash)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Return what was sent and add it, as it was sent, to the hash; errors as in `Cipher.decrypt`."""
        plaintext = ciphertext if self._cipher is None else self._cipher.decrypt(ciphertext, self.hash)
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[Cipher, Cipher]:
        """Return the ciphers of the initiator and of the responder."""
        first, second = _hkdf(self._chaining_key, b"")
        return Cipher(first), Cipher(second)

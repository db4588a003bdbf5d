"""The pattern XX of Noise: three messages with payloads, after which both sides know each other's static keys.

``-> e``, ``<- e, ee, s, es``, ``-> s, se``: the Noise specification, revision 34, sections 5.3 and 7.5. What the
payloads mean, how messages are framed and who is believed is not known here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.wire.noise_cipher import SymmetricState

if TYPE_CHECKING:
    from p2pchat_core.wire.noise_cipher import Cipher

__all__ = ["OVERHEAD", "XXHandshake"]

_KEY: Final = 32
_TAG: Final = 16
OVERHEAD: Final = (_KEY, 2 * _KEY + 2 * _TAG, _KEY + 2 * _TAG)
"""How much longer each of the three messages is than its payload."""


class XXHandshake:
    """One side. Call `write` and `read` in turn, the initiator beginning with `write`; then `split`.

    Attributes:
        remote_static: the peer's static key, 32 bytes, as soon as it has come. It is proved by the payload behind it.
    """

    def __init__(self, *, initiator: bool, static_key: bytes, ephemeral_key: bytes, prologue: bytes) -> None:
        """Prepare a handshake with two private keys of 32 bytes; the ephemeral one is never used again."""
        self.remote_static = b""
        self._initiator = initiator
        self._static = X25519PrivateKey.from_private_bytes(static_key)
        self._ephemeral = X25519PrivateKey.from_private_bytes(ephemeral_key)
        self._remote_ephemeral = b""
        self._state = SymmetricState(prologue)
        self._done = 0

    @property
    def static_public(self) -> bytes:
        """Our static public key, 32 bytes."""
        return _public(self._static)

    @property
    def hash(self) -> bytes:
        """32 bytes that are the same on both sides of this one handshake and on no other, once it is done."""
        return self._state.hash

    def write(self, payload: bytes) -> bytes:
        """Return our next message. The payload of the first is in the clear."""
        message = b""
        if self._done < 2:
            message = _public(self._ephemeral)
            self._state.mix_hash(message)
        if self._done == 1:
            self._mix(self._ephemeral, self._remote_ephemeral)
        if self._done > 0:
            message += self._state.encrypt(self.static_public)
            self._mix(self._static, self._remote_ephemeral)
        self._done += 1
        return message + self._state.encrypt(payload)

    def read(self, message: bytes) -> bytes:
        """Return the payload of the peer's next message, which is at least its `OVERHEAD` long.

        Raises:
            RemoteProtocolError: it was changed on its way, or its keys give no secrecy.
        """
        if self._done < 2:
            self._remote_ephemeral, message = message[:_KEY], message[_KEY:]
            self._state.mix_hash(self._remote_ephemeral)
        if self._done == 1:
            self._mix(self._ephemeral, self._remote_ephemeral)
        if self._done > 0:
            self.remote_static = self._state.decrypt(message[: _KEY + _TAG])
            message = message[_KEY + _TAG :]
            self._mix(self._ephemeral, self.remote_static)
        self._done += 1
        return self._state.decrypt(message)

    def split(self) -> tuple[Cipher, Cipher]:
        """Return the ciphers for what we send and for what we receive, after the third message."""
        first, second = self._state.split()
        return (first, second) if self._initiator else (second, first)

    def _mix(self, ours: X25519PrivateKey, theirs: bytes) -> None:
        try:
            shared = ours.exchange(X25519PublicKey.from_public_bytes(theirs))
        except ValueError:
            shared = bytes(_KEY)
        if shared == bytes(_KEY):
            # Such a key makes the result known to everyone, so nobody sends one by accident.
            raise RemoteProtocolError("The peer sent a key that would give no secrecy.")
        self._state.mix_key(shared)


def _public(key: X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()

"""Public and private keys in libp2p's protobuf form (docs/wire.md section 2).

Our own identities are Ed25519. The other kinds are here to check what peers sign.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from google.protobuf.message import DecodeError

from p2pchat_core.errors import IdentityError
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.limits import RSA_MAX_BITS, RSA_MIN_BITS
from p2pchat_core.multiformats.varint import length_prefixed
from p2pchat_core.pb import keys_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KeyType", "PrivateKey", "PublicKey"]

_AnyPublic = ed25519.Ed25519PublicKey | rsa.RSAPublicKey | ec.EllipticCurvePublicKey
_AnyPrivate = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_Key = TypeVar("_Key")

_MAX_KEY_BYTES: Final = 8 * 1024
"""A private RSA key of 8192 bits has 4.7 KiB, the largest public key 1.1 KiB."""
_MAX_RSA_EXPONENT: Final = 2**31 - 1
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_SECP256K1_ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141


class KeyType(enum.IntEnum):
    """The kinds of keys, with their numbers on the wire."""

    RSA = 0
    ED25519 = 1
    SECP256K1 = 2
    ECDSA = 3


class PublicKey:
    """A peer's public key. Immutable; equal by kind and bytes."""

    __slots__ = ("_data", "_key", "_peer_id", "type")

    def __init__(self, key_type: KeyType, data: bytes) -> None:
        """Load the key from the form its kind has inside the protobuf.

        Raises:
            IdentityError: the bytes are not such a key, or an RSA key has not 2048 to 8192 bits.
        """
        self.type = key_type
        self._data = bytes(data)
        self._key = _guarded(key_type, self._data, _PUBLIC_LOADERS[key_type])
        self._peer_id: PeerId | None = None

    @classmethod
    def from_protobuf(cls, data: bytes) -> PublicKey:
        """Read the protobuf form.

        Raises:
            IdentityError: it is malformed, of an unknown kind, or the key in it is not valid.
        """
        return cls(*_unwrap(keys_pb2.PublicKey(), data))

    def to_protobuf(self) -> bytes:
        """Return the protobuf form; always the same bytes for the same key."""
        return _wrap(self.type, self._data)

    @property
    def peer_id(self) -> PeerId:
        """The id of the peer that has this key."""
        if self._peer_id is None:
            self._peer_id = PeerId.from_public_key(self)
        return self._peer_id

    def verify(self, data: bytes, signature: bytes) -> bool:
        """Tell whether the private key's holder signed exactly `data`. Never raises."""
        try:
            if isinstance(self._key, ed25519.Ed25519PublicKey):
                self._key.verify(signature, data)
            elif isinstance(self._key, rsa.RSAPublicKey):
                self._key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
            else:
                self._key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        except Exception:
            # Whatever the library objects to, and it has several kinds of errors, is not a valid signature.
            return False
        return True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PublicKey):
            return NotImplemented
        return self.type is other.type and self._data == other._data

    def __hash__(self) -> int:
        return hash((self.type, self._data))

    def __repr__(self) -> str:
        return f"PublicKey({self.type.name}, {self.peer_id.short()})"


class PrivateKey:
    """A private key. It is shown nowhere: not in its repr and not in any message."""

    __slots__ = ("_data", "_key", "public_key", "type")

    public_key: PublicKey

    def __init__(self, key_type: KeyType, data: bytes) -> None:
        """Load the key from the form its kind has inside the protobuf.

        Raises:
            IdentityError: the bytes are not such a key.
        """
        self.type = key_type
        self._key = _guarded(key_type, bytes(data), _PRIVATE_LOADERS[key_type])
        self.public_key = PublicKey(key_type, _public_data(self._key))
        # The old Ed25519 form carries the public key twice; it is checked and written back without the copy.
        self._data = bytes(data[:64]) if key_type is KeyType.ED25519 else bytes(data)

    @classmethod
    def generate(cls) -> PrivateKey:
        """Make a new Ed25519 key."""
        return cls.from_seed(ed25519.Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def from_seed(cls, seed: bytes) -> PrivateKey:
        """Make the Ed25519 key of a seed of 32 bytes.

        Raises:
            IdentityError: the seed has not 32 bytes.
        """
        if len(seed) != 32:
            raise IdentityError(f"An Ed25519 seed has 32 bytes, not {len(seed)}.")
        public = ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        return cls(KeyType.ED25519, seed + public)

    @classmethod
    def from_protobuf(cls, data: bytes) -> PrivateKey:
        """Read the protobuf form.

        Raises:
            IdentityError: it is malformed, of an unknown kind, or the key in it is not valid.
        """
        return cls(*_unwrap(keys_pb2.PrivateKey(), data))

    def to_protobuf(self) -> bytes:
        """Return the protobuf form. This is the secret: it belongs in the key file only."""
        return _wrap(self.type, self._data)

    @property
    def peer_id(self) -> PeerId:
        """The id of the peer that has this key."""
        return self.public_key.peer_id

    def sign(self, data: bytes) -> bytes:
        """Sign `data` the way libp2p does for this kind of key."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(data)
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        signature = self._key.sign(data, ec.ECDSA(hashes.SHA256()))
        return _low_s(signature) if self.type is KeyType.SECP256K1 else signature

    def __repr__(self) -> str:
        return f"PrivateKey({self.type.name}, {self.peer_id.short()})"


def _unwrap(message: keys_pb2.PublicKey | keys_pb2.PrivateKey, data: bytes) -> tuple[KeyType, bytes]:
    if len(data) > _MAX_KEY_BYTES:
        raise IdentityError(f"A key of {len(data)} bytes is too large; at most {_MAX_KEY_BYTES} are allowed.")
    try:
        message.ParseFromString(bytes(data))
    except DecodeError as error:
        raise IdentityError("The key is damaged: it is not in libp2p's protobuf form.") from error
    if not (message.HasField("Type") and message.HasField("Data")):
        raise IdentityError("The key is damaged or of an unknown kind.")
    return KeyType(int(message.Type)), message.Data


def _wrap(key_type: KeyType, data: bytes) -> bytes:
    # Both fields in order, a zero written out: the peer id is a hash of exactly these bytes.
    return bytes((0x08, key_type, 0x12)) + length_prefixed(data)


def _guarded(key_type: KeyType, data: bytes, load: Callable[[bytes], _Key]) -> _Key:
    """Call a loader; whatever it objects to is an IdentityError."""
    try:
        return load(data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise IdentityError(f"The key is damaged: it is not a valid {key_type.name} key.") from error


def _rsa_public(data: bytes) -> rsa.RSAPublicKey:
    key = serialization.load_der_public_key(data)
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("a key of another kind")
    _check_rsa(key)
    _check_canonical(key, data)
    return key


def _check_rsa(key: rsa.RSAPublicKey) -> None:
    """Bound what one verification can cost: the peer chose this key."""
    if not RSA_MIN_BITS <= key.key_size <= RSA_MAX_BITS:
        raise IdentityError(
            f"An RSA key of {key.key_size} bits is not accepted; {RSA_MIN_BITS} to {RSA_MAX_BITS} bits are."
        )
    if key.public_numbers().e > _MAX_RSA_EXPONENT:
        raise IdentityError("An RSA key with an exponent above 2^31 is not accepted.")


def _check_canonical(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, data: bytes) -> None:
    """Two encodings of one key would be two peer ids."""
    encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if encoded != data:
        raise ValueError("not the canonical encoding")


def _secp256k1_public(data: bytes) -> ec.EllipticCurvePublicKey:
    if len(data) != 33:
        raise ValueError("not a compressed point")
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), data)


def _ecdsa_public(data: bytes) -> ec.EllipticCurvePublicKey:
    key = serialization.load_der_public_key(data)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, _CURVES):
        raise ValueError("a key of another kind")
    _check_canonical(key, data)
    return key


def _ed25519_private(data: bytes) -> ed25519.Ed25519PrivateKey:
    if len(data) not in (64, 96):
        raise ValueError("neither 64 nor 96 bytes")
    key = ed25519.Ed25519PrivateKey.from_private_bytes(data[:32])
    public = key.public_key().public_bytes_raw()
    if any(data[start : start + 32] != public for start in range(32, len(data), 32)):
        raise ValueError("the public half does not belong to the private half")
    return key


def _rsa_private(data: bytes) -> rsa.RSAPrivateKey:
    key = serialization.load_der_private_key(data, password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("a key of another kind")
    return key


def _secp256k1_private(data: bytes) -> ec.EllipticCurvePrivateKey:
    if len(data) != 32:
        raise ValueError("not 32 bytes")
    return ec.derive_private_key(int.from_bytes(data, "big"), ec.SECP256K1())


def _ecdsa_private(data: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_der_private_key(data, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, _CURVES):
        raise ValueError("a key of another kind")
    return key


_PUBLIC_LOADERS: Final[dict[KeyType, Callable[[bytes], _AnyPublic]]] = {
    KeyType.RSA: _rsa_public,
    KeyType.ED25519: ed25519.Ed25519PublicKey.from_public_bytes,
    KeyType.SECP256K1: _secp256k1_public,
    KeyType.ECDSA: _ecdsa_public,
}
_PRIVATE_LOADERS: Final[dict[KeyType, Callable[[bytes], _AnyPrivate]]] = {
    KeyType.RSA: _rsa_private,
    KeyType.ED25519: _ed25519_private,
    KeyType.SECP256K1: _secp256k1_private,
    KeyType.ECDSA: _ecdsa_private,
}


def _public_data(key: _AnyPrivate) -> bytes:
    """Return the public key in the form its kind has inside the protobuf."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.public_key().public_bytes_raw()
    public = key.public_key()
    if isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256K1):
        return public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _low_s(signature: bytes) -> bytes:
    """Of the two signatures that are equally valid, return the one js-libp2p accepts."""
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, min(s, _SECP256K1_ORDER - s))

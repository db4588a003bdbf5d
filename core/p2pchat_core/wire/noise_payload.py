"""What each side says in the Noise handshake: who it is, the proof, and its muxers (docs/wire.md section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from p2pchat_core import limits
from p2pchat_core.errors import IdentityError, RemoteProtocolError
from p2pchat_core.identity.keys import PublicKey
from p2pchat_core.pb.noise_pb2 import NoiseHandshakePayload

if TYPE_CHECKING:
    from p2pchat_core.identity.keys import PrivateKey

__all__ = ["NoisePayload", "decode_payload", "encode_payload"]

_SIGNED_PREFIX: Final = b"noise-libp2p-static-key:"


@dataclass(frozen=True, slots=True)
class NoisePayload:
    """A payload whose signature was checked.

    Attributes:
        key: the identity key of the sender.
        muxers: what it offers, best first; empty when it does not negotiate muxers here.
    """

    key: PublicKey
    muxers: tuple[str, ...]


def encode_payload(identity: PrivateKey, static_public_key: bytes, muxers: tuple[str, ...] | None) -> bytes:
    """Return the payload that binds `static_public_key` (32 bytes) to `identity`.

    ``None`` for `muxers` leaves the extensions out; an empty tuple writes empty ones, as js on webrtc-direct.
    """
    payload = NoiseHandshakePayload(
        identity_key=identity.public_key.to_protobuf(),
        identity_sig=identity.sign(_SIGNED_PREFIX + static_public_key),
    )
    if muxers is not None:
        payload.extensions.SetInParent()
        payload.extensions.stream_muxers.extend(muxers)
    return payload.SerializeToString(deterministic=True)


def decode_payload(data: bytes, static_public_key: bytes) -> NoisePayload:
    """Return the payload of the peer whose static key is `static_public_key`.

    Raises:
        RemoteProtocolError: not a payload.
        IdentityError: the identity key is unusable or has not signed this static key.
    """
    payload = NoiseHandshakePayload()
    try:
        payload.ParseFromString(data)
        muxers = tuple(payload.extensions.stream_muxers)
    except (DecodeError, UnicodeDecodeError):
        raise RemoteProtocolError("The peer's handshake could not be read.") from None
    if len(muxers) > limits.NOISE_MAX_MUXERS:
        muxers = ()
    key = PublicKey.from_protobuf(payload.identity_key)
    if not key.verify(_SIGNED_PREFIX + static_public_key, payload.identity_sig):
        raise IdentityError("The peer could not prove who it is: its signature is wrong.")
    return NoisePayload(key, muxers)

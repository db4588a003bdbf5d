"""Peer ids: the hash of a public key, or the key itself when it is short (docs/wire.md section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2pchat_core.errors import IdentityError
from p2pchat_core.multiformats.base58 import b58encode
from p2pchat_core.multiformats.multiaddr import Component, Multiaddr
from p2pchat_core.multiformats.multihash import IDENTITY, Multihash
from p2pchat_core.multiformats.peer_text import (
    MAX_INLINE_KEY,
    cid_text,
    decode_peer_text,
    parse_peer_multihash,
)

if TYPE_CHECKING:
    from p2pchat_core.identity.keys import PublicKey

__all__ = ["PeerId"]


@dataclass(frozen=True, slots=True, repr=False)
class PeerId:
    """Who a peer is. Immutable, hashable, equal by its multihash.

    Raises:
        AddressError: the bytes given are not a multihash that can be a peer id.
    """

    multihash: bytes

    def __post_init__(self) -> None:
        parse_peer_multihash(self.multihash)

    @classmethod
    def parse(cls, text: str) -> PeerId:
        """Read base58btc (``12D3KooW…``, ``Qm…``) or a CID in any multibase (``bafz…``, ``k51…``).

        Raises:
            AddressError: it is neither.
        """
        return cls(decode_peer_text(text.strip()))

    @classmethod
    def from_bytes(cls, multihash: bytes) -> PeerId:
        """Read the binary form.

        Raises:
            AddressError: it is not a multihash that can be a peer id.
        """
        return cls(bytes(multihash))

    @classmethod
    def from_public_key(cls, key: PublicKey) -> PeerId:
        """Derive the id of the peer that has `key`."""
        encoded = key.to_protobuf()
        if len(encoded) <= MAX_INLINE_KEY:
            return cls(Multihash(IDENTITY, encoded).to_bytes())
        return cls(Multihash.sha2_256(encoded).to_bytes())

    @classmethod
    def of(cls, address: Multiaddr) -> PeerId | None:
        """Return the peer an address leads to: its last ``p2p`` component."""
        multihash = address.last_p2p
        return None if multihash is None else cls(multihash)

    def to_bytes(self) -> bytes:
        """Return the multihash."""
        return self.multihash

    def to_cid(self, base: str = "base32") -> str:
        """Return the id as CIDv1 in a multibase."""
        return cid_text(self.multihash, base)

    def short(self) -> str:
        """Return an abbreviation for people, such as ``12D3KooW…ERmC``. Never compare by it."""
        text = str(self)
        return f"{text[:8]}…{text[-4:]}" if len(text) > 13 else text

    def inline_key(self) -> PublicKey | None:
        """Return the public key if the id holds it: Ed25519 and secp256k1 ids do."""
        from p2pchat_core.identity.keys import PublicKey  # keys imports this module

        parsed = Multihash.from_bytes(self.multihash)
        if parsed.code != IDENTITY:
            return None
        try:
            return PublicKey.from_protobuf(parsed.digest)
        except IdentityError:
            return None

    def as_multiaddr(self) -> Multiaddr:
        """Return ``/p2p/<this id>``."""
        return Multiaddr((Component("p2p", str(self), self.multihash),))

    def __str__(self) -> str:
        return b58encode(self.multihash)

    def __repr__(self) -> str:
        return f"PeerId({str(self)!r})"

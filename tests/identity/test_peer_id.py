from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from p2pchat_core.errors import AddressError
from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.multiformats.multiaddr import Multiaddr
from tests.support.vectors import vectors

PEER, OTHER, RELAY = (PeerId.parse(vector["peer_id_base58"]) for vector in vectors("ed25519"))


@pytest.mark.parametrize("vector", vectors("ed25519"), ids=lambda vector: vector["name"])
def test_vectors(vector: dict[str, Any]) -> None:
    peer = PeerId.from_bytes(bytes.fromhex(vector["peer_id_multihash"]))
    assert str(peer) == vector["peer_id_base58"]
    assert peer.to_cid() == vector["peer_id_cid_base32"]
    assert peer.to_cid("base36") == vector["peer_id_cid_base36"]
    for text in (vector["peer_id_base58"], vector["peer_id_cid_base32"], vector["peer_id_cid_base36"]):
        assert PeerId.parse(text) == peer
        assert PeerId.parse(f" {text}\n") == peer
    key = peer.inline_key()
    assert key is not None
    assert key.to_protobuf().hex() == vector["public_protobuf"]
    assert PeerId.from_public_key(key) == peer


@pytest.mark.parametrize("vector", vectors("keys"), ids=lambda vector: vector["name"])
def test_ids_of_every_kind_of_key(vector: dict[str, Any]) -> None:
    key = PrivateKey.from_protobuf(bytes.fromhex(vector["private_protobuf"])).public_key
    peer = PeerId.from_public_key(key)
    assert peer.to_bytes().hex() == vector["peer_id_multihash"]
    assert str(peer) == vector["peer_id_base58"]
    if "js_cid" in vector:
        assert peer.to_cid() == vector["js_cid"]
    assert peer.inline_key() == (None if str(peer).startswith("Qm") else key)


def test_value() -> None:
    assert PeerId.parse(str(PEER)) == PEER
    assert len({PEER, PeerId.parse(PEER.to_cid()), OTHER}) == 2
    assert repr(PEER) == f"PeerId('{PEER}')"
    with pytest.raises(FrozenInstanceError):
        PEER.multihash = b""  # type: ignore[misc]


def test_short() -> None:
    assert PEER.short() == "12D3KooW…feSB"
    assert PeerId.from_bytes(b"\x00\x01a").short() == str(PeerId.from_bytes(b"\x00\x01a"))


def test_peer_of_an_address() -> None:
    address = Multiaddr.parse(f"/ip4/127.0.0.1/tcp/1/ws/p2p/{RELAY}/p2p-circuit/webrtc/p2p/{PEER}")
    assert PeerId.of(address) == PEER
    assert PeerId.of(address.before("p2p-circuit")) == RELAY
    assert PeerId.of(Multiaddr.parse("/webrtc")) is None
    assert str(PEER.as_multiaddr()) == f"/p2p/{PEER}"
    assert PEER.as_multiaddr() == Multiaddr.parse(f"/p2p/{PEER}")


def test_inlined_bytes_that_are_no_key() -> None:
    assert PeerId.from_bytes(b"\x00\x03abc").inline_key() is None


@pytest.mark.parametrize("data", [b"", b"\x00\x00", b"\x12\x20short", b"\x11\x02ab"])
def test_bytes_that_are_no_id(data: bytes) -> None:
    with pytest.raises(AddressError):
        PeerId.from_bytes(data)
    with pytest.raises(AddressError):
        PeerId(data)


@pytest.mark.parametrize(
    "text", ["", "alice", f"/p2p/{PEER}", str(PEER)[:-1], str(PEER) + "1", "Q" * 1_000_000]
)
def test_text_that_is_no_id(text: str) -> None:
    with pytest.raises(AddressError, match="is not a peer id"):
        PeerId.parse(text)

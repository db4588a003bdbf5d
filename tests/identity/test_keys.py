from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from p2pchat_core.errors import IdentityError
from p2pchat_core.identity.keys import KeyType, PrivateKey, PublicKey
from p2pchat_core.multiformats.varint import length_prefixed
from tests.support.vectors import vectors

SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
KEYS = {vector["name"]: bytes.fromhex(vector["private_protobuf"]) for vector in vectors("keys")}
PUBLIC_KEYS = {vector["name"]: bytes.fromhex(vector["public_protobuf"]) for vector in vectors("keys")}
SEED = bytes(range(32))
UNCOMPRESSED = (
    ec.derive_private_key(7, ec.SECP256K1())
    .public_key()
    .public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
)


def protobuf(key_type: int, data: bytes) -> bytes:
    return bytes((8, key_type, 0x12)) + length_prefixed(data)


def spki(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded


@pytest.mark.parametrize("vector", vectors("ed25519"), ids=lambda vector: vector["name"])
def test_ed25519_vectors(vector: dict[str, Any]) -> None:
    key = PrivateKey.from_seed(bytes.fromhex(vector["seed"]))
    message = vector["sign_message_utf8"].encode()
    assert key.to_protobuf().hex() == vector["private_protobuf"]
    assert PrivateKey.from_protobuf(key.to_protobuf()).to_protobuf() == key.to_protobuf()
    assert key.public_key.to_protobuf().hex() == vector["public_protobuf"]
    assert key.sign(message).hex() == vector["signature"]
    assert key.public_key.verify(message, bytes.fromhex(vector["signature"]))
    assert str(key.peer_id) == vector["peer_id_base58"]


@pytest.mark.parametrize("vector", vectors("keys"), ids=lambda vector: vector["name"])
def test_vectors_of_every_kind(vector: dict[str, Any]) -> None:
    key = PrivateKey.from_protobuf(bytes.fromhex(vector["private_protobuf"]))
    public = PublicKey.from_protobuf(bytes.fromhex(vector["public_protobuf"]))
    message, signature = vector["sign_message_utf8"].encode(), bytes.fromhex(vector["signature"])
    assert key.to_protobuf().hex() == vector["private_protobuf"]
    assert public.to_protobuf().hex() == vector["public_protobuf"]
    assert key.public_key == public
    assert str(public.peer_id) == vector["peer_id_base58"]
    assert public.verify(message, key.sign(message))
    # js signs ECDSA in another form than the specification says, with keys the specification does not know either.
    assert public.verify(message, signature) == (public.type is not KeyType.ECDSA)
    if public.type is KeyType.ECDSA:
        with pytest.raises(IdentityError, match="not a valid ECDSA key"):
            PublicKey.from_protobuf(bytes.fromhex(vector["js_public_protobuf"]))


@pytest.mark.parametrize("name", KEYS)
def test_what_was_not_signed(name: str) -> None:
    key = PrivateKey.from_protobuf(KEYS[name])
    signature = key.sign(b"data")
    assert key.public_key.verify(b"data", signature)
    assert not key.public_key.verify(b"Data", signature)
    assert not key.public_key.verify(b"", signature)
    assert not PrivateKey.from_seed(SEED).public_key.verify(b"data", signature)
    flipped = signature[:-1] + bytes((signature[-1] ^ 1,))
    for forged in (
        b"",
        b"\0",
        flipped,
        signature[:-1],
        signature + b"\0",
        bytes(len(signature)),
        b"\xff" * 2000,
    ):
        assert not key.public_key.verify(b"data", forged)


def test_generated_keys_differ() -> None:
    one, other = PrivateKey.generate(), PrivateKey.generate()
    assert one.type is KeyType.ED25519
    assert one.peer_id != other.peer_id
    assert PrivateKey.from_protobuf(one.to_protobuf()).peer_id == one.peer_id


def test_old_ed25519_form() -> None:
    key = PrivateKey.from_seed(SEED)
    data = key.to_protobuf()[4:]
    assert PrivateKey.from_protobuf(protobuf(1, data + data[32:])).to_protobuf() == key.to_protobuf()
    for wrong in (data + SEED, SEED + SEED, SEED + SEED + data[32:], data[:63], SEED, data + b"\0"):
        with pytest.raises(IdentityError, match="not a valid ED25519 key"):
            PrivateKey.from_protobuf(protobuf(1, wrong))


@pytest.mark.parametrize("seed", [b"", SEED[:31], SEED + b"\0"])
def test_seed_of_wrong_size(seed: bytes) -> None:
    with pytest.raises(IdentityError, match="32 bytes"):
        PrivateKey.from_seed(seed)


def test_field_order_and_unknown_fields_do_not_change_the_id() -> None:
    public = PrivateKey.from_seed(SEED).public_key
    data = public.to_protobuf()[4:]
    shuffled = b"\x12" + length_prefixed(data) + b"\x08\x01" + b"\x1a\x01x"
    assert PublicKey.from_protobuf(shuffled) == public
    assert PublicKey.from_protobuf(shuffled).peer_id == public.peer_id


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08\x01",
        b"\x12\x20" + SEED,
        b"\x08\x04\x12\x20" + SEED,  # an unknown kind
        b"\x08\x01\x12\x21" + SEED,
        b"\xff" * 36,
        protobuf(1, SEED[:31]),
        protobuf(1, b""),
        protobuf(0, SEED),
        protobuf(2, b"\x02" + b"\xff" * 32),  # not on the curve
        protobuf(2, UNCOMPRESSED),
        protobuf(2, b"\x00"),
        protobuf(3, SEED),
        PUBLIC_KEYS["spec rsa 4096"] + b"\x12\x00",  # the last one counts
        protobuf(3, PUBLIC_KEYS["spec rsa 4096"][5:]),
        protobuf(0, PUBLIC_KEYS["spec ecdsa p256"][4:]),
        bytes(100_000),
    ],
)
def test_damaged_public_keys(data: bytes) -> None:
    with pytest.raises(IdentityError):
        PublicKey.from_protobuf(data)


@pytest.mark.parametrize("name", KEYS)
def test_cut_private_keys(name: str) -> None:
    for size in (0, 1, 4, len(KEYS[name]) - 1):
        with pytest.raises(IdentityError):
            PrivateKey.from_protobuf(KEYS[name][:size])


def test_private_keys_of_another_kind_than_they_say() -> None:
    rsa_key, ecdsa_key = KEYS["spec rsa 4096"][5:], KEYS["spec ecdsa p256"][3:]
    for data in (
        protobuf(0, ecdsa_key),
        protobuf(3, rsa_key),
        protobuf(2, bytes(32)),
        protobuf(2, SEED[:31]),
    ):
        with pytest.raises(IdentityError):
            PrivateKey.from_protobuf(data)


@pytest.mark.parametrize(
    ("bits", "accepted"), [(1024, False), (2047, False), (2048, True), (8192, True), (8193, False)]
)
def test_size_of_rsa_keys(bits: int, accepted: bool) -> None:
    # The modulus need not be a product of two primes to have a size; making real keys would take long.
    modulus = (1 << (bits - 1)) + 1
    data = spki(rsa.RSAPublicNumbers(65537, modulus).public_key())
    if accepted:
        assert PublicKey(KeyType.RSA, data).type is KeyType.RSA
    else:
        with pytest.raises(IdentityError, match=f"RSA key of {bits} bits is not accepted"):
            PublicKey(KeyType.RSA, data)


def test_exponent_of_rsa_keys() -> None:
    modulus = (1 << 2047) + 1
    data = spki(rsa.RSAPublicNumbers(2**31 + 1, modulus).public_key())
    with pytest.raises(IdentityError, match="exponent"):
        PublicKey(KeyType.RSA, data)


def test_one_key_has_one_encoding() -> None:
    key = ec.derive_private_key(7, ec.SECP256R1()).public_key()
    compressed = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    # SubjectPublicKeyInfo with the compressed point: the same key, but it would be another peer id.
    header = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    assert serialization.load_der_public_key(header + compressed) == key
    with pytest.raises(IdentityError):
        PublicKey(KeyType.ECDSA, header + compressed)
    assert PublicKey(KeyType.ECDSA, spki(key)).type is KeyType.ECDSA


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_curves(curve: ec.EllipticCurve) -> None:
    private = ec.derive_private_key(7, curve)
    public = PublicKey(KeyType.ECDSA, spki(private.public_key()))
    assert public.verify(b"data", private.sign(b"data", ec.ECDSA(hashes.SHA256())))


def test_other_curves_and_kinds_are_refused() -> None:
    parameters = dsa.DSAParameterNumbers(p=(1 << 2047) + 1, q=(1 << 255) + 1, g=2)
    for key in (
        ec.derive_private_key(7, ec.SECP256K1()).public_key(),
        ec.derive_private_key(7, ec.BrainpoolP256R1()).public_key(),
        dsa.DSAPublicNumbers(4, parameters).public_key(),
    ):
        for key_type in (KeyType.ECDSA, KeyType.RSA):
            with pytest.raises(IdentityError):
                PublicKey(key_type, spki(key))


def test_secp256k1_signatures_are_of_the_form_js_accepts() -> None:
    key = PrivateKey.from_protobuf(KEYS["spec secp256k1"])
    for number in range(20):
        r, s = decode_dss_signature(key.sign(bytes((number,))))
        assert s <= SECP256K1_ORDER // 2
        assert key.public_key.verify(bytes((number,)), encode_dss_signature(r, SECP256K1_ORDER - s))


def test_repr_shows_no_secret() -> None:
    key = PrivateKey.from_seed(SEED)
    assert repr(key) == f"PrivateKey(ED25519, {key.peer_id.short()})"
    assert repr(key.public_key) == f"PublicKey(ED25519, {key.peer_id.short()})"


def test_public_keys_are_values() -> None:
    key = PrivateKey.from_seed(SEED).public_key
    assert {key, PublicKey.from_protobuf(key.to_protobuf())} == {key}
    assert key != PrivateKey.generate().public_key
    assert key != key.to_protobuf()

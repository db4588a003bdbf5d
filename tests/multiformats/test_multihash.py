from __future__ import annotations

import hashlib

import pytest

from p2pchat_core.errors import AddressError
from p2pchat_core.multiformats.multihash import IDENTITY, SHA2_256, Multihash

DIGEST = hashlib.sha256(b"data").digest()


def test_sha2_256() -> None:
    made = Multihash.sha2_256(b"data")
    assert made == Multihash(SHA2_256, DIGEST)
    assert made.to_bytes() == b"\x12\x20" + DIGEST
    assert Multihash.from_bytes(made.to_bytes()) == made


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x00\x00", Multihash(IDENTITY, b"")),
        (b"\x00\x02ab", Multihash(IDENTITY, b"ab")),
        (b"\x11\x02ab", Multihash(0x11, b"ab")),
        (b"\xa0\xe4\x02\x02ab", Multihash(0xB220, b"ab")),
    ],
)
def test_any_function_is_parsed(data: bytes, expected: Multihash) -> None:
    assert Multihash.from_bytes(data) == expected
    assert expected.to_bytes() == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x12",
        b"\x12\x20",
        b"\x12\x20" + DIGEST[:-1],
        b"\x12\x20" + DIGEST + b"x",
        b"\x12\x1f" + DIGEST[:-1],
        b"\x92\x00\x20" + DIGEST,  # not minimal
        b"\x00\x81\x00a",
        b"\x00\x81\x01" + b"a" * 129,
        b"\xff" * 40,
    ],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(AddressError):
        Multihash.from_bytes(data)

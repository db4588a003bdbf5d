from __future__ import annotations

import pytest

from p2pchat_core.errors import AddressError
from p2pchat_core.limits import MAX_BASE58_TEXT
from p2pchat_core.multiformats.base58 import b58decode, b58encode


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"\0", "1"),
        (b"\0\0\0", "111"),
        (b"\x39", "z"),
        (b"\x3a", "21"),
        (b"Hello World!", "2NEpo7TZRRrLZSi2U"),
        (bytes.fromhex("0000287fb4cd"), "11233QC4"),
    ],
)
def test_known_texts(data: bytes, text: str) -> None:
    assert b58encode(data) == text
    assert b58decode(text) == data


@pytest.mark.parametrize("character", ["0", "O", "I", "l", " ", "_", "é", "１", "\n"])
def test_characters_outside_the_alphabet(character: str) -> None:
    with pytest.raises(AddressError, match="cannot occur"):
        b58decode("2NE" + character)


def test_length_is_refused_before_the_quadratic_work() -> None:
    assert len(b58decode("z" * MAX_BASE58_TEXT)) == 94
    with pytest.raises(AddressError, match="too long"):
        b58decode("!" * (MAX_BASE58_TEXT + 1))  # the length is looked at before the characters

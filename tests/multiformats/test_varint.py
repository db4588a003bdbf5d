from __future__ import annotations

from typing import Any

import pytest

from p2pchat_core.errors import LocalProtocolError, RemoteProtocolError
from p2pchat_core.multiformats.varint import (
    IncompleteVarint,
    LengthPrefixedReader,
    decode_uvarint,
    encode_uvarint,
    length_prefixed,
)
from tests.support.vectors import vectors

LARGEST = 2**63 - 1


@pytest.mark.parametrize("vector", vectors("uvarint"), ids=lambda vector: vector["name"])
def test_vectors(vector: dict[str, Any]) -> None:
    encoded = bytes.fromhex(vector["hex"])
    assert encode_uvarint(vector["value"]) == encoded
    assert decode_uvarint(encoded) == (vector["value"], len(encoded))
    assert decode_uvarint(b"\xff" + encoded + b"\xff", 1) == (vector["value"], 1 + len(encoded))


def test_largest_value_takes_nine_bytes() -> None:
    assert encode_uvarint(LARGEST) == b"\xff" * 8 + b"\x7f"
    assert decode_uvarint(b"\xff" * 8 + b"\x7f") == (LARGEST, 9)


@pytest.mark.parametrize("value", [-1, LARGEST + 1])
def test_values_out_of_range_are_our_mistake(value: int) -> None:
    with pytest.raises(LocalProtocolError):
        encode_uvarint(value)


@pytest.mark.parametrize("data", ["8000", "8100", "ff00", "808000", "ff" * 9 + "01", "80" * 9, "80" * 20])
def test_longer_than_needed_or_allowed(data: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_uvarint(bytes.fromhex(data))
    assert not isinstance(caught.value, IncompleteVarint)


@pytest.mark.parametrize("data", ["", "80", "ffff", "80" * 8])
def test_data_that_ends_early(data: str) -> None:
    with pytest.raises(IncompleteVarint):
        decode_uvarint(bytes.fromhex(data))


def read_all(reader: LengthPrefixedReader) -> list[bytes]:
    messages = []
    while (message := reader.next()) is not None:
        messages.append(message)
    return messages


@pytest.mark.parametrize("piece", [1, 2, 7, 1000])
def test_reader_takes_whole_messages_from_any_pieces(piece: int) -> None:
    sent = [b"", b"a", b"b" * 127, b"c" * 128, b"d" * 300]
    data = b"".join(map(length_prefixed, sent))
    reader = LengthPrefixedReader(300)
    received = []
    for start in range(0, len(data), piece):
        reader.feed(data[start : start + piece])
        received += read_all(reader)
    assert received == sent
    assert reader.buffered == 0


def test_reader_hands_the_surplus_on() -> None:
    reader = LengthPrefixedReader(10)
    reader.feed(length_prefixed(b"one") + b"\x05rest")
    assert reader.next() == b"one"
    assert reader.next() is None
    assert reader.buffered == 5
    assert reader.remaining() == b"\x05rest"
    assert reader.buffered == 0
    assert reader.remaining() == b""


def test_reader_refuses_a_long_message_by_its_prefix_alone() -> None:
    reader = LengthPrefixedReader(1024)
    reader.feed(encode_uvarint(1024))
    assert reader.next() is None
    reader = LengthPrefixedReader(1024)
    reader.feed(encode_uvarint(1025))
    with pytest.raises(RemoteProtocolError, match="1025 bytes"):
        reader.next()
    with pytest.raises(RemoteProtocolError):  # and stays unusable
        reader.next()


def test_reader_refuses_a_malformed_prefix() -> None:
    reader = LengthPrefixedReader(1024)
    reader.feed(b"\x81\x00")
    with pytest.raises(RemoteProtocolError):
        reader.next()

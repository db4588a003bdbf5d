"""Raw UTF-8 chat: cut anywhere, damaged, too long."""

from __future__ import annotations

import pytest

from p2pchat_core.errors import StreamLimitError
from p2pchat_core.limits import CHAT_MAX_TEXT, RTC_MAX_PAYLOAD
from p2pchat_core.wire.chat import ChatDecoder, encode_message


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_text_cut_anywhere(chunk: int) -> None:
    text = "héllo 👋 Straße\n日本"
    data = text.encode()
    decoder = ChatDecoder()
    parts = [decoder.receive_data(data[start : start + chunk]) for start in range(0, len(data), chunk)]
    assert "".join(parts) + decoder.receive_eof() == text


def test_damaged_text_is_replaced_and_what_follows_survives() -> None:
    decoder = ChatDecoder()
    assert decoder.receive_data(b"a\xffb\xc3") == "a�b"
    assert decoder.receive_data(b"(c") == "�(c"
    assert decoder.receive_data(b"\xf0\x9f\x91") == ""
    assert decoder.receive_eof() == "�"


def test_one_write_per_message() -> None:
    assert encode_message("hi 👋") == ["hi 👋".encode()]
    assert encode_message("") == []


def test_longest_message_needs_two_writes() -> None:
    text = "x" * CHAT_MAX_TEXT
    pieces = encode_message(text)
    assert [len(piece) for piece in pieces] == [RTC_MAX_PAYLOAD, CHAT_MAX_TEXT - RTC_MAX_PAYLOAD]
    assert b"".join(pieces) == text.encode()


@pytest.mark.parametrize("shift", range(4))
def test_no_character_is_cut(shift: int) -> None:
    text = "x" * shift + "👋" * ((CHAT_MAX_TEXT - shift) // 4)
    pieces = encode_message(text)
    assert len(pieces) == 2
    assert "".join(piece.decode() for piece in pieces) == text


@pytest.mark.parametrize("text", ["x" * (CHAT_MAX_TEXT + 1), "é" * (CHAT_MAX_TEXT // 2 + 1)])
def test_too_long(text: str) -> None:
    with pytest.raises(StreamLimitError, match="send it in parts"):
        encode_message(text)


def test_lone_surrogates_are_replaced_and_pairs_joined() -> None:
    assert encode_message("a\ud83db") == ["a�b".encode()]
    assert encode_message("\ude00") == ["�".encode()]
    assert encode_message("\ud83d\ude00") == ["😀".encode()]
    assert encode_message("a\ud83d") == ["a�".encode()]

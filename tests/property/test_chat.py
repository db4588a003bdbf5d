"""Text survives being cut anywhere; anything else becomes text without half characters."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat_core.errors import StreamLimitError
from p2pchat_core.limits import CHAT_MAX_TEXT, RTC_MAX_PAYLOAD
from p2pchat_core.wire.chat import ChatDecoder, encode_message

_SETTINGS = settings(max_examples=100, deadline=None)


def _decode(data: bytes, cuts: list[int]) -> str:
    decoder = ChatDecoder()
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    parts = [decoder.receive_data(data[a:b]) for a, b in itertools.pairwise(edges)]
    return "".join(parts) + decoder.receive_eof()


@_SETTINGS
@given(st.binary(max_size=100) | st.text().map(lambda text: text.encode()), st.lists(st.integers(0, 1000)))
def test_cuts_do_not_matter(data: bytes, cuts: list[int]) -> None:
    assert _decode(data, cuts) == data.decode("utf-8", "replace")


@_SETTINGS
@given(st.text(st.characters(), max_size=60), st.integers(1, 400))
def test_encoded_pieces(text: str, repeat: int) -> None:
    try:
        pieces = encode_message(text * repeat)
    except StreamLimitError:
        assert len((text * repeat).encode("utf-8", "surrogatepass")) > CHAT_MAX_TEXT
        return
    assert all(0 < len(piece) <= RTC_MAX_PAYLOAD for piece in pieces)
    shown = "".join(piece.decode() for piece in pieces)  # each piece is whole by itself
    if not any("\ud800" <= char <= "\udfff" for char in text):
        assert shown == text * repeat

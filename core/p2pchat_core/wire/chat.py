"""The chat of the js example and the echo protocol: raw UTF-8, one write per message (docs/wire.md section 11).

There are no lengths and no newlines. A receiver shows whatever one read brings, so two quick messages may
come out as one, and a long one in pieces, possibly cut inside a character.
"""

from __future__ import annotations

import codecs
from typing import Final

from p2pchat_core.errors import StreamLimitError
from p2pchat_core.limits import CHAT_MAX_TEXT, RTC_MAX_PAYLOAD

__all__ = ["CHAT_PROTOCOL", "ECHO_PROTOCOL", "ChatDecoder", "encode_message"]

CHAT_PROTOCOL: Final = "/libp2p/examples/chat/1.0.0"
ECHO_PROTOCOL: Final = "/echo/1.0.0"


class ChatDecoder:
    """Decodes UTF-8 cut anywhere; what is not UTF-8 becomes U+FFFD. Holds at most three bytes."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def receive_data(self, data: bytes) -> str:
        """Return the text that is complete now; empty while a character is unfinished."""
        return self._decoder.decode(data)

    def receive_eof(self) -> str:
        """Return what an unfinished character at the end is shown as, or nothing."""
        return self._decoder.decode(b"", final=True)


def encode_message(text: str) -> list[bytes]:
    """Return the writes that carry `text`: one, or few if it does not fit one message of a data channel.

    No character is cut in two, so a receiver that decodes each piece by itself reads it right. Half surrogate
    pairs, which UTF-8 cannot carry, become U+FFFD. Empty text needs no write.

    Raises:
        StreamLimitError: the text is too long.
    """
    # Through UTF-16 two halves that belong together become the character they stand for.
    clean = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    data = clean.encode()
    if len(data) > CHAT_MAX_TEXT:
        raise StreamLimitError(
            f"The message has {len(data)} bytes; only {CHAT_MAX_TEXT} can be sent at once: send it in parts."
        )
    pieces: list[bytes] = []
    while data:
        end = min(len(data), RTC_MAX_PAYLOAD)
        while end < len(data) and data[end] & 0xC0 == 0x80:  # a continuation byte cannot begin a piece
            end -= 1
        pieces.append(data[:end])
        data = data[end:]
    return pieces

"""multistream-select 1.0.0: two ends agree on a protocol by name (docs/wire.md section 3).

Each message is a length, a text and a newline. Both machines stop at the last byte of the agreement: what
follows belongs to the protocol that was chosen and is handed out by `remaining`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from p2pchat_core import limits
from p2pchat_core.errors import LocalProtocolError, RemoteProtocolError
from p2pchat_core.multiformats.varint import LengthPrefixedReader, length_prefixed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["MULTISTREAM", "MultistreamDialer", "MultistreamListener", "encode_token"]

MULTISTREAM: Final = "/multistream/1.0.0"
_NOT_AVAILABLE: Final = "na"
_LIST: Final = "ls"


def encode_token(text: str) -> bytes:
    """Return the wire form of one message.

    Raises:
        LocalProtocolError: the text is empty, has a line break in it or is longer than a peer would read.
    """
    line = text.encode() + b"\n"
    if not text or "\n" in text or len(line) > limits.MULTISTREAM_MAX_MESSAGE:
        raise LocalProtocolError(f"{text[:80]!r} cannot be the name of a protocol.")
    return length_prefixed(line)


def _decode_token(message: bytes) -> str:
    if not message.endswith(b"\n"):
        raise RemoteProtocolError("A protocol name did not end in a line break.")
    try:
        return message[:-1].decode()
    except UnicodeDecodeError:
        raise RemoteProtocolError("A protocol name was not UTF-8.") from None


class _Negotiation:
    """What both roles share: framing, the header, and the end.

    Feed it with `receive_data`, send what `take_output` returns. Once `selected` or `refused` is set, nothing
    more is read, and bytes that came with the last message are in `remaining`.
    """

    def __init__(self) -> None:
        self.selected: str | None = None
        self.refused = False
        self._reader = LengthPrefixedReader(limits.MULTISTREAM_MAX_MESSAGE)
        self._output = bytearray()
        self._header_seen = False

    @property
    def done(self) -> bool:
        """Whether the negotiation is over, one way or the other."""
        return self.selected is not None or self.refused

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer.

        Raises:
            RemoteProtocolError: it does not speak multistream-select, or tried too often.
        """
        self._reader.feed(data)
        while not self.done and (message := self._reader.next()) is not None:
            token = _decode_token(message)
            if self._header_seen:
                self._receive_token(token)
            elif token == MULTISTREAM:
                self._header_seen = True
                self._receive_header()
            else:
                raise RemoteProtocolError(f"The peer began with {token[:80]!r} and not with {MULTISTREAM}.")

    def take_output(self) -> bytes:
        """Return what must be sent now; the next call returns what was added since."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def remaining(self) -> bytes:
        """Return, once, the bytes received after the agreement."""
        return self._reader.remaining()

    def _send(self, token: str) -> None:
        self._output += encode_token(token)

    def _receive_header(self) -> None:
        raise NotImplementedError

    def _receive_token(self, token: str) -> None:
        raise NotImplementedError


class MultistreamDialer(_Negotiation):
    """The side that proposes: the header and the first proposal in one flight, then one more after each `na`."""

    def __init__(self, protocols: Sequence[str]) -> None:
        """Propose `protocols` in this order.

        Raises:
            LocalProtocolError: there are none, or too many, or one of them is not a protocol name.
        """
        super().__init__()
        if not 0 < len(protocols) <= limits.MULTISTREAM_MAX_PROPOSALS:
            raise LocalProtocolError(f"{len(protocols)} protocols cannot be proposed.")
        for protocol in protocols:
            encode_token(protocol)
        self._proposals = deque(protocols)
        self._send(MULTISTREAM)
        self._send(self._proposals[0])

    def _receive_header(self) -> None:
        """Nothing follows from it: our header and proposal are on their way already."""

    def _receive_token(self, token: str) -> None:
        if token == self._proposals[0]:
            self.selected = token
        elif token != _NOT_AVAILABLE:
            raise RemoteProtocolError(f"The peer answered {self._proposals[0]} with {token[:80]!r}.")
        else:
            self._proposals.popleft()
            if self._proposals:
                self._send(self._proposals[0])
            else:
                self.refused = True


class MultistreamListener(_Negotiation):
    """The side that answers: an echo for what it supports, `na` for anything else, a list for `ls`.

    Its own header goes out when the peer's has been read, so that header and answer travel together.
    """

    def __init__(self, supported: Callable[[str], bool], listing: Callable[[], Sequence[str]]) -> None:
        super().__init__()
        self._supported = supported
        self._listing = listing
        self._answered = 0

    def _receive_header(self) -> None:
        self._send(MULTISTREAM)

    def _receive_token(self, token: str) -> None:
        self._answered += 1
        if self._answered > limits.MULTISTREAM_MAX_PROPOSALS:
            raise RemoteProtocolError(
                f"The peer proposed more than {limits.MULTISTREAM_MAX_PROPOSALS} protocols."
            )
        if token == _LIST:
            lines = b"".join(encode_token(name) for name in self._listing())
            self._output += length_prefixed(lines + b"\n")
        elif token == MULTISTREAM:
            # js answers a repeated header with another one, and so does no harm.
            self._send(MULTISTREAM)
        elif token != _NOT_AVAILABLE and self._supported(token):
            self._send(token)
            self.selected = token
        else:
            self._send(_NOT_AVAILABLE)

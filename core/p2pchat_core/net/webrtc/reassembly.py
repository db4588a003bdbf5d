"""SCTP user messages put together from their chunks, stream by stream, in time proportional to what arrives.

aiortc's own list is searched from its start for every chunk, so one message that never ends freezes the program
(64 MiB would take minutes). Here every chunk is looked at twice at most, and the caller bounds what is held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.limits import RTC_MAX_FRAME, SCTP_CHUNK_OVERHEAD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class Chunk(Protocol):
        """A DATA chunk (RFC 9260 section 3.3.1)."""

        flags: int
        tsn: int
        stream_seq: int
        protocol: int
        user_data: bytes


__all__ = ["InboundMessages", "cost"]

_LAST: Final = 0x01
_FIRST: Final = 0x02
_UNORDERED: Final = 0x04
_TSN: Final = 2**32
_SSN: Final = 2**16


def cost(chunk: Chunk) -> int:
    """What holding `chunk` counts against the receive window."""
    return len(chunk.user_data) + SCTP_CHUNK_OVERHEAD


class InboundMessages:
    """One incoming SCTP stream; ordered messages only, as libp2p opens no other channels."""

    def __init__(self) -> None:
        self.held = 0
        self._chunks: dict[int, Chunk] = {}
        self._starts: dict[int, int] = {}
        self._next_ssn = 0
        self._parts: list[bytes] = []
        self._size = 0
        self._cost = 0
        self._next_tsn: int | None = None

    def add(self, chunk: Chunk) -> None:
        """Take a chunk that was not received before.

        Raises:
            RemoteProtocolError: it is part of an unordered message in several chunks.
        """
        if chunk.flags & _UNORDERED:
            raise RemoteProtocolError("The peer sent an unordered message in pieces.")
        self._chunks[chunk.tsn] = chunk
        if chunk.flags & _FIRST:
            self._starts[chunk.stream_seq] = chunk.tsn
        self.held += cost(chunk)

    def messages(self) -> Iterator[tuple[int, bytes]]:
        """Yield each message that is complete and whose turn it is: payload protocol and data.

        Raises:
            RemoteProtocolError: a message is larger than any that a peer may send.
        """
        while True:
            if self._next_tsn is None:
                self._next_tsn = self._starts.pop(self._next_ssn, None)
            chunk = None if self._next_tsn is None else self._chunks.pop(self._next_tsn, None)
            if chunk is None:
                return
            self._parts.append(chunk.user_data)
            self._size += len(chunk.user_data)
            self._cost += cost(chunk)
            if self._size > RTC_MAX_FRAME:
                raise RemoteProtocolError("The peer sent a message that is too long for a data channel.")
            if chunk.flags & _LAST:
                data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
                self.held -= self._cost
                self._forget_partial()
                self._next_ssn = (self._next_ssn + 1) % _SSN
                yield chunk.protocol, data
            else:
                self._next_tsn = (chunk.tsn + 1) % _TSN

    def reset(self, last_tsn: int) -> None:
        """The peer begins anew on this stream behind `last_tsn` (RFC 6525); what came early for then is kept."""
        later = [chunk for tsn, chunk in self._chunks.items() if 0 < (tsn - last_tsn) % _TSN < _TSN // 2]
        self._chunks.clear()
        self._starts.clear()
        self._forget_partial()
        self._next_ssn = self.held = 0
        for chunk in later:
            self.add(chunk)

    def _forget_partial(self) -> None:
        self._parts = []
        self._size = self._cost = 0
        self._next_tsn = None

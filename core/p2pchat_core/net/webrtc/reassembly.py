"""SCTP user messages put together from their chunks, stream by stream, in time proportional to what arrives.

aiortc's own list is searched from its start for every chunk, so one message that never ends freezes the program
(64 MiB would take minutes). Here every chunk is looked at twice at most, and the caller bounds what is held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.limits import RTC_MAX_FRAME, SCTP_CHUNK_OVERHEAD

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["InboundMessages"]

_LAST: Final = 0x01
_FIRST: Final = 0x02
_WHOLE: Final = _FIRST | _LAST
_UNORDERED: Final = 0x04
_TSN: Final = 2**32
_SSN: Final = 2**16


class InboundMessages:
    """One incoming SCTP stream; ordered messages only, as libp2p opens no other channels.

    Attributes:
        held: what the chunks held count against the receive window.
    """

    def __init__(self) -> None:
        self.held = 0
        self._chunks: dict[int, tuple[int, int, int, bytes]] = {}
        self._starts: dict[int, int] = {}
        self._next_ssn = 0
        self._parts: list[bytes] = []
        self._size = 0
        self._next_tsn: int | None = None

    def add(
        self, flags: int, tsn: int, sequence: int, protocol: int, data: bytes
    ) -> Sequence[tuple[int, bytes]]:
        """Take a chunk that was not received before; return the messages that it completes and whose turn it is.

        Returns:
            payload protocol and data of each.

        Raises:
            RemoteProtocolError: it is unordered, or part of a message larger than any that a peer may send.
        """
        if flags & _UNORDERED:
            raise RemoteProtocolError("The peer sent an unordered message in pieces.")
        if not self._chunks:
            # Nothing is out of order: the usual case.
            if self._next_tsn is None:
                if flags & _WHOLE == _WHOLE and sequence == self._next_ssn and len(data) <= RTC_MAX_FRAME:
                    self._next_ssn = (sequence + 1) % _SSN
                    return ((protocol, data),)
            elif tsn == self._next_tsn:
                self.held += len(data) + SCTP_CHUNK_OVERHEAD
                message = self._append(flags, tsn, protocol, data)
                return () if message is None else (message,)
        self._chunks[tsn] = flags, sequence, protocol, data
        if flags & _FIRST:
            self._starts[sequence] = tsn
        self.held += len(data) + SCTP_CHUNK_OVERHEAD
        return self.messages()

    def messages(self) -> list[tuple[int, bytes]]:
        """Return each message that is complete and whose turn it is; see `add`."""
        complete: list[tuple[int, bytes]] = []
        while True:
            if self._next_tsn is None:
                self._next_tsn = self._starts.pop(self._next_ssn, None)
            chunk = None if self._next_tsn is None else self._chunks.pop(self._next_tsn, None)
            if chunk is None:
                return complete
            assert self._next_tsn is not None
            flags, _, protocol, data = chunk
            message = self._append(flags, self._next_tsn, protocol, data)
            if message is not None:
                complete.append(message)

    def reset(self, last_tsn: int) -> None:
        """The peer begins anew on this stream behind `last_tsn` (RFC 6525); what came early for then is kept."""
        self._chunks = {
            tsn: chunk for tsn, chunk in self._chunks.items() if 0 < (tsn - last_tsn) % _TSN < _TSN // 2
        }
        self._starts = {
            sequence: tsn for tsn, (flags, sequence, _, _) in self._chunks.items() if flags & _FIRST
        }
        self.held = sum(len(chunk[3]) + SCTP_CHUNK_OVERHEAD for chunk in self._chunks.values())
        self._next_ssn = 0
        self._forget_partial()

    def _append(self, flags: int, tsn: int, protocol: int, data: bytes) -> tuple[int, bytes] | None:
        """Go on with the message whose turn it is; return it if that was all."""
        self._parts.append(data)
        self._size += len(data)
        if self._size > RTC_MAX_FRAME:
            raise RemoteProtocolError("The peer sent a message that is too long for a data channel.")
        if not flags & _LAST:
            self._next_tsn = (tsn + 1) % _TSN
            return None
        self.held -= self._size + SCTP_CHUNK_OVERHEAD * len(self._parts)
        whole = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._next_ssn = (self._next_ssn + 1) % _SSN
        self._forget_partial()
        return protocol, whole

    def _forget_partial(self) -> None:
        self._parts = []
        self._size = 0
        self._next_tsn = None

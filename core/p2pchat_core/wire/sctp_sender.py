"""The sending half of an SCTP association: what is under way, what is lost, how much may follow (RFC 9260).

Reliable and ordered only. Time comes in as an argument, chunks come out as bytes; whoever drives it makes packets of
them. Where it goes beyond the RFC it stays within what the wire allows:

* A chunk counts as lost when something sent at least three packets later has arrived, whether the chunk was sent once
  or again (as in RFC 9002), so one that is lost twice does not wait for the retransmission timer. If the peer then
  reports it twice, the order of packets was only changed: that number grows, and the window is as it was.
* In slow start the window grows by what was acknowledged, however few acknowledgements say so: both sides of this
  program acknowledge in batches, and what goes out at once is bounded by `SCTP_BURST`.
* Not more is under way than a path of this round trip needs.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING, Final

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.limits import (
    SCTP_BURST,
    SCTP_BURST_MAX,
    SCTP_FLIGHT_MIN,
    SCTP_FLIGHT_RATE,
    SCTP_FRAGMENT,
    SCTP_INITIAL_WINDOW,
    SCTP_REORDERING,
    SCTP_REORDERING_MAX,
    SCTP_WINDOW,
)
from p2pchat_core.wire.round_trips import RoundTrips

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["SctpSender"]

_HEADER: Final = struct.Struct("!BBHLHHL")
_MASK: Final = 2**32 - 1
_HALF: Final = 2**31
_SEQUENCES: Final = 2**16
_LAST: Final = 0x01
_FIRST: Final = 0x02
_REMEMBERED: Final = 1024
_PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")


class _Chunk:
    """One DATA chunk from the moment it is numbered until the peer has it."""

    __slots__ = ("acked", "data", "lost", "order", "sent_at", "seq", "size", "times")

    def __init__(self, seq: int, data: bytes, size: int) -> None:
        self.seq = seq  # its TSN, but never wrapped around
        self.data = data
        self.size = size
        self.order = -1  # which transmission of all its last one was
        self.times = 0
        self.sent_at = 0.0
        self.acked = self.lost = False


class SctpSender:
    """Numbers messages, sends, and repeats what is lost.

    Attributes:
        deadline: when `timeout` is to be called, or ``None``.
        flight: bytes of user data that are under way.
        window: the congestion window in bytes.
        sequences: the number of the next message of each stream that has sent any; removed when it is reset.
        timeouts: how often in a row the retransmission timer has run out.
    """

    def __init__(self, initial_tsn: int) -> None:
        """Number chunks from `initial_tsn` on."""
        self.deadline: float | None = None
        self.flight = 0
        self.window = SCTP_INITIAL_WINDOW
        self.threshold = 1 << 62
        self.timeouts = 0
        self._next = initial_tsn
        self._acked = initial_tsn - 1  # everything up to here has arrived
        self.sequences: dict[int, int] = {}
        self._waiting: deque[_Chunk] = deque()
        self._sent: dict[int, _Chunk] = {}  # under way or lost, in order of their numbers
        self._lost: deque[_Chunk] = deque()
        self._holes: dict[int, _Chunk] = {}  # not acknowledged, but something behind it is
        self._highest = self._acked  # the furthest that a gap block has acknowledged
        self._blocks: dict[int, int] = {}  # gap blocks of the last acknowledgement
        self._order = 0
        self._newest = -1  # the latest transmission known to have arrived
        self._peer_window = SCTP_WINDOW
        self._partial = 0
        self._recovery: int | None = None  # in fast recovery until this one is acknowledged
        self._rescue = False
        self._full = False
        self._arrivals = 0
        self._reordering = SCTP_REORDERING
        self._repeated: set[int] = set()  # chunks sent again before the timer asked for it
        self._before_loss: tuple[int, int] | None = None
        self._path = RoundTrips()

    # --- what is to be sent -------------------------------------------------------------------------------------

    @property
    def next_tsn(self) -> int:
        """The number the next chunk will get."""
        return self._next & _MASK

    @property
    def waiting(self) -> bool:
        """Whether chunks are numbered that have never been sent."""
        return bool(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether the peer has acknowledged everything."""
        return not self._sent and not self._waiting

    @property
    def outstanding(self) -> int:
        """How many chunks the peer may still acknowledge."""
        return len(self._sent)

    def send(self, stream_id: int, protocol: int, data: bytes) -> None:
        """Cut one message into chunks."""
        sequence = self.sequences.get(stream_id, 0)
        self.sequences[stream_id] = (sequence + 1) % _SEQUENCES
        flags, at, end = _FIRST, 0, len(data)
        while True:
            piece = data[at : at + SCTP_FRAGMENT] if end > SCTP_FRAGMENT else data
            at += SCTP_FRAGMENT
            if at >= end:
                flags |= _LAST
            size = len(piece)
            header = _HEADER.pack(0, flags, 16 + size, self._next & _MASK, stream_id, sequence, protocol)
            padding = size & 3
            chunk = header + piece + _PADDING[padding] if padding else header + piece
            self._waiting.append(_Chunk(self._next, chunk, size))
            self._next += 1
            if at >= end:
                return
            flags = 0

    def set_peer_window(self, size: int) -> None:
        """Note the receive window that the peer announced when the association came up."""
        self._peer_window = size

    def clear(self) -> None:
        """Forget everything; the association has ended."""
        for chunks in (self._waiting, self._sent, self._lost, self._holes):
            chunks.clear()
        self.deadline = None

    def take(self, now: float, room: int, first_room: int | None = None) -> list[bytes]:
        """Return what may be sent now: for each packet the chunks that go into it, joined.

        Args:
            now: the time, in seconds of any monotonic clock.
            room: how many bytes of chunks fit into a packet.
            first_room: the same for the first packet, if something else goes in there too.
        """
        if not self._waiting and not self._lost:
            return []
        packets: list[bytes] = []
        parts: list[bytes] = []
        left = room if first_room is None else first_room
        window = self._usable()
        # Twice what has arrived since the last time is slow start at its fastest.
        burst = min(SCTP_BURST + 2 * self._arrivals, SCTP_BURST_MAX)
        self._arrivals = 0
        while burst and (chunk := self._next_chunk(window)) is not None:
            if len(chunk.data) > left:
                if parts:
                    packets.append(parts[0] if len(parts) == 1 else b"".join(parts))
                    parts = []
                    burst -= 1
                elif left < room:
                    packets.append(b"")  # does not go with what the caller has for the first packet
                left = room
                if not burst:
                    break
            self._transmitted(chunk, now)
            parts.append(chunk.data)
            left -= len(chunk.data)
        if parts:
            packets.append(parts[0] if len(parts) == 1 else b"".join(parts))
        self._full = self.flight + SCTP_FRAGMENT > self.window
        return packets

    def _usable(self) -> int:
        path = max(SCTP_FLIGHT_MIN, self._path.shortest * SCTP_FLIGHT_RATE)
        return int(min(self.window, path, self._peer_window))

    def _next_chunk(self, window: int) -> _Chunk | None:
        """Return the next chunk, still at its place, if the windows let it go now."""
        while self._lost and not self._lost[0].lost:
            self._lost.popleft()  # arrived after all
        if not self._lost and not self._waiting:
            return None
        # One chunk may always be under way: it finds out about new room (RFC 9260 section 6.1 A).
        if self.flight >= window and self.flight and not (self._rescue and self._lost):
            return None
        return self._lost[0] if self._lost else self._waiting[0]

    def _transmitted(self, chunk: _Chunk, now: float) -> None:
        if chunk.lost:
            self._lost.popleft()
            chunk.lost = False
            self._rescue = False
            if chunk.seq == self._acked + 1:
                self.deadline = now + self._path.rto
        else:
            self._waiting.popleft()
            self._sent[chunk.seq] = chunk
        chunk.order = self._order
        self._order += 1
        chunk.times += 1
        chunk.sent_at = now
        self.flight += chunk.size
        if self.deadline is None:
            self.deadline = now + self._path.rto

    # --- what comes back ----------------------------------------------------------------------------------------

    def acknowledged(
        self,
        tsn: int,
        window: int,
        gaps: Sequence[tuple[int, int]],
        now: float,
        duplicates: Iterable[int] = (),
    ) -> bool:
        """Take an acknowledgement (SACK): everything up to `tsn` and the `gaps` behind it, relative to it.

        Args:
            tsn, gaps: what has arrived.
            window: the peer's receive window.
            now: the time.
            duplicates: what has arrived twice.

        Returns:
            whether it is not an old one.

        Raises:
            RemoteProtocolError: it names chunks never sent.
        """
        ahead = (tsn - self._acked) & _MASK
        if ahead >= _HALF:
            return False
        sent = self._next - len(self._waiting) - 1
        cumulative = self._acked + ahead
        if cumulative > sent or (gaps and cumulative + gaps[-1][1] > sent):
            raise RemoteProtocolError("The peer acknowledged data that was never sent.")
        count, newest = 0, None
        for seq in range(self._acked + 1, cumulative + 1):
            chunk = self._sent.pop(seq)
            if not chunk.acked:
                count += chunk.size
                newest = self._arrived(chunk, newest)
            self._holes.pop(seq, None)
        self._acked = cumulative
        self._highest = max(self._highest, cumulative)
        if gaps:
            arrived, newest = self._take_gaps(cumulative, gaps, newest)
            count += arrived
        elif self._blocks:
            self._blocks = {}
        if newest is not None and newest.times == 1:
            self._path.measured(now - newest.sent_at, now)
        for twice in duplicates:
            self._arrived_twice(twice)
        if self._holes:
            self._find_losses()
        self._peer_window = window
        self._adjust_window(count)
        if ahead:
            self.timeouts = 0
            self.deadline = now + self._path.rto
        if not self._sent:
            self.deadline = None
        return True

    def _take_gaps(
        self, base: int, gaps: Iterable[tuple[int, int]], newest: _Chunk | None
    ) -> tuple[int, _Chunk | None]:
        """Look only at what the last acknowledgement did not say already."""
        count = 0
        blocks: dict[int, int] = {}
        for start, stop in gaps:
            first, last = base + start, base + stop
            blocks[first] = last
            for seq in range(self._highest + 1, first):
                self._holes[seq] = self._sent[seq]
            self._highest = max(self._highest, last)
            known = self._blocks.get(first)
            for seq in range(first if known is None else known + 1, last + 1):
                chunk = self._sent[seq]
                if not chunk.acked:
                    chunk.acked = True
                    count += chunk.size
                    newest = self._arrived(chunk, newest)
                    self._holes.pop(seq, None)
        self._blocks = blocks
        return count, newest

    def _arrived(self, chunk: _Chunk, newest: _Chunk | None) -> _Chunk | None:
        if chunk.lost:
            chunk.lost = False  # `_next_chunk` takes it out of the queue
        else:
            self.flight -= chunk.size
        self._arrivals += 1
        if chunk.order > self._newest:
            self._newest = chunk.order
        return chunk if newest is None or chunk.order > newest.order else newest

    def _find_losses(self) -> None:
        overdue = self._newest - self._reordering
        lost = [chunk for chunk in self._holes.values() if chunk.order <= overdue and not chunk.lost]
        if not lost:
            return
        if len(self._repeated) > _REMEMBERED:
            self._repeated.clear()
        for chunk in lost:
            chunk.lost = True
            self.flight -= chunk.size
            self._repeated.add(chunk.seq & _MASK)
        # In the order of their numbers: the peer can hand out nothing behind the first that is missing.
        queued = [chunk for chunk in self._lost if chunk.lost] + lost
        queued.sort(key=lambda chunk: chunk.seq)
        self._lost = deque(queued)
        if self._recovery is None:
            self._before_loss = self.window, self.threshold
            self._reduce()
            self.window = self.threshold
            self._recovery = self._next - len(self._waiting) - 1
            self._rescue = True

    def _arrived_twice(self, tsn: int) -> None:
        """If we repeated it too early, the path changes the order of packets more than we thought."""
        if tsn not in self._repeated:
            return
        self._repeated.discard(tsn)
        self._reordering = min(2 * self._reordering, SCTP_REORDERING_MAX)
        if self._before_loss is not None:
            # Nothing was lost, so the path is not overloaded.
            self.window, self.threshold = max(self.window, self._before_loss[0]), self._before_loss[1]
            self._before_loss = self._recovery = None

    def _reduce(self) -> None:
        self.threshold = max(self.window // 2, 4 * SCTP_FRAGMENT)
        self._partial = 0

    def _adjust_window(self, arrived: int) -> None:
        if self._recovery is not None:
            if self._acked >= self._recovery:
                self._recovery = None
            return
        if not arrived or not self._full:
            return  # a window that is not used says nothing about the path
        if self.window <= self.threshold:
            self.window += arrived
            return
        self._partial += arrived
        if self._partial >= self.window:
            self._partial -= self.window
            self.window += SCTP_FRAGMENT

    # --- the timer ----------------------------------------------------------------------------------------------

    def timeout(self, now: float) -> bool:
        """The deadline may have passed: if so, everything under way counts as lost. Returns whether it has."""
        if self.deadline is None or now < self.deadline:
            return False
        self.timeouts += 1
        self._reduce()
        self.window = SCTP_FRAGMENT
        self._recovery = self._before_loss = None
        self._path.timed_out()
        # What gap blocks said is forgotten too: the peer may have dropped it again.
        self._lost = deque(self._sent.values())
        for chunk in self._lost:
            chunk.lost, chunk.acked = True, False
        self._holes.clear()
        self._blocks = {}
        self._highest = self._acked
        self.flight = 0
        self.deadline = now + self._path.rto if self._sent else None
        return True

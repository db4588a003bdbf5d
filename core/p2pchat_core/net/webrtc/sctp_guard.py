"""What aiortc 1.16 leaves open in SCTP, closed by a subclass of its transport; data channels are in `sctp_channels`.

The tests in ``tests/net/webrtc/test_sctp_guard.py`` hold each guard in place; look through them when the version of
aiortc changes (`GUARDED_AIORTC`).

* A hostile packet ends this association, never the program: every packet is checked before aiortc parses it, and
  whatever goes wrong while it is handled is caught here instead of ending a task nobody looks at.
* The receive window is kept to (aiortc announces one and lets it go negative): unfinished messages, chunks out of
  order and messages not yet read count, and so does each chunk's own overhead. As a sender we keep to the peer's.
* Reassembly is linear (`reassembly`), and chunks far ahead of the next expected one are not kept.
* Late duplicates of the handshake do not set the numbering back.
* Packets are small enough for a path of 1200 bytes; nothing notices and repeats in smaller pieces what is too large.
* What the peer sends behind a stream reset is kept when it arrives before the reset.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from aiortc import RTCSctpTransport
from aiortc import rtcsctptransport as lib
from google_crc32c import value as crc32c

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.limits import (
    SCTP_FLIGHT_MIN,
    SCTP_FLIGHT_RATE,
    SCTP_FRAGMENT,
    SCTP_MAX_AHEAD,
    SCTP_MAX_GAPS,
    SCTP_MAX_STREAMS,
    SCTP_WINDOW,
    SCTP_WINDOW_SLACK,
)
from p2pchat_core.net.webrtc.reassembly import InboundMessages
from p2pchat_core.net.webrtc.sctp_packets import check_packet

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aiortc import RTCDtlsTransport

__all__ = ["GUARDED_AIORTC", "GuardedAssociation"]

logger = logging.getLogger(__name__)

GUARDED_AIORTC: Final = "1.16."
_TSN: Final = 2**32
_HALF: Final = 2**31
_SEQUENCES: Final = 2**16


def _behind(first: int, second: int) -> int:
    """How far serial number `first` is behind `second`; negative if it is ahead (RFC 1982)."""
    distance = (second - first) % _TSN
    return distance if distance < _HALF else distance - _TSN


def _is_intact(packet: bytes) -> bool:
    """Whether the checksum is right, so that the peer meant what is in there (RFC 9260 section 6.8)."""
    return len(packet) >= 12 and crc32c(packet[:8] + bytes(4) + packet[12:]) == int.from_bytes(
        packet[8:12], "little"
    )


class GuardedAssociation(RTCSctpTransport):
    """SCTP itself: packets, numbering, windows. Channels are in `GuardedSctp`."""

    def __init__(
        self,
        transport: RTCDtlsTransport,
        *,
        port: int,
        on_established: Callable[[], None],
        on_lost: Callable[[str], None],
        spawn: Callable[[Coroutine[Any, Any, object], str], object],
    ) -> None:
        """Run on `transport`.

        Args:
            port: our SCTP port.
            on_established: the association is up.
            on_lost: the association has ended; called once, with the reason as a sentence.
            spawn: runs a coroutine in a task that somebody owns.
        """
        super().__init__(transport, port)
        self._on_established = on_established
        self._on_lost = on_lost
        self._spawn = spawn
        self._ended = False
        self._unread = 0
        self._unfinished = 0
        self._peer_window = SCTP_WINDOW
        self._announced = SCTP_WINDOW
        self._inbound: dict[int, InboundMessages] = {}
        self._acknowledged = asyncio.Event()
        # Everything here is reliable; without the extension no FORWARD TSN can make us skip data.
        self._local_partial_reliability = False

    # --- for the connection -------------------------------------------------------------------------------------

    def consumed(self, count: int) -> None:
        """`count` bytes of messages handed out have been read: the window opens again by as much."""
        self._unread = max(0, self._unread - count)
        # Tell the peer when it may have stopped because of the window, and it is worth it now.
        if self._announced < SCTP_WINDOW // 2 <= self._window and not self._ended:
            self._spawn(self._send_sack(), "window update")

    def fail(self, reason: str) -> None:
        """End the association because of what the peer sent."""
        if not self._ended:
            self._spawn(self._abort(), "abort")
            self._end(reason)

    @property
    def unread(self) -> int:
        """Bytes of messages handed out and not yet consumed."""
        return self._unread

    @property
    def held(self) -> int:
        """What counts against the receive window."""
        return self._unread + self._unfinished

    @property
    def _window(self) -> int:
        return max(0, SCTP_WINDOW - self.held)

    async def drained(self) -> None:
        """Wait until the peer has acknowledged everything, or the association has ended."""
        while not self._ended and (self._data_channel_queue or self._outbound_queue or self._sent_queue):
            self._acknowledged.clear()
            await self._acknowledged.wait()

    # --- packets ------------------------------------------------------------------------------------------------

    async def _handle_data(self, data: bytes) -> None:
        if self._ended:
            return
        try:
            check_packet(data, len(self._sent_queue))
        except RemoteProtocolError as exc:
            if _is_intact(data):
                self.fail(str(exc))
            return
        try:
            await super()._handle_data(data)
        except RemoteProtocolError as exc:
            self.fail(str(exc))
        except Exception:
            logger.debug("an SCTP packet could not be handled", exc_info=True)
            self.fail("The peer sent an SCTP packet that could not be handled.")

    async def _receive_chunk(self, chunk: lib.Chunk) -> None:
        if self._ended:
            return
        if isinstance(chunk, lib.BaseInitChunk):
            await self._receive_init(chunk)
            return
        if isinstance(chunk, lib.ForwardTsnChunk):
            return
        if isinstance(chunk, lib.AbortChunk | lib.ShutdownChunk):
            if isinstance(chunk, lib.ShutdownChunk):
                await self._send_chunk(lib.ShutdownAckChunk())
            self._end("The peer closed the connection.")
            return
        await super()._receive_chunk(chunk)

    async def _receive_init(self, chunk: lib.BaseInitChunk) -> None:
        """An INIT that comes again later must be answered, but must not set the numbering back."""
        if self._association_state is not self.State.ESTABLISHED:
            self._peer_window = chunk.advertised_rwnd
            await super()._receive_chunk(chunk)
        elif chunk.initiate_tag == self._remote_verification_tag:
            numbering = self._last_received_tsn, self._reconfig_response_seq
            streams = self._inbound_streams_count, self._outbound_streams_count
            threshold = self._ssthresh
            await super()._receive_chunk(chunk)
            self._last_received_tsn, self._reconfig_response_seq = numbering
            self._inbound_streams_count, self._outbound_streams_count = streams
            self._ssthresh = threshold

    async def _send_chunk(self, chunk: lib.Chunk) -> None:
        if self._ended and not isinstance(chunk, lib.AbortChunk):
            return
        try:
            await super()._send_chunk(chunk)
        except Exception as exc:
            # The library calls this from tasks and timers of its own, where nobody would see it.
            logger.debug("an SCTP packet could not be sent: %r", exc)
            self._end("The connection below was lost.")

    def _set_state(self, state: RTCSctpTransport.State) -> None:
        if state is self.State.CLOSED:
            self._end("The connection could not be kept up.")
            return
        established = self._association_state is self.State.ESTABLISHED
        super()._set_state(state)
        if state is self.State.ESTABLISHED and not established:
            self._on_established()

    def _end(self, reason: str) -> None:
        if self._ended:
            return
        self._ended = True
        self._on_lost(reason)
        self._data_channel_queue.clear()
        self._outbound_queue.clear()
        self._inbound.clear()
        self._acknowledged.set()
        super()._set_state(self.State.CLOSED)

    # --- receiving ----------------------------------------------------------------------------------------------

    def _mark_received(self, tsn: int) -> bool:
        """Note `tsn`; whether it had come before. Costs the same however much is out of order."""
        last = self._last_received_tsn
        assert last is not None  # checked in _receive_data_chunk
        if _behind(last, tsn) <= 0 or tsn in self._sack_misordered:
            if len(self._sack_duplicates) < SCTP_MAX_GAPS:
                self._sack_duplicates.append(tsn)
            return True
        self._sack_misordered.add(tsn)
        while (last + 1) % _TSN in self._sack_misordered:
            last = (last + 1) % _TSN
            self._sack_misordered.remove(last)
        self._last_received_tsn = last
        return False

    async def _receive_data_chunk(self, chunk: lib.DataChunk) -> None:
        if self._last_received_tsn is None:
            return
        self._sack_needed = True
        ahead = _behind(self._last_received_tsn, chunk.tsn)
        over = self.held + len(chunk.user_data) - SCTP_WINDOW
        if ahead > SCTP_MAX_AHEAD or (over > 0 and ahead > 1):
            return  # not acknowledged, so the peer sends it again when there is room
        if over > SCTP_WINDOW_SLACK:
            if self._unread * 2 < SCTP_WINDOW:
                # Not we are slow: the messages never end, so there would never be room again.
                raise RemoteProtocolError(
                    "The peer sent more unfinished messages than the receive window allows."
                )
            return
        if self._mark_received(chunk.tsn):
            return
        stream = self._inbound.get(chunk.stream_id)
        if stream is None:
            if len(self._inbound) >= SCTP_MAX_STREAMS:
                raise RemoteProtocolError("The peer uses more data channels than a connection may have.")
            stream = self._inbound[chunk.stream_id] = InboundMessages()
        self._unfinished -= stream.held
        stream.add(chunk)
        await self._deliver(chunk.stream_id, stream)
        self._unfinished += stream.held
        await self._reset_deferred_streams()

    async def _deliver(self, stream_id: int, stream: InboundMessages) -> None:
        for protocol, data in stream.messages():
            await self._data_channel_receive(stream_id, protocol, data)
            if self._ended:
                return

    async def _reset_deferred_streams(self) -> None:
        request = self._reconfig_deferred
        last = self._last_received_tsn
        if request is None or last is None or _behind(request.last_tsn, last) < 0:
            return
        self._reconfig_deferred = None
        again: list[int] = []
        for stream_id in request.streams:
            stream = self._inbound.get(stream_id)
            if stream is not None:
                self._unfinished -= stream.held
                stream.reset(request.last_tsn)
                again.append(stream_id)
            channel = self._data_channels.get(stream_id)
            if channel is not None:
                self._data_channel_inbound_reset.add(stream_id)
                self._data_channel_close(channel)
                self._data_channel_reset(stream_id)
        await self._send_reconfig_param(
            lib.StreamResetResponseParam(
                response_sequence=request.request_sequence, result=lib.RECONFIG_RESULT_SUCCESS_PERFORMED
            )
        )
        for stream_id in again:
            await self._begin_again(stream_id)

    async def _begin_again(self, stream_id: int) -> None:
        """Deliver what came before the reset but belongs behind it."""
        stream = self._inbound.get(stream_id)
        if stream is None:
            return
        if not stream.held:
            del self._inbound[stream_id]
            return
        await self._deliver(stream_id, stream)
        self._unfinished += stream.held

    async def _send_sack(self) -> None:
        if self._last_received_tsn is None or self._ended:
            return
        self._announced = self._window
        misordered = sorted(self._sack_misordered, key=lambda tsn: _behind(self._last_received_tsn or 0, tsn))
        gaps: list[tuple[int, int]] = []
        for tsn in misordered:
            position = _behind(self._last_received_tsn, tsn)
            if gaps and gaps[-1][1] + 1 == position:
                gaps[-1] = gaps[-1][0], position
            elif len(gaps) < SCTP_MAX_GAPS:
                gaps.append((position, position))
        sack = lib.SackChunk()
        sack.cumulative_tsn = self._last_received_tsn
        sack.advertised_rwnd = self._announced
        sack.gaps = gaps
        sack.duplicates = self._sack_duplicates[: SCTP_MAX_GAPS - len(gaps)]
        self._sack_duplicates.clear()
        self._sack_needed = False
        await self._send_chunk(sack)

    # --- sending ------------------------------------------------------------------------------------------------

    async def _send(
        self,
        stream_id: int,
        pp_id: int,
        user_data: bytes,
        expiry: float | None = None,
        max_retransmits: int | None = None,
        ordered: bool = True,
    ) -> None:
        # The library's, but for the size of the pieces. All our channels are reliable and ordered.
        sequence = self._outbound_stream_seq.get(stream_id, 0)
        pieces = [user_data[at : at + SCTP_FRAGMENT] for at in range(0, len(user_data), SCTP_FRAGMENT)]
        for index, piece in enumerate(pieces):
            chunk: Any = lib.DataChunk()
            chunk.flags = lib.SCTP_DATA_FIRST_FRAG if index == 0 else 0
            if index == len(pieces) - 1:
                chunk.flags |= lib.SCTP_DATA_LAST_FRAG
            chunk.tsn = self._local_tsn
            chunk.stream_id, chunk.stream_seq, chunk.protocol = stream_id, sequence, pp_id
            chunk.user_data = piece
            # What the library keeps about a chunk under way.
            chunk._abandoned = chunk._acked = chunk._in_flight = chunk._retransmit = False
            chunk._expiry = chunk._max_retransmits = chunk._sent_time = None
            chunk._misses = chunk._sent_count = 0
            chunk._book_size = len(piece)
            self._local_tsn = (self._local_tsn + 1) % _TSN
            self._outbound_queue.append(chunk)
        self._outbound_stream_seq[stream_id] = (sequence + 1) % _SEQUENCES
        await self._transmit()

    async def _receive_sack_chunk(self, chunk: lib.SackChunk) -> None:
        if _behind(self._last_sacked_tsn, chunk.cumulative_tsn) >= 0:
            self._peer_window = chunk.advertised_rwnd
        await super()._receive_sack_chunk(chunk)
        self._acknowledged.set()

    async def _transmit(self) -> None:
        # Not more under way than the peer has room for, but always one chunk, which finds out about new room. Nor more
        # than a path of this round trip needs: it would only overflow the UDP buffer of the other machine, and every
        # loss of that kind costs a retransmission timeout of a second.
        wanted = self._cwnd
        path = max(SCTP_FLIGHT_MIN, int((self._srtt or 0) * SCTP_FLIGHT_RATE))
        self._cwnd = min(wanted, path, max(self._peer_window, 1))
        try:
            await super()._transmit()
        finally:
            self._cwnd = wanted

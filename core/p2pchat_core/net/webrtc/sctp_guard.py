"""What aiortc 1.16 leaves open in SCTP and its data channels, closed by a subclass of its transport.

The tests in ``tests/net/webrtc/test_sctp_guard.py`` hold each guard in place; look through them when the version of
aiortc changes (`GUARDED_AIORTC`).

* A hostile packet ends this association, never the program: every packet is checked before aiortc parses it, and
  whatever goes wrong while it is handled is caught here instead of ending a task nobody looks at.
* The receive window is kept to (aiortc announces one and lets it go negative): unfinished messages, chunks out of
  order and messages not yet read count, and so does each chunk's own overhead. As a sender we keep to the peer's.
* Reassembly is linear (`reassembly`), and chunks far ahead of the next expected one are not kept.
* Late duplicates of the handshake do not set the numbering back.
* Data channels: an id is free again when both resets are done; a peer that has seen our reset may reuse an id before
  its answer has reached us; duplicate or damaged DCEP messages, text, unordered or unreliable channels, ids of the
  wrong parity, floods of channels are refused.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from aiortc import RTCDataChannel, RTCDataChannelParameters, RTCSctpTransport
from aiortc import rtcsctptransport as lib

from p2pchat_core.errors import RemoteProtocolError, StreamLimitError
from p2pchat_core.limits import (
    RTC_MAX_CHANNELS,
    RTC_OPEN_BURST,
    RTC_OPENS_PER_SECOND,
    SCTP_MAX_AHEAD,
    SCTP_MAX_GAPS,
    SCTP_MAX_STREAMS,
    SCTP_WINDOW,
    SCTP_WINDOW_SLACK,
)
from p2pchat_core.net.webrtc.reassembly import InboundMessages
from p2pchat_core.net.webrtc.sctp_packets import check_packet
from p2pchat_core.wire.dcep import ACK, ChannelOpen, parse_dcep

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aiortc import RTCDtlsTransport

__all__ = ["GUARDED_AIORTC", "GuardedSctp", "SctpChannel"]

logger = logging.getLogger(__name__)

GUARDED_AIORTC: Final = "1.16."
_TSN: Final = 2**32
_HALF: Final = 2**31


def _behind(first: int, second: int) -> int:
    """How far serial number `first` is behind `second`; negative if it is ahead (RFC 1982)."""
    distance = (second - first) % _TSN
    return distance if distance < _HALF else distance - _TSN


class SctpChannel(RTCDataChannel):
    """A data channel that tells one listener directly what happens, and may send before the peer has answered.

    Attributes:
        on_open, on_message, on_close, on_drained: called when the peer has accepted the channel, with each binary
            message, once when it is gone, and when what is queued has fallen to `bufferedAmountLowThreshold`.
    """

    def __init__(
        self, transport: GuardedSctp, parameters: RTCDataChannelParameters, send_open: bool = True
    ) -> None:
        self.on_open: Callable[[], None] | None = None
        self.on_message: Callable[[bytes], None] | None = None
        self.on_close: Callable[[], None] | None = None
        self.on_drained: Callable[[], None] | None = None
        super().__init__(transport, parameters, send_open)

    def send(self, data: bytes | str) -> None:
        """Queue one message. The opening message is ahead of it in the same stream, so no answer is waited for."""
        if self.readyState in ("connecting", "open"):
            self.transport._data_channel_send(self, data)

    def emit(self, event: str, *args: Any, **kwargs: Any) -> bool:
        """Pass an event of the library on."""
        listener = {
            "open": self.on_open,
            "message": self.on_message,
            "close": self.on_close,
            "bufferedamountlow": self.on_drained,
        }.get(event)
        if listener is not None:
            listener(*args)
        return listener is not None


class GuardedSctp(RTCSctpTransport):
    """The SCTP association of one connection."""

    def __init__(
        self,
        transport: RTCDtlsTransport,
        *,
        port: int,
        on_established: Callable[[], None],
        on_channel: Callable[[SctpChannel], None],
        on_lost: Callable[[str], None],
        spawn: Callable[[Coroutine[Any, Any, object], str], object],
    ) -> None:
        """Run on `transport`.

        Args:
            port: our SCTP port.
            on_established: the association is up.
            on_channel: the peer has opened a channel.
            on_lost: the association has ended; called once, with the reason as a sentence.
            spawn: runs a coroutine in a task that somebody owns.
        """
        super().__init__(transport, port)
        self._on_established = on_established
        self._on_channel = on_channel
        self._on_lost = on_lost
        self._spawn = spawn
        self._ended = False
        self._unread = 0
        self._unfinished = 0
        self._peer_window = SCTP_WINDOW
        self._announced = SCTP_WINDOW
        self._inbound: dict[int, InboundMessages] = {}
        self._open_tokens = float(RTC_OPEN_BURST)
        self._open_refill = 0.0
        # Everything here is reliable; without the extension no FORWARD TSN can make us skip data.
        self._local_partial_reliability = False

    # --- for the connection -------------------------------------------------------------------------------------

    def open_channel(self, label: str) -> SctpChannel:
        """Open a channel; it may be used at once.

        Raises:
            StreamLimitError: there are too many, or no id is free.
        """
        limit = min(RTC_MAX_CHANNELS, self.maxChannels or RTC_MAX_CHANNELS)
        if len(self._data_channels) >= limit:
            raise StreamLimitError(f"The connection has {len(self._data_channels)} open streams already.")
        return SctpChannel(self, RTCDataChannelParameters(label=label, ordered=True))

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

    @property
    def idle(self) -> bool:
        """Whether the peer has acknowledged everything."""
        return not (self._data_channel_queue or self._outbound_queue or self._sent_queue)

    def discard(self, channel: SctpChannel) -> None:
        """Drop the messages of `channel` that have not been cut into chunks yet, but not its opening."""
        kept = type(self._data_channel_queue)()
        for item in self._data_channel_queue:
            if item[0] is channel and item[1] != lib.WEBRTC_DCEP:
                channel._addBufferedAmount(-len(item[2]))
            else:
                kept.append(item)
        self._data_channel_queue = kept

    # --- packets ------------------------------------------------------------------------------------------------

    async def _handle_data(self, data: bytes) -> None:
        if self._ended:
            return
        try:
            check_packet(data, len(self._sent_queue))
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

    async def _receive_sack_chunk(self, chunk: lib.SackChunk) -> None:
        if _behind(self._last_sacked_tsn, chunk.cumulative_tsn) >= 0:
            self._peer_window = chunk.advertised_rwnd
        await super()._receive_sack_chunk(chunk)

    async def _transmit(self) -> None:
        # Not more under way than the peer has room for, but always one chunk, which finds out about new room.
        wanted = self._cwnd
        self._cwnd = min(wanted, max(self._peer_window, 1))
        try:
            await super()._transmit()
        finally:
            self._cwnd = wanted

    async def _transmit_reconfig(self) -> None:
        # A channel that still has messages to send must not hold up the closing of the others.
        pending = {channel.id for channel, _, _ in self._data_channel_queue}
        waiting = [stream_id for stream_id in self._reconfig_queue if stream_id in pending]
        self._reconfig_queue = [stream_id for stream_id in self._reconfig_queue if stream_id not in pending]
        await super()._transmit_reconfig()
        self._reconfig_queue += waiting

    # --- data channels ------------------------------------------------------------------------------------------

    async def _data_channel_receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        if pp_id == lib.WEBRTC_DCEP:
            opening = parse_dcep(data)
            if opening is None:
                self._accepted(stream_id)
            else:
                await self._opened(stream_id, opening)
            return
        channel = self._data_channels.get(stream_id)
        if channel is None or channel.readyState in ("closing", "closed"):
            return
        if pp_id == lib.WEBRTC_BINARY:
            self._unread += len(data)
            channel.emit("message", data)
        elif pp_id != lib.WEBRTC_BINARY_EMPTY:
            channel.close()  # libp2p has no use for text

    def _accepted(self, stream_id: int) -> None:
        channel = self._data_channels.get(stream_id)
        if channel is not None and channel.readyState == "connecting":
            channel._setReadyState("open")

    async def _opened(self, stream_id: int, opening: ChannelOpen) -> None:
        self._count_open()
        if stream_id % 2 == (1 if self.is_server else 0):
            raise RemoteProtocolError("The peer opened a data channel with one of our numbers.")
        old = self._data_channels.get(stream_id)
        if old is not None:
            await self._release_reused(stream_id, old)
        channel = SctpChannel(
            self,
            RTCDataChannelParameters(label=opening.label, protocol=opening.protocol, id=stream_id),
            send_open=False,
        )
        self._data_channels[stream_id] = channel
        channel._setReadyState("open")
        if not opening.reliable_ordered or len(self._data_channels) > RTC_MAX_CHANNELS:
            channel.close()
            return
        self._data_channel_queue.append((channel, lib.WEBRTC_DCEP, ACK))
        await self._data_channel_flush()
        self._on_channel(channel)

    async def _release_reused(self, stream_id: int, old: RTCDataChannel) -> None:
        """The peer reuses an id: right if it has seen our reset, of which only the answer is still under way."""
        request = self._reconfig_request
        resetting = request is not None and stream_id in request.streams
        if old.readyState != "closing" or stream_id not in self._data_channel_inbound_reset or not resetting:
            raise RemoteProtocolError("The peer opened a data channel that is open already.")
        assert request is not None
        request.streams = [other for other in request.streams if other != stream_id]
        self._outbound_stream_seq.pop(stream_id, None)
        self._data_channel_closed(stream_id)
        if not request.streams:
            # Sent once more, an empty list would mean every stream (RFC 6525 section 4.1).
            self._reconfig_timer_cancel()
            self._reconfig_request = None
            await self._transmit_reconfig()

    def _count_open(self) -> None:
        now = time.monotonic()
        if self._open_refill:
            earned = (now - self._open_refill) * RTC_OPENS_PER_SECOND
            self._open_tokens = min(RTC_OPEN_BURST, self._open_tokens + earned)
        self._open_refill = now
        self._open_tokens -= 1
        if self._open_tokens < 0:
            raise RemoteProtocolError("The peer opens data channels faster than any use of them needs.")

    def _data_channel_closed(self, stream_id: int) -> None:
        self._data_channel_inbound_reset.discard(stream_id)
        self._data_channel_outbound_reset.discard(stream_id)
        channel = self._data_channels.pop(stream_id, None)
        if channel is not None:
            channel._setReadyState("closed")

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

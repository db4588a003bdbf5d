"""The receiving half of a `GuardedAssociation`: what came, what is missing, what is acknowledged when.

See there for what is guarded against. Nothing here waits: coroutines of the library are run to their end at once.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any, Final

from aiortc import RTCSctpTransport
from aiortc import rtcsctptransport as lib

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.limits import (
    SCTP_MAX_AHEAD,
    SCTP_MAX_GAPS,
    SCTP_MAX_STREAMS,
    SCTP_SACK_BATCH,
    SCTP_SACK_DELAY,
    SCTP_SACK_PACKETS,
    SCTP_WINDOW,
    SCTP_WINDOW_SLACK,
)
from p2pchat_core.net.webrtc.reassembly import InboundMessages

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence

    from aiortc import RTCDtlsTransport

__all__ = ["SACK", "InboundAssociation", "run_now"]

_TSN: Final = 2**32
_HALF: Final = 2**31
SACK: Final = struct.Struct("!BBHLLHH")
"""An acknowledgement without its gaps and duplicates (RFC 9260 section 3.3.4)."""
_IMMEDIATELY: Final = 0x08  # the sender wants its acknowledgement now (RFC 7053)


def _behind(first: int, second: int) -> int:
    """How far serial number `first` is behind `second`; negative if it is ahead (RFC 1982)."""
    distance = (second - first) % _TSN
    return distance if distance < _HALF else distance - _TSN


def run_now(coroutine: Coroutine[Any, Any, object]) -> None:
    """Run a coroutine of the library to its end: all that it awaits is ours, and ours never waits."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("the library waits for something")


class InboundAssociation(RTCSctpTransport):
    """Numbers, windows and acknowledgements of what the peer sends."""

    def __init__(self, transport: RTCDtlsTransport, port: int) -> None:
        super().__init__(transport, port)
        self._running = asyncio.get_running_loop()
        self._ended = False
        self._unread = 0
        self._unfinished = 0
        self._announced = SCTP_WINDOW
        self._inbound: dict[int, InboundMessages] = {}
        self._unacknowledged = 0  # packets with data since our last acknowledgement
        self._sack_at: float | None = None

    def _put(self, contents: Sequence[bytes], *, tag: int | None = None) -> None:
        """Send a packet for each of `contents`, which are chunks."""
        raise NotImplementedError

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

    # --- receiving ----------------------------------------------------------------------------------------------

    def _mark_received(self, tsn: int) -> bool:
        """Note `tsn`; whether it had come before. Costs the same however much is out of order."""
        last = self._last_received_tsn
        assert last is not None  # checked in _receive_data
        misordered = self._sack_misordered
        if not misordered and tsn == (last + 1) % _TSN:
            self._last_received_tsn = tsn
            return False
        self._sack_needed = True  # the peer should hear of what is missing at once
        if _behind(last, tsn) <= 0 or tsn in misordered:
            if len(self._sack_duplicates) < SCTP_MAX_GAPS:
                self._sack_duplicates.append(tsn)
            return True
        misordered.add(tsn)
        while (last + 1) % _TSN in misordered:
            last = (last + 1) % _TSN
            misordered.remove(last)
        self._last_received_tsn = last
        return False

    def _receive_data(
        self, flags: int, tsn: int, stream_id: int, sequence: int, protocol: int, data: bytes
    ) -> None:
        if self._last_received_tsn is None:
            return
        if flags & _IMMEDIATELY:
            self._sack_needed = True
        over = self._unread + self._unfinished + len(data) - SCTP_WINDOW
        ahead = _behind(self._last_received_tsn, tsn)
        if ahead > SCTP_MAX_AHEAD or (over > 0 and ahead > 1):
            self._sack_needed = True
            return  # not acknowledged, so the peer sends it again when there is room
        if over > SCTP_WINDOW_SLACK:
            if self._unread * 2 < SCTP_WINDOW:
                # Not we are slow: the messages never end, so there would never be room again.
                raise RemoteProtocolError(
                    "The peer sent more unfinished messages than the receive window allows."
                )
            self._sack_needed = True
            return
        if self._mark_received(tsn):
            return
        stream = self._inbound.get(stream_id)
        if stream is None:
            if len(self._inbound) >= SCTP_MAX_STREAMS:
                raise RemoteProtocolError("The peer uses more data channels than a connection may have.")
            stream = self._inbound[stream_id] = InboundMessages()
        before = stream.held
        messages = stream.add(flags, tsn, sequence, protocol, data)
        self._unfinished += stream.held - before
        if messages:
            self._deliver(stream_id, messages)
        if self._reconfig_deferred is not None:
            run_now(self._reset_deferred_streams())

    def _deliver(self, stream_id: int, messages: Iterable[tuple[int, bytes]]) -> None:
        for protocol, data in messages:
            if self._ended:
                return
            self._message(stream_id, protocol, data)

    def _message(self, stream_id: int, protocol: int, data: bytes) -> None:
        """A message of the peer is complete."""
        raise NotImplementedError

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
                before = stream.held
                stream.reset(request.last_tsn)
                self._unfinished += stream.held - before
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
            self._begin_again(stream_id)

    def _begin_again(self, stream_id: int) -> None:
        """Deliver what came before the reset but belongs behind it."""
        stream = self._inbound.get(stream_id)
        if stream is None:
            return
        before = stream.held
        if not before:
            del self._inbound[stream_id]
            return
        messages = stream.messages()
        self._unfinished += stream.held - before
        self._deliver(stream_id, messages)

    # --- acknowledging ------------------------------------------------------------------------------------------

    def _count_packet(self) -> None:
        self._unacknowledged += 1
        if self._unacknowledged >= SCTP_SACK_BATCH:
            self._put((self._sack(),))
        elif self._unacknowledged >= SCTP_SACK_PACKETS:
            self._sack_needed = True
        elif self._sack_at is None:
            self._sack_at = self._running.time() + SCTP_SACK_DELAY

    def _sack(self) -> bytes:
        """Return the acknowledgement of everything received so far."""
        last = self._last_received_tsn
        assert last is not None  # something was received
        gaps: list[tuple[int, int]] = []
        for position in sorted((tsn - last) % _TSN for tsn in self._sack_misordered):
            if gaps and gaps[-1][1] + 1 == position:
                gaps[-1] = gaps[-1][0], position
            elif len(gaps) < SCTP_MAX_GAPS:
                gaps.append((position, position))
        duplicates = self._sack_duplicates[: SCTP_MAX_GAPS - len(gaps)]
        self._sack_duplicates.clear()
        self._sack_needed = False
        self._sack_at = None
        self._unacknowledged = 0
        self._announced = self._window
        length = SACK.size + 4 * (len(gaps) + len(duplicates))
        fixed = SACK.pack(3, 0, length, last, self._announced, len(gaps), len(duplicates))
        if length == SACK.size:
            return fixed
        numbers = [number for gap in gaps for number in gap]
        return fixed + struct.pack(f"!{len(numbers)}H{len(duplicates)}L", *numbers, *duplicates)

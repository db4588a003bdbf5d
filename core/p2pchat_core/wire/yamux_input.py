"""The receiving half of a yamux session: every rule that a frame of the peer has to keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.limits import (
    YAMUX_ACCEPT_BACKLOG,
    YAMUX_CONTROL_BUFFER,
    YAMUX_INITIAL_WINDOW,
    YAMUX_MAX_CONNECTION_WINDOW,
    YAMUX_MAX_INBOUND_STREAMS,
    YAMUX_MAX_PINGS_PER_SECOND,
    YAMUX_MAX_RESETS,
    YAMUX_MAX_WINDOW,
    YAMUX_RESET_PERIOD,
)
from p2pchat_core.wire.yamux_core import OpenAllowed, StreamOpened
from p2pchat_core.wire.yamux_frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    FrameDecoder,
    GoAwayCode,
    encode_header,
)
from p2pchat_core.wire.yamux_liveness import Allowance
from p2pchat_core.wire.yamux_stream import Change, State, Substream

if TYPE_CHECKING:
    from p2pchat_core.wire.yamux_core import SessionCore
    from p2pchat_core.wire.yamux_frames import FrameHeader

__all__ = ["FrameInput"]


class FrameInput:
    """Turns frames of the peer into changes of the session."""

    def __init__(self, core: SessionCore) -> None:
        self._core = core
        self._decoder = FrameDecoder()
        self._fin_follows = False
        self._pings = Allowance(YAMUX_MAX_PINGS_PER_SECOND, 1.0)
        self._resets = Allowance(YAMUX_MAX_RESETS, YAMUX_RESET_PERIOD)

    def receive(self, data: bytes, now: float) -> None:
        """Take in bytes until they or the session end.

        Raises:
            RemoteProtocolError: a rule was broken.
        """
        core = self._core
        for item in self._decoder.feed(data):
            core.payload_left = self._decoder.payload_left
            if isinstance(item, memoryview):
                self._payload(item, now)
            elif item.type == PING:
                self._ping(item, now)
            elif item.type == GO_AWAY:
                self._go_away(item, now)
            else:
                self._frame(item, now)
            if core.ended is not None:
                return
        if core.queue.control_bytes > YAMUX_CONTROL_BUFFER:
            raise RemoteProtocolError("The remote side asks and asks, but does not read the answers.")

    def _ping(self, frame: FrameHeader, now: float) -> None:
        if frame.stream_id != 0 or frame.flags not in (SYN, ACK):
            raise RemoteProtocolError(
                "The remote side sent a yamux ping that is neither question nor answer."
            )
        if frame.flags == ACK:
            self._core.pings.answered(frame.length, now)
            return
        if not self._pings.take(now):
            raise RemoteProtocolError(
                f"The remote side pings more than {YAMUX_MAX_PINGS_PER_SECOND} times a second."
            )
        self._core.queue.add_urgent(encode_header(PING, ACK, 0, frame.length))

    def _go_away(self, frame: FrameHeader, now: float) -> None:
        core = self._core
        if frame.stream_id != 0:
            raise RemoteProtocolError("The remote side sent a yamux go-away on a stream.")
        core.going_away = True
        if frame.length != GoAwayCode.NORMAL:
            core.end(f"The remote side gave the connection up (yamux error {frame.length}).", None)
        elif core.peer_goodbye_at is None:
            core.peer_goodbye_at = now
            core.events.append(OpenAllowed())
            core.end_if_drained()

    def _frame(self, frame: FrameHeader, now: float) -> None:
        """A Data or WindowUpdate header; the payload of a Data frame follows in pieces."""
        core = self._core
        if frame.stream_id == 0:
            raise RemoteProtocolError("The remote side sent data on yamux stream 0.")
        if frame.type == DATA and frame.length > YAMUX_MAX_WINDOW:
            raise RemoteProtocolError(f"The remote side sent a yamux frame of {frame.length} bytes.")
        core.receiving = None
        stream = core.streams.get(frame.stream_id)
        if frame.flags & SYN:
            stream = self._syn(frame, stream, now)
        if stream is None:
            # A late frame of a stream that has ended, or of one just refused: its payload is passed over.
            return
        core.acknowledge(stream)
        if frame.flags & RST:
            # go puts an error code into the length; it is no window.
            if not stream.outbound:
                self._count_reset(now)
            core.reset_by_peer(stream)
        elif frame.type == WINDOW_UPDATE:
            stream.add_credit(frame.length)
            if frame.flags & FIN:
                self._fin(stream)
            core.unblock(stream)
        else:
            self._data_header(stream, frame)

    def _syn(self, frame: FrameHeader, known: Substream | None, now: float) -> Substream | None:
        core, stream_id = self._core, frame.stream_id
        if bool(stream_id & 1) == core.client:
            raise RemoteProtocolError(
                f"The remote side opened yamux stream {stream_id}, a number that is ours."
            )
        if known is not None:
            raise RemoteProtocolError(f"The remote side opened yamux stream {stream_id} twice.")
        if frame.type == DATA and frame.length > YAMUX_INITIAL_WINDOW:
            raise RemoteProtocolError(
                f"The remote side opened a yamux stream with {frame.length} bytes at once."
            )
        if frame.flags & RST:
            self._count_reset(now)
            return None
        full = core.inbound >= YAMUX_MAX_INBOUND_STREAMS or len(core.unaccepted) >= YAMUX_ACCEPT_BACKLOG
        if core.going_away or full:
            core.queue.add_control(encode_header(WINDOW_UPDATE, RST, stream_id, 0))
            return None
        stream = Substream(stream_id, outbound=False, now=now)
        core.add(stream)
        core.control(ACK, stream)
        core.events.append(StreamOpened(stream_id))
        return stream

    def _count_reset(self, now: float) -> None:
        if not self._resets.take(now):
            raise RemoteProtocolError("The remote side opens and resets streams without end.")

    def _data_header(self, stream: Substream, frame: FrameHeader) -> None:
        if stream.state is State.ENDED:
            return
        if stream.remote_ended and frame.length:
            self._core.reset(stream, "The remote side sent data after it had ended the stream.")
            return
        stream.spend(frame.length)
        # The end that a frame announces comes after its payload.
        self._core.receiving, self._fin_follows = stream, bool(frame.flags & FIN)
        if frame.length == 0 and self._fin_follows:
            self._fin(stream)

    def _payload(self, piece: memoryview, now: float) -> None:
        core = self._core
        stream = core.receiving
        if stream is None or stream.state is State.RESET:
            return
        if not stream.discarding:
            stream.store(piece)
            core.unread += len(piece)
            if core.unread > YAMUX_MAX_CONNECTION_WINDOW:
                core.reset(stream, "Too much data waits to be read on this connection.")
                return
        if core.payload_left == 0 and self._fin_follows:
            self._fin(stream)
        elif stream.discarding:
            core.give_back(stream, now)
        else:
            core.readable(stream)

    def _fin(self, stream: Substream) -> None:
        if stream.change(Change.RECEIVE_FIN):
            self._core.readable(stream)
            self._core.release_if_done(stream)

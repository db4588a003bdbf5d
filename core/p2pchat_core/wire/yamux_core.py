"""What both halves of a yamux session share: the streams, their counts, and the ways they and it end."""

from __future__ import annotations

from dataclasses import dataclass

from p2pchat_core.limits import YAMUX_ACK_BACKLOG, YAMUX_MAX_CONNECTION_WINDOW
from p2pchat_core.wire.yamux_frames import GO_AWAY, RST, WINDOW_UPDATE, GoAwayCode, encode_header
from p2pchat_core.wire.yamux_liveness import PingClock
from p2pchat_core.wire.yamux_queue import FrameQueue
from p2pchat_core.wire.yamux_stream import Change, Substream

__all__ = [
    "Event",
    "OpenAllowed",
    "SessionCore",
    "SessionEnded",
    "StreamEnded",
    "StreamOpened",
    "StreamReadable",
    "StreamReset",
    "StreamWritable",
]


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer opened a stream; call `accept` when somebody takes it."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamReadable:
    """`read_data` has something new to say: bytes, or the end."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamWritable:
    """`send_data` took less than it was given, and can take more now."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The stream is gone with all that was under way on it; `reason` is a sentence."""

    stream_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """Both sides have ended the stream and everything was read, or we have reset it; its id is no longer known."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class OpenAllowed:
    """Whoever waits to open a stream should look again: there is room, or there will be none."""


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """Nothing more will come; send what `take_output` still gives, then close the transport."""

    reason: str


Event = (
    StreamOpened | StreamReadable | StreamWritable | StreamReset | StreamEnded | OpenAllowed | SessionEnded
)


class SessionCore:
    """The state behind `YamuxSession`, shared by its two halves: the commands, and `FrameInput`."""

    def __init__(self, *, client: bool, now: float) -> None:
        self.client = client
        self.ended: str | None = None
        self.going_away = False
        self.peer_goodbye_at: float | None = None
        self.streams: dict[int, Substream] = {}
        self.inbound = 0
        self.outbound = 0
        self.unaccepted: set[int] = set()
        self.unacknowledged = 0
        self.unread = 0
        self.lingering: dict[int, float] = {}
        """When to reset the streams that we closed and the peer did not, soonest first."""
        self.receiving: Substream | None = None
        self.payload_left = 0
        """Bytes of the Data frame of `receiving` still to come."""
        self.queue = FrameQueue()
        self.pings = PingClock(now)
        self.events: list[Event] = []
        self._blocked: dict[int, Substream] = {}
        self._windows = 0

    # --- streams come and go ------------------------------------------------------------------------------

    def add(self, stream: Substream) -> None:
        """A stream begins."""
        self.streams[stream.stream_id] = stream
        self._windows += stream.receive_window
        if stream.outbound:
            self.outbound += 1
            self.unacknowledged += 1
        else:
            self.inbound += 1
            self.unaccepted.add(stream.stream_id)

    def acknowledge(self, stream: Substream) -> None:
        """The peer has shown that it knows `stream`, or the stream is gone: it leaves the ACK backlog."""
        if not stream.acknowledged:
            stream.acknowledged = True
            self.unacknowledged -= 1
            if self.unacknowledged == YAMUX_ACK_BACKLOG - 1:
                self.events.append(OpenAllowed())

    def release_if_done(self, stream: Substream) -> None:
        """Forget a stream that both sides have ended and that was read to its end."""
        if stream.done and stream.stream_id in self.streams:
            self.events.append(StreamEnded(stream.stream_id))
            self._remove(stream)

    def reset(self, stream: Substream, reason: str | None) -> None:
        """Reset a stream from our side; `reason` is for whoever uses it, ``None`` if nobody does any more."""
        self.unread -= stream.drop_unread()
        if not stream.change(Change.RESET):
            # Ended on both sides: there is nobody to tell.
            self.release_if_done(stream)
            return
        self.control(RST, stream)
        self._drop_reset(stream, reason)

    def reset_by_peer(self, stream: Substream) -> None:
        """The peer has given a stream up."""
        if stream.change(Change.RESET):
            self._drop_reset(stream, "The remote side reset the stream.")

    def _drop_reset(self, stream: Substream, reason: str | None) -> None:
        self.events.append(
            StreamEnded(stream.stream_id) if reason is None else StreamReset(stream.stream_id, reason)
        )
        self._remove(stream)

    def _remove(self, stream: Substream) -> None:
        del self.streams[stream.stream_id]
        self.acknowledge(stream)
        self.queue.drop(stream)
        self._blocked.pop(stream.stream_id, None)
        self.lingering.pop(stream.stream_id, None)
        self.unaccepted.discard(stream.stream_id)
        self.unread -= stream.drop_unread()
        self._windows -= stream.receive_window
        if stream.outbound:
            self.outbound -= 1
        else:
            self.inbound -= 1
        self.end_if_drained()

    # --- windows ------------------------------------------------------------------------------------------

    def give_back(self, stream: Substream, now: float) -> None:
        """Return window for what was read or dropped, growing it while the connection has budget."""
        if self.ended is not None:
            return
        pending = self.payload_left if self.receiving is stream else 0
        before = stream.receive_window
        delta = stream.grant(now, self.pings.rtt, YAMUX_MAX_CONNECTION_WINDOW - self._windows, pending)
        self._windows += stream.receive_window - before
        if delta:
            self.control(0, stream, delta)

    def block(self, stream: Substream) -> None:
        """The writer of `stream` has more than there is room for."""
        self._blocked[stream.stream_id] = stream

    def unblock(self, stream: Substream) -> None:
        """Tell a waiting writer if there is room again."""
        if stream.stream_id in self._blocked and stream.room(self.queue.shared_room):
            del self._blocked[stream.stream_id]
            self.events.append(StreamWritable(stream.stream_id))

    def unblock_all(self) -> None:
        """The same for all, in the order in which they began to wait."""
        if self._blocked:
            for stream in list(self._blocked.values()):
                self.unblock(stream)

    # --- frames and the end -------------------------------------------------------------------------------

    def control(self, flags: int, stream: Substream, delta: int = 0) -> None:
        """Queue a WindowUpdate, the frame that carries the flags of a stream."""
        if self.ended is None:
            self.queue.add_control(encode_header(WINDOW_UPDATE, flags, stream.stream_id, delta))

    def readable(self, stream: Substream) -> None:
        """Tell the reader of `stream` that something came."""
        if not stream.discarding:
            self.events.append(StreamReadable(stream.stream_id))

    def end_if_drained(self) -> None:
        """After the good-bye of the peer the last stream ends the session."""
        if self.peer_goodbye_at is not None and not self.streams:
            self.end("The remote side said good-bye.", None)

    def end(self, reason: str, code: GoAwayCode | None) -> None:
        """End the session, with a GOAWAY if there is a `code`. What was received stays readable."""
        if self.ended is not None:
            return
        self.ended, self.going_away = reason, True
        self.queue.clear()
        self._blocked.clear()
        self.lingering.clear()
        if code is not None:
            self.queue.add_urgent(encode_header(GO_AWAY, 0, 0, code))
        self.events.append(SessionEnded(reason))

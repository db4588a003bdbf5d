"""A yamux `/yamux/1.0.0` session: bytes and the time in, bytes and events out (protocol section 6)."""

from __future__ import annotations

from typing import Final

from p2pchat_core.errors import LocalProtocolError, RemoteProtocolError, StreamLimitError
from p2pchat_core.limits import MAX_STREAMS_PER_CONNECTION, YAMUX_ACK_BACKLOG, YAMUX_CLOSE_LINGER
from p2pchat_core.wire.yamux_core import (
    Event,
    OpenAllowed,
    SessionCore,
    SessionEnded,
    StreamEnded,
    StreamOpened,
    StreamReadable,
    StreamReset,
    StreamWritable,
)
from p2pchat_core.wire.yamux_frames import GO_AWAY, PING, SYN, GoAwayCode, encode_header
from p2pchat_core.wire.yamux_input import FrameInput
from p2pchat_core.wire.yamux_stream import Change, Substream

__all__ = [
    "Event",
    "OpenAllowed",
    "SessionEnded",
    "StreamEnded",
    "StreamOpened",
    "StreamReadable",
    "StreamReset",
    "StreamWritable",
    "YamuxSession",
]

_MAX_STREAM_ID: Final = 2**32 - 1


class YamuxSession:
    """One side of a session. It never raises for what the peer does: it says GOAWAY and emits `SessionEnded`.

    After every call, take `take_events` and send `take_output`; call `handle_timer` when `deadline` has come.

    Two rules on acknowledgements. We acknowledge at once, because go stops opening after 256 streams without.
    And since js never acknowledges a stream on which it received nothing, any frame of the peer on a stream
    counts as the acknowledgement, and the end of a stream frees its place; whoever waits for `OpenAllowed`
    bounds the wait.

    Args:
        client: whether we opened the connection; decides who uses odd stream numbers.
        now: seconds on the clock that all later calls use.
    """

    def __init__(self, *, client: bool, now: float) -> None:
        self._core = SessionCore(client=client, now=now)
        self._input = FrameInput(self._core)
        self._next_id = 1 if client else 2
        self._said_goodbye = False

    @property
    def ended(self) -> str | None:
        """Why the session is over, a sentence; ``None`` while it lives."""
        return self._core.ended

    @property
    def going_away(self) -> bool:
        """Whether either side has said good-bye, so that no stream can be opened."""
        return self._core.going_away

    @property
    def ack_backlog_full(self) -> bool:
        """Whether `YAMUX_ACK_BACKLOG` streams of ours still wait for a sign of the peer."""
        return self._core.unacknowledged >= YAMUX_ACK_BACKLOG

    @property
    def rtt(self) -> float | None:
        """Round trip in seconds, once known."""
        return self._core.pings.rtt

    @property
    def stream_count(self) -> int:
        """Streams not yet ended, or not yet read to the end."""
        return len(self._core.streams)

    @property
    def unread_bytes(self) -> int:
        """Bytes received on all streams that nobody has read."""
        return self._core.unread

    @property
    def buffered(self) -> int:
        """Bytes held in either direction: received and not read, and not sent yet."""
        return self._core.unread + self._core.queue.buffered

    @property
    def has_output(self) -> bool:
        """Whether `take_output` may have something."""
        return bool(self._core.queue)

    def take_events(self) -> list[Event]:
        """Return what happened since the last call."""
        events = self._core.events
        if events:
            self._core.events = []
        return events

    def take_output(self, max_bytes: int) -> bytes:
        """Return the next bytes for the transport, at most `max_bytes` (13 or more), or ``b""``."""
        core = self._core
        data, finished = core.queue.take(max_bytes)
        for stream in finished:
            stream.change(Change.SEND_FIN)
            core.release_if_done(stream)
        core.unblock_all()
        return data

    # --- input and time -----------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> None:
        """Take what the transport delivered."""
        if self._core.ended is not None or not data:
            return
        self._core.pings.received(now)
        try:
            self._input.receive(data, now)
        except RemoteProtocolError as error:
            self._core.end(str(error), GoAwayCode.PROTOCOL_ERROR)

    def receive_eof(self, reason: str) -> None:
        """The transport has ended; what was received can still be read."""
        self._core.end(reason, None)

    def deadline(self) -> float | None:
        """Return when `handle_timer` must be called. After our good-bye the shell bounds the wait."""
        core = self._core
        if core.ended is not None or self._said_goodbye:
            return None
        deadline = core.pings.deadline()
        if core.lingering:
            deadline = min(deadline, next(iter(core.lingering.values())))
        if core.peer_goodbye_at is not None:
            deadline = min(deadline, core.peer_goodbye_at + YAMUX_CLOSE_LINGER)
        return deadline

    def handle_timer(self, now: float) -> None:
        """Do what is due: pings, giving up a dead peer, resetting streams that the peer leaves half open."""
        core = self._core
        if core.ended is not None or self._said_goodbye:
            return
        if core.pings.dead(now):
            core.end("The remote side no longer answers.", GoAwayCode.INTERNAL_ERROR)
            return
        if core.peer_goodbye_at is not None and now >= core.peer_goodbye_at + YAMUX_CLOSE_LINGER:
            core.end("The remote side said good-bye.", None)
            return
        if (ping_id := core.pings.due(now)) is not None:
            core.queue.add_urgent(encode_header(PING, SYN, 0, ping_id))
        for stream_id in [key for key, deadline in core.lingering.items() if deadline <= now]:
            core.reset(core.streams[stream_id], None)

    # --- commands -----------------------------------------------------------------------------------------

    def open_stream(self, now: float) -> int:
        """Open a stream and return its id.

        Raises:
            StreamLimitError: too many streams are open or unacknowledged.
            LocalProtocolError: the session has ended or is ending.
        """
        core = self._core
        if core.going_away:
            raise LocalProtocolError("No stream can be opened on a yamux session that is ending.")
        if self.ack_backlog_full:
            raise StreamLimitError(
                f"The remote side has not answered {YAMUX_ACK_BACKLOG} streams opened before."
            )
        if core.outbound >= MAX_STREAMS_PER_CONNECTION or self._next_id > _MAX_STREAM_ID:
            raise StreamLimitError(
                "This connection has as many streams as it can; close some, or connect again."
            )
        stream = Substream(self._next_id, outbound=True, now=now)
        self._next_id += 2
        core.add(stream)
        core.control(SYN, stream)
        return stream.stream_id

    def accept(self, stream_id: int) -> None:
        """Somebody takes the stream of a `StreamOpened`: it leaves the backlog."""
        self._core.unaccepted.discard(stream_id)

    def send_data(self, stream_id: int, data: memoryview) -> int:
        """Take a beginning of `data`, whose bytes must not change later, and return how many bytes that was.

        When it was not all, `StreamWritable` tells when to go on.

        Raises:
            LocalProtocolError: the stream is unknown, its sending side was ended, or the session is over.
        """
        core, stream = self._core, self._stream(stream_id)
        if core.ended is not None or stream.send_ended:
            raise LocalProtocolError("Data cannot follow the end of a stream.")
        taken = min(len(data), stream.room(core.queue.shared_room))
        if taken:
            core.queue.add_data(stream, data[:taken])
        if taken < len(data):
            core.block(stream)
        return taken

    def read_data(self, stream_id: int, max_bytes: int, now: float) -> bytes | None:
        """Return up to `max_bytes` of what came, ``b""`` after the peer's end, ``None`` if nothing came yet.

        Raises:
            LocalProtocolError: the stream is unknown.
        """
        core, stream = self._core, self._stream(stream_id)
        if not stream.unread:
            return b"" if stream.remote_ended else None
        data = stream.read(max_bytes)
        core.unread -= len(data)
        core.give_back(stream, now)
        core.release_if_done(stream)
        return data

    def end_write(self, stream_id: int) -> None:
        """End our direction after what is queued. Again, or on a stream that is gone: nothing."""
        stream = self._core.streams.get(stream_id)
        if stream is None or stream.send_ended or self._core.ended is not None:
            return
        stream.fin_wanted = True
        self._core.queue.schedule(stream)

    def close_stream(self, stream_id: int, now: float) -> None:
        """End our direction and drop all that still comes; a stream the peer never ends is reset in time."""
        core = self._core
        stream = core.streams.get(stream_id)
        if stream is None or stream.discarding:
            return
        self.end_write(stream_id)
        stream.discarding = True
        core.unread -= stream.drop_unread()
        if stream.remote_ended:
            core.release_if_done(stream)
            return
        core.lingering[stream_id] = now + YAMUX_CLOSE_LINGER
        core.give_back(stream, now)

    def reset_stream(self, stream_id: int) -> None:
        """Give the stream up in both directions. On a stream that is gone: nothing."""
        stream = self._core.streams.get(stream_id)
        if stream is not None:
            self._core.reset(stream, None)

    def say_goodbye(self) -> None:
        """Announce a normal end after everything queued; streams the peer opens from now on are refused."""
        if self._core.ended is None and not self._said_goodbye:
            self._said_goodbye = self._core.going_away = True
            self._core.queue.end_with(encode_header(GO_AWAY, 0, 0, GoAwayCode.NORMAL))

    def _stream(self, stream_id: int) -> Substream:
        stream = self._core.streams.get(stream_id)
        if stream is None:
            raise LocalProtocolError(f"There is no yamux stream {stream_id}.")
        return stream

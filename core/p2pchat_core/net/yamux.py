"""yamux over any byte stream: the tasks, the waiting and the timer around `wire.yamux.YamuxSession`."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from p2pchat_core.clock import SystemClock
from p2pchat_core.errors import ConnectionLostError, P2PChatError, StreamLimitError
from p2pchat_core.limits import CLOSE_TIMEOUT, NEGOTIATION_TIMEOUT, NOISE_MAX_PLAINTEXT, READ_CHUNK
from p2pchat_core.net.muxer import Muxer
from p2pchat_core.net.tasks import TaskOwner
from p2pchat_core.net.yamux_stream import YamuxStream
from p2pchat_core.wire.yamux import (
    OpenAllowed,
    SessionEnded,
    StreamEnded,
    StreamOpened,
    StreamReadable,
    StreamReset,
    StreamWritable,
    YamuxSession,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2pchat_core.clock import Clock
    from p2pchat_core.net.stream import ByteStream, Stream
    from p2pchat_core.wire.yamux import Event

__all__ = ["YamuxMuxer"]

logger = logging.getLogger(__name__)

_WRITE_CHUNK: Final = NOISE_MAX_PLAINTEXT
"""One write below is one Noise frame; between two of them a pong can go out."""
_BURST: Final = 4
"""Such writes in one turn of the event loop; then others get theirs."""
_READ_CHUNK: Final = 4 * READ_CHUNK
"""Taken from below at once."""


class _DeadlineTimer:
    """Calls back at the earliest deadline it was given, or before it."""

    def __init__(self, clock: Clock, callback: Callable[[], None]) -> None:
        self._clock = clock
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None
        self._at = 0.0

    def arm(self, deadline: float) -> None:
        """Call back no later than `deadline`, in seconds on the clock."""
        loop = asyncio.get_running_loop()
        at = loop.time() + max(0.0, deadline - self._clock.monotonic())
        if self._handle is not None:
            if self._at <= at:
                # Then nothing is due and it is armed again, which is cheaper than moving it for every frame.
                return
            self._handle.cancel()
        self._handle, self._at = loop.call_at(at, self._fire), at

    def cancel(self) -> None:
        """Do not call back."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = None
        self._callback()


class YamuxMuxer(Muxer):
    """The streams of one connection.

    What comes is handed to whoever reads a stream in the same turn of the event loop; what is to be sent is collected
    for the rest of the turn and goes out in the next one, so that many small writes become one. There are no tasks but
    the one that ends the connection, and one timer.

    Args:
        channel: the encrypted connection; owned from now on.
        client: whether we opened the connection.
        clock: where the time comes from.
    """

    def __init__(self, channel: ByteStream, *, client: bool, clock: Clock | None = None) -> None:
        self._channel = channel
        self._clock = clock if clock is not None else SystemClock()
        self._session = YamuxSession(client=client, now=self._clock.monotonic())
        self._tasks = TaskOwner("yamux")
        self._timer = _DeadlineTimer(self._clock, self._on_timer)
        self._streams: dict[int, YamuxStream] = {}
        self._unaccepted: dict[int, YamuxStream] = {}
        self._acceptable = asyncio.Event()
        self._open_allowed = asyncio.Event()
        self._started = self._receiving = self._telling = self._full = self._mute = False
        self._sending: asyncio.Handle | asyncio.TimerHandle | None = None
        self._sent = asyncio.Event()
        self._to_tell: deque[Callable[[], None]] = deque()
        self._lost: str | None = None
        self._readable_to_the_end = False
        self._finished = asyncio.Event()

    @property
    def rtt(self) -> float | None:
        """Round trip of this connection in seconds, once measured."""
        return self._session.rtt

    @property
    def buffered(self) -> int:
        """See `Muxer.buffered`."""
        return (
            self._session.buffered
            + sum(stream.buffered for stream in self._streams.values())
            + self._channel.buffered
        )

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self._lost is not None

    def start(self) -> None:
        """Begin to read and write."""
        self._started = True
        self._channel.on_readable = self._receive
        self._channel.on_writable = self._drained
        self._receive()
        self._arm()
        self.pump()

    async def open_stream(self) -> Stream:
        """Open a stream. While 256 streams wait for a sign of the remote side, this waits for a place, with a limit.

        Raises:
            StreamLimitError: too many streams are open, or no place came free.
            ConnectionLostError: the connection has ended or is ending.
        """
        self._check_open()
        if self._session.ack_backlog_full:
            try:
                async with asyncio.timeout(NEGOTIATION_TIMEOUT):
                    await self._wait_for_ack_backlog()
            except TimeoutError:
                raise StreamLimitError("The remote side does not answer the streams opened before.") from None
        stream_id = self._session.open_stream(self._clock.monotonic())
        stream = self._streams[stream_id] = YamuxStream(self, self._session, stream_id)
        self.pump()
        return stream

    async def accept_stream(self) -> Stream:
        """Wait for a stream that the remote side opens.

        Raises:
            ConnectionLostError: the connection has ended.
        """
        while True:
            if self._lost is not None:
                raise ConnectionLostError(self._lost)
            if self._unaccepted:
                stream_id = next(iter(self._unaccepted))
                self._session.accept(stream_id)
                return self._unaccepted.pop(stream_id)
            self._acceptable.clear()
            await self._acceptable.wait()

    async def close(self) -> None:
        """Send what is queued and a good-bye, then close the channel, all within `limits.CLOSE_TIMEOUT`."""
        if self._lost is None:
            self._session.say_goodbye()
            self._finish("The connection was closed on this side.", orderly=True)
            self.pump()
        await self.wait_closed()

    def abort(self, reason: str) -> None:
        """End at once."""
        self._session.receive_eof(reason)
        self._finish(reason, orderly=False)
        self.pump()

    async def wait_closed(self) -> str:
        """Wait until the connection and its tasks have ended, and return why."""
        await self._finished.wait()
        await self._tasks.close()
        assert self._lost is not None  # set before `_finished`
        return self._lost

    # --- for the streams ----------------------------------------------------------------------------------

    @property
    def lost(self) -> str | None:
        """Why the connection has ended, a sentence; ``None`` while it lives."""
        return self._lost

    def read(self, stream: YamuxStream, max_bytes: int) -> bytes | None:
        """Return what `stream` received, ``b""`` at its end, ``None`` if there is nothing to read (yet)."""
        if self._lost is not None and not self._readable_to_the_end:
            return None
        data = self._session.read_data(stream.stream_id, max(1, max_bytes), self._clock.monotonic())
        if data:
            self.pump()
        return data

    def close_stream(self, stream: YamuxStream) -> None:
        """Nobody will read or write `stream` any more."""
        if self._streams.get(stream.stream_id) is stream:
            self._session.close_stream(stream.stream_id, self._clock.monotonic())
            self.pump()
            self._arm()

    def reset_stream(self, stream: YamuxStream) -> None:
        """Nobody wants anything of `stream` any more."""
        # Like every end, this one is an event of the session: there may be one already that was not taken yet.
        if self._streams.get(stream.stream_id) is stream:
            self._session.reset_stream(stream.stream_id)
            self.pump()

    def pump(self) -> None:
        """Act on what a call to the session has brought about.

        Streams are told only when the state of all of them is right, and by the outermost call: what they do then may
        lead back here.
        """
        for event in self._session.take_events():
            self._apply(event)
        if self._session.has_output:
            self._send_soon()
        if self._to_tell and not self._telling:
            self._telling = True
            try:
                while self._to_tell:
                    self._to_tell.popleft()()
            finally:
                self._telling = False

    # --- the channel ----------------------------------------------------------------------------------------

    def _receive(self) -> None:
        if self._receiving:
            return  # by a detour from below; the loop goes on until there is nothing left
        self._receiving = True
        try:
            while (
                self._session.ended is None and (data := self._channel.read_nowait(_READ_CHUNK)) is not None
            ):
                if data:
                    self._session.receive_data(data, self._clock.monotonic())
                else:
                    self._session.receive_eof("The remote side closed the connection.")
                self.pump()
        except P2PChatError as error:
            self._channel_failed(str(error))
        except Exception:
            self._fault()
        finally:
            self._receiving = False
        self._arm()

    def _drained(self) -> None:
        self._full = False
        self._send_soon()

    def _send_soon(self) -> None:
        if self._sending is None and self._started and not (self._full or self._mute):
            self._sending = asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._sending = None
        try:
            for _ in range(_BURST):
                if not self._session.has_output:
                    break
                if not self._channel.can_send():
                    self._full = True
                    break
                self._channel.send(self._session.take_output(_WRITE_CHUNK))
        except P2PChatError as error:
            self._mute = True
            # Who closes right after the last message must not lose it because we could not acknowledge it.
            self._sending = asyncio.get_running_loop().call_later(
                CLOSE_TIMEOUT, self._channel_failed, str(error)
            )
        except Exception:
            self._fault()
        if self._mute or not self._session.has_output:
            self._sent.set()
        self.pump()

    def _fault(self) -> None:
        logger.exception("carrying a connection failed")
        self._channel_failed("The connection failed because of an error in this program.")

    def _channel_failed(self, reason: str) -> None:
        self._session.receive_eof(reason)
        self.pump()
        self._channel.abort()

    def _arm(self) -> None:
        deadline = self._session.deadline()
        if deadline is not None and self._started and self._lost is None:
            self._timer.arm(deadline)

    def _on_timer(self) -> None:
        self._session.handle_timer(self._clock.monotonic())
        self.pump()
        self._arm()

    # --- events -------------------------------------------------------------------------------------------

    def _apply(self, event: Event) -> None:
        match event:
            case StreamReadable(stream_id):
                self._to_tell.append(self._streams[stream_id].notify_readable)
            case StreamWritable(stream_id):
                self._to_tell.append(self._streams[stream_id].room_made)
            case StreamOpened(stream_id):
                stream = YamuxStream(self, self._session, stream_id)
                self._streams[stream_id] = self._unaccepted[stream_id] = stream
                self._acceptable.set()
            case StreamEnded(stream_id):
                stream = self._streams.pop(stream_id)
                stream.mark_ended()
                self._to_tell.append(stream.notify)
            case StreamReset(stream_id, reason):
                self._unaccepted.pop(stream_id, None)
                stream = self._streams.pop(stream_id)
                stream.mark_reset(reason)
                self._to_tell.append(stream.notify)
            case OpenAllowed():
                self._open_allowed.set()
            case SessionEnded(reason) if self._lost is None:
                self._readable_to_the_end = True
                self._finish(reason, orderly=True)

    async def _wait_for_ack_backlog(self) -> None:
        while self._session.ack_backlog_full:
            self._open_allowed.clear()
            await self._open_allowed.wait()
            self._check_open()

    def _check_open(self) -> None:
        if self._lost is not None:
            raise ConnectionLostError(self._lost)
        if self._session.going_away:
            raise ConnectionLostError("The connection is ending; connect again.")

    def _finish(self, reason: str, *, orderly: bool) -> None:
        """End every stream now; the channel follows, after what is still to be sent if `orderly`."""
        if not orderly:
            self._readable_to_the_end = False
            self._channel.abort()
        if self._lost is not None:
            return
        self._lost = reason
        self._timer.cancel()
        self._to_tell.extend(stream.notify for stream in self._streams.values())
        self._acceptable.set()
        self._open_allowed.set()
        self._tasks.spawn(self._shut_down(orderly), "shut down")

    async def _shut_down(self, orderly: bool) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                if orderly and self._started and not self._mute:
                    self._sent.clear()
                    self._send_soon()
                    await self._sent.wait()
                await self._channel.close()
        except TimeoutError:
            logger.debug("the connection could not be closed in order within %g s", CLOSE_TIMEOUT)
        finally:
            self._channel.abort()
            if self._sending is not None:
                self._sending.cancel()
            self._started = False
            self._finished.set()

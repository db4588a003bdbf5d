"""A libp2p stream over one data channel: the asyncio shell around `wire.rtc_stream.RtcStream`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from p2pchat_core.errors import (
    ConnectionLostError,
    RemoteProtocolError,
    StreamClosedError,
    StreamResetError,
)
from p2pchat_core.limits import (
    READ_CHUNK,
    RTC_BUFFERED_HIGH,
    RTC_EARLY_BYTES,
    RTC_EARLY_MESSAGES,
    RTC_FIN_ACK_TIMEOUT,
    RTC_MAX_MESSAGE,
    RTC_MAX_PAYLOAD,
    STREAM_READ_BUFFER,
)
from p2pchat_core.net.byte_queue import ByteQueue
from p2pchat_core.net.stream import Stream
from p2pchat_core.wire.rtc_stream import ReadState, RtcStream, WriteState

if TYPE_CHECKING:
    from p2pchat_core.net.webrtc.channel import Channel
    from p2pchat_core.net.webrtc.muxer import DataChannelMuxer

__all__ = ["DataChannelStream"]

_FRAMING: Final = RTC_MAX_MESSAGE - RTC_MAX_PAYLOAD


class DataChannelStream(Stream):
    """One stream of a `DataChannelMuxer`.

    `close` returns at once; the channel stays until the peer has confirmed our FIN and ended its side, at most
    `limits.RTC_FIN_ACK_TIMEOUT`.
    """

    def __init__(self, muxer: DataChannelMuxer, channel: Channel) -> None:
        self._muxer = muxer
        self._channel = channel
        self._machine = RtcStream()
        self._queue = ByteQueue()
        self._pushed_back = ByteQueue()
        self._unsent = ByteQueue()
        self._closed = False
        self._closing_channel = False
        self._gone = False
        self._lost: str | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._early_messages = 0
        self._early_bytes = 0
        self.reads = 0
        channel.listen(self)

    # --- what callers use ---------------------------------------------------------------------------------------

    @property
    def stream_id(self) -> int:
        """The number of the data channel."""
        return self._channel.channel_id

    @property
    def waiting(self) -> int:
        """Bytes received and not yet read."""
        return len(self._queue)

    def read_nowait(self, max_bytes: int = READ_CHUNK) -> bytes | None:
        """See `ByteStream.read_nowait`."""
        if self._closed:
            raise StreamClosedError("The stream was closed on this side.")
        if self._machine.is_reset:
            raise StreamResetError("The stream was reset.")
        if len(self._pushed_back):
            return self._pushed_back.take(max_bytes)
        if len(self._queue):
            data = self._queue.take(max_bytes)
            self.reads += 1
            self._channel.consumed(len(data))
            return data
        if self._machine.read_state is not ReadState.OPEN:
            return b""
        if self._lost is not None:
            raise ConnectionLostError(self._lost)
        return None

    def unread(self, data: bytes) -> None:
        """See `ByteStream.unread`."""
        self._pushed_back.push_front(data)

    def can_send(self) -> bool:
        """See `ByteStream.can_send`. No while much is queued, and before the peer is ready for more."""
        self._check_writable()
        return not len(self._unsent)

    def send(self, data: bytes | memoryview) -> None:
        """See `ByteStream.send`."""
        self._check_writable()
        self._unsent.append(bytes(data))
        self._send_more()

    async def close_write(self) -> None:
        """See `Stream.close_write`."""
        if self._closed or self._machine.write_state in (WriteState.FIN_SENT, WriteState.CLOSED):
            return
        if self._machine.write_state is not WriteState.STOPPED:
            await self.wait_until_writable()
        self._machine.close_write()
        self._flush()

    async def close(self) -> None:
        """See `ByteStream.close`."""
        if self._closed:
            return
        self._closed = True
        self._machine.close_write()
        if self._machine.read_state is ReadState.OPEN:
            self._machine.close_read()
        self._drop_unread()
        self._flush()
        self.notify()
        if not self._gone:
            self._linger = asyncio.get_running_loop().call_later(RTC_FIN_ACK_TIMEOUT, self._close_channel)

    def abort(self) -> None:
        """See `ByteStream.abort`."""
        if self._machine.is_reset or self._gone:
            return
        if not self._machine.finished:
            self._channel.discard()
        self._machine.abort()
        self._drop_unread()
        self._flush()
        self._close_channel()
        self.notify()

    # --- what the channel tells ---------------------------------------------------------------------------------

    def channel_opened(self) -> None:
        """Nothing waits for it: the channel may be used before."""

    def channel_message(self, data: bytes) -> None:
        """Take one message."""
        self._muxer.peer_spoke()
        before = self._held
        try:
            self._machine.receive_message(data)
        except RemoteProtocolError:
            self._channel.consumed(len(data))
            self.abort()
            return
        for payload in self._machine.take_data():
            self._queue.append(payload)
        self._channel.consumed(len(data) - (self._held - before))
        if self._closed or self._machine.is_reset:
            self._drop_unread()
        self._flush()
        if len(self._queue) > STREAM_READ_BUFFER:
            self.abort()
        self.notify()

    def channel_drained(self) -> None:
        """Writers may go on."""
        self._send_more()
        self.notify()

    def channel_closed(self) -> None:
        """Both sides have closed the channel, or the connection is lost."""
        self._gone = True
        if self._lost is None:
            self._machine.channel_closed()
        if self._linger is not None:
            self._linger.cancel()
        self._muxer.forget(self)
        self.notify()

    # --- what the muxer tells -----------------------------------------------------------------------------------

    def connection_lost(self, reason: str) -> None:
        """The association has ended. Data that has arrived can still be read."""
        self._lost = reason
        self.notify()

    def peer_ready(self) -> None:
        """The peer has said something, so its multiplexer is up."""
        self._send_more()
        self.notify()

    # --- inside -------------------------------------------------------------------------------------------------

    @property
    def _held(self) -> int:
        """What this stream takes of the receive window, which all streams share."""
        return len(self._queue) + self._machine.buffered

    def _send_more(self) -> None:
        if self._closed or self._lost is not None or self._machine.write_state is not WriteState.OPEN:
            self._unsent.clear()
        while len(self._unsent) and self._channel.buffered < RTC_BUFFERED_HIGH:
            size = min(len(self._unsent), RTC_MAX_PAYLOAD)
            if not self._early_room(size):
                break
            self._early_messages += 1
            self._early_bytes += size + _FRAMING
            self._machine.send_data(self._unsent.take(size))
            self._flush()

    def _drop_unread(self) -> None:
        """Give back to the window what nobody will read any more."""
        self._channel.consumed(len(self._queue))
        self._queue.clear()
        self._pushed_back.clear()

    def _flush(self) -> None:
        for message in self._machine.take_output():
            self._channel.send(message)
        if self._machine.finished:
            self._close_channel()

    def _close_channel(self) -> None:
        if not self._closing_channel:
            self._closing_channel = True
            self._channel.close()

    def _early_room(self, size: int) -> bool:
        """js gives a channel up that carries more than this before its multiplexer is up (wire.md 10.1)."""
        return self._muxer.peer_has_spoken or (
            self._early_messages < RTC_EARLY_MESSAGES
            and self._early_bytes + size + _FRAMING <= RTC_EARLY_BYTES
        )

    def _check_writable(self) -> None:
        if self._closed or self._machine.write_state in (WriteState.FIN_SENT, WriteState.CLOSED):
            raise StreamClosedError("The stream was closed on this side.")
        if self._lost is not None:
            raise ConnectionLostError(self._lost)
        if self._machine.write_state is WriteState.STOPPED:
            raise StreamResetError("The peer stopped reading.")
        if self._machine.write_state is WriteState.RESET:
            raise StreamResetError("The stream was reset.")

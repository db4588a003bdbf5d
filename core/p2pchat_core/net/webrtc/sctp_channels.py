"""Data channels on a `GuardedAssociation`, by the rules that libp2p peers keep (docs/wire.md sections 10.1 and 10.4).

* An id is free again when both resets are done. A peer that has seen our reset may reuse it before its answer has
  reached us; js does within a millisecond, and plain aiortc fails an assertion.
* Duplicate or damaged DCEP messages, ids of the wrong parity and floods of channels end the association; text,
  unordered or unreliable channels are closed.
* Messages may follow the opening of a channel at once, without waiting for the answer.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from aiortc import RTCDataChannel, RTCDataChannelParameters
from aiortc import rtcsctptransport as lib

from p2pchat_core.errors import RemoteProtocolError, StreamLimitError
from p2pchat_core.limits import RTC_MAX_CHANNELS, RTC_OPEN_BURST, RTC_OPENS_PER_SECOND
from p2pchat_core.net.webrtc.sctp_guard import GuardedAssociation
from p2pchat_core.net.webrtc.sctp_inbound import run_now
from p2pchat_core.wire.dcep import ACK, ChannelOpen, parse_dcep

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aiortc import RTCDtlsTransport

__all__ = ["GuardedSctp", "SctpChannel"]


class SctpChannel(RTCDataChannel):
    """A data channel that tells one listener directly what happens, and may send before the peer has answered.

    Attributes:
        on_open, on_message, on_close, on_drained: called when the peer has accepted the channel, with each binary
            message, once when it is gone, and when what is queued has fallen to `bufferedAmountLowThreshold`.
        used: the peer has sent a message on it.
    """

    def __init__(
        self, transport: GuardedSctp, parameters: RTCDataChannelParameters, send_open: bool = True
    ) -> None:
        self.used = False
        self.on_open: Callable[[], None] | None = None
        self.on_message: Callable[[bytes], None] | None = None
        self.on_close: Callable[[], None] | None = None
        self.on_drained: Callable[[], None] | None = None
        self._first_sent = False
        self._unsent: list[bytes | str] = []
        super().__init__(transport, parameters, send_open)

    def send(self, data: bytes | str) -> None:
        """Queue one message.

        The first goes out right behind the opening, without waiting for the answer. More wait for it: libdatachannel
        may deliver messages out of order that arrive while it hands a new channel to its owner.
        """
        if self.readyState == "connecting" and self._first_sent:
            self._unsent.append(data)
            self._addBufferedAmount(len(data))
        elif self.readyState in ("connecting", "open"):
            self._first_sent = True
            self.transport._data_channel_send(self, data)

    def close(self) -> None:
        """Close the channel behind everything that was sent."""
        self._release()
        super().close()

    def discard(self) -> None:
        """Drop what waits for the answer."""
        self._addBufferedAmount(-sum(map(len, self._unsent)))
        self._unsent.clear()

    def _release(self) -> None:
        waiting, self._unsent = self._unsent, []
        for data in waiting:
            self._addBufferedAmount(-len(data))
            self.transport._data_channel_send(self, data)

    def _setReadyState(self, state: str) -> None:
        if state == "open":
            self._release()
        super()._setReadyState(state)

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


class GuardedSctp(GuardedAssociation):
    """The association of one connection with its channels."""

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
        """See `GuardedAssociation`; `on_channel` hears of each channel that the peer opens."""
        super().__init__(transport, port=port, on_established=on_established, on_lost=on_lost, spawn=spawn)
        self._on_channel = on_channel
        self._open_tokens = float(RTC_OPEN_BURST)
        self._open_refill = 0.0

    def open_channel(self, label: str) -> SctpChannel:
        """Open a channel; it may be used at once.

        Raises:
            StreamLimitError: there are too many, or no id is free.
        """
        limit = min(RTC_MAX_CHANNELS, self.maxChannels or RTC_MAX_CHANNELS)
        if len(self._data_channels) >= limit:
            raise StreamLimitError(f"The connection has {len(self._data_channels)} open streams already.")
        return SctpChannel(self, RTCDataChannelParameters(label=label, ordered=True))

    def discard(self, channel: SctpChannel) -> None:
        """Drop the messages of `channel` that have not been cut into chunks yet, but not its opening."""
        channel.discard()
        kept = type(self._data_channel_queue)()
        for item in self._data_channel_queue:
            if item[0] is channel and item[1] != lib.WEBRTC_DCEP:
                channel._addBufferedAmount(-len(item[2]))
            else:
                kept.append(item)
        self._data_channel_queue = kept

    async def _transmit_reconfig(self) -> None:
        # A channel that still has messages to send must not hold up the closing of the others.
        pending = {channel.id for channel, _, _ in self._data_channel_queue}
        waiting = [stream_id for stream_id in self._reconfig_queue if stream_id in pending]
        self._reconfig_queue = [stream_id for stream_id in self._reconfig_queue if stream_id not in pending]
        await super()._transmit_reconfig()
        self._reconfig_queue += waiting

    def _message(self, stream_id: int, protocol: int, data: bytes) -> None:
        if protocol == lib.WEBRTC_DCEP:
            opening = parse_dcep(data)
            if opening is None:
                self._accepted(stream_id)
            else:
                self._opened(stream_id, opening)
            return
        channel = self._data_channels.get(stream_id)
        if not isinstance(channel, SctpChannel) or channel.readyState in ("closing", "closed"):
            return
        if protocol == lib.WEBRTC_BINARY:
            self._unread += len(data)
            channel.used = True
            if channel.on_message is not None:
                channel.on_message(data)
        elif protocol != lib.WEBRTC_BINARY_EMPTY:
            channel.close()  # libp2p has no use for text

    def _data_channel_send(self, channel: RTCDataChannel, data: bytes | str) -> None:
        # The library's starts a task for every message.
        protocol = lib.WEBRTC_BINARY
        if isinstance(data, str):
            protocol, data = lib.WEBRTC_STRING, data.encode()
        if self._remote_max_message_size and len(data) > self._remote_max_message_size:
            raise ValueError(f"The peer takes no message of {len(data)} bytes.")
        channel._addBufferedAmount(len(data))
        self._data_channel_queue.append((channel, protocol, data))
        self.flush()

    def _accepted(self, stream_id: int) -> None:
        channel = self._data_channels.get(stream_id)
        if channel is not None and channel.readyState == "connecting":
            channel._setReadyState("open")

    def _opened(self, stream_id: int, opening: ChannelOpen) -> None:
        self._count_open()
        if stream_id % 2 == (1 if self.is_server else 0):
            raise RemoteProtocolError("The peer opened a data channel with one of our numbers.")
        old = self._data_channels.get(stream_id)
        if isinstance(old, SctpChannel) and old.readyState == "open" and not old.used:
            # libdatachannel announces a channel twice when it is made while the association comes up.
            return
        if old is not None:
            self._release_reused(stream_id, old)
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
        self._on_channel(channel)

    def _release_reused(self, stream_id: int, old: RTCDataChannel) -> None:
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
            run_now(self._transmit_reconfig())

    def _count_open(self) -> None:
        now = time.monotonic()
        if self._open_refill:
            earned = (now - self._open_refill) * RTC_OPENS_PER_SECOND
            self._open_tokens = min(RTC_OPEN_BURST, self._open_tokens + earned)
        self._open_refill = now
        self._open_tokens -= 1
        if self._open_tokens < 0:
            raise RemoteProtocolError("The peer opens data channels faster than any use of them needs.")

    def _data_channel_close(self, channel: RTCDataChannel) -> None:
        super()._data_channel_close(channel)
        # The library begins only with the first of several, and in a task; another may be ready earlier.
        self.flush()

    def _data_channel_closed(self, stream_id: int) -> None:
        self._data_channel_inbound_reset.discard(stream_id)
        self._data_channel_outbound_reset.discard(stream_id)
        channel = self._data_channels.pop(stream_id, None)
        if channel is not None:
            channel._setReadyState("closed")

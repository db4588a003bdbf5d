"""Streams over the data channels of one WebRTC connection (docs/wire.md section 10)."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from p2pchat_core.errors import ConnectionLostError
from p2pchat_core.limits import (
    RTC_EARLY_STREAMS,
    RTC_INIT_TIMEOUT,
    RTC_STALL_TIMEOUT,
    SCTP_WINDOW,
)
from p2pchat_core.net.muxer import Muxer
from p2pchat_core.net.webrtc.rtc_stream import DataChannelStream

if TYPE_CHECKING:
    from p2pchat_core.net.webrtc.channel import Association, Channel

__all__ = ["DataChannelMuxer"]

_INIT_LABEL = "init"
_CLOSED_HERE = "The connection was closed on this side."


class DataChannelMuxer(Muxer):
    """A stream is a channel; the association below does the rest.

    Channels that the peer opens before `start` are kept, so none is lost between two owners.
    """

    def __init__(self) -> None:
        self._association: Association | None = None
        self._streams: set[DataChannelStream] = set()
        self._accepted: deque[DataChannelStream] = deque()
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self._reason: str | None = None
        self._closing = False
        self._opened = 0
        self._spoken = False
        self._stall: asyncio.TimerHandle | None = None
        self._stalled_reads: dict[DataChannelStream, int] = {}

    def attach(self, association: Association) -> None:
        """Use `association`, whose listener this is."""
        self._association = association

    # --- what the connection uses -------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin; everything below runs already."""
        self._watch_stalls()

    async def open_stream(self) -> DataChannelStream:
        """See `Muxer.open_stream`. Until the peer has said something it takes only the first few streams."""
        while self._opened >= RTC_EARLY_STREAMS and not self._spoken:
            self._check_open()
            await self._wait()
        self._check_open()
        assert self._association is not None
        self._opened += 1
        stream = DataChannelStream(self, self._association.open_channel())
        self._streams.add(stream)
        return stream

    async def accept_stream(self) -> DataChannelStream:
        """See `Muxer.accept_stream`."""
        while not self._accepted:
            self._check_open()
            await self._wait()
        return self._accepted.popleft()

    async def close(self) -> None:
        """See `Muxer.close`: FIN on every stream, then what is queued, then good-bye."""
        if self._closing:
            await self.wait_closed()
            return
        self._closing = True
        for stream in list(self._streams):
            await stream.close()
        await self._end(_CLOSED_HERE, flush=True)

    def abort(self, reason: str) -> None:
        """See `Muxer.abort`."""
        self._closing = True
        self.association_lost(reason)

    async def wait_closed(self) -> str:
        """See `Muxer.wait_closed`."""
        await self._ended.wait()
        if self._association is not None:
            await self._association.wait_released()
        assert self._reason is not None
        return self._reason

    @property
    def closed(self) -> bool:
        """See `Muxer.closed`."""
        return self._reason is not None

    async def run_init_channel(self) -> None:
        """Open the channel `init` and close it again, as every dialer does (docs/wire.md section 9.3).

        Raises:
            ConnectionLostError: the association has ended.
        """
        self._check_open()
        assert self._association is not None
        channel = self._association.open_channel(_INIT_LABEL)
        watcher = _InitWatcher()
        channel.listen(watcher)
        try:
            async with asyncio.timeout(RTC_INIT_TIMEOUT):
                await watcher.opened.wait()
                channel.close()
                await watcher.closed.wait()
        except TimeoutError:
            channel.close()
        self._check_open()

    # --- what the association tells -----------------------------------------------------------------------------

    def incoming_channel(self, channel: Channel) -> None:
        """The peer opened a channel."""
        if channel.label == _INIT_LABEL or self._closing:
            channel.listen(_InitWatcher())
            channel.close()
            return
        stream = DataChannelStream(self, channel)
        self._streams.add(stream)
        self._accepted.append(stream)
        self._changed.set()

    def association_lost(self, reason: str) -> None:
        """The connection has ended, or we end it."""
        if self._reason is not None:
            return
        self._reason = reason
        if self._stall is not None:
            self._stall.cancel()
        for stream in list(self._streams):
            stream.connection_lost(reason)
        if self._association is not None:
            self._association.abort()
        self._changed.set()
        self._ended.set()

    # --- what the streams tell ----------------------------------------------------------------------------------

    @property
    def peer_has_spoken(self) -> bool:
        """Whether any data has come, so that the peer's multiplexer must be up."""
        return self._spoken

    def peer_spoke(self) -> None:
        """Data has come."""
        if not self._spoken:
            self._spoken = True
            self._changed.set()
            for stream in self._streams:
                stream.peer_ready()

    def forget(self, stream: DataChannelStream) -> None:
        """The channel of `stream` is gone."""
        self._streams.discard(stream)

    # --- inside -------------------------------------------------------------------------------------------------

    async def _end(self, reason: str, *, flush: bool) -> None:
        if self._association is not None:
            await self._association.close(flush=flush)
        self.association_lost(reason)

    def _watch_stalls(self) -> None:
        """Reset a stream that fills the window, which all share, while nobody reads it."""
        loop = asyncio.get_running_loop()
        hoarder = max(self._streams, key=lambda stream: stream.waiting, default=None)
        if hoarder is not None and sum(stream.waiting for stream in self._streams) > SCTP_WINDOW * 3 // 4:
            if self._stalled_reads.get(hoarder) == hoarder.reads:
                hoarder.abort()
            self._stalled_reads = {hoarder: hoarder.reads}
        else:
            self._stalled_reads.clear()
        self._stall = loop.call_later(RTC_STALL_TIMEOUT, self._watch_stalls)

    def _check_open(self) -> None:
        if self._reason is not None or self._closing:
            raise ConnectionLostError(self._reason or _CLOSED_HERE)

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class _InitWatcher:
    """Listens to a channel that carries nothing."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()

    def channel_opened(self) -> None:
        """The peer accepted it."""
        self.opened.set()

    def channel_message(self, data: bytes) -> None:
        """Nothing belongs here."""

    def channel_drained(self) -> None:
        """Nothing is sent."""

    def channel_closed(self) -> None:
        """Both sides have closed it, or the connection is lost."""
        self.opened.set()
        self.closed.set()

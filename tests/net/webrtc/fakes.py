"""Data channels joined in memory, without WebRTC."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from p2pchat_core.errors import StreamLimitError
from p2pchat_core.net.webrtc.channel import Association, Channel
from p2pchat_core.net.webrtc.muxer import DataChannelMuxer

if TYPE_CHECKING:
    from p2pchat_core.net.webrtc.channel import ChannelListener

__all__ = ["FakeAssociation", "FakeChannel", "muxer_pair", "settle"]


async def settle(rounds: int = 20) -> None:
    """Let everything that is under way arrive."""
    for _ in range(rounds):
        await asyncio.sleep(0)


class FakeChannel(Channel):
    """One end of a channel. Messages arrive one turn of the loop later; closing takes an answer, as with SCTP."""

    def __init__(self, association: FakeAssociation, number: int, label: str) -> None:
        self._association = association
        self._number = number
        self._label = label
        self.other: FakeChannel | None = None
        self.listener: ChannelListener | None = None
        self.sent: list[bytes] = []
        self.held = 0
        self.closing = False
        self.gone = False
        self.queued = 0

    @property
    def channel_id(self) -> int:
        return self._number

    @property
    def label(self) -> str:
        return self._label

    @property
    def buffered(self) -> int:
        return self.queued

    def listen(self, listener: ChannelListener) -> None:
        self.listener = listener

    def send(self, message: bytes) -> None:
        if self.closing:
            return
        self.sent.append(message)
        if self._association.congested:
            self.queued += len(message)
        if self.other is not None:
            asyncio.get_running_loop().call_soon(self.other.receive, message)

    def consumed(self, count: int) -> None:
        self.held -= count

    def discard(self) -> None:
        self.queued = 0

    def close(self) -> None:
        if self.closing:
            return
        self.closing = True
        if self.other is not None:
            asyncio.get_running_loop().call_soon(self.other.reset)

    def receive(self, message: bytes) -> None:
        """A message from the peer."""
        if self.listener is not None and not self.gone:
            self.held += len(message)
            self.listener.channel_message(message)

    def reset(self) -> None:
        """The peer closed; this end answers, and both are gone."""
        self.closing = True
        for end in (self, self.other):
            if end is not None:
                end.end()

    def end(self) -> None:
        """The channel is gone."""
        if not self.gone:
            self.gone = True
            if self.listener is not None:
                self.listener.channel_closed()


class FakeAssociation(Association):
    """One end of an association."""

    def __init__(self, muxer: DataChannelMuxer, first: int) -> None:
        self.muxer = muxer
        self.other: FakeAssociation | None = None
        self.channels: list[FakeChannel] = []
        self.congested = False
        self.released = False
        self.flushed = False
        self._next = first

    def open_channel(self, label: str = "") -> FakeChannel:
        if len(self.channels) >= 100:
            raise StreamLimitError("too many")
        channel = FakeChannel(self, self._next, label)
        self._next += 2
        self.channels.append(channel)
        if self.other is not None:
            far = FakeChannel(self.other, channel.channel_id, label)
            far.other, channel.other = channel, far
            self.other.channels.append(far)
            asyncio.get_running_loop().call_soon(self._announce, far, channel)
        return channel

    def _announce(self, far: FakeChannel, channel: FakeChannel) -> None:
        assert self.other is not None
        self.other.muxer.incoming_channel(far)
        if channel.listener is not None:
            channel.listener.channel_opened()

    async def close(self, *, flush: bool) -> None:
        self.flushed = flush
        if flush:
            await settle()
        self.abort()

    def abort(self) -> None:
        if self.released:
            return
        self.released = True
        self.muxer.association_lost("The connection was closed on this side.")
        for channel in self.channels:
            channel.end()
        if self.other is not None and not self.other.released:
            other = self.other
            asyncio.get_running_loop().call_soon(
                other.muxer.association_lost, "The peer closed the connection."
            )

    async def wait_released(self) -> None:
        return


def muxer_pair() -> tuple[DataChannelMuxer, DataChannelMuxer, FakeAssociation, FakeAssociation]:
    """Return two started muxers of one connection, and what is below them."""
    left, right = DataChannelMuxer(), DataChannelMuxer()
    below_left, below_right = FakeAssociation(left, 1), FakeAssociation(right, 0)
    below_left.other, below_right.other = below_right, below_left
    left.attach(below_left)
    right.attach(below_right)
    left.start()
    right.start()
    return left, right, below_left, below_right

"""What the muxer needs of data channels and of the association below; nothing here knows the WebRTC library."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

__all__ = ["Association", "AssociationListener", "Channel", "ChannelListener"]


class ChannelListener(Protocol):
    """Who hears what happens on one channel."""

    def channel_opened(self) -> None:
        """The peer accepted the channel."""

    def channel_message(self, data: bytes) -> None:
        """A binary message arrived. It counts against the receive window until it is `Channel.consumed`."""

    def channel_drained(self) -> None:
        """What is queued for sending has become little."""

    def channel_closed(self) -> None:
        """The channel is gone, both ways."""


class Channel(ABC):
    """One data channel, reliable and ordered."""

    @property
    @abstractmethod
    def channel_id(self) -> int:
        """Its number; -1 until it has one."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Its name."""

    @property
    @abstractmethod
    def buffered(self) -> int:
        """Bytes queued for sending."""

    @abstractmethod
    def listen(self, listener: ChannelListener) -> None:
        """Report everything to `listener` from now on."""

    @abstractmethod
    def send(self, message: bytes) -> None:
        """Queue one message; ignored once the channel is closing."""

    @abstractmethod
    def consumed(self, count: int) -> None:
        """`count` bytes of the messages reported have left the memory."""

    @abstractmethod
    def discard(self) -> None:
        """Drop what is queued for sending."""

    @abstractmethod
    def close(self) -> None:
        """Close it once everything queued is sent; `channel_closed` follows when the peer has done so too."""


class AssociationListener(Protocol):
    """Who hears what happens to the association."""

    def incoming_channel(self, channel: Channel) -> None:
        """The peer opened a channel; `Channel.listen` must be called before returning."""

    def association_lost(self, reason: str) -> None:
        """It has ended; the reason is a sentence. Comes before the `channel_closed` of its channels."""


class Association(ABC):
    """Channels to and from one peer."""

    @abstractmethod
    def open_channel(self, label: str = "") -> Channel:
        """Open a channel; messages may be sent at once.

        Raises:
            StreamLimitError: there are too many.
        """

    @abstractmethod
    async def close(self, *, flush: bool) -> None:
        """Tell the peer and release everything, in bounded time. With `flush`, send what is queued first."""

    @abstractmethod
    def abort(self) -> None:
        """Release everything at once; `wait_released` tells when that is done."""

    @abstractmethod
    async def wait_released(self) -> None:
        """Wait until no socket and no task of it is left."""

"""What a stream multiplexer promises to the connection that owns it (yamux, or WebRTC data channels)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from p2pchat_core.net.stream import Stream

__all__ = ["Muxer"]


class Muxer(ABC):
    """Many streams over one transport. It owns its tasks: `close` and `wait_closed` leave none behind."""

    @abstractmethod
    def start(self) -> None:
        """Begin reading and writing. Called once, from a running event loop."""

    @abstractmethod
    async def open_stream(self) -> Stream:
        """Open a stream.

        Raises:
            StreamLimitError: too many streams are open.
            ConnectionLostError: the connection has ended or is ending.
        """

    @abstractmethod
    async def accept_stream(self) -> Stream:
        """Wait for a stream that the remote opens.

        Raises:
            ConnectionLostError: the connection has ended; no more will come.
        """

    @abstractmethod
    async def close(self) -> None:
        """Say good-bye, end every stream and release the transport within `limits.CLOSE_TIMEOUT`. Never raises."""

    @abstractmethod
    def abort(self, reason: str) -> None:
        """End at once, without good-bye. Every stream raises `ConnectionLostError` with this reason."""

    @abstractmethod
    async def wait_closed(self) -> str:
        """Wait until the connection has ended and all tasks with it, and return the reason, a sentence."""

    @property
    def buffered(self) -> int:
        """Bytes that are held for the connection in either direction, as far as that is known."""
        return 0

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Whether the connection has ended."""

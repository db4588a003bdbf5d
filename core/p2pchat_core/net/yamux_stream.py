"""One stream of a yamux connection, as its readers and writers see it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from p2pchat_core.errors import ConnectionLostError, StreamClosedError, StreamResetError
from p2pchat_core.limits import READ_CHUNK
from p2pchat_core.net.stream import Stream

if TYPE_CHECKING:
    from p2pchat_core.net.yamux import YamuxMuxer
    from p2pchat_core.wire.yamux import YamuxSession

__all__ = ["YamuxStream"]


class YamuxStream(Stream):
    """One stream of a `YamuxMuxer`.

    What was received before the remote side ended the connection can still be read; only then does `read` raise
    `ConnectionLostError`.
    """

    def __init__(self, muxer: YamuxMuxer, session: YamuxSession, stream_id: int) -> None:
        self._muxer = muxer
        self._session = session
        self._stream_id = stream_id
        self._pushed_back = b""
        self._closed = self._write_closed = self._ended = False
        self._reset: str | None = None
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()

    @property
    def stream_id(self) -> int:
        """Its number on the wire."""
        return self._stream_id

    async def read(self, max_bytes: int = READ_CHUNK) -> bytes:
        """Return what came; see `ByteStream.read`. Reading gives the remote side room to send more."""
        while True:
            if self._closed:
                raise StreamClosedError("The stream was closed on this side.")
            if self._reset is not None:
                raise StreamResetError(self._reset)
            if self._pushed_back:
                data, self._pushed_back = self._pushed_back[:max_bytes], self._pushed_back[max_bytes:]
                return data
            if self._ended:
                return b""
            if (given := self._muxer.read(self, max_bytes)) is not None:
                return given
            if self._muxer.lost is not None:
                raise ConnectionLostError(self._muxer.lost)
            self._readable.clear()
            await self._readable.wait()

    def unread(self, data: bytes) -> None:
        """Push bytes back; the next `read` returns them first."""
        self._pushed_back = data + self._pushed_back

    async def write(self, data: bytes) -> None:
        """Queue `data`, waiting for the remote side's window and for room; see `ByteStream.write`."""
        view = memoryview(bytes(data))
        while True:
            if self._write_closed:
                raise StreamClosedError("The stream was already closed for writing.")
            self._check_alive()
            if view:
                view = view[self._session.send_data(self._stream_id, view) :]
                self._muxer.pump()
            if not view:
                return
            self._writable.clear()
            await self._writable.wait()

    async def close_write(self) -> None:
        """End our direction after everything written; see `Stream.close_write`."""
        if self._write_closed:
            return
        self._check_alive()
        self._write_closed = True
        self._session.end_write(self._stream_id)
        self._muxer.pump()
        self.wake()

    async def close(self) -> None:
        """End our direction and drop what still comes. The remote side is reset if it never ends its own."""
        if self._closed:
            return
        self._closed = self._write_closed = True
        self._muxer.close_stream(self)
        self.wake()

    def abort(self) -> None:
        """Reset the stream, dropping what is queued in both directions."""
        if self._reset is None and not self._ended:
            self._reset = "The stream was given up on this side."
            self._muxer.reset_stream(self)
            self.wake()

    # --- for the muxer ------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Let the reader and the writer look again."""
        self._readable.set()
        self._writable.set()

    def wake_reader(self) -> None:
        """Something came."""
        self._readable.set()

    def wake_writer(self) -> None:
        """There is room."""
        self._writable.set()

    def mark_ended(self) -> None:
        """Both sides ended it and all was read: from now on `read` returns ``b""``."""
        self._ended = True
        self.wake()

    def mark_reset(self, reason: str) -> None:
        """It was reset, not by our user."""
        self._reset = reason
        self.wake()

    def _check_alive(self) -> None:
        if self._reset is not None:
            raise StreamResetError(self._reset)
        if self._muxer.lost is not None:
            raise ConnectionLostError(self._muxer.lost)

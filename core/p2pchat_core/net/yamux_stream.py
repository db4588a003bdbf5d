"""One stream of a yamux connection, as its readers and writers see it."""

from __future__ import annotations

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
        self._unsent = memoryview(b"")
        self._closed = self._write_closed = self._ended = False
        self._reset: str | None = None

    @property
    def stream_id(self) -> int:
        """Its number on the wire."""
        return self._stream_id

    @property
    def buffered(self) -> int:
        """See `ByteStream.buffered`; less what the session holds, which counts that for all streams together."""
        return len(self._pushed_back) + len(self._unsent)

    def read_nowait(self, max_bytes: int = READ_CHUNK) -> bytes | None:
        """See `ByteStream.read_nowait`. Reading gives the remote side room to send more."""
        if self._closed:
            raise StreamClosedError("The stream was closed on this side.")
        if self._reset is not None:
            raise StreamResetError(self._reset)
        if self._pushed_back:
            data, self._pushed_back = self._pushed_back[:max_bytes], self._pushed_back[max_bytes:]
            return data
        if self._ended:
            return b""
        given = self._muxer.read(self, max_bytes)
        if given is None and self._muxer.lost is not None:
            raise ConnectionLostError(self._muxer.lost)
        return given

    def unread(self, data: bytes) -> None:
        """Push bytes back; the next `read` returns them first."""
        self._pushed_back = data + self._pushed_back

    def can_send(self) -> bool:
        """See `ByteStream.can_send`: whether the window took all that was sent so far."""
        if self._write_closed:
            raise StreamClosedError("The stream was already closed for writing.")
        self._check_alive()
        return not self._unsent

    def send(self, data: bytes | memoryview) -> None:
        """See `ByteStream.send`. What the remote side's window does not take yet is kept here."""
        self.can_send()
        self._offer(memoryview(data))
        self._muxer.pump()

    async def close_write(self) -> None:
        """End our direction after everything written; see `Stream.close_write`."""
        if self._write_closed:
            return
        await self.wait_until_writable()
        self._write_closed = True
        self._session.end_write(self._stream_id)
        self._muxer.pump()
        self.notify()

    async def close(self) -> None:
        """End our direction and drop what still comes. The remote side is reset if it never ends its own."""
        if self._closed:
            return
        self._closed = self._write_closed = True
        self._muxer.close_stream(self)
        self.notify()

    def abort(self) -> None:
        """Reset the stream, dropping what is queued in both directions."""
        if self._reset is None and not self._ended:
            self._reset = "The stream was given up on this side."
            self._muxer.reset_stream(self)
            self.notify()

    # --- for the muxer ------------------------------------------------------------------------------------

    def room_made(self) -> None:
        """The session takes more."""
        if self._reset is None and not self._write_closed and self._muxer.lost is None:
            self._offer(self._unsent)
            self._muxer.pump()
        if not self._unsent:
            self.notify_writable()

    def mark_ended(self) -> None:
        """Both sides ended it and all was read: from now on `read` returns ``b""``. (Unless our user gave it up.)"""
        self._ended = True

    def mark_reset(self, reason: str) -> None:
        """It was reset, not by our user."""
        self._reset = reason

    def _offer(self, data: memoryview) -> None:
        self._unsent = data[self._session.send_data(self._stream_id, data) :]

    def _check_alive(self) -> None:
        if self._reset is not None:
            raise StreamResetError(self._reset)
        if self._muxer.lost is not None:
            raise ConnectionLostError(self._muxer.lost)

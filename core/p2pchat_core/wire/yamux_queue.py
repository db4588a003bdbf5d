"""What a yamux session has to send, in the order it must go out."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from p2pchat_core.limits import YAMUX_MAX_FRAME, YAMUX_SEND_BUFFER
from p2pchat_core.wire.yamux_frames import DATA, FIN, HEADER_SIZE, WINDOW_UPDATE, encode_header

if TYPE_CHECKING:
    from p2pchat_core.wire.yamux_stream import Substream

__all__ = ["FrameQueue"]

_WORTHWHILE: Final = 1024
"""Less payload than this is not added to a chunk that already has frames; it waits for the next chunk."""


class FrameQueue:
    """Pings and go-away first, then stream control, then one Data frame per stream in turn.

    A stream's SYN can so never come after its data, and a FIN follows the data of its stream in the rotation.

    Attributes:
        control_bytes: frames other than data that wait.
    """

    def __init__(self) -> None:
        self.control_bytes = 0
        self._urgent: deque[bytes] = deque()
        self._control: deque[bytes] = deque()
        self._rotation: deque[Substream] = deque()
        self._last: bytes | None = None
        self._data_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._urgent or self._control or self._rotation or self._last)

    @property
    def buffered(self) -> int:
        """Bytes that wait."""
        return self._data_bytes + self.control_bytes

    @property
    def shared_room(self) -> int:
        """Bytes left in the buffer that all streams share; may be negative."""
        return YAMUX_SEND_BUFFER - self._data_bytes

    def add_urgent(self, frame: bytes) -> None:
        """Queue a frame ahead of everything but other urgent ones."""
        self._urgent.append(frame)
        self.control_bytes += len(frame)

    def add_control(self, frame: bytes) -> None:
        """Queue a frame ahead of all data."""
        self._control.append(frame)
        self.control_bytes += len(frame)

    def add_data(self, stream: Substream, data: memoryview) -> None:
        """Queue `data` of `stream`, which must fit into its room."""
        stream.push(data)
        self._data_bytes += len(data)
        self.schedule(stream)

    def schedule(self, stream: Substream) -> None:
        """Give `stream`, which has data or a FIN to send, its place in the rotation."""
        if not stream.scheduled:
            stream.scheduled = True
            self._rotation.append(stream)

    def drop(self, stream: Substream) -> None:
        """Forget the data of a stream that was reset; its place in the rotation is passed over."""
        self._data_bytes -= stream.drop_queued()
        stream.fin_wanted = False

    def end_with(self, frame: bytes) -> None:
        """Send `frame` once everything else is out."""
        self._last = frame

    def clear(self) -> None:
        """Forget everything."""
        self._urgent.clear()
        self._control.clear()
        for stream in self._rotation:
            stream.drop_queued()
            stream.scheduled = False
        self._rotation.clear()
        self._last = None
        self._data_bytes = self.control_bytes = 0

    def take(self, max_bytes: int) -> tuple[bytes, list[Substream]]:
        """Return what to send next and the streams whose FIN is in it.

        Args:
            max_bytes: the most to return; at least a header and one byte.
        """
        parts: list[bytes | memoryview] = []
        left = max_bytes
        for frames in (self._urgent, self._control):
            while frames and (left >= len(frames[0]) or not parts):
                frame = frames.popleft()
                self.control_bytes -= len(frame)
                left -= len(frame)
                parts.append(frame)
        finished: list[Substream] = []
        while self._rotation and (left >= HEADER_SIZE + _WORTHWHILE or not parts):
            stream = self._rotation.popleft()
            stream.scheduled = False
            left -= self._take_from(stream, left, parts, finished)
        if (
            self._last is not None
            and left >= HEADER_SIZE
            and not (self._urgent or self._control or self._rotation)
        ):
            parts.append(self._last)
            self._last = None
        return b"".join(parts), finished

    def _take_from(
        self, stream: Substream, left: int, parts: list[bytes | memoryview], finished: list[Substream]
    ) -> int:
        used = 0
        payload = stream.pull(min(YAMUX_MAX_FRAME, max(1, left - HEADER_SIZE)))
        if payload:
            size = sum(map(len, payload))
            self._data_bytes -= size
            parts.append(encode_header(DATA, 0, stream.stream_id, size))
            parts.extend(payload)
            used = HEADER_SIZE + size
        if stream.queued or (stream.fin_wanted and used and left - used < HEADER_SIZE):
            self.schedule(stream)
        elif stream.fin_wanted:
            # Never on a Data frame with payload: js then loses the payload (protocol section 6).
            stream.fin_wanted = False
            parts.append(encode_header(WINDOW_UPDATE, FIN, stream.stream_id, 0))
            finished.append(stream)
            used += HEADER_SIZE
        return used

"""The frames of yamux: twelve bytes of header, and after a Data header its payload (protocol section 6).

::

    version u8 = 0 | type u8 | flags u16 | stream id u32 | length u32        big-endian
"""

from __future__ import annotations

import enum
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from p2pchat_core.errors import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ACK",
    "DATA",
    "FIN",
    "GO_AWAY",
    "HEADER_SIZE",
    "PING",
    "RST",
    "SYN",
    "WINDOW_UPDATE",
    "FrameDecoder",
    "FrameHeader",
    "GoAwayCode",
    "encode_header",
]

HEADER_SIZE: Final = 12
_HEADER: Final = struct.Struct(">BBHII")

# Plain numbers: these are compared for every frame, and enum flags are slow to combine.
DATA: Final = 0
WINDOW_UPDATE: Final = 1
PING: Final = 2
GO_AWAY: Final = 3

SYN: Final = 1
ACK: Final = 2
FIN: Final = 4
RST: Final = 8


class GoAwayCode(enum.IntEnum):
    """Why a session ends."""

    NORMAL = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2


class FrameHeader(NamedTuple):
    """One decoded header. `length` is payload bytes, a window delta, a ping id, a go-away or a reset code."""

    type: int
    flags: int
    stream_id: int
    length: int


def encode_header(type_: int, flags: int, stream_id: int, length: int) -> bytes:
    """Return the twelve bytes of a header."""
    return _HEADER.pack(0, type_, flags, stream_id, length)


class FrameDecoder:
    """Cuts the incoming bytes into headers and pieces of payload, never holding more than a partial header.

    Attributes:
        payload_left: bytes of the current Data frame that have not come yet.
    """

    def __init__(self) -> None:
        self._partial = bytearray()
        self.payload_left = 0

    def feed(self, data: bytes) -> Iterator[FrameHeader | memoryview]:
        """Yield what `data` completes, lazily: the caller judges a header before its payload is looked at.

        A piece of payload is a view into `data`; it belongs to the Data header yielded last, and is the last
        one when `payload_left` is 0.

        Raises:
            RemoteProtocolError: unknown version or type.
        """
        view = memoryview(data)
        offset = 0
        while offset < len(view):
            if self.payload_left:
                piece = view[offset : offset + self.payload_left]
                offset += len(piece)
                self.payload_left -= len(piece)
                yield piece
                continue
            missing = HEADER_SIZE - len(self._partial)
            if missing == HEADER_SIZE and len(view) - offset >= HEADER_SIZE:
                header = self._parse(view[offset : offset + HEADER_SIZE])
                offset += HEADER_SIZE
            else:
                part = view[offset : offset + missing]
                offset += len(part)
                self._partial += part
                if len(self._partial) < HEADER_SIZE:
                    return
                header = self._parse(self._partial)
                self._partial.clear()
            if header.type == DATA:
                self.payload_left = header.length
            yield header

    @staticmethod
    def _parse(raw: memoryview | bytearray) -> FrameHeader:
        version, type_, flags, stream_id, length = _HEADER.unpack(raw)
        if version != 0:
            raise RemoteProtocolError(f"The remote side speaks version {version} of yamux; only 0 exists.")
        if type_ > GO_AWAY:
            raise RemoteProtocolError(f"The remote side sent a yamux frame of unknown type {type_}.")
        return FrameHeader(type_, flags, stream_id, length)

"""Unsigned varints (LEB128, minimal, at most nine bytes) and the length prefixes made of them."""

from __future__ import annotations

from typing import Final

from p2pchat_core.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["IncompleteVarint", "LengthPrefixedReader", "decode_uvarint", "encode_uvarint", "length_prefixed"]

_MAX_BYTES: Final = 9
_LIMIT: Final = 1 << 63


class IncompleteVarint(RemoteProtocolError):
    """The data ends inside a varint; with more data it may become a whole one."""


def encode_uvarint(value: int) -> bytes:
    """Return the shortest encoding of `value`.

    Raises:
        LocalProtocolError: it is negative or needs more than 63 bits.
    """
    if not 0 <= value < _LIMIT:
        raise LocalProtocolError(f"{value} does not fit an unsigned varint")
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def decode_uvarint(data: bytes | bytearray | memoryview, offset: int = 0) -> tuple[int, int]:
    """Return the value of the varint at `offset` and the offset behind it.

    Raises:
        IncompleteVarint: the data ends inside it.
        RemoteProtocolError: it is longer than nine bytes, or longer than its value needs. js-libp2p computes
            lengths from values, so a varint that is not minimal would be read differently there.
    """
    value = 0
    for index in range(_MAX_BYTES):
        position = offset + index
        if position >= len(data):
            raise IncompleteVarint("The data ends inside a number.")
        byte = data[position]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if byte == 0 and index > 0:
                raise RemoteProtocolError("A number is encoded in more bytes than it needs.")
            return value, position + 1
    raise RemoteProtocolError(f"A number is longer than {_MAX_BYTES} bytes.")


def length_prefixed(data: bytes) -> bytes:
    """Return `data` behind its length as a varint."""
    return encode_uvarint(len(data)) + data


class LengthPrefixedReader:
    """Cuts length-prefixed messages out of bytes that arrive in any pieces.

    What follows the last message taken stays here and can be handed on with `remaining`, so a reader never
    swallows bytes of the protocol that comes next.
    """

    def __init__(self, max_length: int) -> None:
        """Accept messages of up to `max_length` bytes, the prefix not counted."""
        self._max_length = max_length
        self._buffer = bytearray()

    @property
    def buffered(self) -> int:
        """Bytes fed and not yet taken."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Add bytes received."""
        self._buffer += data

    def next(self) -> bytes | None:
        """Return the next whole message, or ``None`` until there is one.

        Raises:
            RemoteProtocolError: its length prefix is malformed or above the limit; the prefix alone tells.
        """
        try:
            length, start = decode_uvarint(self._buffer)
        except IncompleteVarint:
            return None
        if length > self._max_length:
            raise RemoteProtocolError(
                f"A message of {length} bytes was announced, but at most {self._max_length} are allowed."
            )
        end = start + length
        if len(self._buffer) < end:
            return None
        message = bytes(memoryview(self._buffer)[start:end])
        del self._buffer[:end]
        return message

    def remaining(self) -> bytes:
        """Return the bytes not yet taken and forget them."""
        surplus = bytes(self._buffer)
        self._buffer.clear()
        return surplus

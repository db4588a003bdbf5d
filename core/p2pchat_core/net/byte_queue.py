"""Bytes waiting to be read, in pieces as they came."""

from __future__ import annotations

from collections import deque

__all__ = ["ByteQueue"]


class ByteQueue:
    """A first-in, first-out queue of bytes; taking from it copies each byte once, however small the pieces."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._start = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, data: bytes) -> None:
        """Add bytes at the end."""
        if data:
            self._pieces.append(data)
            self._size += len(data)

    def push_front(self, data: bytes) -> None:
        """Put bytes back; they are taken first."""
        if not data:
            return
        if self._start:
            self._pieces[0] = self._pieces[0][self._start :]
            self._start = 0
        self._pieces.appendleft(data)
        self._size += len(data)

    def take(self, max_bytes: int) -> bytes:
        """Remove and return at least one (if there is any) and at most `max_bytes` bytes."""
        parts: list[bytes] = []
        missing = min(max_bytes, self._size)
        self._size -= missing
        while missing > 0:
            piece = self._pieces[0]
            part = piece[self._start : self._start + missing]
            parts.append(part)
            missing -= len(part)
            self._start += len(part)
            if self._start == len(piece):
                self._pieces.popleft()
                self._start = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def clear(self) -> None:
        """Drop everything."""
        self._pieces.clear()
        self._start = self._size = 0

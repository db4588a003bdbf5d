"""Messages of the Linux kernel, for tests of what listens to them."""

from __future__ import annotations

import socket
import struct

__all__ = ["address", "done", "link", "message", "route"]

UP_AND_RUNNING = 0x41


def message(kind: int, body: bytes) -> bytes:
    """Return one netlink message, padded."""
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body + b"\0" * (-len(body) % 4)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def done() -> bytes:
    """Return the end of a dump."""
    return message(3, b"\0\0\0\0")


def link(index: int, *, flags: int = UP_AND_RUNNING, gone: bool = False) -> bytes:
    """Return news of an interface."""
    return message(17 if gone else 16, struct.pack("=BxHiII", 0, 1, index, flags, 0))


def address(text: str, *, index: int = 2, scope: int = 0, flags: int = 0x80, gone: bool = False) -> bytes:
    """Return news of an address. 0x80 is "permanent", 0x40 "not yet usable"."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    raw = socket.inet_pton(family, text)
    body = struct.pack("=BBBBI", family, 24, flags & 0xFF, scope, index)
    body += attribute(1, raw) + attribute(8, struct.pack("=I", flags))
    return message(21 if gone else 20, body)


def route(gateway: str, *, length: int = 0, table: int = 254, gone: bool = False) -> bytes:
    """Return news of a route; of a default route unless `length` says otherwise."""
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, length, 0, 0, table, 3, 0, 1, 0)
    body += attribute(4, struct.pack("=I", 2)) + attribute(5, socket.inet_aton(gateway))
    return message(25 if gone else 24, body)

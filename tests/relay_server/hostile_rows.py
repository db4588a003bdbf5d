"""The table of hostile clients: on each layer, what comes and what it gets."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING

from p2pchat_core.multiformats.varint import encode_uvarint, length_prefixed
from p2pchat_core.wire.yamux_frames import DATA, FIN, GO_AWAY, PING, RST, SYN, WINDOW_UPDATE, encode_header
from tests.relay_server.fakes import key
from tests.relay_server.hostile_clients import (
    REQUEST,
    Attack,
    call,
    frames,
    hop,
    hop_in_a_circuit,
    noise,
    one_after_another,
    opened,
    raw,
    streams,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from p2pchat_core.net.stream import Stream

__all__ = [
    "FRIEND",
    "HELLO",
    "HOP_ROWS",
    "PAGE",
    "RESERVE",
    "SELECT",
    "SHORT",
    "SOCKET_ROWS",
    "WIRE_ROWS",
    "message",
]

SHORT = 1.0
"""Every deadline of the relay in these tests, in seconds; a slow client's bytes come every `DRIP`."""
FRIEND = 2
"""Who has a reservation."""

_STRANGER = key(99).peer_id.to_bytes()


def field(number: int, data: bytes) -> bytes:
    """Return a length-delimited protobuf field."""
    return encode_uvarint(number << 3 | 2) + encode_uvarint(len(data)) + data


def peer(data: bytes) -> bytes:
    """Return the field `peer` of a HOP message."""
    return field(2, field(1, data))


def message(*parts: bytes) -> bytes:
    """Return a whole message with its length in front."""
    return length_prefixed(b"".join(parts))


RESERVE, CONNECT, STATUS = b"\x08\x00", b"\x08\x01", b"\x08\x02"
MALFORMED = "MALFORMED_MESSAGE; ended"
BAD_FRAME = "GOAWAY 1; closed"
TOO_LARGE = "HTTP/1.1 431 Request Header Fields Too Large; closed"
OPEN = encode_header(WINDOW_UPDATE, SYN, 1, 0)

UNREACHABLE = "CONNECTION_FAILED; ended"


async def _wait(stream: Stream) -> None:
    await stream.connection.wait_closed()


async def _hang_up(stream: Stream) -> None:
    stream.connection.abort("The test hangs up.")


def _say(data: bytes) -> Callable[[Stream], Awaitable[None]]:
    async def say(stream: Stream) -> None:
        await stream.write(data)
        await _wait(stream)

    return say


def _say_slowly(data: bytes) -> Callable[[Stream], Awaitable[None]]:
    async def say(stream: Stream) -> None:
        for at in range(len(data)):
            await stream.write(data[at : at + 1])
            await asyncio.sleep(SHORT / 3)

    return say


HOP_ROWS: dict[str, tuple[Attack, str]] = {
    "an empty message": (hop(message()), MALFORMED),
    "no type": (hop(message(peer(_STRANGER))), MALFORMED),
    "an unknown type": (hop(message(b"\x08\x63")), MALFORMED),
    "a type of the wrong wire type": (hop(message(field(1, b"\x00"))), MALFORMED),
    "bytes that are no protobuf": (hop(message(b"\xff" * 40)), MALFORMED),
    "a field cut in the middle": (hop(message(CONNECT, peer(_STRANGER)[:-3])), MALFORMED),
    "groups inside groups": (hop(message(b"\x13" * 2000)), MALFORMED),
    "a length that is no varint": (hop(b"\xff" * 10), MALFORMED),
    "a length of 2 GiB": (hop(encode_uvarint(1 << 31)), MALFORMED),
    "one byte too long": (hop(message(RESERVE, field(15, bytes(4096)))), MALFORMED),
    "a message cut by the end": (hop(message(RESERVE)[:-1], end=True), MALFORMED),
    "an end without a message": (hop(end=True), MALFORMED),
    "half a message and silence": (hop(message(CONNECT, peer(_STRANGER))[:20]), "reset"),
    "silence": (hop(), "reset"),
    "one byte a second": (hop(message(CONNECT, peer(_STRANGER)), drip=True), "reset"),
    "a STATUS instead of a request": (hop(message(STATUS, b"\x28\x64")), "UNEXPECTED_MESSAGE; ended"),
    "a STATUS with a number nobody knows": (hop(message(STATUS, b"\x28\xe7\x07")), MALFORMED),
    "CONNECT to nobody": (hop(message(CONNECT)), MALFORMED),
    "CONNECT to bytes that are no id": (hop(message(CONNECT, peer(b"\x00\x05abc"))), MALFORMED),
    "CONNECT to an id of 3 KiB": (hop(message(CONNECT, peer(b"\x00\x80\x18" + bytes(3072)))), MALFORMED),
    "CONNECT to a stranger": (hop(message(CONNECT, peer(_STRANGER))), "NO_RESERVATION; ended"),
    "RESERVE with a voucher and limits of one's own": (
        hop(message(RESERVE, field(3, b"\x08\x7f" + field(3, bytes(300))), field(4, b"\x08\x00"))),
        "OK; ended",
    ),
    "RESERVE for someone else": (
        one_after_another(hop(message(RESERVE, peer(_STRANGER))), hop(message(CONNECT, peer(_STRANGER)))),
        # The slot is the sender's own, whatever the message says, and ends with its connection.
        "OK; ended / NO_RESERVATION; ended",
    ),
    "two RESERVEs on one stream": (hop(message(RESERVE) * 2), "OK; ended"),
    "RESERVE and CONNECT on one stream": (
        hop(message(RESERVE), message(CONNECT, peer(_STRANGER))),
        "OK; ended",
    ),
    "RESERVE over a circuit": (hop_in_a_circuit(message(RESERVE)), "PERMISSION_DENIED; ended"),
    "CONNECT over a circuit": (
        hop_in_a_circuit(message(CONNECT, peer(key(FRIEND).peer_id.to_bytes()))),
        "PERMISSION_DENIED; ended",
    ),
    "seventy requests at once": (streams(70), "6 reset at once, 70 in all"),
    "a target without the protocol": (call(None), UNREACHABLE),
    "a target that never answers": (call(_wait), UNREACHABLE),
    "a target that answers nonsense": (call(_say(b"\xff" * 20)), UNREACHABLE),
    "a target that answers with a call": (call(_say(message(b"\x08\x00", peer(_STRANGER)))), UNREACHABLE),
    "a target that answers byte by byte": (call(_say_slowly(message(b"\x08\x01\x20\x64"))), UNREACHABLE),
    "a target that refuses": (call(_say(message(b"\x08\x01\x20\xca\x01"))), UNREACHABLE),
    "a target that hangs up": (call(_hang_up), UNREACHABLE),
}

HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(502)
PAGE = b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n"
LONG_HEADER = b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000
MANY_HEADERS = b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000
NO_LINE = "HTTP/1.1 414 Request-URI Too Long; closed"
NO_PAGE = "HTTP/1.1 400 Bad Request; closed"
SELECT = length_prefixed(b"/multistream/1.0.0\n")

SOCKET_ROWS: dict[str, tuple[str, Attack, str]] = {
    "ws: silence": ("ws", raw(b""), "closed"),
    "ws: nonsense": ("ws", raw(b"\xff" * 70_000), NO_LINE),
    "ws: a TLS hello": ("ws", raw(HELLO), "closed"),
    "ws: a page is asked for": ("ws", raw(PAGE), NO_PAGE),
    "ws: a header without end": ("ws", raw(LONG_HEADER), TOO_LARGE),
    "ws: headers without end": ("ws", raw(MANY_HEADERS), TOO_LARGE),
    "ws: one byte a second": ("ws", raw(REQUEST, drip=True), "closed"),
    "wss: silence": ("wss", raw(b""), "closed"),
    "wss: nonsense instead of TLS": ("wss", raw(b"\xff" * 70_000), "closed"),
    "wss: a page is asked for without TLS": ("wss", raw(PAGE), "closed"),
    "wss: half a TLS hello": ("wss", raw(HELLO[:100]), "closed"),
    "wss: a hello of one byte a second": ("wss", raw(HELLO, drip=True), "closed"),
    "wss: silence in TLS": ("wss", raw(b"", in_tls=True), "closed"),
    "wss: nonsense in TLS": ("wss", raw(b"\xff" * 70_000, in_tls=True), NO_LINE),
    "wss: a page is asked for": ("wss", raw(PAGE, in_tls=True), NO_PAGE),
    "wss: a header without end": ("wss", raw(LONG_HEADER, in_tls=True), TOO_LARGE),
    "wss: one byte a second": ("wss", raw(REQUEST, drip=True, in_tls=True), "closed"),
    "tcp: silence": ("tcp", raw(b""), "closed"),
    "tcp: nonsense": ("tcp", raw(b"\xff" * 70_000), "closed"),
    "tcp: a TLS hello": ("tcp", raw(HELLO), "closed"),
    "tcp: a page is asked for": ("tcp", raw(PAGE), "closed"),
    "tcp: one byte a second": ("tcp", raw(SELECT + length_prefixed(b"/noise\n"), drip=True), "closed"),
}
"""On which listener, what comes on the socket, and what it gets."""

WIRE_ROWS: dict[str, tuple[Attack, str]] = {
    "multistream: silence": (opened(b""), "closed"),
    "multistream: nonsense": (opened(b"\x00" * 500), "closed"),
    "multistream: a proposal of 2 GiB": (opened(encode_uvarint(1 << 31)), "closed"),
    "multistream: a hundred unknown protocols": (
        opened(
            length_prefixed(b"/multistream/1.0.0\n")
            + b"".join(length_prefixed(b"/%d\n" % i) for i in range(100))
        ),
        "closed",
    ),
    "multistream: ls, again and again": (
        opened(length_prefixed(b"/multistream/1.0.0\n") + length_prefixed(b"ls\n") * 1000),
        "closed",
    ),
    "multistream: one byte a second": (
        opened(length_prefixed(b"/multistream/1.0.0\n") + length_prefixed(b"/noise\n"), drip=True),
        "closed",
    ),
    "Noise: silence": (noise(b""), "closed"),
    "Noise: a first message too short": (noise(b"\x00\x05hello"), "closed"),
    "Noise: the same key as neutral element": (noise(b"\x00\x20" + bytes(32)), "closed"),
    "Noise: half a message": (noise(b"\x00\x20" + bytes(10)), "closed"),
    "yamux: another version": (frames(b"\x01" + bytes(11)), BAD_FRAME),
    "yamux: an unknown type": (frames(struct.pack(">BBHII", 0, 9, 0, 0, 0)), BAD_FRAME),
    "yamux: data on stream 0": (frames(encode_header(DATA, 0, 0, 4) + b"data"), BAD_FRAME),
    "yamux: a number that is ours": (frames(encode_header(WINDOW_UPDATE, SYN, 2, 0)), BAD_FRAME),
    "yamux: the same stream twice": (frames(OPEN, OPEN), BAD_FRAME),
    "yamux: more than the window": (frames(OPEN, encode_header(DATA, 0, 1, 300_000)), BAD_FRAME),
    "yamux: a frame of 4 GiB": (frames(OPEN, encode_header(DATA, 0, 1, 0xFFFFFFFF)), BAD_FRAME),
    "yamux: a window of more than 4 GiB": (
        frames(OPEN, encode_header(WINDOW_UPDATE, 0, 1, 0xFFFFFFFF)),
        BAD_FRAME,
    ),
    "yamux: a flood of pings": (frames(encode_header(PING, SYN, 0, 1), repeat=500), BAD_FRAME),
    "yamux: streams opened and reset": (
        frames(
            b"".join(
                encode_header(WINDOW_UPDATE, SYN, n, 0) + encode_header(WINDOW_UPDATE, RST, n, 0)
                for n in range(1, 1000, 2)
            )
        ),
        BAD_FRAME,
    ),
    "yamux: a good-bye": (frames(encode_header(GO_AWAY, 0, 0, 0)), "closed"),
    "yamux: no pong": (frames(OPEN, answer_pings=False), "GOAWAY 2; closed"),
    "yamux: a stream ended before it began": (
        frames(encode_header(WINDOW_UPDATE, SYN | FIN, 1, 0), encode_header(DATA, 0, 1, 5), b"hello"),
        "stream reset",
    ),
}

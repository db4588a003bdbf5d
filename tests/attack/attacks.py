"""The attacks, one function each: what a stranger does to the victim until it is stopped or is through."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING, Final

from p2pchat_core.errors import P2PChatError
from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.multiformats.varint import encode_uvarint, length_prefixed
from p2pchat_core.net.negotiation import select_one
from p2pchat_core.net.noise_channel import secure_outbound
from p2pchat_core.pb import identify_pb2, session_pb2, signaling_pb2
from p2pchat_core.wire.chat import CHAT_PROTOCOL, ECHO_PROTOCOL
from p2pchat_core.wire.identify import IDENTIFY_PUSH_PROTOCOL
from p2pchat_core.wire.noise import NOISE
from p2pchat_core.wire.ping import PING_PROTOCOL
from p2pchat_core.wire.session import SESSION_PROTOCOL
from p2pchat_core.wire.signaling import SIGNALING_PROTOCOL
from p2pchat_core.wire.yamux_frames import (
    DATA,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    encode_header,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from p2pchat_core.net.stream import ByteStream, Stream
    from tests.attack.stage import Stranger

__all__ = ["ATTACKS"]

ATTACKS: Final[dict[str, Callable[[Stranger], Awaitable[None]]]] = {}
OFFER: Final = (
    "v=0\r\no=- 1 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sctp-port:5000\r\n"
    "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=setup:actpass\r\n"
    "a=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\na=max-message-size:16384\r\n"
)


def attack(run: Callable[[Stranger], Awaitable[None]]) -> Callable[[Stranger], Awaitable[None]]:
    """Add an attack to the table."""
    ATTACKS[run.__name__] = run
    return run


async def pour(stream: ByteStream, pieces: Iterable[bytes]) -> None:
    """Write until all is written, or the victim has had enough. Reads and drops what comes back meanwhile."""

    async def drain() -> None:
        with contextlib.suppress(P2PChatError):
            while await stream.read():
                pass

    reader = asyncio.ensure_future(drain())
    try:
        async with asyncio.timeout(8):
            for piece in pieces:
                await stream.write(piece)
    except (P2PChatError, TimeoutError):
        pass
    finally:
        reader.cancel()
        await asyncio.wait([reader])


async def open_stream(stranger: Stranger, protocol: str) -> Stream:
    connection = await stranger.circuit()
    return await connection.open_stream([protocol], allow_limited=True)


# --- before anything is proved --------------------------------------------------------------------------------------


@attack
async def circuits_that_say_nothing(stranger: Stranger) -> None:
    """As many circuits as the relay gives, without a byte on them."""
    with contextlib.suppress(P2PChatError, AssertionError):
        for _ in range(200):
            await stranger.raw()
    await asyncio.sleep(1)


@attack
async def one_byte_at_a_time(stranger: Stranger) -> None:
    """The first handshake, dripped."""
    raw = await stranger.raw()
    with contextlib.suppress(P2PChatError):
        for byte in length_prefixed(b"/multistream/1.0.0\n") * 3:
            await raw.write(bytes([byte]))
            await asyncio.sleep(0.05)


@attack
async def rubbish_in_place_of_a_handshake(stranger: Stranger) -> None:
    """Bytes that are no multistream-select, at every stage of the handshake."""
    for rubbish in (b"\xff" * 4000, b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 4000, encode_uvarint(2**40)):
        await pour(await stranger.raw(), [rubbish])
    raw = await stranger.raw()
    await select_one(raw, [NOISE])
    await pour(raw, [b"\xff\xff" + b"x" * 65535, b"y" * 65535])


@attack
async def somebody_else_s_name(stranger: Stranger) -> None:
    """The relay announces one peer, and another proves itself on the circuit."""
    raw = await stranger.raw()
    await select_one(raw, [NOISE])
    with contextlib.suppress(P2PChatError):
        channel = await secure_outbound(raw, PrivateKey.generate(), stranger.victim)
        await channel.write(encode_header(WINDOW_UPDATE, SYN, 1, 0))
        assert await channel.read() == b""


# --- yamux ----------------------------------------------------------------------------------------------------------


@attack
async def streams_without_end(stranger: Stranger) -> None:
    """Ten thousand streams, none of them used."""
    channel = await stranger.secured()
    await pour(channel, (encode_header(WINDOW_UPDATE, SYN, 2 * n + 1, 0) for n in range(10_000)))


@attack
async def open_and_reset(stranger: Stranger) -> None:
    """Streams opened and reset at once, again and again."""
    channel = await stranger.secured()
    await pour(
        channel,
        (
            encode_header(WINDOW_UPDATE, SYN, 2 * n + 1, 0) + encode_header(WINDOW_UPDATE, RST, 2 * n + 1, 0)
            for n in range(10_000)
        ),
    )


@attack
async def windows_that_overflow(stranger: Stranger) -> None:
    """A window of four gigabytes, twice, and a frame longer than any window."""
    channel = await stranger.secured()
    await pour(
        channel, [encode_header(WINDOW_UPDATE, SYN, 1, 0), encode_header(WINDOW_UPDATE, 0, 1, 2**32 - 1)] * 2
    )
    channel = await stranger.secured()
    await pour(channel, [encode_header(DATA, SYN, 1, 2**32 - 1), b"x" * 65_536])


@attack
async def empty_frames(stranger: Stranger) -> None:
    """A hundred thousand data frames with nothing in them."""
    channel = await stranger.secured()
    frames = encode_header(DATA, 0, 1, 0) * 1000
    await pour(channel, [encode_header(WINDOW_UPDATE, SYN, 1, 0), *[frames] * 100])


@attack
async def pings_without_end(stranger: Stranger) -> None:
    """Fifty thousand pings of the muxer, and of the ping protocol."""
    channel = await stranger.secured()
    await pour(channel, (encode_header(PING, SYN, 0, n) * 100 for n in range(500)))
    await pour(await open_stream(stranger, PING_PROTOCOL), [bytes(32) * 100] * 500)


@attack
async def more_than_the_window(stranger: Stranger) -> None:
    """Megabytes on a stream whose window is 256 KiB."""
    channel = await stranger.secured()
    frame = encode_header(DATA, 0, 1, 65_000) + bytes(65_000)
    await pour(channel, [encode_header(WINDOW_UPDATE, SYN, 1, 0), *[frame] * 200])


# --- protocols ------------------------------------------------------------------------------------------------------


@attack
async def never_reads(stranger: Stranger) -> None:
    """Asks for echoes on many streams and reads none of the answers."""
    connection = await stranger.circuit()
    with contextlib.suppress(P2PChatError, TimeoutError):
        async with asyncio.timeout(5):
            for _ in range(40):
                stream = await connection.open_stream([ECHO_PROTOCOL], allow_limited=True)
                await stream.write(b"x" * 60_000)
    await asyncio.sleep(0.5)


@attack
async def identify_without_end(stranger: Stranger) -> None:
    """Pushes of a thousand addresses, a hundred thousand protocols, and more bytes than allowed."""
    many = identify_pb2.Identify(
        listenAddrs=[bytes([4, 10, 0, n >> 8, n & 255, 6, 0, 80]) for n in range(1000)],
        protocols=["\x1b]0;owned\x07"] * 200,
        agentVersion="\x1b[2J\n" * 1000,
    ).SerializeToString()
    empty = b"\x1a\x00" * 1_000_000
    for message in (many, empty, encode_uvarint(2**31) + b"x"):
        connection = await stranger.circuit()
        with contextlib.suppress(P2PChatError):
            for _ in range(20):
                stream = await connection.open_stream([IDENTIFY_PUSH_PROTOCOL], allow_limited=True)
                await pour(stream, [length_prefixed(message)])


@attack
async def a_message_that_is_too_long(stranger: Stranger) -> None:
    """A session frame announced with two gigabytes, and one that nests without end."""
    for raw in (encode_uvarint(2**31) + b"x" * 100_000, length_prefixed(b"\x0b" * 16_000)):
        await pour(await open_stream(stranger, SESSION_PROTOCOL), [raw] * 20)


def _said(sequence: int, text: str, log: bytes = bytes(16)) -> bytes:
    message = session_pb2.Message(sequence=sequence, id=sequence.to_bytes(16, "big"), sent_at=1, text=text)
    return length_prefixed(session_pb2.Frame(message=message).SerializeToString())


def _hello(log: bytes, first: int) -> bytes:
    hello = session_pb2.Hello(version=1, log=log, first=first)
    return length_prefixed(session_pb2.Frame(hello=hello).SerializeToString())


@attack
async def logs_and_gaps(stranger: Stranger) -> None:
    """New logs without end, messages with gaps, the same ones again, and those of somebody else's log."""
    for n in range(30):
        stream = await open_stream(stranger, SESSION_PROTOCOL)
        frames = [_hello(n.to_bytes(16, "big"), 1), _said(1, "one"), _said(1, "one"), _said(5, "gap")]
        await pour(stream, frames)
    await pour(await open_stream(stranger, SESSION_PROTOCOL), [_hello(bytes(16), 2**63)])


@attack
async def messages_without_end(stranger: Stranger) -> None:
    """Ten thousand messages of a stranger, in a session and over the protocol of the browser page."""
    stream = await open_stream(stranger, SESSION_PROTOCOL)
    await pour(stream, [_hello(bytes(16), 1), *(_said(n, "\x1b[2Jhi" * 100) for n in range(1, 10_000))])
    await pour(await open_stream(stranger, CHAT_PROTOCOL), [b"\x1b]52;c;eA==\x07" * 1000] * 500)


# --- the direct connection ------------------------------------------------------------------------------------------


def _signal(kind: str, data: str) -> bytes:
    return length_prefixed(signaling_pb2.Message(type=kind, data=data).SerializeToString())  # type: ignore[arg-type]


def candidate(host: str, port: int, number: int) -> str:
    line = f"candidate:{number} 1 udp {2130706431 - number} {host} {port} typ host"
    return json.dumps({"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0})


@attack
async def signalling_out_of_order(stranger: Stranger) -> None:
    """Answers nobody asked for, offers said twice, descriptions that are none, the whole of it again."""
    for frames in (
        [_signal("SDP_ANSWER", OFFER)],
        [_signal("SDP_OFFER", OFFER)] * 3,
        [_signal("SDP_OFFER", "v=0\r\n")],
        [_signal("SDP_OFFER", OFFER.replace("sha-256", "md5"))],
        [_signal("SDP_OFFER", OFFER), _signal("ICE_CANDIDATE", "{" * 5000)],
        [_signal("SDP_OFFER", "x" * 200_000)],
        [_signal("ICE_CANDIDATE", candidate("192.0.2.1", 5000, 1))] * 50,
    ):
        stream = await open_stream(stranger, SIGNALING_PROTOCOL)
        await pour(stream, frames)
        stream.abort()


@attack
async def many_offers_at_once(stranger: Stranger) -> None:
    """Forty exchanges begun side by side and never gone on with."""
    connection = await stranger.circuit()
    streams = []
    with contextlib.suppress(P2PChatError):
        for _ in range(40):
            stream = await connection.open_stream([SIGNALING_PROTOCOL], allow_limited=True)
            await stream.write(_signal("SDP_OFFER", OFFER))
            streams.append(stream)
    await asyncio.sleep(1)
    for stream in streams:
        stream.abort()


async def candidates_aimed_elsewhere(stranger: Stranger, target: socket.socket) -> int:
    """A thousand candidates that all name a third party; return how many packets it got."""
    host, port = target.getsockname()
    stream = await open_stream(stranger, SIGNALING_PROTOCOL)
    frames = [_signal("SDP_OFFER", OFFER)]
    frames += [_signal("ICE_CANDIDATE", candidate(host, port, n)) for n in range(1000)]
    await pour(stream, frames)
    await asyncio.sleep(3)
    stream.abort()
    packets = 0
    target.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while target.recv(2048):
            packets += 1
    return packets


@attack
async def candidates_without_end(stranger: Stranger) -> None:
    """A thousand candidates at forbidden and unreachable addresses."""
    stream = await open_stream(stranger, SIGNALING_PROTOCOL)
    hosts = [
        "127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "169.254.169.254",
        "0.0.0.0",
        "::1",
        "x.local",
        "192.0.2.9",
    ]
    frames = [_signal("SDP_OFFER", OFFER)]
    frames += [_signal("ICE_CANDIDATE", candidate(hosts[n % 8], 1 + n * 60, n)) for n in range(1000)]
    await pour(stream, frames)
    stream.abort()

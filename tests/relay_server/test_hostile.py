"""A table of hostile clients, one row each, with what each gets; meanwhile others are served as always."""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from p2pchat_core import limits
from p2pchat_core.errors import StreamResetError
from p2pchat_core.multiformats.varint import encode_uvarint, length_prefixed
from p2pchat_core.net.circuit import hop_exchange
from p2pchat_core.net.negotiation import select_one
from p2pchat_core.net.noise_channel import secure_outbound
from p2pchat_core.net.ping import ping
from p2pchat_core.net.websocket import dial_websocket
from p2pchat_core.wire.circuit import HOP_PROTOCOL, STOP_PROTOCOL, HopClient, Status
from p2pchat_core.wire.noise import NOISE
from p2pchat_core.wire.yamux_frames import DATA, FIN, GO_AWAY, PING, RST, SYN, WINDOW_UPDATE, encode_header
from tests.relay_server.fakes import key
from tests.relay_server.hostile_clients import (
    REQUEST,
    Attack,
    Victim,
    call,
    client,
    frames,
    half_open,
    hop,
    hop_in_a_circuit,
    noise,
    one_after_another,
    raw,
    streams,
    websocket,
)
from tests.relay_server.test_server import client as numbered_client
from tests.relay_server.test_server import relay, reserve, take_calls, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from p2pchat_core.net.stream import Stream

SHORT = 0.4
"""Every deadline of the relay in these tests, in seconds; a slow client's bytes come every `DRIP`."""
WITNESS, FRIEND = 1, 2


@pytest.fixture(autouse=True)
def short_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting ten and thirty seconds is for the real thing; the rules are the same."""
    monkeypatch.setattr(limits, "NEGOTIATION_TIMEOUT", SHORT)
    monkeypatch.setattr("p2pchat_relay.handlers.HOP_TIMEOUT", SHORT)
    monkeypatch.setattr("p2pchat_relay.handlers.STOP_TIMEOUT", SHORT / 2)
    monkeypatch.setattr("p2pchat_core.wire.yamux_liveness.YAMUX_PING_INTERVAL", SHORT)
    monkeypatch.setattr("p2pchat_core.wire.yamux_liveness.YAMUX_PING_TIMEOUT", SHORT)


# --- the table ----------------------------------------------------------------------------------------------------

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

WIRE_ROWS: dict[str, tuple[Attack, str]] = {
    "TCP: silence": (raw(b""), "closed"),
    "TCP: a TLS hello": (raw(b"\x16\x03\x01\x02\x00\x01\x00" + bytes(512)), "closed"),
    "TCP: a page is asked for": (
        raw(b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n"),
        "HTTP/1.1 400 Bad Request; closed",
    ),
    "TCP: a header without end": (raw(b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000), TOO_LARGE),
    "TCP: headers without end": (
        raw(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000),
        TOO_LARGE,
    ),
    "TCP: one byte a second": (raw(REQUEST, drip=True), "closed"),
    "WebSocket: silence": (websocket(b""), "closed"),
    "WebSocket: nonsense": (websocket(b"\x00" * 500), "closed"),
    "WebSocket: a proposal of 2 GiB": (websocket(encode_uvarint(1 << 31)), "closed"),
    "WebSocket: a hundred unknown protocols": (
        websocket(
            length_prefixed(b"/multistream/1.0.0\n")
            + b"".join(length_prefixed(b"/%d\n" % i) for i in range(100))
        ),
        "closed",
    ),
    "WebSocket: ls, again and again": (
        websocket(length_prefixed(b"/multistream/1.0.0\n") + length_prefixed(b"ls\n") * 1000),
        "closed",
    ),
    "WebSocket: one byte a second": (
        websocket(length_prefixed(b"/multistream/1.0.0\n") + length_prefixed(b"/noise\n"), drip=True),
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


# --- who is served meanwhile ---------------------------------------------------------------------------------------


@asynccontextmanager
async def besieged(tmp_path: Path, **limits_: Any) -> AsyncIterator[tuple[Victim, list[int]]]:
    """Run a relay with a circuit between two honest peers, who go on talking; yield how many answers came."""
    async with (
        relay(tmp_path, **({"handshake_seconds": SHORT} | limits_)) as server,
        numbered_client(WITNESS, server) as (_, to_relay),
        numbered_client(FRIEND, server) as (friend, friend_to_relay),
    ):
        calls = take_calls(friend)
        assert (await reserve(friend_to_relay)).status is Status.OK
        near = await to_relay.open_stream([HOP_PROTOCOL])
        assert (await hop_exchange(near, HopClient.connect(friend.peer))).status is Status.OK
        far = await asyncio.wait_for(calls.get(), 5)
        answers = [0]
        talking = asyncio.ensure_future(_talk(near, far, answers))
        try:
            yield Victim(server, server._host, friend.peer), answers
            assert not talking.done(), "the circuit of the others has ended"
        finally:
            talking.cancel()
            await asyncio.wait([talking])


async def _talk(near: Stream, far: Stream, answers: list[int]) -> None:
    while True:
        await near.write(b"still there?")
        await far.write((await far.read_exactly(12)).upper())
        assert await near.read_exactly(12) == b"STILL THERE?"
        answers[0] += 1
        await asyncio.sleep(0.01)


async def assert_served(victim: Victim, answers: list[int]) -> None:
    """Somebody new is served, the circuit goes on, and nothing of the attack is left."""
    before = answers[0]
    async with client(victim) as connection:
        assert await ping(connection, victim.host.clock) < 5
        assert (await reserve(connection)).status is Status.OK
        await until(lambda: answers[0] > before)
    policy = victim.server.policy
    await until(lambda: policy.reservations == 1 and policy.circuits == 1)
    await until(lambda: len(victim.host.connections()) == 2)


@pytest.mark.parametrize(("attack", "outcome"), HOP_ROWS.values(), ids=HOP_ROWS)
async def test_a_hostile_request(tmp_path: Path, attack: Attack, outcome: str) -> None:
    async with besieged(tmp_path) as (victim, answers):
        assert await attack(victim) == outcome
        await assert_served(victim, answers)


@pytest.mark.parametrize(("attack", "outcome"), WIRE_ROWS.values(), ids=WIRE_ROWS)
async def test_a_hostile_connection(tmp_path: Path, attack: Attack, outcome: str) -> None:
    async with besieged(tmp_path) as (victim, answers):
        assert await attack(victim) == outcome
        await assert_served(victim, answers)


# --- many at once, and readers who do not read ---------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", REQUEST, REQUEST[:30]], ids=["TCP", "WebSocket", "half a request"])
async def test_a_thousand_half_open_handshakes(
    tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever neither speaks nor ends keeps nobody else out, long before any deadline."""
    monkeypatch.setattr(limits, "NEGOTIATION_TIMEOUT", 60.0)
    async with besieged(tmp_path, handshake_seconds=60) as (victim, answers):
        opened = await half_open(victim, 1000, data)
        try:
            before = answers[0]
            async with client(victim) as connection:
                assert (await reserve(connection)).status is Status.OK
            await until(lambda: answers[0] > before)
            assert victim.host.handshakes <= victim.server.policy.limits.max_pending_handshakes
        finally:
            for writer in opened:
                writer.transport.abort()
        await assert_served(victim, answers)


async def test_a_target_that_never_reads(tmp_path: Path) -> None:
    """Its source is held back, and the circuit cut for idleness; what the relay holds meanwhile is bounded."""
    async with besieged(tmp_path, circuit_idle_seconds=1) as (victim, answers):
        async with (
            numbered_client(3, victim.server) as (_, to_relay),
            numbered_client(4, victim.server) as (lazy, lazy_to_relay),
        ):
            calls = take_calls(lazy)
            await reserve(lazy_to_relay)
            near = await to_relay.open_stream([HOP_PROTOCOL])
            assert (await hop_exchange(near, HopClient.connect(lazy.peer))).status is Status.OK
            far = await calls.get()
            sent = 0
            with pytest.raises(StreamResetError):
                async with asyncio.timeout(5):
                    while True:
                        await near.write(bytes(16384))
                        sent += 16384
            assert sent < 4 * limits.MIB
            with pytest.raises(StreamResetError):
                await far.read()
        await assert_served(victim, answers)


async def test_a_client_that_never_reads_its_socket(tmp_path: Path) -> None:
    """It asks on hundreds of streams and hears no answer; not answering pings either, it is given up."""
    async with besieged(tmp_path) as (victim, answers):
        stream = await dial_websocket(victim.address)
        await select_one(stream, [NOISE])
        channel = await secure_outbound(stream, key(5), victim.host.peer)
        ask = b"".join(
            length_prefixed(line) for line in (b"/multistream/1.0.0\n", HOP_PROTOCOL.encode() + b"\n")
        ) + message(RESERVE)
        for number in range(1, 400, 2):
            await channel.write(encode_header(WINDOW_UPDATE, SYN, number, 0))
            await channel.write(encode_header(DATA, 0, number, len(ask)) + ask)
        await until(lambda: len(victim.host.connections()) == 3)
        await until(lambda: len(victim.host.connections()) == 2)
        channel.abort()
        await assert_served(victim, answers)


async def test_a_source_that_vanishes_while_its_target_is_called(tmp_path: Path) -> None:
    async with besieged(tmp_path) as (victim, answers):
        called = asyncio.Event()

        async def on_stop(stream: Stream) -> None:
            called.set()
            await stream.connection.wait_closed()

        async with (
            numbered_client(3, victim.server) as (_, to_relay),
            numbered_client(4, victim.server) as (target, target_to_relay),
        ):
            target.handle(STOP_PROTOCOL, on_stop)
            await reserve(target_to_relay)
            near = await to_relay.open_stream([HOP_PROTOCOL])
            await near.write(HopClient.connect(target.peer).take_output())
            await asyncio.wait_for(called.wait(), 5)
            to_relay.abort("The test leaves.")
            await until(lambda: victim.server.policy.circuits == 1)
        await assert_served(victim, answers)

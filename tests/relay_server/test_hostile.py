"""A table of hostile clients, one row each, with what each gets; meanwhile others are served as always."""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from p2pchat_core import limits
from p2pchat_core.errors import StreamResetError
from p2pchat_core.multiformats.varint import length_prefixed
from p2pchat_core.net.circuit import hop_exchange
from p2pchat_core.net.host import Host
from p2pchat_core.net.negotiation import select_one
from p2pchat_core.net.noise_channel import secure_outbound
from p2pchat_core.net.ping import ping
from p2pchat_core.wire.circuit import HOP_PROTOCOL, STOP_PROTOCOL, HopClient, Status
from p2pchat_core.wire.noise import NOISE
from p2pchat_core.wire.yamux_frames import DATA, SYN, WINDOW_UPDATE, encode_header
from p2pchat_relay.config import TlsConfig
from tests.relay_server.fakes import key
from tests.relay_server.hostile_clients import (
    REQUEST,
    Attack,
    Victim,
    client,
    half_open,
)
from tests.relay_server.hostile_rows import (
    FRIEND,
    HELLO,
    HOP_ROWS,
    RESERVE,
    SELECT,
    SHORT,
    SOCKET_ROWS,
    WIRE_ROWS,
    message,
)
from tests.relay_server.test_server import client as numbered_client
from tests.relay_server.test_server import relay, reserve, take_calls, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from p2pchat_core.net.stream import Stream

WITNESS = 1


@pytest.fixture(autouse=True)
def short_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting ten and thirty seconds is for the real thing; the rules are the same."""
    monkeypatch.setattr(limits, "NEGOTIATION_TIMEOUT", SHORT)
    monkeypatch.setattr("p2pchat_relay.handlers.HOP_TIMEOUT", SHORT)
    monkeypatch.setattr("p2pchat_relay.handlers.STOP_TIMEOUT", SHORT / 2)
    monkeypatch.setattr("p2pchat_core.wire.yamux_liveness.YAMUX_PING_INTERVAL", SHORT)
    monkeypatch.setattr("p2pchat_core.wire.yamux_liveness.YAMUX_PING_TIMEOUT", SHORT)


# --- who is served meanwhile ---------------------------------------------------------------------------------------


LISTEN = {
    "ws": "/ip4/127.0.0.1/tcp/0/ws",
    "wss": "/ip4/127.0.0.1/tcp/0/tls/ws",
    "tcp": "/ip4/127.0.0.1/tcp/0",
}
everywhere = pytest.mark.parametrize("transport", LISTEN)


@cache
def authority() -> trustme.CA:
    return trustme.CA()


def tls_files(directory: Path) -> TlsConfig:
    leaf = authority().issue_cert("127.0.0.1")
    leaf.cert_chain_pems[0].write_to_path(directory / "certificate.pem")
    leaf.private_key_pem.write_to_path(directory / "key.pem")
    return TlsConfig(certificate=directory / "certificate.pem", key=directory / "key.pem")


@asynccontextmanager
async def besieged(
    tmp_path: Path, transport: str = "ws", **limits_: Any
) -> AsyncIterator[tuple[Victim, list[int]]]:
    """Run a relay with a circuit between two honest peers, who go on talking; yield how many answers came."""
    options: dict[str, Any] = {"handshake_seconds": SHORT, "listen": (LISTEN["ws"],)}
    if transport != "ws":
        options["listen"] = (LISTEN["ws"], LISTEN[transport])
    if transport == "wss":
        options["tls"] = tls_files(tmp_path)
    context = ssl.create_default_context()
    authority().configure_trust(context)
    async with (
        relay(tmp_path, **(options | limits_)) as server,
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
            yield Victim(server, server._host, friend.peer, server.addresses[-1], context), answers
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


SLOW_OR_CUT = {
    name: row for name, row in HOP_ROWS.items() if re.search("silence|second|cut|GiB|no protobuf", name)
}


@pytest.mark.parametrize("transport", ["wss", "tcp"])
@pytest.mark.parametrize(("attack", "outcome"), SLOW_OR_CUT.values(), ids=SLOW_OR_CUT)
async def test_a_hostile_request_elsewhere(
    tmp_path: Path, transport: str, attack: Attack, outcome: str
) -> None:
    """Those in which the transport could make a difference."""
    async with besieged(tmp_path, transport) as (victim, answers):
        assert await attack(victim) == outcome
        await assert_served(victim, answers)


@pytest.mark.parametrize(("transport", "attack", "outcome"), SOCKET_ROWS.values(), ids=SOCKET_ROWS)
async def test_a_hostile_socket(tmp_path: Path, transport: str, attack: Attack, outcome: str) -> None:
    async with besieged(tmp_path, transport) as (victim, answers):
        assert await attack(victim) == outcome
        await assert_served(victim, answers)


@everywhere
@pytest.mark.parametrize(("attack", "outcome"), WIRE_ROWS.values(), ids=WIRE_ROWS)
async def test_a_hostile_connection(tmp_path: Path, transport: str, attack: Attack, outcome: str) -> None:
    async with besieged(tmp_path, transport) as (victim, answers):
        assert await attack(victim) == outcome
        await assert_served(victim, answers)


# --- many at once, and readers who do not read ---------------------------------------------------------------------


HALF_OPEN: dict[str, tuple[str, bytes, bool, int]] = {
    "ws: silence": ("ws", b"", False, 1000),
    "ws: a WebSocket": ("ws", REQUEST, False, 1000),
    "ws: half a request": ("ws", REQUEST[:30], False, 1000),
    "wss: silence": ("wss", b"", False, 1000),
    "wss: half a TLS hello": ("wss", HELLO[:100], False, 1000),
    "wss: TLS": ("wss", b"", True, 200),
    "wss: a WebSocket": ("wss", REQUEST, True, 200),
    "tcp: silence": ("tcp", b"", False, 1000),
    "tcp: a beginning": ("tcp", SELECT, False, 1000),
}
"""On which listener, what is sent, whether TLS is done before, and by how many (TLS costs them as much as us)."""


@pytest.mark.parametrize(("transport", "data", "in_tls", "count"), HALF_OPEN.values(), ids=HALF_OPEN)
async def test_a_thousand_half_open_handshakes(
    tmp_path: Path, transport: str, data: bytes, in_tls: bool, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever neither speaks nor ends keeps nobody else out, long before any deadline."""
    monkeypatch.setattr(limits, "NEGOTIATION_TIMEOUT", 60.0)
    async with besieged(tmp_path, transport, handshake_seconds=60) as (victim, answers):
        silent = await half_open(victim, count, data, in_tls=in_tls)
        try:
            before = answers[0]
            async with client(victim) as connection:
                assert (await reserve(connection)).status is Status.OK
            await until(lambda: answers[0] > before)
            assert victim.host.handshakes <= victim.server.policy.limits.max_pending_handshakes
        finally:
            for writer in silent:
                writer.transport.abort()
        await assert_served(victim, answers)


@everywhere
async def test_a_target_that_never_reads(tmp_path: Path, transport: str) -> None:
    """Its source is held back, and the circuit cut for idleness; what the relay holds meanwhile is bounded."""
    async with besieged(tmp_path, transport, circuit_idle_seconds=1) as (victim, answers):
        lazy = Host(key(4))
        async with client(victim) as to_relay:
            lazy_to_relay = await lazy.dial(victim.address, ssl_context=victim.tls)
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
            await lazy.close()
        await assert_served(victim, answers)


@everywhere
async def test_a_client_that_never_reads_its_socket(tmp_path: Path, transport: str) -> None:
    """It asks on hundreds of streams and hears no answer; not answering pings either, it is given up."""
    async with besieged(tmp_path, transport) as (victim, answers):
        stream = await victim.dial()
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

"""Whoever is let in and does not come to prove who it is counts once, with the word for why."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from p2pchat_core.errors import P2PChatError
from p2pchat_core.net.host import Host
from p2pchat_relay.config import RelayConfig
from p2pchat_relay.limits import RelayLimits
from p2pchat_relay.observer import NullObserver
from p2pchat_relay.server import RelayServer
from tests.relay_server.fakes import key
from tests.relay_server.hostile_clients import REQUEST
from tests.relay_server.hostile_rows import HELLO, PAGE, SELECT
from tests.relay_server.test_hostile import LISTEN, authority, tls_files
from tests.relay_server.test_server import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SHORT = 0.2


class Failures(NullObserver):
    def __init__(self) -> None:
        self.words: list[str] = []

    def handshake_failed(self, reason: str) -> None:
        self.words.append(reason)


@asynccontextmanager
async def listening(
    tmp_path: Path, transport: str, **limits: Any
) -> AsyncIterator[tuple[RelayServer, int, Failures]]:
    config = RelayConfig(
        data_dir=tmp_path,
        listen=(LISTEN[transport],),
        tls=tls_files(tmp_path),
        limits=RelayLimits(**({"handshake_seconds": SHORT} | limits)),
    )
    failures = Failures()
    server = await RelayServer.start(config, observer=failures)
    try:
        yield server, int(server.addresses[0].value("tcp") or 0), failures
    finally:
        await server.stop()


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context


STAYS, LEAVES = True, False
ROWS = [
    ("ws", False, PAGE, STAYS, "http"),
    ("ws", False, b"\xff\n\n" * 1000, STAYS, "http"),
    ("ws", False, HELLO + b"\r\n\r\n", STAYS, "http"),
    ("ws", False, b"", STAYS, "timeout"),
    ("ws", False, REQUEST[:20], STAYS, "timeout"),
    ("ws", False, REQUEST, STAYS, "timeout"),
    ("ws", False, REQUEST[:20], LEAVES, "connection"),
    ("ws", False, b"", LEAVES, "connection"),
    ("wss", False, b"\xff" * 1000, STAYS, "tls"),
    ("wss", False, PAGE, STAYS, "tls"),
    ("wss", False, b"", STAYS, "timeout"),
    ("wss", False, HELLO[:50], STAYS, "timeout"),
    ("wss", False, b"", LEAVES, "connection"),
    ("wss", True, PAGE, STAYS, "http"),
    ("wss", True, b"", STAYS, "timeout"),
    ("tcp", False, PAGE * 4, STAYS, "protocol"),
    ("tcp", False, b"", STAYS, "timeout"),
    ("tcp", False, SELECT, STAYS, "timeout"),
    ("tcp", False, SELECT, LEAVES, "protocol"),
]


@pytest.mark.parametrize(("transport", "in_tls", "data", "stays", "word"), ROWS)
async def test_why(tmp_path: Path, transport: str, in_tls: bool, data: bytes, stays: bool, word: str) -> None:
    async with listening(tmp_path, transport) as (server, port, failures):
        tls = trusting() if in_tls else None
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
        writer.write(data)
        await writer.drain()
        if not stays:
            writer.close()
        admission = server.policy.admission
        await until(lambda: failures.words)
        writer.transport.abort()
        await until(lambda: admission.connections == 0)
        assert failures.words == [word]


@pytest.mark.parametrize(("transport", "data"), [("ws", b""), ("ws", REQUEST), ("wss", b""), ("tcp", SELECT)])
async def test_who_had_to_make_room(tmp_path: Path, transport: str, data: bytes) -> None:
    options = {"max_pending_handshakes": 1, "handshake_seconds": 60}
    async with listening(tmp_path, transport, **options) as (server, port, failures):
        silent = []
        for _ in range(2):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            silent.append(writer)
            await until(lambda: server._host.handshakes == 1)
        await until(lambda: failures.words)
        for writer in silent:
            writer.transport.abort()
        await until(lambda: server.policy.admission.connections == 0)
        assert failures.words[0] == "crowded"
        assert failures.words.count("crowded") == 1


async def test_who_has_too_many_already(tmp_path: Path) -> None:
    options = {"max_connections_per_peer": 1, "handshake_seconds": 10}
    async with listening(tmp_path, "tcp", **options) as (server, _, failures):
        first, second = Host(key(1)), Host(key(1))
        await first.dial(server.addresses[0])
        with pytest.raises(P2PChatError):
            connection = await second.dial(server.addresses[0])
            raise P2PChatError(await connection.wait_closed())
        await until(lambda: failures.words == ["per_peer"])
        await asyncio.gather(first.close(), second.close())


async def test_who_is_through_or_was_never_let_in_does_not_count(tmp_path: Path) -> None:
    async with listening(tmp_path, "ws", max_connections=1, handshake_seconds=10) as (server, port, failures):
        host = Host(key(1))
        await host.dial(server.addresses[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.transport.abort()
        await host.close()
        await until(lambda: server.policy.admission.connections == 0)
        assert failures.words == []

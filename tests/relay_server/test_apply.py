"""A running relay that is given another configuration, or drained."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from p2pchat_core.errors import ConfigError, DialError
from p2pchat_core.net.host import Host
from p2pchat_core.wire.circuit import HopClient, Limit, Status
from p2pchat_relay.config import (
    AccessConfig,
    AccessRule,
    LogConfig,
    RelayConfig,
    StunConfig,
    TlsConfig,
    TrustConfig,
)
from p2pchat_relay.limits import RelayLimits
from p2pchat_relay.server import RelayServer
from tests.relay_server.fakes import FakeClock, key
from tests.relay_server.test_server import LOOPBACK, ask, client, relay, reserve, take_calls, until

if TYPE_CHECKING:
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.stream import Stream

NO_STUN = StunConfig(enabled=False)
HERE = "127.0.0.0/8"


def config(tmp_path: Path, **options: object) -> RelayConfig:
    return RelayConfig(data_dir=tmp_path, listen=(LOOPBACK,), stun=NO_STUN, **options)  # type: ignore[arg-type]


async def circuit(one: Connection, target: Host, two: Connection) -> tuple[Stream, Stream]:
    calls = take_calls(target)
    assert (await reserve(two)).status is Status.OK
    status, near = await ask(one, HopClient.connect(target.peer))
    assert status.status is Status.OK
    return near, await asyncio.wait_for(calls.get(), 5)


async def works(near: Stream, far: Stream) -> None:
    await near.write(b"there")
    assert await asyncio.wait_for(far.read_exactly(5), 5) == b"there"
    await far.write(b"back")
    assert await asyncio.wait_for(near.read_exactly(4), 5) == b"back"


async def test_everything_reloadable_changes_and_circuits_stay(tmp_path: Path) -> None:
    async with (
        relay(tmp_path, stun=NO_STUN) as server,
        client(1, server) as (_, one),
        client(2, server) as (target, two),
        client(3, server) as (third, three),
    ):
        near, far = await circuit(one, target, two)
        await works(near, far)
        trusted = TrustConfig(peers=(str(third.peer),))
        deny = AccessRule(mode="deny", peers=(str(key(1).peer_id),))
        restart = server.apply(
            config(
                tmp_path,
                announce=("/dns4/relay.example.org/tcp/443/tls/ws",),
                limits=RelayLimits(circuit_seconds=77, circuit_bytes=7777, max_connections=4),
                access=AccessConfig(connect=deny),
                trusted=trusted,
                log=LogConfig(level="debug"),
            )
        )
        assert restart == []
        await works(near, far)
        assert (await ask(one, HopClient.connect(target.peer)))[0].status is Status.PERMISSION_DENIED
        assert str(server.addresses[0]).startswith("/dns4/relay.example.org/")
        assert (await reserve(two)).limit == Limit(77, 7777)
        assert (await reserve(three)).limit is None
        assert {level.name: level.limit for level in server.levels()}["connections"] == 4
        assert server.config.limits.circuit_seconds == 77


async def test_what_takes_a_restart_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    async with relay(tmp_path, stun=NO_STUN) as server:
        before = server.addresses
        other = RelayConfig(
            data_dir=tmp_path / "other",
            listen=("/ip4/127.0.0.1/tcp/0",),
            stun=StunConfig(second_port=0),
            limits=RelayLimits(max_circuits=3),
        )
        expected = ["data_dir", "listen", "stun.enabled", "stun.second_port"]
        assert server.apply(other) == expected
        assert server.addresses == before
        assert server.policy.limits.max_circuits == 3
        assert server.apply(other) == expected, "it is still so"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"announce": ("nonsense",)}, r"^announce\[0\]: "),
        ({"listen": (LOOPBACK, "nonsense")}, r"^listen\[1\]: "),
        (
            {"access": AccessConfig(reserve=AccessRule(mode="allow", peers=("x",)))},
            r"^access\.reserve\.peers\[0\]: ",
        ),
        ({"trusted": TrustConfig(peers=("x",))}, r"^trusted\.peers\[0\]: "),
        ({"tls": TlsConfig(certificate=Path("/nowhere"))}, r"^tls\.key: is missing"),
    ],
)
async def test_a_configuration_that_cannot_be_used_changes_nothing(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    async with relay(tmp_path, stun=NO_STUN) as server:
        old = server.config
        bad = RelayConfig(**{"data_dir": tmp_path, "limits": RelayLimits(max_circuits=1), **options})  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=message):
            server.apply(bad)
        assert server.config is old
        assert server.policy.limits == old.limits
        # The same sentence is what a start gives, before anything is opened or created.
        with pytest.raises(ConfigError, match=message):
            await RelayServer.start(RelayConfig(**{"data_dir": tmp_path / "new", **options}))  # type: ignore[arg-type]
        assert not (tmp_path / "new").exists()


async def test_a_denied_network_gets_no_handshake(tmp_path: Path) -> None:
    deny = AccessRule(mode="deny", networks=(HERE,))
    async with relay(tmp_path, stun=NO_STUN) as server:
        server.apply(config(tmp_path, access=AccessConfig(reserve=deny, connect=deny)))
        with pytest.raises(DialError):
            async with client(1, server):
                pass
        server.apply(config(tmp_path))
        async with client(1, server) as (_, connection):
            assert (await reserve(connection)).status is Status.OK
        await until(lambda: server.policy.admission.connections == 0)


async def test_the_limits_of_the_host_change_too(tmp_path: Path) -> None:
    async with relay(tmp_path, stun=NO_STUN) as server, client(1, server) as (_, first):
        server.apply(config(tmp_path, limits=RelayLimits(max_connections_per_peer=1)))
        async with client(1, server) as (_, again):
            await asyncio.wait_for(again.wait_closed(), 5)
        assert not first.closed
        server.apply(config(tmp_path))
        async with client(1, server) as (_, again):
            assert (await reserve(again)).status is Status.OK


async def test_connections_in_all_and_handshakes_are_counted(tmp_path: Path) -> None:
    limits = RelayLimits(max_connections=2, max_pending_handshakes=1)
    async with relay(tmp_path, stun=NO_STUN, limits=limits) as server, client(1, server):
        port = int(server.addresses[0].value("tcp") or 0)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: server.policy.admission.connections == 2)
        assert {level.name: level.used for level in server.levels()} == {
            "connections": 2,
            "handshakes": 1,
            "reservations": 0,
            "circuits": 0,
            "buffered_bytes": 0,
        }
        with pytest.raises(DialError):
            async with client(2, server):
                pass
        writer.transport.abort()
        await until(lambda: server.policy.admission.connections == 1)
        async with client(2, server) as (_, connection):
            assert (await reserve(connection)).status is Status.OK


async def test_draining_waits_for_circuits_and_sends_the_others_away(tmp_path: Path) -> None:
    async with (
        relay(tmp_path, stun=NO_STUN) as server,
        client(1, server) as (_, one),
        client(2, server) as (target, two),
        client(3, server) as (_, idle),
    ):
        near, far = await circuit(one, target, two)
        assert (await reserve(idle)).status is Status.OK
        draining = asyncio.ensure_future(server.drain())
        await asyncio.wait_for(idle.wait_closed(), 5)
        assert server.draining
        await works(near, far)
        assert not draining.done()
        assert (await reserve(two)).status is Status.RESERVATION_REFUSED
        with pytest.raises(DialError):
            async with client(4, server):
                pass
        await near.close_write()
        await far.close_write()
        await asyncio.wait_for(draining, 5)
        assert server.policy.circuits == 0


async def test_draining_has_an_end(tmp_path: Path) -> None:
    clock = FakeClock()
    settings = RelayConfig(
        data_dir=tmp_path, listen=(LOOPBACK,), stun=NO_STUN, limits=RelayLimits(drain_seconds=60)
    )
    server = await RelayServer.start(settings, clock=clock)
    try:
        async with client(1, server) as (_, one), client(2, server) as (target, two):
            near, far = await circuit(one, target, two)
            draining = asyncio.ensure_future(server.drain())
            await works(near, far)
            assert not draining.done()
            clock.now += 60.0
            await asyncio.wait_for(draining, 5)
            assert server.policy.circuits == 1
    finally:
        await server.stop()


async def test_a_connection_that_is_used_for_nothing_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2pchat_relay.limits.IDLE_CHECK_INTERVAL", 0.01)
    clock = FakeClock()
    settings = RelayConfig(
        data_dir=tmp_path, listen=(LOOPBACK,), stun=NO_STUN, limits=RelayLimits(connection_idle_seconds=60)
    )
    server = await RelayServer.start(settings, clock=clock)
    try:
        async with client(1, server) as (_, unused), client(2, server) as (_, reserved):
            assert (await reserve(reserved)).status is Status.OK
            clock.now += 59.0
            await asyncio.sleep(0.05)
            assert not unused.closed
            clock.now += 1.0
            await asyncio.wait_for(unused.wait_closed(), 5)
            assert not reserved.closed
    finally:
        await server.stop()

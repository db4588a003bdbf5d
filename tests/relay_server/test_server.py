"""The whole relay on loopback, with our own hosts as its clients."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import pytest

from p2pchat_core.errors import ConfigError, ConnectionLostError, IdentityError, StreamResetError
from p2pchat_core.net.circuit import hop_exchange
from p2pchat_core.net.host import Host
from p2pchat_core.net.identify import IdentifyService
from p2pchat_core.net.ping import ping
from p2pchat_core.wire.circuit import (
    HOP_PROTOCOL,
    STOP_PROTOCOL,
    HopClient,
    HopStatus,
    Limit,
    Status,
    StopServer,
)
from p2pchat_core.wire.ws_address import websocket_target
from p2pchat_relay.config import StunConfig
from p2pchat_relay.errors import RelayStartError
from p2pchat_relay.limits import RelayLimits
from p2pchat_relay.server import RelayConfig, RelayServer
from tests.relay_server.fakes import key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.stream import Stream

LOOPBACK = "/ip4/127.0.0.1/tcp/0/ws"


@asynccontextmanager
async def relay(data_dir: Path, **options: Any) -> AsyncIterator[RelayServer]:
    options.setdefault("listen", (LOOPBACK,))
    own = {name: options.pop(name) for name in tuple(options) if name in RelayLimits.__struct_fields__}
    options.setdefault("limits", RelayLimits(**own))
    server = await RelayServer.start(RelayConfig(data_dir=data_dir, **options))
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def client(number: int, server: RelayServer) -> AsyncIterator[tuple[Host, Connection]]:
    host = Host(key(number))
    try:
        yield host, await host.dial(server.addresses[0])
    finally:
        await host.close()


async def ask(connection: Connection, machine: HopClient) -> tuple[HopStatus, Stream]:
    stream = await connection.open_stream([HOP_PROTOCOL])
    return await asyncio.wait_for(hop_exchange(stream, machine), 5), stream


async def reserve(connection: Connection) -> HopStatus:
    status, stream = await ask(connection, HopClient.reserve())
    await stream.close()
    return status


def take_calls(host: Host) -> asyncio.Queue[Stream]:
    """Let `host` accept every circuit; the test gets the streams."""
    calls: asyncio.Queue[Stream] = asyncio.Queue()

    async def on_stop(stream: Stream) -> None:
        machine = StopServer()
        while machine.result is None:
            machine.receive_data(await stream.read())
        machine.respond(Status.OK)
        await stream.write(machine.take_output())
        calls.put_nowait(stream)
        await stream.connection.wait_closed()

    host.handle(STOP_PROTOCOL, on_stop)
    return calls


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


def port_of(server: RelayServer) -> int:
    return websocket_target(server.addresses[0]).port


async def test_a_circuit_end_to_end(tmp_path: Path) -> None:
    async with (
        relay(tmp_path, circuit_seconds=60, circuit_bytes=1 << 20) as server,
        client(1, server) as (source, to_relay),
        client(2, server) as (target, target_to_relay),
    ):
        calls = take_calls(target)
        assert (await reserve(target_to_relay)).status is Status.OK
        status, near = await ask(to_relay, HopClient.connect(target.peer))
        assert status == HopStatus(Status.OK, limit=Limit(60, 1 << 20))
        far = await asyncio.wait_for(calls.get(), 5)
        data = bytes(range(256)) * 2000
        sending = asyncio.ensure_future(near.write(data))
        assert await far.read_exactly(len(data)) == data
        await sending
        await far.write(b"got it")
        assert await near.read_exactly(6) == b"got it"
        assert server.policy.circuits == 1
        assert source.connections(server.peer_id) == [to_relay]
        near.abort()
        with pytest.raises(StreamResetError):
            await asyncio.wait_for(far.read(), 5)
        await until(lambda: server.policy.circuits == 0)


async def test_the_relay_identifies_itself_and_answers_pings(tmp_path: Path) -> None:
    async with relay(tmp_path) as server:
        host = Host(key(1))
        identify = IdentifyService(host, "test", list)
        connection = await host.dial(server.addresses[0])
        info = await asyncio.wait_for(identify.identified(connection), 5)
        assert info is not None
        assert HOP_PROTOCOL in info.protocols
        assert STOP_PROTOCOL not in info.protocols
        assert info.agent.startswith("p2pchat-relay")
        assert [a / server.peer_id.as_multiaddr() for a in info.addresses] == server.addresses
        assert await ping(connection, host.clock) > 0
        await host.close()


async def test_a_slot_is_free_again_when_its_peer_has_left(tmp_path: Path) -> None:
    async with relay(tmp_path, max_reservations=1) as server, client(1, server) as (_, first):
        async with client(2, server) as (_, second):
            assert (await reserve(second)).status is Status.OK
            assert (await reserve(second)).status is Status.OK
            assert (await reserve(first)).status is Status.RESERVATION_REFUSED
        await until(lambda: server.policy.table_size == 0)
        assert (await reserve(first)).status is Status.OK


async def test_the_slot_outlives_one_of_two_connections(tmp_path: Path) -> None:
    async with relay(tmp_path) as server, client(1, server) as (_, first):
        assert (await reserve(first)).status is Status.OK
        async with client(1, server):
            pass
        await asyncio.sleep(0.05)
        assert server.policy.reservations == 1


async def test_a_target_that_vanishes_ends_the_circuit(tmp_path: Path) -> None:
    async with relay(tmp_path) as server, client(1, server) as (_, to_relay):
        async with client(2, server) as (target, target_to_relay):
            calls = take_calls(target)
            await reserve(target_to_relay)
            _, near = await ask(to_relay, HopClient.connect(target.peer))
            await calls.get()
            target_to_relay.abort("The test ends it.")
            with pytest.raises(StreamResetError):
                await asyncio.wait_for(near.read(), 5)
        await until(lambda: server.policy.table_size == 0 and server.policy.circuits == 0)
        status, _ = await ask(to_relay, HopClient.connect(target.peer))
        assert status.status is Status.NO_RESERVATION


async def test_limits_cut_a_real_circuit(tmp_path: Path) -> None:
    async with (
        relay(tmp_path, circuit_bytes=10_000) as server,
        client(1, server) as (_, to_relay),
        client(2, server) as (target, target_to_relay),
    ):
        calls = take_calls(target)
        await reserve(target_to_relay)
        _, near = await ask(to_relay, HopClient.connect(target.peer))
        far = await calls.get()
        await near.write(bytes(10_000))
        assert await far.read_exactly(10_000) == bytes(10_000)
        await near.write(b"x")
        with pytest.raises(StreamResetError):
            await asyncio.wait_for(near.read(), 5)
        with pytest.raises(StreamResetError):
            await asyncio.wait_for(far.read(), 5)


async def test_identity_and_port_survive_a_restart(tmp_path: Path) -> None:
    async with relay(tmp_path) as server:
        first = server.addresses
        assert len(first) == 1
        assert port_of(server) != 0
    async with relay(tmp_path) as server:
        assert server.addresses == first
    async with relay(tmp_path / "other") as server:
        assert server.addresses[0] != first[0]


async def test_a_kept_port_is_not_silently_changed(tmp_path: Path) -> None:
    async with relay(tmp_path) as server:
        port = port_of(server)
    with (
        closing(socket.create_server(("127.0.0.1", port))),
        pytest.raises(RelayStartError, match="Another program listens"),
    ):
        await RelayServer.start(RelayConfig(data_dir=tmp_path, listen=(LOOPBACK,)))
    async with relay(tmp_path) as server:
        assert port_of(server) == port


async def test_the_default_port_moves_at_the_first_start_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        default = f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}/ws"
        monkeypatch.setattr("p2pchat_relay.listeners.DEFAULT_LISTEN", default)
        async with relay(tmp_path, listen=()) as server:
            chosen = port_of(server)
            assert chosen != taken.getsockname()[1]
        with pytest.raises(RelayStartError, match="Another program listens"):
            await RelayServer.start(RelayConfig(data_dir=tmp_path / "other", listen=(default,)))
    async with relay(tmp_path, listen=()) as server:
        assert port_of(server) == chosen
    # Addresses have been given out by now, so the port no longer moves.
    with (
        closing(socket.create_server(("127.0.0.1", chosen))),
        pytest.raises(RelayStartError, match="Another program listens"),
    ):
        await RelayServer.start(RelayConfig(data_dir=tmp_path))


async def test_a_wildcard_becomes_addresses_others_can_use(tmp_path: Path) -> None:
    async with relay(tmp_path, listen=("/ip4/0.0.0.0/tcp/0/ws",)) as server:
        hosts = [websocket_target(address).host for address in server.addresses]
        assert hosts[0] == "127.0.0.1"
        assert "0.0.0.0" not in hosts
        assert len({websocket_target(address).port for address in server.addresses}) == 1


async def test_announced_addresses_come_first(tmp_path: Path) -> None:
    async with relay(tmp_path, announce=("/dns4/relay.example.org/tcp/443/tls/ws",)) as server:
        first, *others = [str(address) for address in server.addresses]
        assert first == f"/dns4/relay.example.org/tcp/443/tls/ws/p2p/{server.peer_id}"
        assert len(others) == 1


async def test_several_addresses_and_stun_beside_each(tmp_path: Path) -> None:
    listen = (LOOPBACK, "/ip4/127.0.0.2/tcp/0/ws", LOOPBACK)
    async with relay(tmp_path, listen=listen) as server:
        assert [websocket_target(a).host for a in server.addresses] == ["127.0.0.1", "127.0.0.2"]
        for address in server.addresses:
            target = websocket_target(address)
            with (
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
                pytest.raises(OSError, match="in use"),
            ):
                sock.bind((target.host, target.port))


async def test_without_stun_the_udp_port_stays_free(tmp_path: Path) -> None:
    async with relay(tmp_path, stun=StunConfig(enabled=False)) as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", port_of(server)))


async def test_a_taken_udp_port_is_an_error_unless_stun_is_off(tmp_path: Path) -> None:
    async with relay(tmp_path) as server:
        port = port_of(server)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
        with pytest.raises(RelayStartError, match=f"UDP port {port} .* another port, or switch STUN off"):
            async with relay(tmp_path):
                pass
        async with (
            relay(tmp_path, stun=StunConfig(enabled=False)) as server,
            client(1, server) as (_, connection),
        ):
            assert (await reserve(connection)).status is Status.OK


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"listen": ("nonsense",)}, "address"),
        ({"listen": ("/ip4/127.0.0.1/udp/9001/quic-v1",)}, "address"),
        ({"listen": ("/ip4/127.0.0.1/ws",)}, "names no port"),
        ({"listen": ("/dns4/localhost/tcp/0/ws",)}, "give an IP address"),
        ({"listen": ("/ip4/127.0.0.1/tcp/0/tls/ws",)}, "certificate"),
        ({"listen": (f"/ip4/127.0.0.1/tcp/0/ws/p2p/{key(1).peer_id}",)}, "names a PeerId"),
        ({"announce": ("/ip4/1.2.3.4/tcp/1/p2p-circuit",)}, "WebSocket"),
    ],
)
async def test_an_address_that_cannot_be_used(tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        await RelayServer.start(RelayConfig(data_dir=tmp_path, **options))


async def test_a_failed_start_leaves_nothing_behind(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        listen = (LOOPBACK, f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}/ws")
        with pytest.raises(RelayStartError):
            await RelayServer.start(RelayConfig(data_dir=tmp_path, listen=listen))
    async with relay(tmp_path):
        pass
    assert len(asyncio.all_tasks()) == 1


async def test_a_damaged_key_is_not_replaced(tmp_path: Path) -> None:
    async with relay(tmp_path):
        pass
    (tmp_path / "identity.key").write_bytes(b"damaged")
    with pytest.raises(IdentityError, match="damaged"):
        await RelayServer.start(RelayConfig(data_dir=tmp_path, listen=(LOOPBACK,)))
    assert (tmp_path / "identity.key").read_bytes() == b"damaged"


async def test_stopping_ends_circuits_and_connections_and_leaves_no_task(tmp_path: Path) -> None:
    async with relay(tmp_path) as server, client(1, server) as (_, one), client(2, server) as (target, two):
        calls = take_calls(target)
        await reserve(two)
        _, near = await ask(one, HopClient.connect(target.peer))
        await calls.get()
        await server.stop()
        await server.stop()
        with pytest.raises((StreamResetError, ConnectionLostError)):
            assert await asyncio.wait_for(near.read(), 5) == b""
            raise StreamResetError("The end of the stream is as good.")
        await asyncio.wait_for(one.wait_closed(), 5)
        await until(lambda: server.policy.circuits == 0 and server.policy.table_size == 0)
    assert len(asyncio.all_tasks()) == 1


async def test_a_restarting_client_always_finds_its_slot(tmp_path: Path) -> None:
    async with relay(tmp_path, max_reservations=1) as server:
        for _ in range(30):
            host = Host(key(1))
            connection = await host.dial(server.addresses[0])
            assert (await reserve(connection)).status is Status.OK
            connection.abort("killed")
            await host.close()

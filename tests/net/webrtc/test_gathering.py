"""Finding our own candidates."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace

import ifaddr
import pytest
from aioice import Candidate, stun

from p2pchat_core.errors import ConfigError
from p2pchat_core.limits import ICE_MAX_HOSTS
from p2pchat_core.net.webrtc.config import (
    CandidateInfo,
    IceConfig,
    ServerAddress,
    TurnServer,
    parse_server_url,
)
from p2pchat_core.net.webrtc.gathering import find_addresses, gather_from_servers, policy_for
from p2pchat_core.net.webrtc.ice_guard import GuardedIce
from p2pchat_core.wire.candidate import CandidatePolicy


def machine(monkeypatch: pytest.MonkeyPatch, *addresses: str | tuple[str, int, int]) -> None:
    """Pretend to have these addresses."""
    adapters = [SimpleNamespace(ips=[SimpleNamespace(ip=address) for address in addresses])]
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: adapters)


def test_useful_addresses_are_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(
        monkeypatch,
        "127.0.0.1",
        "192.0.2.2",
        "169.254.3.4",
        ("::1", 0, 0),
        ("fe80::1", 0, 2),
        ("2001:db8::5", 0, 0),
    )
    assert find_addresses(IceConfig()) == ["192.0.2.2", "2001:db8::5"]
    assert not policy_for(IceConfig(), ["192.0.2.2"]).loopback


def test_a_machine_with_nothing_but_loopback_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, "127.0.0.1", ("::1", 0, 0))
    assert find_addresses(IceConfig()) == ["127.0.0.1"]
    assert policy_for(IceConfig(), ["127.0.0.1"]).loopback
    assert find_addresses(IceConfig(allow_loopback=False)) == []


def test_loopback_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, "192.0.2.2")
    config = IceConfig(allow_loopback=True)
    assert find_addresses(config) == ["192.0.2.2", "127.0.0.1"]
    assert policy_for(config, ["192.0.2.2", "127.0.0.1"]).loopback


def test_addresses_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, *(f"10.0.0.{index}" for index in range(1, 60)))
    assert len(find_addresses(IceConfig())) == ICE_MAX_HOSTS


def test_private_peers_only_for_private_machines() -> None:
    assert policy_for(IceConfig(), ["192.168.1.2", "2001:db8::5"]).private
    assert not policy_for(IceConfig(), ["198.51.100.1"]).private


def test_server_urls() -> None:
    assert parse_server_url("stun:stun.example.org") == ServerAddress("stun", "stun.example.org", 3478, "udp")
    assert parse_server_url("stun://192.0.2.1:99") == ServerAddress("stun", "192.0.2.1", 99, "udp")
    assert parse_server_url("turn:h:1?transport=tcp") == ServerAddress("turn", "h", 1, "tcp")
    assert parse_server_url("turns:[2001:db8::1]") == ServerAddress("turns", "2001:db8::1", 5349, "tcp")


@pytest.mark.parametrize(
    "url", ["", "stun:", "http://x", "stun:h:0", "stun:h:70000", "stun:a b", "stun:h?transport=udp"]
)
def test_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ConfigError):
        IceConfig(stun=(url,))


def test_kinds_of_servers_are_not_mixed_up() -> None:
    with pytest.raises(ConfigError, match="not a STUN server"):
        IceConfig(stun=("turn:h",))
    with pytest.raises(ConfigError, match="not a TURN server"):
        IceConfig(turn=(TurnServer("stun:h", "u", "c"),))


def test_how_an_end_is_shown() -> None:
    assert str(CandidateInfo("host", "192.0.2.1", 5000)) == "host 192.0.2.1:5000"
    assert str(CandidateInfo("srflx", "2001:db8::1", 5000)) == "srflx [2001:db8::1]:5000"


class StunServer(asyncio.DatagramProtocol):
    """Answers with an address that it made up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = stun.Message(
            message_method=stun.Method.BINDING,
            message_class=stun.Class.RESPONSE,
            transaction_id=stun.parse_message(data).transaction_id,
        )
        answer.attributes["XOR-MAPPED-ADDRESS"] = ("198.51.100.7", 40000)
        self.transport.sendto(bytes(answer), addr)  # type: ignore[attr-defined]


async def test_stun_from_the_same_socket_while_another_server_is_silent() -> None:
    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(StunServer, local_addr=("127.0.0.1", 0))
    port = server.get_extra_info("sockname")[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        config = IceConfig(stun=(f"stun:127.0.0.1:{silent.getsockname()[1]}", f"stun:127.0.0.1:{port}"))
        connection = GuardedIce(
            controlling=True, addresses=["127.0.0.1"], policy=CandidatePolicy(loopback=True)
        )
        await connection.gather_candidates()
        found: asyncio.Queue[Candidate] = asyncio.Queue()
        asking = asyncio.create_task(gather_from_servers(connection, config, found.put_nowait))
        candidate = await found.get()
        assert not asking.done()
        assert (candidate.type, candidate.host, candidate.port) == ("srflx", "198.51.100.7", 40000)
        assert candidate.related_port == connection.local_candidates[0].port
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await connection.close()
    server.close()

"""What a relay listens on: all forms at once, STUN beside them, and the sentences where that is not possible."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from p2pchat_core.clock import SystemClock
from p2pchat_core.errors import ConfigError
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.host import Host
from p2pchat_core.net.ping import ping, serve_ping
from p2pchat_relay.errors import RelayStartError
from p2pchat_relay.listeners import (
    Listeners,
    _free_on_udp,
    parse_announce,
    parse_listen,
    parse_stun_hosts,
)
from p2pchat_relay.state import StateDirectory
from p2pchat_relay.tls import ServerCertificate
from tests.relay_server.fakes import key
from tests.relay_server.test_stun import Client, request
from tests.relay_server.test_tls import store, trusting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TCP, WS, WSS = "/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws", "/ip4/127.0.0.1/tcp/0/tls/ws"


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[tuple[Host, Listeners, trustme.CA]]:
    ca = trustme.CA()
    certificate = ServerCertificate(*store(tmp_path, ca.issue_cert("127.0.0.1", "::1")), time.time())
    state = StateDirectory.open(tmp_path / "state")
    host = Host(key(9))
    serve_ping(host)
    listeners = Listeners(host, state, certificate=certificate)
    yield host, listeners, ca
    listeners.close()
    await host.close()
    state.close()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


async def test_every_form_at_once(opened: tuple[Host, Listeners, trustme.CA]) -> None:
    host, listeners, ca = opened
    forms = [TCP, WS, WSS]
    if has_ipv6():
        forms += [form.replace("/ip4/127.0.0.1/", "/ip6/::1/") for form in forms]
    for listen in parse_listen(forms):
        await listeners.open(listen)
    addresses = host.listen_addresses()
    assert [address.names for address in addresses] == [Multiaddr.parse(form).names for form in forms]
    for number, address in enumerate(addresses, 1):
        client = Host(key(number))
        connection = await client.dial(address, ssl_context=trusting(ca))
        assert await ping(connection, SystemClock()) > 0
        await client.close()


async def test_a_chosen_port_is_kept(opened: tuple[Host, Listeners, trustme.CA], tmp_path: Path) -> None:
    host, listeners, _ = opened
    for listen in parse_listen([TCP, WS]):
        await listeners.open(listen, stun=True)
    await listeners.open_stun(second_port=0)
    (stun,) = listeners._stun
    ports = [int(address.value("tcp") or 0) for address in host.listen_addresses()]
    assert stun.ports[:2] == ports
    state = listeners._state
    assert [state.remembered_port(text) for text in (TCP, WS)] == ports
    listeners.close()
    await asyncio.sleep(0)
    await listeners.open_stun(second_port=0)
    assert listeners._stun[0].ports == stun.ports


async def test_a_port_that_udp_has_taken_is_not_chosen() -> None:
    """The system gives out free TCP ports; with STUN, one is taken that is free on both."""
    chosen = _free_on_udp("127.0.0.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        udp.bind(("127.0.0.1", chosen))
        tcp.bind(("127.0.0.1", chosen))
    assert _free_on_udp("203.0.113.1") == 0


async def test_stun_is_answered_at_every_port(opened: tuple[Host, Listeners, trustme.CA]) -> None:
    _, listeners, _ = opened
    for listen in parse_listen([TCP, WS]):
        await listeners.open(listen, stun=True)
    await listeners.open_stun(second_port=0)
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(Client, local_addr=("127.0.0.1", 0))
    mapped = [
        (await client.ask(request(), "127.0.0.1", port))[0][0x0020] for port in listeners._stun[0].ports
    ]
    assert len(mapped) == 3
    assert len(set(mapped)) == 1
    transport.close()


async def test_two_hosts_for_the_whole_of_rfc_5780(opened: tuple[Host, Listeners, trustme.CA]) -> None:
    _, listeners, _ = opened
    for listen in parse_listen([WS]):
        await listeners.open(listen, stun=True)
    try:
        await listeners.open_stun(second_port=0, hosts=parse_stun_hosts(["127.0.0.1", "127.0.0.2"]))
    except RelayStartError as error:
        pytest.skip(f"no second loopback address here: {error}")
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(Client, local_addr=("127.0.0.1", 0))
    found, _ = await client.ask(request(), "127.0.0.1", listeners._stun[0].ports[0])
    assert found[0x802C][4:] == bytes([127, 0, 0, 2])
    transport.close()


@pytest.mark.parametrize(
    ("option", "sentence"),
    [("second_port", "second STUN port, UDP .* cannot be used"), ("hosts", "STUN cannot be answered at")],
)
async def test_what_was_asked_for_and_cannot_be_had(
    opened: tuple[Host, Listeners, trustme.CA], option: str, sentence: str
) -> None:
    _, listeners, _ = opened
    for listen in parse_listen([WS]):
        await listeners.open(listen)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        value: dict[str, Any] = {"second_port": taken.getsockname()[1], "hosts": ["192.0.2.1", "192.0.2.2"]}
        with pytest.raises(RelayStartError, match=sentence):
            await listeners.open_stun(**{option: value[option]})


async def test_wss_needs_a_certificate(opened: tuple[Host, Listeners, trustme.CA]) -> None:
    host, listeners, _ = opened
    without = Listeners(host, listeners._state)
    (listen,) = parse_listen([WSS])
    with pytest.raises(ConfigError, match="needs a TLS certificate and its key"):
        await without.open(listen)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("/ip4/127.0.0.1/udp/9001/quic-v1", "is not a WebSocket address"),
        ("/dns4/relay.example/tcp/9001", "names are to announce"),
        ("/dns4/relay.example/tcp/443/tls/ws", "names are to announce"),
        ("/ip4/127.0.0.1/ws", "names no port"),
        (f"/ip4/127.0.0.1/tcp/9001/p2p/{key(1).peer_id}", "names a PeerId"),
        ("nonsense", "A good address looks like"),
    ],
)
def test_where_a_relay_cannot_listen(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_listen([text])


def test_names_can_be_announced() -> None:
    texts = [
        "/dns4/relay.example/tcp/443/tls/ws",
        "/dns6/relay.example/tcp/9002",
        "/ip4/203.0.113.7/tcp/9001/ws",
    ]
    assert [str(address) for address in parse_announce(texts)] == texts
    with pytest.raises(ConfigError):
        parse_announce(["/dns4/relay.example/udp/443/quic-v1"])


@pytest.mark.parametrize(
    "hosts",
    [
        ["127.0.0.1"],
        ["127.0.0.1", "127.0.0.1"],
        ["127.0.0.1", "::1"],
        ["0.0.0.0", "127.0.0.1"],
        ["127.0.0.1", "127.0.0.2", "127.0.0.3"],
        ["localhost", "127.0.0.1"],
    ],
)
def test_hosts_that_are_not_two_addresses(hosts: list[str]) -> None:
    with pytest.raises(ConfigError, match="STUN"):
        parse_stun_hosts(hosts)

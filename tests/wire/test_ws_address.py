"""WebSocket multiaddrs: where they lead, which ones lead nowhere, and how sockets are written as one."""

from __future__ import annotations

import pytest

from p2pchat_core.errors import AddressError
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.wire.ws_address import websocket_address, websocket_target

PEER = "12D3KooWLtBJSo87HrKNpA6bCpQ61UCUZCzrYGx4T43Bbqcc7L1p"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("/ip4/127.0.0.1/tcp/9001/ws", ("127.0.0.1", 9001, False, None)),
        ("/ip4/127.0.0.1/tcp/9001/ws/p2p/" + PEER, ("127.0.0.1", 9001, False, None)),
        ("/ip6/::1/tcp/80/ws", ("::1", 80, False, None)),
        ("/ip6zone/eth0/ip6/fe80::1/tcp/9001/ws", ("fe80::1%eth0", 9001, False, None)),
        ("/dns4/relay.example.org/tcp/443/tls/ws", ("relay.example.org", 443, True, None)),
        ("/dns6/relay.example.org/tcp/8443/wss", ("relay.example.org", 8443, True, None)),
        ("/dns/relay.example.org/ws", ("relay.example.org", 80, False, None)),
        ("/dns/relay.example.org/wss", ("relay.example.org", 443, True, None)),
        ("/ip4/1.2.3.4/tcp/443/tls/sni/a.example/ws", ("1.2.3.4", 443, True, "a.example")),
        ("/dns/localhost./tcp/1/ws", ("localhost.", 1, False, None)),
    ],
)
def test_where_it_leads(text: str, target: tuple[str, int, bool, str | None]) -> None:
    assert tuple(websocket_target(Multiaddr.parse(text))) == target


@pytest.mark.parametrize(
    "text",
    [
        "/ip4/127.0.0.1/tcp/9001",
        "/ip4/127.0.0.1/udp/9001/ws",
        "/ip4/127.0.0.1/tcp/9001/http",
        "/ip4/127.0.0.1/tcp/9001/ws/ws",
        "/ip4/127.0.0.1/tcp/9001/tls",
        "/ip4/127.0.0.1/tcp/9001/ws/http-path/foo",
        "/ip4/127.0.0.1/tcp/9001/sni/a.example/ws",
        "/tcp/9001/ws",
        "/ws",
        "/ip6zone/eth0/ip4/127.0.0.1/tcp/9001/ws",
        f"/p2p/{PEER}",
        f"/ip4/127.0.0.1/tcp/9001/ws/p2p/{PEER}/p2p-circuit/p2p/{PEER}",
        f"/ip4/127.0.0.1/tcp/9001/ws/p2p/{PEER}/p2p-circuit/webrtc/p2p/{PEER}",
        "/dnsaddr/bootstrap.example.org",
        "/ip4/127.0.0.1/udp/9001/quic-v1",
    ],
)
def test_what_leads_nowhere(text: str) -> None:
    with pytest.raises(AddressError):
        websocket_target(Multiaddr.parse(text))


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "user@host",
        "host:80",
        "ho?st",
        "ho#st",
        "a..b",
        "a" * 64,
        "ä.example",
        "a\r\nX: y",
        "[::1]",
        "x%y",
    ],
)
@pytest.mark.parametrize("form", ["name", "sni"])
def test_names_that_could_mean_something_else_in_a_url(name: str, form: str) -> None:
    value = name.encode()
    component = bytes([len(value)]) + value
    port_and_ws = bytes.fromhex("061f90dd03")
    if form == "name":
        data = b"\x35" + component + port_and_ws
    else:
        data = bytes.fromhex("0401020304061f90c003c103") + component + bytes.fromhex("dd03")
    with pytest.raises(AddressError):
        websocket_target(Multiaddr.from_bytes(data))


@pytest.mark.parametrize(
    ("host", "tls", "text"),
    [
        ("127.0.0.1", False, "/ip4/127.0.0.1/tcp/9001/ws"),
        ("127.0.0.1", True, "/ip4/127.0.0.1/tcp/9001/tls/ws"),
        ("::1", False, "/ip6/::1/tcp/9001/ws"),
        ("::ffff:10.1.2.3", False, "/ip4/10.1.2.3/tcp/9001/ws"),
        ("fe80::1%eth0", False, "/ip6zone/eth0/ip6/fe80::1/tcp/9001/ws"),
    ],
)
def test_how_a_socket_is_written(host: str, tls: bool, text: str) -> None:
    assert str(websocket_address(host, 9001, tls=tls)) == text


@pytest.mark.parametrize("host", ["localhost", "", "1.2.3", "/tmp/socket"])
def test_only_ip_addresses_are_written(host: str) -> None:
    with pytest.raises(AddressError):
        websocket_address(host, 9001)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat_core.errors import AddressError
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.wire.tcp_address import TcpTarget, is_tcp, tcp_address, tcp_target

PEER = "/p2p/12D3KooWQF6Q3i1QkziJQ9mkNNcyFD8GPQz6R6oEvT75wgsVXm4v"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("/ip4/127.0.0.1/tcp/9001", TcpTarget("127.0.0.1", 9001)),
        (f"/ip4/127.0.0.1/tcp/0{PEER}", TcpTarget("127.0.0.1", 0)),
        ("/ip6/::1/tcp/4001", TcpTarget("::1", 4001)),
        ("/ip6zone/eth0/ip6/fe80::1/tcp/4001", TcpTarget("fe80::1%eth0", 4001)),
        ("/dns4/relay.example/tcp/4001", TcpTarget("relay.example", 4001)),
    ],
)
def test_where_an_address_leads(text: str, target: TcpTarget) -> None:
    address = Multiaddr.parse(text)
    assert is_tcp(address)
    assert tcp_target(address) == target


@pytest.mark.parametrize(
    "text",
    [
        "/ip4/127.0.0.1/tcp/9001/ws",
        "/ip4/127.0.0.1/tcp/9001/tls",
        "/ip4/127.0.0.1/udp/9001",
        "/ip4/127.0.0.1",
        "/tcp/9001",
        "/ip4/127.0.0.1/tcp/1/tcp/2",
        f"/ip4/127.0.0.1/tcp/9001{PEER}/p2p-circuit",
        "/dns4/bad%20name/tcp/1",
    ],
)
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(AddressError):
        tcp_target(Multiaddr.parse(text))


@given(st.ip_addresses(), st.integers(0, 65535))
def test_a_socket_name_and_back(address: object, port: int) -> None:
    host = str(address).partition("%")[0]
    target = tcp_target(tcp_address(host, port))
    assert target.port == port
    assert tcp_address(target.host, port) == tcp_address(host, port)


@pytest.mark.parametrize("host", ["", "localhost", "1.2.3", "::g"])
def test_what_is_no_ip_address_is_refused(host: str) -> None:
    with pytest.raises(AddressError, match="not an IP address"):
        tcp_address(host, 1)

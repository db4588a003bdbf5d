"""Which addresses can be dialled and how; what is said about the others; which we give out."""

from __future__ import annotations

from typing import Any

import pytest

from p2pchat_core.errors import AddressError
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.wire.dial_target import CircuitTarget, WebSocketTarget, listen_addresses, parse_target
from tests.support.vectors import vectors

A = PeerId.parse("12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB")
B = PeerId.parse("12D3KooWCd3eX8r5ihRvzK7P1yPq5aakaBJhG5GNj18YTztPhoCa")
R = PeerId.parse("12D3KooWCKq9ZvccjmCqhBbPsrgpAKBHWQpgB61ruM19CyAvH1Cp")
HOST = "/ip4/127.0.0.1/tcp/9001/ws"
RELAY = f"{HOST}/p2p/{R}"
TARGET = f"{RELAY}/p2p-circuit/webrtc/p2p/{A}"


@pytest.mark.parametrize(
    "host",
    [
        "/ip4/127.0.0.1/tcp/9001/ws",
        "/ip6/::1/tcp/9001/ws",
        "/ip6zone/eth0/ip6/fe80::1/tcp/80/ws",
        "/dns4/relay.example/tcp/443/tls/ws",
        "/dns6/relay.example/tcp/443/wss",
        "/dns/relay.example/tcp/443/tls/sni/relay.example/ws",
        "/dns4/relay.example/tls/ws",
    ],
)
def test_websocket(host: str) -> None:
    assert parse_target(host) == WebSocketTarget(Multiaddr.parse(host), None)
    with_peer = Multiaddr.parse(f"{host}/p2p/{R}")
    assert parse_target(with_peer) == WebSocketTarget(with_peer, R)
    assert parse_target(f"{host}/p2p/{R}/p2p-circuit/p2p/{A}") == CircuitTarget(with_peer, R, A, False)


@pytest.mark.parametrize(
    ("text", "webrtc"),
    [
        (TARGET, True),
        (f"{RELAY}/p2p-circuit/p2p/{A}", False),
        (f"{RELAY}/p2p-circuit/p2p/{A}/p2p-circuit/webrtc/p2p/{A}", True),
        (f"{RELAY}/p2p-circuit/p2p/{A}/p2p-circuit/p2p/{A}", False),
        (f"{RELAY}/p2p-circuit/p2p/{A}/webrtc/p2p/{A}", True),
        (f"  {TARGET}/\n", True),
        (f"{HOST}/ipfs/{R.to_cid()}/p2p-circuit/webrtc/ipfs/{A.to_cid('base36')}", True),
    ],
)
def test_circuit_in_every_accepted_form(text: str, webrtc: bool) -> None:
    assert parse_target(text) == CircuitTarget(Multiaddr.parse(RELAY), R, A, webrtc)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "There is no address"),
        ("   ", "There is no address"),
        ("http://relay.example:9001", "is a web address"),
        ("wss://relay.example", "is a web address"),
        ("bob@relay.example", "does not start with"),
        ("relay.example:9001", "does not start with"),
        (str(A), "is a peer id alone"),
        (f"/p2p/{A}", "only a peer id"),
        ("/", "no parts"),
        ("/ip4", "needs a value"),
        ("/ip4/127.0.0", "The part behind /ip4 is wrong"),
        ("/ip4/127.0.0.1", "the port and /ws are missing"),
        ("/ip4/127.0.0.1/tcp", "needs a value"),
        ("/ip4/127.0.0.1/tcp/9001", "plain TCP: /ws"),
        (f"/ip4/127.0.0.1/tcp/9001/p2p/{R}", "plain TCP: /ws"),
        (f"/ip4/127.0.0.1/tcp/9001/p2p/{R}/p2p-circuit/p2p/{A}", "plain TCP: /ws"),
        ("/ip4/127.0.0.1/tcp/9001/wsx", "did you mean ws"),
        (f"{HOST}/p2p/12D3KooW", "The part behind /p2p is wrong"),
        (f"{HOST}/p2p-circuit/webrtc/p2p/{A}", "The relay's peer id is missing"),
        (f"{RELAY}/p2p-circuit", "whom to reach"),
        (f"{RELAY}/p2p-circuit/webrtc", "whom to reach"),
        (f"/p2p-circuit/p2p/{A}", "names no relay"),
        (f"/p2p/{R}/p2p-circuit/p2p/{A}", "does not begin with a host"),
        (f"/webrtc/p2p/{A}", "which relay to go through"),
        (f"{RELAY}/webrtc/p2p/{A}", "which relay to go through"),
        (f"{RELAY}/p2p-circuit/p2p/{R}", "names the relay itself"),
        (f"{RELAY}/p2p-circuit/p2p/{B}/p2p-circuit/webrtc/p2p/{A}", "two relays"),
        (f"{RELAY}/p2p-circuit/p2p/{A}{3 * '/p2p-circuit'}/p2p/{A}", "more than 2 relays"),
        (f"{TARGET}/tcp/80", "/tcp cannot come after"),
        (f"{RELAY}/p2p/{R}/p2p-circuit/p2p/{A}", "not in the usual order"),
        (f"{HOST}/tcp/80", "not in the usual order"),
        ("/tls/ws", "does not begin with a host"),
        ("/dns4/relay.example/tcp/443/wss/http-path/a", "a path on a web server"),
        ("/dnsaddr/relay.example", "/dnsaddr name"),
        ("/ip4/1.2.3.4/udp/443/quic-v1", "QUIC"),
        ("/ip4/1.2.3.4/udp/443/quic-v1/webtransport", "WebTransport"),
        ("/ip4/1.2.3.4/udp/9090/webrtc-direct", "WebRTC-direct"),
        ("/ip4/1.2.3.4/udp/9090", "UDP"),
        ("/unix/%2Ftmp%2Fs", "a local socket"),
        ("/memory/1", "memory"),
        (f"{HOST} /p2p/{R}", "The address contains"),
        ("/ip4/1.2.3.4/" + "x" * 2000, "1024"),
    ],
)
def test_sentence(text: str, sentence: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_target(text)
    assert sentence in str(caught.value)


def test_empty_address() -> None:
    with pytest.raises(AddressError):
        parse_target(Multiaddr())


@pytest.mark.parametrize("entry", vectors("multiaddr"), ids=lambda entry: entry["string"][:60])
def test_agrees_with_js_about_vectors(entry: dict[str, Any]) -> None:
    """What js would dial over a WebSocket or a complete circuit, we dial, and nothing else but the old form."""
    names = Multiaddr.parse(entry["string"]).names
    matches = entry["js_matches"]
    complete = names.count("p2p") > 1 and "p2p-circuit" in names
    try:
        target = parse_target(entry["string"])
    except AddressError:
        assert not matches["ws"] and not matches["wss"]
        assert not (complete and (matches["circuit"] or matches["webrtc"]))
        return
    if isinstance(target, WebSocketTarget):
        assert matches["ws"] or matches["wss"]
    else:
        assert complete
        assert matches["webrtc"] == target.webrtc or names.count("p2p-circuit") == 2


def test_listen_addresses() -> None:
    given = [
        Multiaddr.parse(text)
        for text in (
            RELAY,
            HOST,  # the same, its peer id missing
            f"{RELAY}/p2p/{R}",  # the same, its peer id doubled
            f"{HOST}/ipfs/{R.to_cid()}",
            "/dns4/relay.example/tcp/443/tls/ws",
            f"/dns4/other.example/tcp/443/tls/ws/p2p/{B}",  # not that relay
            "/ip4/10.0.0.1/tcp/4001",  # nothing we could dial
            f"{RELAY}/p2p-circuit",
        )
    ] + [Multiaddr()]
    assert [str(address) for address in listen_addresses(given, R, A)] == [
        TARGET,
        f"/dns4/relay.example/tcp/443/tls/ws/p2p/{R}/p2p-circuit/webrtc/p2p/{A}",
    ]
    assert listen_addresses([], R, A) == []


def test_listen_addresses_are_what_js_advertises() -> None:
    js = next(
        entry["string"]
        for entry in vectors("multiaddr")
        if entry["string"].endswith(f"p2p-circuit/webrtc/p2p/{A}") and entry["js_matches"]["webrtc"]
    )
    relay = Multiaddr.parse(js).before("p2p-circuit")
    assert [str(address) for address in listen_addresses([relay], R, A)] == [js]

"""Any text or address is a target or raises AddressError; what we give out can always be dialled."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat_core.errors import AddressError
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.wire.dial_target import CircuitTarget, WebSocketTarget, listen_addresses, parse_target

_SETTINGS = settings(max_examples=100, deadline=None)
A = PeerId.parse("12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB")
R = PeerId.parse("12D3KooWCKq9ZvccjmCqhBbPsrgpAKBHWQpgB61ruM19CyAvH1Cp")

parts = st.sampled_from(
    [
        "/ip4/127.0.0.1", "/ip6/::1", "/dns4/relay.example", "/dnsaddr/relay.example", "/tcp/9001", "/udp/9001",
        "/ws", "/wss", "/tls", "/sni/relay.example", f"/p2p/{A}", f"/p2p/{R}", "/p2p-circuit", "/webrtc",
        "/webrtc-direct", "/quic-v1", "/http-path/a", "/",
    ]
)  # fmt: skip
bases = st.sampled_from(["", "/ip4/127.0.0.1/tcp/9001/ws", f"/ip4/127.0.0.1/tcp/9001/ws/p2p/{R}"])
paths = st.builds(lambda base, tail: base + "".join(tail), bases, st.lists(parts, max_size=7))


@_SETTINGS
@given(paths | st.text(max_size=100))
def test_any_text(text: str) -> None:
    try:
        target = parse_target(text)
    except AddressError as exc:
        assert str(exc)
        return
    address = Multiaddr.parse(text)
    assert parse_target(address) == target
    if isinstance(target, WebSocketTarget):
        assert target == WebSocketTarget(address, PeerId.of(address))
        return
    assert parse_target(target.relay) == WebSocketTarget(target.relay, target.relay_peer)
    assert target.peer == PeerId.of(address) != target.relay_peer
    assert target.webrtc == address.has("webrtc")


@_SETTINGS
@given(st.binary(max_size=80))
def test_any_bytes(data: bytes) -> None:
    try:
        parse_target(Multiaddr.from_bytes(data))
    except AddressError:
        return


@_SETTINGS
@given(st.lists(paths, max_size=6))
def test_everything_given_out_can_be_dialled(texts: list[str]) -> None:
    given_addresses = []
    for text in texts:
        try:
            given_addresses.append(Multiaddr.parse(text))
        except AddressError:
            continue
    found = listen_addresses(given_addresses, R, A)
    assert len({address.to_bytes() for address in found}) == len(found) <= len(given_addresses)
    for address in found:
        target = parse_target(str(address))
        assert isinstance(target, CircuitTarget)
        assert (target.relay_peer, target.peer, target.webrtc) == (R, A, True)
        assert address.names.count("p2p-circuit") == 1

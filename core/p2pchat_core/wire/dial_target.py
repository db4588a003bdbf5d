"""What an address asks us to dial, and the addresses we give out ourselves (docs/wire.md sections 1.4 and 1.5).

Two kinds can be dialled: a WebSocket address (a relay, usually), and a circuit through a relay, in either
form::

    <relay>/p2p/R/p2p-circuit[/webrtc]/p2p/A                 js-libp2p v3, what we emit
    <relay>/p2p/R/p2p-circuit/p2p/A/p2p-circuit/webrtc/p2p/A   older, accepted
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from p2pchat_core.errors import AddressError
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.multiformats.multiaddr import Multiaddr

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CircuitTarget", "DialTarget", "WebSocketTarget", "listen_addresses", "parse_target"]

_EXAMPLE: Final = "/dns4/relay.example/tcp/443/tls/ws/p2p/12D3Koo…"
_WEBSOCKET: Final = re.compile(r"(ip4|(ip6zone )?ip6|dns|dns4|dns6)( tcp)?( ws| wss| tls( sni)? ws)( p2p)?")
_UNSUPPORTED: Final = {
    "webrtc-direct": "WebRTC-direct",
    "webtransport": "WebTransport",
    "quic-v1": "QUIC",
    "quic": "QUIC",
    "http-path": "a path on a web server",
    "unix": "a local socket",
    "memory": "memory",
    "dnsaddr": "a /dnsaddr name, which is not looked up",
    "udp": "UDP",
}


@dataclass(frozen=True, slots=True)
class WebSocketTarget:
    """A peer, usually a relay, that listens on a WebSocket.

    Attributes:
        address: the whole address, with its ``/p2p/`` if it had one.
        peer: who must answer there, or ``None`` when the address does not say.
    """

    address: Multiaddr
    peer: PeerId | None


@dataclass(frozen=True, slots=True)
class CircuitTarget:
    """A peer behind a relay.

    Attributes:
        relay: the relay's WebSocket address, ending in ``/p2p/<relay_peer>``.
        relay_peer: the relay.
        peer: whom to reach.
        webrtc: whether the address asks for a direct connection once the circuit stands.
    """

    relay: Multiaddr
    relay_peer: PeerId
    peer: PeerId
    webrtc: bool


DialTarget = WebSocketTarget | CircuitTarget


def parse_target(address: Multiaddr | str) -> DialTarget:
    """Return what `address` asks us to dial.

    Raises:
        AddressError: it is not an address, is incomplete, or needs a transport that is not supported; the
            sentence says which part.
    """
    if isinstance(address, str):
        address = Multiaddr.parse(address)
    if address.has("p2p-circuit"):
        return _parse_circuit(address)
    if address.has("webrtc"):
        raise AddressError(
            "The address does not say which relay to go through: /p2p-circuit must come before /webrtc."
        )
    if address.names == ("p2p",):
        raise AddressError(f"This is only a peer id. The address of a relay must come first: {_EXAMPLE}")
    _check_websocket(address)
    return WebSocketTarget(address, PeerId.of(address))


def listen_addresses(
    relay_addresses: Sequence[Multiaddr], relay_peer: PeerId, self_peer: PeerId
) -> list[Multiaddr]:
    """Return where others can reach `self_peer` through a relay, in the order of the relay's addresses.

    Addresses of another peer, of a circuit, or of a transport that cannot be dialled here are left out, so
    that everything returned is accepted by `parse_target`. Equal ones (as bytes) are returned once.
    """
    found: dict[Multiaddr, None] = {}
    for address in relay_addresses:
        base = address
        while base.names[-1:] == ("p2p",) and PeerId.of(base) == relay_peer:
            base = base.without_trailing_p2p()
        try:
            full = base / relay_peer.as_multiaddr() / "/p2p-circuit/webrtc" / self_peer.as_multiaddr()
            parse_target(full)
        except AddressError:
            continue
        found[full] = None
    return list(found)


def _parse_circuit(address: Multiaddr) -> CircuitTarget:
    relay, rest = address.before("p2p-circuit"), address.after("p2p-circuit")
    if not len(relay):
        raise AddressError("The address names no relay: nothing comes before /p2p-circuit.")
    relay_peer = PeerId.of(relay)
    if relay_peer is None:
        raise AddressError("The relay's peer id is missing: /p2p/… must come right before /p2p-circuit.")
    _check_websocket(relay)
    for name in rest.names:
        if name not in ("p2p", "p2p-circuit", "webrtc"):
            raise AddressError(f"/{name} cannot come after /p2p-circuit.")
    peers = {component.raw for component in rest if component.name == "p2p"}
    peer = PeerId.of(rest)
    if peer is None:
        raise AddressError("The address does not say whom to reach: /p2p/… is missing after /p2p-circuit.")
    if len(peers) > 1:
        raise AddressError("The address goes through two relays, which is not supported.")
    if peer == relay_peer:
        raise AddressError("The address names the relay itself as the peer to reach through it.")
    return CircuitTarget(relay, relay_peer, peer, rest.has("webrtc"))


def _check_websocket(address: Multiaddr) -> None:
    """Raise AddressError unless `address` is ``<host>[/tcp/port]/(ws|wss|tls[/sni]/ws)[/p2p]``."""
    names = address.names
    if _WEBSOCKET.fullmatch(" ".join(names)):
        return
    for name, words in _UNSUPPORTED.items():
        if name in names:
            raise AddressError(
                f"The address uses {words}; only WebSocket (/ws, /wss or /tls/ws) can be dialled."
            )
    if not names or not names[0].startswith(("ip", "dns")):
        raise AddressError(f"The address does not begin with a host such as /dns4/relay.example: {_EXAMPLE}")
    if "ws" in names or "wss" in names:
        raise AddressError(f"The parts of the address are not in the usual order, which is: {_EXAMPLE}")
    if "tcp" in names:
        raise AddressError("The address is plain TCP: /ws (or /tls/ws) is missing after the port.")
    raise AddressError("The address is not complete: the port and /ws are missing, as in /tcp/443/tls/ws.")

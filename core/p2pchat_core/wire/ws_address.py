"""Multiaddrs of WebSockets: what to connect to, and how such an address is written (docs/wire.md section 1.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from p2pchat_core.errors import AddressError
from p2pchat_core.wire.tcp_address import checked_name, take_host, tcp_address

if TYPE_CHECKING:
    from p2pchat_core.multiformats.multiaddr import Multiaddr

__all__ = ["WebSocketTarget", "websocket_address", "websocket_target"]

_PLAIN_PORT: Final = 80
_TLS_PORT: Final = 443


class WebSocketTarget(NamedTuple):
    """Where a WebSocket address leads.

    Attributes:
        host: an IP address (with ``%zone`` for a link-local one) or a name.
        port: TCP port; where the address names none, 80 or with TLS 443.
        tls: whether it is a wss address.
        sni: the name in the TLS handshake and the Host header when it is another one than `host`.
    """

    host: str
    port: int
    tls: bool
    sni: str | None


def websocket_target(address: Multiaddr) -> WebSocketTarget:
    """Return where `address` leads: host, ``tcp``, ``ws`` or ``wss`` or ``tls/ws`` or ``tls/sni/x/ws``, ``p2p``.

    Raises:
        AddressError: it is not a WebSocket address, or leads further than one (a circuit).
    """
    rest = [(component.name, component.value or "") for component in address.without_trailing_p2p()]
    host = take_host(rest)
    if host is None:
        raise _not_websocket(address)
    port: int | None = None
    if rest and rest[0][0] == "tcp":
        port = int(rest.pop(0)[1])
    names = [name for name, _ in rest]
    sni: str | None = None
    if names == ["ws"]:
        tls = False
    elif names in (["wss"], ["tls", "ws"], ["tls", "wss"]):
        tls = True
    elif names in (["tls", "sni", "ws"], ["tls", "sni", "wss"]):
        tls, sni = True, checked_name(rest[1][1])
    else:
        raise _not_websocket(address)
    return WebSocketTarget(host, port if port is not None else (_TLS_PORT if tls else _PLAIN_PORT), tls, sni)


def websocket_address(host: str, port: int, *, tls: bool = False) -> Multiaddr:
    """Return the address of a socket at an IP address and port, as the socket module gives them.

    Raises:
        AddressError: `host` is not an IP address.
    """
    return tcp_address(host, port) / ("/tls/ws" if tls else "/ws")


def _not_websocket(address: Multiaddr) -> AddressError:
    if address.has("dnsaddr"):
        return AddressError(
            f"{address} has to be looked up first: /dnsaddr addresses cannot be dialled as they are."
        )
    if address.has("p2p-circuit"):
        return AddressError(f"{address} leads through a relay; only the relay itself is a WebSocket.")
    return AddressError(f"{address} is not a WebSocket address such as /ip4/127.0.0.1/tcp/9001/ws.")

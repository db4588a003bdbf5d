"""Multiaddrs of WebSockets: what to connect to, and how such an address is written (PROTOCOL section 1.3)."""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

from p2pchat_core import limits
from p2pchat_core.errors import AddressError
from p2pchat_core.multiformats.multiaddr import Multiaddr

__all__ = ["WebSocketTarget", "websocket_address", "websocket_target"]

_HOSTS: Final = frozenset({"ip4", "ip6", "dns", "dns4", "dns6"})
_LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,63}")
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
    host = _take_host(rest, address)
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
        tls, sni = True, _checked_name(rest[1][1])
    else:
        raise _not_websocket(address)
    return WebSocketTarget(host, port if port is not None else (_TLS_PORT if tls else _PLAIN_PORT), tls, sni)


def websocket_address(host: str, port: int, *, tls: bool = False) -> Multiaddr:
    """Return the address of a socket at an IP address and port, as the socket module gives them.

    Raises:
        AddressError: `host` is not an IP address.
    """
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        raise AddressError(f"{host!r} is not an IP address.") from None
    zone = ""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif ip.scope_id is not None:
            zone = f"/ip6zone/{ip.scope_id}"
            ip = ipaddress.IPv6Address(int(ip))
    return Multiaddr.parse(f"{zone}/ip{ip.version}/{ip}/tcp/{port}{'/tls' if tls else ''}/ws")


def _take_host(rest: list[tuple[str, str]], address: Multiaddr) -> str:
    zone = ""
    if rest and rest[0][0] == "ip6zone":
        zone = f"%{rest.pop(0)[1]}"
    if not rest or rest[0][0] not in _HOSTS or (zone and rest[0][0] != "ip6"):
        raise _not_websocket(address)
    name, value = rest.pop(0)
    return value + zone if name.startswith("ip") else _checked_name(value)


def _checked_name(name: str) -> str:
    """Refuse what could be taken for something else in a URL or a header."""
    labels = name.removesuffix(".").split(".")
    if len(name) > limits.MAX_DNS_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise AddressError(f"{name[:80]!r} is not a host name (names in other scripts are written xn--…).")
    return name


def _not_websocket(address: Multiaddr) -> AddressError:
    if address.has("dnsaddr"):
        return AddressError(
            f"{address} has to be looked up first: /dnsaddr addresses cannot be dialled as they are."
        )
    if address.has("p2p-circuit"):
        return AddressError(f"{address} leads through a relay; only the relay itself is a WebSocket.")
    return AddressError(f"{address} is not a WebSocket address such as /ip4/127.0.0.1/tcp/9001/ws.")

"""Multiaddrs of plain TCP, and the host in front of every address (docs/wire.md section 1.3)."""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

from p2pchat_core import limits
from p2pchat_core.errors import AddressError
from p2pchat_core.multiformats.multiaddr import Multiaddr

__all__ = ["TcpTarget", "checked_name", "is_tcp", "take_host", "tcp_address", "tcp_target"]

_HOSTS: Final = frozenset({"ip4", "ip6", "dns", "dns4", "dns6"})
_LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,63}")


class TcpTarget(NamedTuple):
    """Where a TCP address leads.

    Attributes:
        host: an IP address (with ``%zone`` for a link-local one) or a name.
        port: TCP port.
    """

    host: str
    port: int


def is_tcp(address: Multiaddr) -> bool:
    """Whether `address` has the form of plain TCP: nothing but a PeerId comes after the port."""
    return address.without_trailing_p2p().names[-1:] == ("tcp",)


def tcp_target(address: Multiaddr) -> TcpTarget:
    """Return where `address` leads: host, ``tcp``, ``p2p``.

    Raises:
        AddressError: it is not an address of plain TCP.
    """
    rest = [(component.name, component.value or "") for component in address.without_trailing_p2p()]
    host = take_host(rest)
    if host is None or [name for name, _ in rest] != ["tcp"]:
        raise AddressError(f"{address} is not a TCP address such as /ip4/127.0.0.1/tcp/9001.")
    return TcpTarget(host, int(rest[0][1]))


def tcp_address(host: str, port: int) -> Multiaddr:
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
    return Multiaddr.parse(f"{zone}/ip{ip.version}/{ip}/tcp/{port}")


def take_host(rest: list[tuple[str, str]]) -> str | None:
    """Remove the host from the front of `rest` (names and values) and return it; ``None`` if there is none.

    Raises:
        AddressError: it is a name that no host can have.
    """
    zone = ""
    if rest and rest[0][0] == "ip6zone":
        zone = f"%{rest.pop(0)[1]}"
    if not rest or rest[0][0] not in _HOSTS or (zone and rest[0][0] != "ip6"):
        return None
    name, value = rest.pop(0)
    return value + zone if name.startswith("ip") else checked_name(value)


def checked_name(name: str) -> str:
    """Return `name` unless it could be taken for something else in a URL or a header.

    Raises:
        AddressError: it could.
    """
    labels = name.removesuffix(".").split(".")
    if len(name) > limits.MAX_DNS_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise AddressError(f"{name[:80]!r} is not a host name (names in other scripts are written xn--…).")
    return name

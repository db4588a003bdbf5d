"""How far an address reaches, so that a stranger's word does not make us call on our own machine or network."""

from __future__ import annotations

import enum
import ipaddress
from typing import TYPE_CHECKING, Final

from p2pchat_core.wire.candidate import is_private

if TYPE_CHECKING:
    from p2pchat_core.multiformats.multiaddr import Multiaddr

__all__ = ["Scope", "scope_of"]

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_HERE: Final = ("localhost",)
_LOCAL: Final = ("local", "home", "lan", "internal", "intranet", "corp", "arpa")


class Scope(enum.IntEnum):
    """Where an address means the same machine, smallest first."""

    NOWHERE = 0
    """It is not the address of one machine."""
    MACHINE = 1
    LINK = 2
    NETWORK = 3
    """A private network."""
    WORLD = 4


def scope_of(address: Multiaddr) -> Scope:
    """Return how far the host of `address` reaches. Names are judged by how they end, not looked up."""
    name = next(
        (value for kind in ("dns", "dns4", "dns6") if (value := address.value(kind)) is not None), None
    )
    if name is not None:
        return _scope_of_name(name)
    host = next((value for kind in ("ip4", "ip6") if (value := address.value(kind)) is not None), None)
    if host is None:
        return Scope.NOWHERE
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(host)
    if isinstance(ip, ipaddress.IPv6Address):
        ip = _inside(ip)
    if ip.is_multicast or ip.is_unspecified or (ip.version == 4 and int(ip) >> 24 in (0, 255)):
        return Scope.NOWHERE
    if ip.is_loopback:
        return Scope.MACHINE
    if ip.is_link_local or address.has("ip6zone"):
        return Scope.LINK
    return Scope.NETWORK if is_private(str(ip)) else Scope.WORLD


def _inside(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the IPv4 address that packets to `ip` end up at, if it is a form of one."""
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else ip)


def _scope_of_name(name: str) -> Scope:
    labels = name.lower().rstrip(".").split(".")
    if labels[-1] in _HERE:
        return Scope.MACHINE
    return Scope.NETWORK if len(labels) == 1 or labels[-1] in _LOCAL else Scope.WORLD

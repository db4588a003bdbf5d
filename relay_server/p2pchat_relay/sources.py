"""Who counts as one source: IP addresses, unwrapped and grouped the way providers hand them out."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

__all__ = ["Source", "embedded_ipv4", "parse_ip"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def parse_ip(text: str) -> _Address | None:
    """Return the address in `text` without its zone, or ``None`` when it is none.

    An IPv4 address that a dual-stack socket shows as mapped into IPv6 is returned as IPv4.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@dataclass(frozen=True, slots=True)
class Source:
    """Where a peer comes from.

    Attributes:
        host: the IPv4 address, or the IPv6 /64, as text. What is no IP address at all is one source of its
            own.
        site: the IPv6 /48, or ``None`` for IPv4.
        loopback: whether it is this machine.
    """

    host: str
    site: str | None
    loopback: bool

    @classmethod
    def of(cls, remote_ip: str) -> Source:
        """Return the source behind an IP address in text form; never raises."""
        address = parse_ip(remote_ip)
        if address is None:
            return cls("unknown", None, False)
        # Asked before anything is unwrapped: who claims to be this machine inside a tunnel is not exempt.
        loopback = address.is_loopback
        if isinstance(address, ipaddress.IPv6Address):
            address = embedded_ipv4(address) or address
        if isinstance(address, ipaddress.IPv4Address):
            return cls(str(address), None, loopback)
        return cls(_prefix(address, 64), _prefix(address, 48), loopback)


def embedded_ipv4(address: _Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that stands behind 6to4 and NAT64: its owner can make up many IPv6 ones."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour


def _prefix(address: ipaddress.IPv6Address, bits: int) -> str:
    return str(ipaddress.IPv6Network((address, bits), strict=False))

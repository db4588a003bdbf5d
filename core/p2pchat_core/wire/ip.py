"""IP addresses, and the IPv4 address inside those of IPv6 that stand for one: no spelling slips through a check."""

from __future__ import annotations

import ipaddress
from typing import Final

__all__ = ["IPAddress", "embedded_ipv4", "parse_ip"]

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")


def parse_ip(text: str) -> IPAddress | None:
    """Return the address in `text` without its zone, or ``None`` when it is none.

    An IPv4 address that a dual-stack socket shows as mapped into IPv6 is returned as IPv4.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address


def embedded_ipv4(address: IPAddress) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that a gateway sends to for `address`, and whose owner can make up many like it.

    That is what stands behind NAT64, 6to4, Teredo and the old IPv4-compatible form.
    """
    if isinstance(address, ipaddress.IPv4Address) or address.is_loopback or address.is_unspecified:
        return None
    if address in _NAT64 or address in _COMPATIBLE:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour or (address.teredo[1] if address.teredo else None)

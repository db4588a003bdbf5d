"""Who counts as one source: IP addresses, unwrapped and grouped the way providers hand them out."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from p2pchat_core.wire.ip import embedded_ipv4, parse_ip

__all__ = ["Source"]


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


def _prefix(address: ipaddress.IPv6Address, bits: int) -> str:
    return str(ipaddress.IPv6Network((address, bits), strict=False))

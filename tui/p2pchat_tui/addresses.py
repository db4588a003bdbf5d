"""What can be told from an address by its words alone."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["peer_of", "ranked", "reach"]


def peer_of(address: str) -> str | None:
    """Return the peer id an address ends at, as it is written there."""
    parts = address.strip().split("/")
    for name, value in zip(parts[-2::-1], parts[:0:-1], strict=False):
        if name in ("p2p", "ipfs"):
            return value or None
    return None


def reach(address: str) -> str:
    """Return from where an address can be dialled: `anywhere`, `this network` or `this computer`."""
    parts = address.split("/")
    host = parts[2] if len(parts) > 2 else ""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return "this computer" if host == "localhost" else "anywhere"
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback:
        return "this computer"
    return "this network" if ip.is_private or ip.is_link_local else "anywhere"


_ORDER = ("anywhere", "this network", "this computer")


def ranked(addresses: Iterable[str]) -> tuple[str, ...]:
    """Put the address to give away first: the one that works from furthest away, and of those the shortest."""
    return tuple(sorted(addresses, key=lambda address: (_ORDER.index(reach(address)), len(address))))

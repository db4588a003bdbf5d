"""Which addresses a wildcard listener can be reached at."""

from __future__ import annotations

import contextlib
import socket
from typing import Final

__all__ = ["expand_wildcard", "interface_names", "local_addresses", "visible_addresses"]

# Documentation addresses: nothing is sent, the kernel only chooses the source address of a route.
_ROUTE_PROBES: Final = {socket.AF_INET: ("192.0.2.1", 9), socket.AF_INET6: ("2001:db8::1", 9)}
_LOOPBACK: Final = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
_WILDCARD: Final = {"0.0.0.0": socket.AF_INET, "::": socket.AF_INET6}


def local_addresses(family: socket.AddressFamily) -> list[str]:
    """Return loopback and the address of the default route, in that order, without duplicates.

    The standard library cannot list interfaces everywhere; the source address of the default route is the one that
    others can use.
    """
    addresses = [_LOOPBACK[family]]
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(_ROUTE_PROBES[family])
        addresses.append(probe.getsockname()[0])
    return list(dict.fromkeys(addresses))


def visible_addresses() -> frozenset[str]:
    """Return the addresses of the default routes, which others see us at or our NAT does; empty without a network."""
    families = (socket.AF_INET, socket.AF_INET6)
    found = (address for family in families for address in local_addresses(family))
    return frozenset(found) - frozenset(_LOOPBACK.values())


def interface_names() -> list[str]:
    """Return the names of the interfaces, as far as this system lists them."""
    with contextlib.suppress(OSError, AttributeError):
        return [name for _index, name in socket.if_nameindex()]
    return []


def expand_wildcard(host: str) -> list[str]:
    """Return the concrete addresses behind `host`: itself, or for a wildcard those of this machine."""
    family = _WILDCARD.get(host)
    return [host] if family is None else local_addresses(family)

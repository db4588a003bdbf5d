"""How far an address reaches, so that a stranger's word does not make us call on our own machine or network."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from p2pchat_core.wire.candidate import is_private
from p2pchat_core.wire.ip import embedded_ipv4, parse_ip

if TYPE_CHECKING:
    from p2pchat_core.multiformats.multiaddr import Multiaddr

__all__ = ["Scope", "scope_of"]

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
    ip = parse_ip(host)
    if ip is None:
        return Scope.NOWHERE
    ip = embedded_ipv4(ip) or ip
    if ip.is_multicast or ip.is_unspecified or (ip.version == 4 and int(ip) >> 24 in (0, 255)):
        return Scope.NOWHERE
    if ip.is_loopback:
        return Scope.MACHINE
    if ip.is_link_local or address.has("ip6zone"):
        return Scope.LINK
    return Scope.NETWORK if is_private(str(ip)) else Scope.WORLD


def _scope_of_name(name: str) -> Scope:
    labels = name.lower().rstrip(".").split(".")
    if labels[-1] in _HERE:
        return Scope.MACHINE
    return Scope.NETWORK if len(labels) == 1 or labels[-1] in _LOCAL else Scope.WORLD

"""Whom a proxy speaks for, read from ``X-Forwarded-For`` or ``Forwarded`` (RFC 7239). No I/O.

Each proxy on the way adds at the end of the list where its own caller came from, so that only the end of it can be
believed: the right-most address that is no proxy of ours is the client, whatever stands left of it. A proxy that says
nothing, or nothing that can be read, is refused: to count its clients as the proxy itself would be a way around limits.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

from p2pchat_core.errors import ConfigError, RemoteProtocolError
from p2pchat_core.wire.ip import parse_ip
from p2pchat_relay.limits import FORWARDED_MAX_BYTES, FORWARDED_MAX_HOPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["TrustedProxies", "parse_proxies"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LIST: Final = "x-forwarded-for"
_RFC7239: Final = "forwarded"
_BRACKETED: Final = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::\w{1,6})?")
_WITH_PORT: Final = re.compile(r"([0-9.]{7,15}):\w{1,6}")


def parse_proxies(texts: Sequence[str]) -> tuple[Network, ...]:
    """Return the networks of the proxies that are believed.

    Raises:
        ConfigError: one of them is neither an IP address nor a network in CIDR form.
    """
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise ConfigError(f"a proxy cannot be named like this: {error}.") from error


class TrustedProxies:
    """The proxies of one relay, as `Forwarding` for its listeners."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = tuple(networks)

    def configure(self, networks: Sequence[Network]) -> None:
        """Believe others from now on."""
        self._networks = tuple(networks)

    def expects(self, remote_ip: str) -> bool:
        """See `Forwarding`."""
        address = parse_ip(remote_ip) if self._networks else None
        return address is not None and any(address in network for network in self._networks)

    def client(self, proxy_ip: str, headers: Iterable[tuple[str, str]]) -> str:
        """See `Forwarding`. Where a proxy sends both headers, they must name the same client."""
        lists: dict[str, list[str]] = {_LIST: [], _RFC7239: []}
        for name, value in headers:
            if name.lower() in lists:
                lists[name.lower()].append(value)
        named = {
            self._last_stranger(hops)
            for hops in (_hops(",".join(lists[_LIST])), _for_parameters(",".join(lists[_RFC7239])))
            if hops
        }
        if not named:
            raise RemoteProtocolError(
                f"The proxy {proxy_ip} must say whom it speaks for, in X-Forwarded-For."
            )
        if len(named) > 1:
            raise RemoteProtocolError("X-Forwarded-For and Forwarded name different clients.")
        return named.pop()

    def _last_stranger(self, hops: list[str]) -> str:
        for hop in reversed(hops):
            ip = _ip(hop)
            if not self.expects(ip):
                return ip
        return _ip(hops[0])


def _hops(value: str) -> list[str]:
    if len(value) > FORWARDED_MAX_BYTES:
        raise RemoteProtocolError(f"The addresses in a header are longer than {FORWARDED_MAX_BYTES} bytes.")
    hops = [part.strip(" \t") for part in value.split(",")] if value.strip(" \t,") else []
    if len(hops) > FORWARDED_MAX_HOPS:
        raise RemoteProtocolError(f"A header names more than {FORWARDED_MAX_HOPS} proxies.")
    return hops


def _for_parameters(value: str) -> list[str]:
    """Return what ``for=`` says in each element of a ``Forwarded`` header; empty where an element has none."""
    found = []
    for element in _hops(value):
        pairs = [pair.partition("=") for pair in element.split(";")]
        values = [text.strip(" \t") for name, _, text in pairs if name.strip(" \t").lower() == "for"]
        found.append(values[0].removeprefix('"').removesuffix('"') if len(values) == 1 else "")
    return found


def _ip(hop: str) -> str:
    """Return the address in one element, which may have a port."""
    match = _BRACKETED.fullmatch(hop) or _WITH_PORT.fullmatch(hop)
    address = parse_ip(match[1] if match else hop)
    if address is None:
        raise RemoteProtocolError(f"A proxy named {hop[:60]!r} as its client, which is no IP address.")
    return str(address)

"""Which of the peer's ICE candidates we send packets to, and how ours are written.

A candidate makes us send up to seven small packets to an address that the peer chose. So only those pass that can
belong to a peer: UDP, a unicast address, not one of this machine or its link, and no port of a well-known service.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.limits import ICE_MIN_PORT
from p2pchat_core.wire.ice_candidate import BadCandidateError, normalise_candidate
from p2pchat_core.wire.ip import IPAddress, embedded_ipv4, parse_ip

__all__ = ["CandidatePolicy", "RemoteCandidate", "format_candidate", "is_private", "parse_candidate"]

_PRIVATE: Final = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
_BROADCAST: Final = ipaddress.IPv4Address("255.255.255.255")
_THIS_NETWORK: Final = ipaddress.ip_network("0.0.0.0/8")


@dataclass(frozen=True, slots=True)
class RemoteCandidate:
    """A candidate in parts. `host` is an IP address in its shortest form, or a ``.local`` name."""

    foundation: str
    priority: int
    host: str
    port: int
    kind: str

    @property
    def mdns(self) -> bool:
        """Whether the host is a name that only the local network can resolve."""
        return self.host.lower().endswith(".local")


def parse_candidate(text: str) -> RemoteCandidate:
    """Parse one candidate line in any of the forms peers write.

    Raises:
        RemoteProtocolError: it is damaged or of a kind that is not supported.
    """
    try:
        line = normalise_candidate(text).text
    except BadCandidateError as exc:
        raise RemoteProtocolError(f"The peer sent an ICE candidate that is {exc}.") from exc
    foundation, _, _, priority, host, port, _, kind = line.removeprefix("candidate:").split(" ")[:8]
    # A peer-reflexive address is one that we see, never one that is told; libraries treat it as server-reflexive.
    kind = "srflx" if kind == "prflx" else kind
    address = parse_ip(host)
    return RemoteCandidate(
        foundation, int(priority), host if address is None else str(address), int(port), kind
    )


def format_candidate(
    candidate: RemoteCandidate, related: tuple[str, int] | None = None, ufrag: str | None = None
) -> str:
    """Return the line for `candidate`, beginning with ``candidate:``."""
    text = (
        f"candidate:{candidate.foundation} 1 udp {candidate.priority} {candidate.host} {candidate.port}"
        f" typ {candidate.kind}"
    )
    if related is not None:
        text += f" raddr {related[0]} rport {related[1]}"
    if ufrag is not None:
        text += f" ufrag {ufrag}"
    return text


def is_private(host: str) -> bool:
    """Whether `host` is an address of a private network or a carrier's, so that it says nothing outside of it."""
    address = parse_ip(host)
    return address is not None and any(address in network for network in _PRIVATE)


@dataclass(frozen=True, slots=True)
class CandidatePolicy:
    """What is let through.

    Attributes:
        loopback: also loopback addresses; for a machine that has nothing else, where the peer is another process.
        private: also private networks; not for a machine that has only public addresses, which cannot be in one.
    """

    loopback: bool = False
    private: bool = True

    def refusal(self, host: str, port: int) -> str | None:
        """Return why nothing is sent to `host` and `port`, or ``None`` if they may be used."""
        if not ICE_MIN_PORT <= port <= 65535:
            return "a port of a well-known service"
        address = parse_ip(host)
        if address is None:
            return "not an IP address"
        inside = embedded_ipv4(address)
        return self._refusal(address) or (None if inside is None else self._refusal(inside))

    def _refusal(self, address: IPAddress) -> str | None:
        if address.is_multicast or address.is_unspecified or address == _BROADCAST:
            return "not the address of one machine"
        if address.is_link_local:
            return "an address that is valid on one link only"
        if isinstance(address, ipaddress.IPv4Address) and address in _THIS_NETWORK:
            return "not the address of one machine"
        if address.is_loopback:
            return None if self.loopback else "an address of this machine itself"
        if not self.private and any(address in network for network in _PRIVATE):
            return "a private address, and this machine is in no private network"
        return None

"""Who may use the relay, and whom it trusts: lists of peers and networks, made from the configuration."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2pchat_core.errors import AddressError, ConfigError
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.wire.ip import embedded_ipv4, parse_ip

if TYPE_CHECKING:
    from p2pchat_relay.config import AccessConfig, AccessRule, TrustConfig

__all__ = ["Access", "AccessList", "Trust", "parse_network"]

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True)
class AccessList:
    """Who may do one thing. Everyone, if neither `only` nor `networks` and `peers` say otherwise.

    Attributes:
        only: whether those listed are the ones allowed, or the ones refused.
        peers: PeerIds listed.
        networks: IP networks listed; everything in IPv4 is an IPv4 network.
    """

    only: bool = False
    peers: frozenset[PeerId] = frozenset()
    networks: tuple[_Network, ...] = ()

    @classmethod
    def of(cls, rule: AccessRule, key: str) -> AccessList:
        """Read a rule of the configuration; `key` is where it stands.

        Raises:
            ConfigError: a PeerId or network cannot be read, or nothing is listed where something must be.
        """
        peers = frozenset(_peer(text, f"{key}.peers[{i}]") for i, text in enumerate(rule.peers))
        networks = tuple(parse_network(text, f"{key}.networks[{i}]") for i, text in enumerate(rule.networks))
        if rule.mode == "open":
            # Somebody who wrote a list meant it to be used.
            if peers or networks:
                raise ConfigError(
                    f'{key}.mode: is "open", so nobody listed would matter. Write "allow" or "deny".'
                )
            return cls()
        return cls(rule.mode == "allow", peers, networks)

    def allows(self, peer: PeerId, remote_ip: str) -> bool:
        """Whether `peer` may, coming from `remote_ip` (text; what is no IP address is in no network)."""
        return (peer in self.peers or self._lists(remote_ip)) == self.only if self._used else True

    def never_allows(self, remote_ip: str) -> bool:
        """Whether nobody may who comes from `remote_ip`, so that it need not be asked who it is."""
        if not self._used:
            return False
        if self.only:
            return not self.peers and not self._lists(remote_ip)
        return self._lists(remote_ip)

    @property
    def _used(self) -> bool:
        return self.only or bool(self.peers) or bool(self.networks)

    def _lists(self, remote_ip: str) -> bool:
        address = parse_ip(remote_ip)
        if address is None:
            return False
        forms: list[_Address] = [address]
        # A tunnel does not get around a refusal; but what it claims to come from earns no permission.
        if not self.only and (inner := embedded_ipv4(address)) is not None:
            forms.append(inner)
        return any(form in network for network in self.networks for form in forms)


@dataclass(frozen=True, slots=True)
class Access:
    """Who may reserve and who may connect."""

    reserve: AccessList = AccessList()
    connect: AccessList = AccessList()

    @classmethod
    def of(cls, config: AccessConfig) -> Access:
        """Read the configuration.

        Raises:
            ConfigError: see `AccessList.of`.
        """
        return cls(
            AccessList.of(config.reserve, "access.reserve"), AccessList.of(config.connect, "access.connect")
        )

    def turns_away(self, remote_ip: str) -> bool:
        """Whether nobody from `remote_ip` may do anything here."""
        return self.reserve.never_allows(remote_ip) and self.connect.never_allows(remote_ip)


@dataclass(frozen=True, slots=True)
class Trust:
    """Between whom circuits are unlimited.

    Attributes:
        peers: one of these at either end is enough.
        pairs: these two, whoever called.
    """

    peers: frozenset[PeerId] = frozenset()
    pairs: frozenset[frozenset[PeerId]] = frozenset()

    @classmethod
    def of(cls, config: TrustConfig) -> Trust:
        """Read the configuration.

        Raises:
            ConfigError: a PeerId cannot be read.
        """
        return cls(
            frozenset(_peer(text, f"trusted.peers[{i}]") for i, text in enumerate(config.peers)),
            frozenset(
                frozenset(_peer(text, f"trusted.pairs[{i}][{j}]") for j, text in enumerate(pair))
                for i, pair in enumerate(config.pairs)
            ),
        )

    def covers(self, source: PeerId, target: PeerId) -> bool:
        """Whether a circuit between the two is unlimited."""
        return source in self.peers or target in self.peers or frozenset((source, target)) in self.pairs


def parse_network(text: str, key: str) -> _Network:
    """Read an IP address or a network in CIDR form; IPv4 mapped into IPv6 becomes IPv4.

    Raises:
        ConfigError: it is neither; `key` is where it stands.
    """
    try:
        network = ipaddress.ip_network(text.strip(), strict=False)
        exact = ipaddress.ip_interface(text.strip()).ip == network.network_address
    except ValueError as error:
        raise ConfigError(
            f"{key}: {text[:80]!r} is no network. Write it like 203.0.113.0/24 or 2001:db8::/32."
        ) from error
    if not exact:
        raise ConfigError(
            f"{key}: {text[:80]!r} is an address inside a network. Write {network} for all of it."
        )
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        return ipaddress.IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


def _peer(text: str, key: str) -> PeerId:
    try:
        return PeerId.parse(text)
    except AddressError as error:
        raise ConfigError(f"{key}: {text[:80]!r} is no PeerId. Write it like 12D3KooW….") from error

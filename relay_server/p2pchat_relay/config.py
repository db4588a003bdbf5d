"""The relay's configuration: what a file, the environment and the command line may say, and what it means.

`RelayConfig` is the whole of it; an embedded relay is given one directly. `load_config` puts one together:
the defaults, over them a TOML file, over it variables ``P2PCHAT_RELAY_…``, over them options. Every value has
a key, such as ``limits.max_circuits``, which is what messages name.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (msgspec looks it up)
from typing import Annotated, Literal

import msgspec
import msgspec.structs

from p2pchat_relay.limits import RelayLimits

__all__ = [
    "AccessConfig",
    "AccessRule",
    "LogConfig",
    "MetricsConfig",
    "RelayConfig",
    "StunConfig",
    "TlsConfig",
    "TrustConfig",
    "changed_keys",
]


class AccessRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may do one thing."""

    mode: Literal["open", "allow", "deny"] = "open"
    """open: everyone; allow: only who is named below; deny: everyone else."""

    peers: tuple[str, ...] = ()
    """PeerIds, in base58 or as CID."""

    networks: tuple[str, ...] = ()
    """IP addresses and networks in CIDR form. An IPv4 address inside an IPv6 one is looked at as IPv4."""


class AccessConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may use the relay."""

    reserve: AccessRule = AccessRule()
    """Who may hold a reservation, so that others can reach it through this relay."""

    connect: AccessRule = AccessRule()
    """Who may open a circuit to somebody who holds one."""


class TrustConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose circuits have no limit: not of bytes, time, idleness or rate (`total_bytes_per_second` counts)."""

    peers: tuple[str, ...] = ()
    """A circuit with one of these at either end is unlimited."""

    pairs: tuple[tuple[str, str], ...] = ()
    """So is one between these two, in either direction."""


class TlsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The certificate of every wss listener. Read again on a reload."""

    certificate: Path | None = None
    """PEM file with the certificate, followed by those that lead to its root."""

    key: Path | None = None
    """PEM file with its private key."""


class StunConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """STUN on UDP, at the addresses and ports of the listeners."""

    enabled: bool = True

    second_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None = None
    """Answer there too, so that a client can tell its NAT's mapping behaviour (RFC 5780). 0 takes a free one and
    keeps it."""

    hosts: tuple[str, ...] = ()
    """Two IP addresses to answer at in place of those of the listeners, for the whole of RFC 5780."""


class MetricsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The address for Prometheus and health checks."""

    listen: str = ""
    """``host:port``; empty for none."""


class LogConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"

    format: Literal["plain", "json"] = "plain"

    peers: Literal["full", "short", "none"] = "short"
    """How much of a PeerId is written."""


class RelayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one relay is started with."""

    data_dir: Path = msgspec.field(default_factory=lambda: _default_data_dir())
    """Where the identity and the chosen ports are kept."""

    listen: tuple[str, ...] = ()
    """Where to listen. Empty: `server.DEFAULT_LISTEN`, or a free port if that is taken at the first start. A
    port 0 becomes a free port at the first start. Chosen ports are kept."""

    announce: tuple[str, ...] = ()
    """Further addresses that lead here, such as the public one of a reverse proxy."""

    trusted_proxies: tuple[str, ...] = ()
    """IP addresses and networks, in CIDR form, of the reverse proxies in front of WebSocket listeners. What comes from
    there counts as the client that the proxy names in X-Forwarded-For or Forwarded, and is refused without one."""

    limits: RelayLimits = RelayLimits()

    access: AccessConfig = AccessConfig()

    trusted: TrustConfig = TrustConfig()

    tls: TlsConfig = TlsConfig()

    stun: StunConfig = StunConfig()

    metrics: MetricsConfig = MetricsConfig()

    log: LogConfig = LogConfig()


def changed_keys(old: msgspec.Struct, new: msgspec.Struct, prefix: str = "") -> list[str]:
    """Return the keys in which two configurations differ, such as ``limits.max_circuits``."""
    keys: list[str] = []
    for field in msgspec.structs.fields(old):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if isinstance(before, msgspec.Struct):
            keys += changed_keys(before, after, f"{prefix}{field.name}.")
        elif before != after:
            keys.append(prefix + field.name)
    return keys


def _default_data_dir() -> Path:
    from platformdirs import user_data_path

    return user_data_path("p2pchat-relay", appauthor=False)

"""Every bound of the relay, with its reason. Sizes are bytes, durations seconds, unless a name says more.

`RelayLimits` holds what an operator may change; the constants below it are fixed. The bounds that the relay
shares with every node (message sizes, handshake times) are in `p2pchat_core.limits`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = [
    "CIRCUIT_BYTES",
    "CIRCUIT_SECONDS",
    "HOP_STREAMS_PER_CONNECTION",
    "MAX_COUNT_DIGITS",
    "MAX_RESERVATIONS",
    "OPEN_FILES",
    "SHUTDOWN_TIMEOUT",
    "SPLICE_CHUNK",
    "STUN_BURST",
    "STUN_MAX_ATTRIBUTES",
    "STUN_MAX_REQUEST",
    "STUN_RATE",
    "STUN_SOURCES",
    "STUN_TOTAL_BURST",
    "STUN_TOTAL_RATE",
    "RelayLimits",
]

MAX_RESERVATIONS: Final = 1024
"""Peers with a slot. Each has one, renewed in place (go: 128, js: 15)."""
CIRCUIT_SECONDS: Final = 1800
"""A circuit is cut after this; 0 means never (go and js: 120). Long enough to talk without a direct
path."""
CIRCUIT_BYTES: Final = 16 * 1024 * 1024
"""A circuit is cut when either direction has carried more; 0 means never (go and js: 131,072)."""
OPEN_FILES: Final = 8192
"""What the command raises its soft limit of open files to, as far as it may: one for each connection."""
MAX_COUNT_DIGITS: Final = 15
"""Of a number given as an option; more is a mistake, and int() takes long over millions."""


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """What one relay grants."""

    max_connections: int = 2048
    """Connections in all, with or without a reservation."""

    max_connections_per_peer: int = 8

    max_pending_upgrades: int = 64
    """Connections that have not proved who they are yet."""

    max_reservations: int = MAX_RESERVATIONS

    max_reservations_per_ip: int = 8
    """Per IPv4 address or IPv6 /64 (go: 8). Loopback is exempt: behind a reverse proxy everyone comes from
    there."""

    max_reservations_per_site: int = 64
    """Per IPv6 /48, what one customer commonly gets."""

    reservation_seconds: int = 3600
    """How long a slot lasts unless it is renewed (go: 1 h, js: 2 h)."""

    max_circuits: int = 512
    """Circuits in all; each holds at most two chunks and two yamux windows."""

    max_circuits_per_peer: int = 16
    """As source and as target together (go: 16)."""

    circuit_seconds: int = CIRCUIT_SECONDS

    circuit_bytes: int = CIRCUIT_BYTES


HOP_STREAMS_PER_CONNECTION: Final = 64
"""Open requests and circuits of one connection; more are reset (go: 64)."""
SPLICE_CHUNK: Final = 16 * 1024
"""The one buffer of each direction of a circuit. Nothing more is read until the other side has taken it."""
SHUTDOWN_TIMEOUT: Final = 5.0
"""From SIGTERM to the end of the process, at most."""

STUN_MAX_REQUEST: Final = 548
"""Longer datagrams are dropped unread: RFC 8489 6.1 keeps requests within 576 minus the IP and UDP
headers."""
STUN_MAX_ATTRIBUTES: Final = 16
STUN_RATE: Final = 10.0
"""Answers per second to one IPv4 address or IPv6 /64; sources are easily forged, so nobody gets a flood from
here."""
STUN_BURST: Final = 20
STUN_SOURCES: Final = 4096
"""Sources remembered at once; the longest silent is forgotten first."""
STUN_TOTAL_RATE: Final = 1000.0
"""Answers per second to everybody."""
STUN_TOTAL_BURST: Final = 2000

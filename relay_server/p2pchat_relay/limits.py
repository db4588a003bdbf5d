"""Every bound of the relay, with its reason. Sizes are bytes, durations seconds, unless a name says more.

`RelayLimits` holds what an operator may change; the constants are fixed. The bounds that the relay
shares with every node (message sizes, handshake times) are in `p2pchat_core.limits`.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

__all__ = [
    "BANDWIDTH_PEERS",
    "BUFFER_CHECK_INTERVAL",
    "BUFFER_LEAST",
    "BUFFER_PRESSURE",
    "CIRCUIT_BYTES",
    "CIRCUIT_SECONDS",
    "CONFIG_MAX_BYTES",
    "FORWARDED_MAX_BYTES",
    "FORWARDED_MAX_HOPS",
    "HOP_STREAMS_PER_CONNECTION",
    "IDLE_CHECK_INTERVAL",
    "LOOP_LAG_INTERVAL",
    "MAX_COUNT_DIGITS",
    "MAX_RESERVATIONS",
    "OPEN_FILES",
    "OPEN_FILES_SPARE",
    "REFUSAL_LOG_BURST",
    "REFUSAL_LOG_RATE",
    "SHUTDOWN_TIMEOUT",
    "SOURCE_RATES",
    "SPLICE_CHUNK",
    "STATUS_CONNECTIONS",
    "STATUS_MAX_HEAD",
    "STATUS_TIMEOUT",
    "STOP_DEADLINE",
    "STUN_BURST",
    "STUN_MAX_ATTRIBUTES",
    "STUN_MAX_REQUEST",
    "STUN_RATE",
    "STUN_SOURCES",
    "STUN_TOTAL_BURST",
    "STUN_TOTAL_RATE",
    "RelayLimits",
]

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB

MAX_RESERVATIONS: Final = 1024
"""Peers with a slot. Each has one, renewed in place (go: 128, js: 15)."""
CIRCUIT_SECONDS: Final = 1800
"""A circuit is cut after this; 0 means never (go and js: 120). Long enough to talk without a direct
path."""
CIRCUIT_BYTES: Final = 16 * _MIB
"""A circuit is cut when either direction has carried more; 0 means never (go and js: 131,072)."""
OPEN_FILES: Final = 8192
"""What the command raises its soft limit of open files to, as far as it may: one for each connection."""
OPEN_FILES_SPARE: Final = 128
"""Open files kept for everything that is not a client: listeners, the key, certificates, metrics, logs."""
MAX_COUNT_DIGITS: Final = 15
"""Of a number given as an option; more is a mistake, and int() takes long over millions."""
CONFIG_MAX_BYTES: Final = _MIB
"""A configuration file; whatever is larger is not one."""

_Count = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
_Some = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
_Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
_Seconds = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class RelayLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one relay grants, and the ``[limits]`` of a configuration file.

    Loopback is exempt from everything "per IP": behind a reverse proxy everyone comes from there. An IPv6 /64
    counts as one IP, and IPv4 in any IPv6 dress as that IPv4 address.
    """

    # --- connections ----------------------------------------------------------------------------------------

    max_connections: _Some = 2048
    """Connections in all, with or without a reservation, handshakes included."""

    max_connections_per_peer: _Some = 8
    """So that a peer whose network changed gets in while its old connections are not yet noticed as dead."""

    max_connections_per_ip: _Count = 32
    """Four times the reservations: callers behind the same NAT need one each too. 0 is without limit."""

    max_connections_per_site: _Count = 256
    """Per IPv6 /48, what one customer commonly gets. 0 is without limit."""

    accept_rate: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 1.0
    """New connections a second from one IP, on average. 0 is without limit."""

    accept_burst: _Some = 16
    """New connections at once from one IP, before `accept_rate` counts."""

    max_pending_handshakes: _Some = 64
    """Connections that have not proved who they are yet. One more, and the oldest of them has to make room:
    who means it is through in a moment."""

    handshake_seconds: Annotated[float, msgspec.Meta(gt=0, le=600)] = 10.0
    """From the TCP connection to an authenticated one, HTTP, Noise and muxer together (js: 10 s)."""

    max_buffered_bytes: _Bytes = 256 * _MIB
    """What all connections together may make the relay hold: received and not passed on, or not taken by a reader.
    From `BUFFER_PRESSURE` of it on nobody new is let in and no circuit opened; beyond it those who hold most are cut.
    0 is without limit."""

    connection_idle_seconds: _Seconds = 600
    """A connection without reservation and circuit is closed after this. 0 is never."""

    # --- reservations ---------------------------------------------------------------------------------------

    max_reservations: _Count = MAX_RESERVATIONS
    """In all. Each peer has one, renewed in place (go: 128, js: 15)."""

    max_reservations_per_ip: _Count = 8
    """Per IPv4 address or IPv6 /64 (go: 8)."""

    max_reservations_per_site: _Count = 64
    """Per IPv6 /48."""

    reservation_seconds: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 3600
    """How long a slot lasts unless it is renewed (go: 1 h, js: 2 h)."""

    # --- circuits -------------------------------------------------------------------------------------------

    max_circuits: _Count = 512
    """In all; each holds at most two chunks and two yamux windows."""

    max_circuits_per_peer: _Count = 16
    """As source and as target together (go: 16)."""

    circuit_seconds: _Seconds = CIRCUIT_SECONDS
    """A circuit is cut after this, counted from the relay's answer to its source. 0 is never (go and js: 120)."""

    circuit_bytes: _Bytes = CIRCUIT_BYTES
    """A circuit is cut by the first byte beyond this in either direction, each counted for itself from the
    first byte after the HOP and STOP messages. 0 is never (go: 131,072 in each, js: in both together)."""

    circuit_idle_seconds: _Seconds = 300
    """A circuit on which nothing was passed on in either direction for this long is cut; a reader that never
    reads looks the same. 0 is never. Peers that use yamux ping each other more often."""

    circuit_bytes_per_second: _Bytes = 256 * _KIB
    """Both directions of one circuit together, on average; its ends are slowed down, nothing is lost. 0 is
    without limit, here and below."""

    circuit_burst_bytes: _Bytes = _MIB
    """What a circuit may carry at full speed before that."""

    peer_bytes_per_second: _Bytes = _MIB
    """All circuits that a peer is an end of."""

    peer_burst_bytes: _Bytes = 4 * _MIB

    total_bytes_per_second: _Bytes = 16 * _MIB
    """All circuits of the relay, those of trusted peers too."""

    total_burst_bytes: _Bytes = 16 * _MIB

    # --- ending ---------------------------------------------------------------------------------------------

    drain_seconds: _Seconds = 3600
    """How long a draining relay waits for its circuits. 0 is for as long as they take."""


BANDWIDTH_PEERS: Final = 4096
"""Peers whose use of bandwidth is remembered at once; the longest silent is forgotten first."""
SOURCE_RATES: Final = 4096
"""IP addresses whose rate of new connections is remembered at once; the longest silent is forgotten first."""
BUFFER_CHECK_INTERVAL: Final = 0.5
"""Between two measurements of what is held. In between, the network is the limit: at 1 Gbit/s it brings 60 MB."""
BUFFER_LEAST: Final = 64 * _KIB
"""A smaller budget would cut clients for their first message."""
BUFFER_PRESSURE: Final = 0.75
"""The part of the budget from which nothing new is begun."""
FORWARDED_MAX_BYTES: Final = 1024
"""Of all headers together in which a proxy names its client."""
FORWARDED_MAX_HOPS: Final = 16
IDLE_CHECK_INTERVAL: Final = 30.0
"""Between two looks for connections that nobody uses."""
REFUSAL_LOG_RATE: Final = 2.0
"""Lines a second about refused requests and connections; how many were left out is said later."""
REFUSAL_LOG_BURST: Final = 20
HOP_STREAMS_PER_CONNECTION: Final = 64
"""Open requests and circuits of one connection; more are reset (go: 64)."""
SPLICE_CHUNK: Final = 16 * 1024
"""The one buffer of each direction of a circuit. Nothing more is read until the other side has taken it."""
SHUTDOWN_TIMEOUT: Final = 5.0
"""From SIGTERM to the last connection being closed, at most."""
STOP_DEADLINE: Final = 10.0
"""From SIGTERM to the end of the process, whatever it is busy with."""

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

STATUS_MAX_HEAD: Final = 8 * _KIB
"""Of one request for metrics or health; Prometheus sends about 300 bytes."""
STATUS_TIMEOUT: Final = 5.0
"""For one such request, from connecting to the end of the answer."""
STATUS_CONNECTIONS: Final = 16
LOOP_LAG_INTERVAL: Final = 0.5
"""Between two measurements of how late the event loop is."""

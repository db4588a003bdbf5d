"""Every bound on what a peer can make us hold or wait for, with its reason.

Sizes are bytes and durations seconds unless a name says otherwise. js and go mean js-libp2p 3.3 and go-libp2p.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# --- text forms -----------------------------------------------------------------------------------------------
MAX_MULTIADDR_TEXT: Final = 1024
"""Characters of an address; a relay and circuit address with names is about 250."""
MAX_MULTIADDR_BYTES: Final = 1024
MAX_MULTIADDR_COMPONENTS: Final = 16
"""The longest useful form (dns4/tcp/tls/ws/p2p/p2p-circuit/p2p/p2p-circuit/webrtc/p2p) has 11."""
MAX_BASE58_TEXT: Final = 128
"""base58 decoding is quadratic: 100,000 characters take seconds. A sha2-256 multihash has 46."""
MAX_DNS_NAME: Final = 253

# --- reading and writing ----------------------------------------------------------------------------------------
READ_CHUNK: Final = 64 * KIB
"""What one `read()` returns at most, unless the caller says otherwise."""
STREAM_READ_BUFFER: Final = 4 * MIB
"""Unread bytes one stream may hold before it is reset (js: 4 MiB). The window normally stops far below it."""

# --- WebSocket --------------------------------------------------------------------------------------------------
WS_MAX_MESSAGE: Final = 1 * MIB
"""The largest useful message is 65,537 (one Noise frame); peers may join several."""
WS_MAX_QUEUE: Final = 16
WS_WRITE_LIMIT: Final = 64 * KIB
WS_OPEN_TIMEOUT: Final = 10.0
WS_CLOSE_TIMEOUT: Final = 1.0
"""js does not always answer a close frame; one second is its own patience too."""

# --- upgrading a connection ---------------------------------------------------------------------------------------
UPGRADE_TIMEOUT: Final = 10.0
"""HTTP upgrade, Noise and muxer together (js: 10 s)."""
MAX_PENDING_UPGRADES: Final = 64
MULTISTREAM_MAX_MESSAGE: Final = 1024
MULTISTREAM_MAX_PROPOSALS: Final = 64
"""Proposals answered with `na` before the stream is given up."""
NEGOTIATION_TIMEOUT: Final = 10.0
NOISE_MAX_FRAME: Final = 65535
NOISE_MAX_PLAINTEXT: Final = 65519
NOISE_MAX_PAYLOAD: Final = 8 * KIB
"""Handshake payload: identity key, signature, extensions; an 8192-bit RSA key and signature take 2.2 KiB."""
NOISE_MAX_MESSAGES: Final = 2**32
RSA_MIN_BITS: Final = 2048
RSA_MAX_BITS: Final = 8192
"""Verifying grows with the square of the size (CVE-2023-39533)."""

# --- yamux ---------------------------------------------------------------------------------------------------------
YAMUX_INITIAL_WINDOW: Final = 256 * KIB
"""Implicit in the protocol."""
YAMUX_MAX_WINDOW: Final = 4 * MIB
"""Auto-tuning stops here (js and go: 16 MiB)."""
YAMUX_MAX_CONNECTION_WINDOW: Final = 32 * MIB
"""Sum of all receive windows of one connection; auto-tuning stops when it is spent."""
YAMUX_MAX_FRAME: Final = 64 * KIB
"""Data frames we send; what we accept is bounded by the window granted."""
YAMUX_MAX_INBOUND_STREAMS: Final = 512
YAMUX_ACCEPT_BACKLOG: Final = 256
"""Streams opened by the peer and not yet accepted by us; more are reset (go: 256)."""
YAMUX_ACK_BACKLOG: Final = 256
"""Streams opened by us and not yet acknowledged; more wait (spec)."""
YAMUX_PING_INTERVAL: Final = 15.0
YAMUX_PING_TIMEOUT: Final = 10.0
YAMUX_MAX_PINGS_PER_SECOND: Final = 20
YAMUX_SEND_BUFFER: Final = 1 * MIB
"""Bytes waiting for the connection before stream writers wait."""

# --- protocols -------------------------------------------------------------------------------------------------------
PROTOBUF_MAX_MESSAGE: Final = 4096
"""HOP and STOP messages (go: 4096)."""
IDENTIFY_MAX_MESSAGE: Final = 8192
IDENTIFY_MAX_PARTS: Final = 10
IDENTIFY_MAX_ADDRESSES: Final = 64
IDENTIFY_MAX_PROTOCOLS: Final = 128
IDENTIFY_MAX_PROTOCOL_NAME: Final = 256
IDENTIFY_TIMEOUT: Final = 5.0
IDENTIFY_PUSH_DEBOUNCE: Final = 0.2
PING_SIZE: Final = 32
PING_TIMEOUT: Final = 10.0
MAX_INBOUND_STREAMS_PER_PROTOCOL: Final = 32
"""Of one protocol on one connection (js: 32)."""
MAX_STREAMS_PER_CONNECTION: Final = 512
HOP_TIMEOUT: Final = 30.0
STOP_TIMEOUT: Final = 10.0
RESERVE_TIMEOUT: Final = 5.0
RESERVATION_REFRESH_MARGIN: Final = 300.0
RESERVATION_MIN_REFRESH: Final = 30.0
RESERVATION_MAX_ADDRESSES: Final = 16
CIRCUIT_ASSUMED_SECONDS: Final = 120
CIRCUIT_ASSUMED_BYTES: Final = 128 * KIB
RELAY_RETRY_MIN: Final = 0.5
RELAY_RETRY_MAX: Final = 30.0

# --- connections -----------------------------------------------------------------------------------------------------
MAX_CONNECTIONS: Final = 300
MAX_CONNECTIONS_PER_PEER: Final = 8
DIAL_TIMEOUT: Final = 10.0
DIAL_ADDRESS_TIMEOUT: Final = 6.0
LIVENESS_INTERVAL: Final = 10.0
LIVENESS_TIMEOUT: Final = 10.0
CLOSE_TIMEOUT: Final = 1.0

# --- WebRTC ----------------------------------------------------------------------------------------------------------
SIGNALING_MAX_MESSAGE: Final = 16 * KIB
SIGNALING_MAX_TOTAL: Final = 64 * KIB
SIGNALING_MAX_CANDIDATES: Final = 32
SIGNALING_MAX_MDNS: Final = 4
SIGNALING_TIMEOUT: Final = 10.0
"""For the answer to our offer, and for the whole exchange on the listening side (js: 10 s)."""
SDP_MAX_SIZE: Final = 16 * KIB
DIRECT_TIMEOUT: Final = 20.0
"""From the first candidate to an open association; the libraries alone would take 63 s to give up."""
STUN_TIMEOUT: Final = 5.0
MAX_DIRECT_ATTEMPTS: Final = 4
"""WebRTC exchanges under way at once, both roles together."""
RTC_MAX_MESSAGE: Final = 16 * KIB
"""One SCTP message with its length prefix (spec)."""
RTC_MAX_PAYLOAD: Final = 16377
RTC_MAX_FRAME: Final = 256 * KIB
"""What we accept in one frame (go: 257 KiB; js sends 16 KiB)."""
RTC_BUFFERED_HIGH: Final = 256 * KIB
"""Bytes queued in one channel before its writer waits."""
RTC_BUFFERED_LOW: Final = 64 * KIB
RTC_EARLY_STREAMS: Final = 10
"""js closes a connection that opens more than ten channels before it is ready."""
RTC_MAX_CHANNELS: Final = 256
RTC_FIN_ACK_TIMEOUT: Final = 10.0
RTC_REASSEMBLY: Final = 1 * MIB
"""Bytes of unfinished and unread messages in one association before it is closed."""
ICE_QUEUE: Final = 512
"""Datagrams waiting for DTLS; more are dropped as the network would."""

# --- chat ------------------------------------------------------------------------------------------------------------
CHAT_MAX_TEXT: Final = 16 * KIB
"""UTF-8 bytes of one message typed here."""
CHAT_MAX_READ: Final = 64 * KIB
ECHO_MAX_TEXT: Final = 16 * KIB
ECHO_TIMEOUT: Final = 10.0
EVENT_QUEUE: Final = 4096
HISTORY_PAGE: Final = 1000
HEADLESS_MAX_LINE: Final = 1 * MIB

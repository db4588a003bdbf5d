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
MAX_MULTIADDR_CIRCUITS: Final = 2
"""`p2p-circuit` in one address; the old form of the js example has two, nothing useful has more."""
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
WS_WRITE_LIMIT: Final = 64 * KIB
WS_CONTROL_BUFFER: Final = 64 * KIB
"""Answers to pings queued for a peer that takes nothing any more; more ends the connection."""
WS_MAX_SEND: Final = 64 * KIB + 1
"""One message we send: a whole Noise frame (65,535) with its length (2)."""
WS_OPEN_TIMEOUT: Final = 10.0
WS_CLOSE_TIMEOUT: Final = 1.0
"""js does not always answer a close frame; one second is its own patience too."""
HANDLER_GRACE: Final = 0.5
"""For stream handlers to read what had come before their connection ended."""

# --- plain TCP --------------------------------------------------------------------------------------------------
TCP_OPEN_TIMEOUT: Final = 10.0
TCP_CLOSE_TIMEOUT: Final = 1.0
"""For what is queued to leave; then the connection is cut."""
SOCKET_READ_BUFFER: Final = 64 * KIB
"""Unread bytes of one connection, TCP or WebSocket, before its peer has to wait; what one read of the socket brought
comes on top."""
TCP_WRITE_LIMIT: Final = 64 * KIB

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
"""Frames under one key, where js stops too."""
NOISE_MAX_MUXERS: Final = 100
"""A longer list is treated as none (go: 100)."""
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
YAMUX_MAX_FRAME: Final = NOISE_MAX_PLAINTEXT - 12
"""Payload of the Data frames we send: with its header one fills one Noise frame. What we accept is bounded by the
window granted."""
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
YAMUX_STREAM_SEND_BUFFER: Final = 256 * KIB
"""The share of one stream, so that a bulk transfer leaves room for the others."""
YAMUX_SMALL_WRITE: Final = 4 * KIB
"""What any stream may queue even when bulk transfers have filled the buffer of the connection."""
YAMUX_CONTROL_BUFFER: Final = 64 * KIB
"""Answers (ACK, RST, pongs, windows) waiting for a peer that keeps asking and does not read; more ends the session."""
YAMUX_RTT_INTERVAL: Final = 30.0
"""Between two measurements of the round trip while data flows (js and go: 30 s)."""
YAMUX_CLOSE_LINGER: Final = 30.0
"""After we closed a stream, or the peer said good-bye: how long the peer may take to end its side."""
YAMUX_MAX_RESETS: Final = 200
"""Streams the peer may open and reset again per `YAMUX_RESET_PERIOD` (rapid reset, CVE-2023-44487 of HTTP/2)."""
YAMUX_RESET_PERIOD: Final = 10.0

# --- protocols -------------------------------------------------------------------------------------------------------
PROTOBUF_MAX_MESSAGE: Final = 4096
"""HOP and STOP messages (go: 4096)."""
IDENTIFY_MAX_MESSAGE: Final = 8192
IDENTIFY_MAX_PARTS: Final = 10
IDENTIFY_MAX_SENT: Final = 4096
"""What we send in one message (go: about 4 KiB); js refuses more than 8 KiB."""
IDENTIFY_MAX_AGENT: Final = 128
"""Characters kept of the agent and protocol version strings."""
IDENTIFY_MAX_ADDRESSES: Final = 64
IDENTIFY_MAX_PROTOCOLS: Final = 128
IDENTIFY_MAX_PROTOCOL_NAME: Final = 256
IDENTIFY_TIMEOUT: Final = 5.0
IDENTIFY_PUSH_DEBOUNCE: Final = 0.2
IDENTIFY_MAX_SEQUENCES: Final = 1000
"""Peers of whose signed records the newest number is remembered after they have gone."""
PING_SIZE: Final = 32
PING_TIMEOUT: Final = 10.0
PING_MAX_INBOUND: Final = 4
"""Ping streams of one connection at once (js: 2)."""
MAX_INBOUND_STREAMS_PER_PROTOCOL: Final = 32
"""Of one protocol on one connection (js: 32)."""
MAX_STREAMS_PER_CONNECTION: Final = 512
HOP_TIMEOUT: Final = 30.0
STOP_TIMEOUT: Final = 10.0
MAX_INBOUND_CIRCUITS: Final = 64
"""Circuits that one relay may have open to us at once."""
RESERVE_TIMEOUT: Final = 5.0
RESERVATION_REFRESH_MARGIN: Final = 300.0
RESERVATION_MIN_REFRESH: Final = 30.0
RESERVATION_MAX_ADDRESSES: Final = 16
CIRCUIT_ASSUMED_SECONDS: Final = 120
CIRCUIT_MAX_SECONDS: Final = 2**31 - 1
"""Larger numbers in a limit are read as this one, so that they can be added and counted down."""
CIRCUIT_MAX_BYTES: Final = 2**53 - 1
UNIX_TIME_MAX: Final = 253_402_300_799
"""The last second of the year 9999, the last one that can be shown as a date."""
RESERVATION_MIN_SPAN: Final = 60.0
"""A reservation is taken to last at least this long and at most `RESERVATION_MAX_SPAN`, whatever the two clocks say."""
RESERVATION_MAX_SPAN: Final = 86_400.0
RELAY_REFUSED_RETRY_MIN: Final = 30.0
"""A relay that refused is full or does not want us; asking again soon only annoys it."""
RELAY_REFUSED_RETRY_MAX: Final = 600.0
RELAY_RETRY_MIN: Final = 0.5
RELAY_RETRY_MAX: Final = 8.0
"""A relay that is back is found within this."""
RELAY_RETRY_ACTIVE: Final = 1.0
"""The same while a conversation is active."""
DIAL_STAGGER: Final = (0.0, 1.0, 2.0, 4.0, 7.0)
"""When another socket is tried beside those that have not answered, while a conversation is active: one whose first
packets were lost waits ever longer before it repeats them."""

# --- connections -----------------------------------------------------------------------------------------------------
MAX_CONNECTIONS: Final = 300
MAX_CONNECTIONS_PER_PEER: Final = 8
LIVENESS_INTERVAL: Final = 5.0
LIVENESS_TIMEOUT: Final = 5.0
LIVENESS_BUSY_INTERVAL: Final = 1.25
LIVENESS_BUSY_TIMEOUT: Final = 3.5
"""The same for the paths of a conversation that goes on; the sum is below the five seconds in which a path that died
must be left."""
LIVENESS_BUSY_TIMEOUT_MIN: Final = 2.5
"""However quick the path: a program may be busy, a disk slow, and lost packets are repeated after a second."""
LIVENESS_MAX_PINGS: Final = 3
"""Under way on one path at once."""
LIVENESS_KEEP: Final = 10.0
"""How long a silent path is kept if the peer answers on another, or if nobody answers at all: most that are silent
for a while come back, and making a new one takes longer."""
LIVENESS_PING_BYTES: Final = 800
LIVENESS_SHARE: Final = 0.1
"""What a ping costs both ways, and the part of a circuit's bytes that pings may use."""
LIVENESS_STALL: Final = 2.0
"""A timer this late means that our own program stood still, not that the peer was silent."""
WAKE_INTERVAL: Final = 1.0
WAKE_JUMP: Final = 3.0
"""Looking at the clocks and our own addresses this often; this much more or less time passed: we were stopped or
asleep, or the clock was set, so every path is checked at once."""
NETWORK_SETTLE: Final = 0.3
"""Interfaces, addresses and routes change in bursts; they are looked at when this long nothing more came."""
NETWORK_SETTLE_MAX: Final = 2.0
NETLINK_READ: Final = 64 * KIB
NETWORK_MAX_FACTS: Final = 4096
"""Interfaces, addresses and routes remembered; a machine with more is treated as changing with each message."""
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
ICE_MAX_HOSTS: Final = 16
"""Local addresses offered as candidates; machines with many container bridges have more than anyone needs."""
ICE_MAX_REMOTES: Final = 64
"""Addresses of the peer, signalled or learned from its checks; each is checked from every one of our sockets."""
ICE_RESENDS: Final = 8
"""Checks repeated at once because the peer's own check came through, per address (RFC 8445 section 7.3.1.4)."""
ICE_MIN_PORT: Final = 1024
"""Below are services that a stranger's candidate must not make us send to; no NAT maps a client there."""
DTLS_REPEAT_INTERVALS: Final = (0.03, 0.06, 0.12, 0.25)
"""When our first flight is sent again if nothing came back: a peer that is not yet ready drops it, and DTLS itself
would wait a whole second."""
SCTP_WINDOW: Final = RTC_REASSEMBLY
"""Receive window of one association: unfinished and unread bytes together."""
SCTP_WINDOW_SLACK: Final = 256 * KIB
"""Accepted beyond the window from a peer whose data crossed our announcement; more ends the association."""
SCTP_FLIGHT_MIN: Final = 128 * KIB
SCTP_FLIGHT_RATE: Final = 64 * MIB
"""Bytes under way on a path: at least the former, otherwise the shortest round trip time at this rate per second. More
would only overflow the UDP buffer of the other machine."""
SCTP_INITIAL_WINDOW: Final = 10 * 1104
"""Congestion window to begin with: ten packets, as libdatachannel and TCP (RFC 6928) have it."""
SCTP_BURST: Final = 16
SCTP_BURST_MAX: Final = 128
"""Packets sent at once: at least the former, and no more than what was acknowledged accounts for, because queues on the
way overflow; at most the latter, after which others have their turn."""
SCTP_REORDERING: Final = 3
SCTP_REORDERING_MAX: Final = 96
"""A chunk is lost when one sent this many later has arrived (RFC 9002 section 6.1.1); more, up to the latter, on a path
that changes the order of packets."""
SCTP_RTO_INITIAL: Final = 1.0
SCTP_RTO_MIN: Final = 0.4
SCTP_RTO_MAX: Final = 2.0
"""Retransmission timer, in seconds. It must outlast the delay of the peer's acknowledgement (200 ms in browsers), and
after a hole in the network we want to go on soon: whether the peer is still there is asked by ICE."""
SCTP_RTT_MEMORY: Final = 10.0
"""For how long, in seconds, the shortest round trip is believed."""
SCTP_SACK_DELAY: Final = 0.02
SCTP_SACK_PACKETS: Final = 2
"""An acknowledgement is sent for this many packets, or after this time (RFC 9260 section 6.2)."""
SCTP_SACK_BATCH: Final = 8
"""Within what was read from the socket at once, one in this many packets is acknowledged: a peer may send only a few
packets for each acknowledgement (four for aiortc, ten for libdatachannel)."""
UDP_BATCH: Final = 64
"""Datagrams read from one socket before the event loop goes on."""
UDP_BACKLOG: Final = 512
"""Datagrams that wait when the socket takes no more; then they are dropped as the network would."""
SCTP_FRAGMENT: Final = 1104
"""User data of one packet we send: with SCTP (28), DTLS (37), UDP and IPv4 (28) it passes paths of 1200 bytes, where
the library's own 1160 silently vanish."""
SCTP_CHUNK_OVERHEAD: Final = 128
"""What holding one chunk costs besides its data, so that many tiny chunks count too."""
SCTP_MAX_AHEAD: Final = 8192
"""Chunks beyond the next one expected that are kept; the sender repeats what is dropped."""
SCTP_MAX_GAPS: Final = 256
"""Gap blocks in one acknowledgement; more would not fit one datagram."""
SCTP_MAX_STREAMS: Final = 1024
"""Incoming SCTP streams with a state of their own; more than channels, as a channel may be closing."""
RTC_OPENS_PER_SECOND: Final = 500
RTC_OPEN_BURST: Final = 1000
"""Channels a peer may open at once, then per second, before the association is given up."""
RTC_EARLY_MESSAGES: Final = 8
RTC_EARLY_BYTES: Final = 16 * KIB
"""On one channel before the peer has said anything: js closes a channel that sends more before it is ready."""
RTC_INIT_TIMEOUT: Final = 1.0
"""For the `init` channel to open and close again; the connection works without it too."""
RTC_STALL_TIMEOUT: Final = 8.0
"""A stream nobody reads may hold the window, which all streams share, for this long; then it is reset."""
STEP_DETAIL: Final = 8 * KIB
"""Characters of what was said in one step of a connection that are kept for showing."""
STEP_DETAIL_CANDIDATES: Final = 32
"""Candidates of each side that are kept for showing."""
SIGNALING_ORPHAN_TIMEOUT: Final = 5.0
"""How long ICE may go on after the peer reset the signalling stream."""

# --- chat ------------------------------------------------------------------------------------------------------------
CHAT_MAX_TEXT: Final = 16 * KIB
"""UTF-8 bytes of one message typed here."""
CHAT_MAX_READ: Final = 64 * KIB
SESSION_WINDOW: Final = 256
"""Messages said and not yet acknowledged on one stream."""
SESSION_WINDOW_BYTES: Final = 1 * MIB
"""The same in bytes of text; one message is always allowed."""
SESSION_MAX_FRAME: Final = CHAT_MAX_TEXT + 1024
SESSION_MAX_FEATURES: Final = 32
SESSION_MAX_FEATURE: Final = 64
"""Characters of the name of one feature."""
SESSION_OPEN_TIMEOUT: Final = 8.0
"""From asking for a stream to the peer's welcome on it."""
SESSION_ACK_TIMEOUT: Final = 8.0
"""Without any sign that what was said arrived, the only path is given up: one may answer pings and swallow all else.
Where there is another path, `SESSION_SUSPECT_MAX` is the longest wait."""
SESSION_SUSPECT_TRIPS: Final = 2
SESSION_SUSPECT_MIN: Final = 0.7
SESSION_SUSPECT_MAX: Final = 2.5
"""A path is suspected when nothing was acknowledged for longer than usual, but no sooner than these two (round trips,
and seconds) and no later than this."""
SESSION_SUSPECT_WRONG: Final = 1.0
"""A suspected path that answers within this was suspected wrongly, and is given twice the time until one was right."""
SESSION_SUSPECT_FACTOR_MAX: Final = 4.0
SESSION_RETURN_MIN: Final = 1.0
SESSION_RETURN_MAX: Final = 16.0
"""How long a path that was suspected must answer again before a worse one is left for it; doubled each time."""
SESSION_FORGIVE: Final = 60.0
"""After so long without a suspicion the earlier ones are forgotten."""
SESSION_STAGGER: Final = 0.3
"""Between beginning on one path and on the next, when it must be found out which of them work."""
SESSION_RTT_HOLD: Final = 10.0
SESSION_RTT_FACTOR: Final = 0.7
SESSION_RTT_GAIN: Final = 0.02
"""A path as good as the present one is preferred if its round trip is this much shorter (factor, and seconds), and not
sooner than `SESSION_RTT_HOLD` after the last move."""
FAREWELL_TIMEOUT: Final = 1.0
"""For saying good-bye to everyone connected before connections are closed on purpose."""
ANNOUNCE_DELAY: Final = 0.1
"""Between the event of a message and recording that it was told."""
ANNOUNCE_PAGE: Final = 500
"""Messages read at once that were stored and perhaps never told."""
SESSION_STORE_RETRY: Final = 2.0
"""Between attempts to store what a peer said; nothing is acknowledged meanwhile."""
SESSION_MOVE_RETRY: Final = 5.0
"""Between attempts to move a conversation to a better path that does not take it."""
SESSION_ACTIVE: Final = 120.0
"""A conversation is active for so long after something was acknowledged in it: then it is given a second path."""
SESSION_MAX_AGE: Final = 30 * 86_400.0
"""A message that says it was written longer ago than this, or later than now, is shown with the time it came."""
CHAT_MAX_ADDRESSES: Final = 8
"""Addresses remembered of one peer, the newest; all are dialled side by side."""
REDIAL_MIN: Final = 0.5
REDIAL_MAX: Final = 8.0
"""Between attempts to reach a peer again that something waits for."""
DIRECT_RETRY_MIN: Final = 20.0
DIRECT_RETRY_MAX: Final = 300.0
"""Between attempts to make a direct connection while there is only a circuit; each may take `DIRECT_TIMEOUT`."""
CIRCUIT_RENEW: Final = 0.75
"""The part of its time or bytes after which a circuit is replaced by a fresh one, by the side that opened it."""
CIRCUIT_TAKE_OVER: Final = 0.85
"""The same for the other side, if the first did not."""
CIRCUIT_RESERVE: Final = 8 * KIB
"""Bytes of a circuit kept for what is not messages: pings, acknowledgements, identify."""
CIRCUIT_PATIENCE: Final = 2.0
"""How long what does not fit into a circuit any more waits for another one."""
CIRCUIT_RENEW_PAUSE: Final = 0.5
"""Between two circuits to one peer: one whose limit is below what a handshake costs would be replaced for ever."""
DIRECT_TAKE_OVER: Final = 25.0
"""After an attempt of the side that opened the circuit was due and did not come, the other side makes one."""
DIRECT_RENEW_MIN: Final = 5.0
"""Between attempts to renew a direct connection that works, doubled up to `DIRECT_RETRY_MAX`."""
DIRECT_RENEW_PROBE: Final = 2.0
"""For a sign of life on a direct connection before it is asked to carry the signalling for its successor."""
DIRECT_AGAIN_MIN: Final = 1.0
"""As `DIRECT_RETRY_MIN`, for an active conversation whose direct connection was lost: it was possible before."""
STANDBY_MIN: Final = 0.25
STANDBY_MAX: Final = 30.0
"""Between attempts to open a second path for an active conversation, doubled while they fail."""
STANDBY_TAKE_OVER: Final = 2.0
"""After the second path was due from the side with the smaller PeerId and did not come, the other side opens one."""
STANDBY_TIMEOUT: Final = 10.0
STANDBY_STEADY: Final = 3.0
"""A second path that lasted this long was no failure."""
RTT_DECLINE_FACTOR: Final = 4.0
RTT_DECLINE_MIN: Final = 0.3
RTT_DECLINE_COUNT: Final = 3
"""A direct path is renewed when so many round trips in a row were this much longer (factor, seconds) than its best."""
UPKEEP_INTERVAL: Final = 5.0
"""Looking at the paths of a peer at least this often."""
SUCCESSION_LINGER: Final = 5.0
"""How long a connection that has a successor stays open for what is under way on it."""
CIRCUIT_TRUSTED_SECONDS: Final = 86_400
"""A limit above this is taken for milliseconds, which js relays announce."""
REDIAL_GLARE: Final = 0.5
"""Head start of the side with the smaller PeerId, so that not both dial at once."""
REDIAL_LINGER: Final = 600.0
"""How long a contact that was lost is dialled although nothing waits for it: it may have something to say."""
REDIAL_MAX_PEERS: Final = 16
"""Peers dialled at the same moment."""
ECHO_MAX_TEXT: Final = 16 * KIB
ECHO_TIMEOUT: Final = 10.0
WEBRTC_LOAD_DELAY: Final = 0.7
"""Between our first address and loading the WebRTC stack; whoever calls earlier has it loaded at once."""
EVENT_QUEUE: Final = 4096
HISTORY_PAGE: Final = 1000
HEADLESS_MAX_LINE: Final = 1 * MIB
HEADLESS_MAX_COMMANDS: Final = 256
"""Commands under way at once; reading waits while there are more."""
HEADLESS_OUTPUT_QUEUE: Final = 256
HEADLESS_QUIT_GRACE: Final = 2.0
"""For commands still under way when the program is asked to end."""
CHAT_MAX_STREAMS: Final = 16
"""Chat streams with one peer read at once; a page opens one each time it is repaired. The oldest is given up."""
CHAT_MAX_OUTBOX: Final = 10_000
"""Messages stored for one peer and not yet handed over."""
CHAT_INBOUND_RATE: Final = 64 * KIB
"""Bytes a second read from one peer's chat once its allowance is used up; nothing is dropped, it is read slower."""
CHAT_INBOUND_ALLOWANCE: Final = 1 * MIB
CHAT_RETRY_MIN: Final = 0.5
CHAT_RETRY_MAX: Final = 30.0
"""Between attempts to open a chat stream on a connection whose peer keeps refusing or resetting it."""
CHAT_MAX_CONVERSATIONS: Final = 1000
CHAT_MAX_KNOWN_PEERS: Final = 10_000
"""Peers of which we know in memory that they were once connected."""
WARM_UP_DELAY: Final = 1.0
"""How long loading WebRTC waits for us to be reachable, so that start-up comes first."""
CHAT_STOP_GRACE: Final = 1.0
"""For messages to connected peers that are not handed over yet when the program ends; they wait for the next start."""
CONNECT_TIMEOUT: Final = 45.0
"""A whole connect command: dial, circuit and direct connection have their own, shorter ones."""
RELAY_CONNECT_TIMEOUT: Final = 15.0
"""From naming a relay to a reservation on it, before the command gives up (the node does not)."""
EVENT_SUBSCRIBERS: Final = 16
EVENT_ROOM_TIMEOUT: Final = 2.0
"""How long what a peer says waits for a listener that is far behind; longer, and the stream itself would be reset."""
STRANGERS_MAX: Final = 200
"""Peers waiting to be accepted; others that we do not know are turned away meanwhile."""
STRANGER_MAX_MESSAGES: Final = 100
STRANGER_MAX_BYTES: Final = 128 * KIB
"""What is kept of one stranger until the user decides; one batch that was read at once may go beyond."""
CONTACT_MAX_NAME: Final = 64
CONTACT_MAX_NOTES: Final = 4000
"""Characters of what the user calls a contact, and writes about them."""
PROFILE_MAX_NAME: Final = 256
"""UTF-8 bytes of the name that a peer gives itself."""
PROFILE_TIMEOUT: Final = 8.0
PROFILE_MAX_PER_CONNECTION: Final = 16
"""Names that a peer may give itself on one connection; later ones are ignored."""
PROFILE_MAX_UNKNOWN: Final = 200
"""Names remembered of peers that have said nothing yet."""
PHRASE_COST: Final = 2**15
"""scrypt's N (with r = 8): 32 MiB and about 0.1 s for the half of one identity."""
SEARCH_MAX_TEXT: Final = 256
"""Characters of a search that are looked at."""
SEARCH_MAX_WORD: Final = 64
"""Characters of one word that are indexed and compared."""
SEARCH_MAX_HITS: Final = 500
SEARCH_EXCERPT: Final = 160
SEARCH_MAX_SPANS: Final = 32
RETENTION_INTERVAL: Final = 3600.0
RETENTION_MAX_DAYS: Final = 36_500
HISTORY_CHECK_SIZE: Final = 32 * MIB
"""A history up to this size is checked as a whole when it is opened (about 0.1 s)."""

# --- settings and the line mode --------------------------------------------------------------------------------------
SETTINGS_MAX_FILE: Final = 1 * MIB
SETTINGS_MAX_NAME: Final = 64
"""Characters of what the user calls themselves."""
PLAIN_HISTORY: Final = 20
"""Stored messages that `/history` shows if no number is given."""
CLIPBOARD_TIMEOUT: Final = 2.0
"""For the program that fills the system's clipboard."""
NOTIFICATION_INTERVAL: Final = 2.0
"""Seconds between two bells or notifications, however many messages come."""
NOTIFICATION_CHARS: Final = 120

# --- the terminal screen ---------------------------------------------------------------------------------------------
SCREEN_MESSAGE_CHARS: Final = 16 * KIB
"""Characters of one message that are drawn; the rest is counted."""
SCREEN_MESSAGE_LINES: Final = 200
SCREEN_SENTENCE_CHARS: Final = 2000
SCREEN_NAME_CELLS: Final = 32
SCREEN_LOG_LINES: Final = 1000
"""Lines of the log kept for everyone and for each conversation."""
SCREEN_LOG_SHORT: Final = 200
"""Lines of the log drawn while it is small, so that a flood of messages costs little there."""
SCREEN_HISTORY: Final = 1000
"""Stored messages shown when a conversation is opened."""
SCREEN_PREVIEW: Final = 50
"""Stored messages read of a conversation that is only listed."""
SCREEN_MESSAGES: Final = 120_000
"""Messages held of the conversation that is open; older ones are in the history."""
SCREEN_MESSAGES_CHARS: Final = 64 * MIB
SCREEN_MESSAGES_IDLE: Final = 1000
"""Messages held of a conversation that is not open; the others are read again when it is."""
SCREEN_MESSAGES_IDLE_CHARS: Final = 1 * MIB
SCREEN_ROUND_TRIPS: Final = 120
"""Round-trip times kept for the graph of each conversation."""
SCREEN_PAST: Final = 200
"""Contacts whose conversations are listed at the start; the others are found among the people."""
SCREEN_STRANGERS: Final = 50
"""Peers waiting to be accepted; more are turned away."""
SCREEN_HELD_MESSAGES: Final = 100
"""Messages held for one stranger until the user decides."""
SCREEN_CONVERSATIONS: Final = 300
SCREEN_ADDRESSES: Final = 16
SCREEN_HITS: Final = 50
"""Found messages listed while one types; more letters find fewer."""
SCREEN_LINKS: Final = 50
"""Links of a conversation that are listed, the newest."""
SCREEN_PASTE: Final = 64 * KIB
SCREEN_STOP_TIMEOUT: Final = 5.0
"""Leaving the program does not wait longer than this for connections to close."""

"""What is fuzzed, and the one sentence that must hold for each target.

A target is a function of bytes. It returns, whatever it is given, or raises something that a remote peer must never be
able to raise: that is a finding. Nothing here needs a fuzzer; `fuzz/run.py` brings one, and the tests feed every target
its seeds and what was found before.
"""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from p2pchat_core import limits
from p2pchat_core.errors import AddressError, IdentityError, RemoteProtocolError
from p2pchat_core.identity.envelope import open_peer_record, open_voucher
from p2pchat_core.identity.keys import PrivateKey, PublicKey
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.multiformats.base58 import b58decode, b58encode
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.multiformats.varint import (
    LengthPrefixedReader,
    decode_uvarint,
    encode_uvarint,
    length_prefixed,
)
from p2pchat_core.wire.candidate import CandidatePolicy, parse_candidate
from p2pchat_core.wire.chat import ChatDecoder
from p2pchat_core.wire.circuit import HopClient, HopServerExchange, StopClient, StopServer
from p2pchat_core.wire.dcep import parse_dcep
from p2pchat_core.wire.dial_target import parse_target
from p2pchat_core.wire.ice_candidate import BadCandidateError, normalise_candidate, parse_candidate_json
from p2pchat_core.wire.identify import IdentifyReader
from p2pchat_core.wire.multistream import MultistreamDialer, MultistreamListener
from p2pchat_core.wire.noise import NoiseHandshake, NoiseSession
from p2pchat_core.wire.noise_payload import decode_payload
from p2pchat_core.wire.ping import PingClient, PingServer
from p2pchat_core.wire.rtc_stream import RtcStream
from p2pchat_core.wire.sdp import SessionDescription, Setup, parse_sdp
from p2pchat_core.wire.session import Listener, Position, Speaker, Welcome
from p2pchat_core.wire.signaling import SignalingDialer, SignalingListener
from p2pchat_core.wire.yamux import YamuxSession
from p2pchat_relay.stun import Endpoint, StunResponder
from p2pchat_tui.safe_text import Kind, clean_input, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["TARGETS", "Target"]

ALICE: Final = PrivateKey.from_seed(bytes(range(32)))
BOB: Final = PrivateKey.from_seed(bytes(range(32, 64)))
REFUSED: Final = (RemoteProtocolError, IdentityError, AddressError)


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to fuzz.

    Attributes:
        run: takes any bytes; what it raises is a finding.
        invariant: what it checks, in one sentence.
        max_length: longer inputs teach nothing more.
        groups: which of the recorded vectors are its seeds.
    """

    run: Callable[[bytes], None]
    invariant: str
    max_length: int = 512
    groups: tuple[str, ...] = ()


TARGETS: Final[dict[str, Target]] = {}


def target(
    invariant: str, *groups: str, max_length: int = 512
) -> Callable[[Callable[[bytes], None]], Callable[[bytes], None]]:
    """Add a function to the table under its own name."""

    def add(run: Callable[[bytes], None]) -> Callable[[bytes], None]:
        TARGETS[run.__name__] = Target(run, invariant, max_length, groups)
        return run

    return add


def cut(data: bytes) -> Iterator[bytes]:
    """Give the rest of `data` in pieces of the size that its first byte names, or all at once."""
    size, data = (data[0] or len(data), data[1:]) if data else (1, b"")
    for start in range(0, len(data), size):
        yield data[start : start + size]


def texts(data: bytes) -> str:
    """Return the text in `data`, half surrogate pairs among it."""
    return data.decode("utf-8", "surrogateescape")


# --- multiformats ---------------------------------------------------------------------------------------------------


@target("A varint is refused or is the only encoding of its value.", "uvarint", max_length=16)
def varint(data: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        value, end = decode_uvarint(data)
        assert encode_uvarint(value) == data[:end]


@target("Cut anywhere, the same messages come out, none longer than allowed.", "identify", "circuit-hop")
def length_prefix(data: bytes) -> None:
    def read(pieces: Iterator[bytes]) -> list[bytes] | None:
        reader, found = LengthPrefixedReader(100), []
        try:
            for piece in pieces:
                reader.feed(piece)
                while (message := reader.next()) is not None:
                    assert len(message) <= 100
                    found.append(message)
        except RemoteProtocolError:
            return None
        return found

    assert read(cut(data)) == read(iter([data[1:]]))


@target("Text or bytes that parse as an address read the same when written and read again.", "multiaddr")
def multiaddr(data: bytes) -> None:
    for parse in (lambda: Multiaddr.parse(texts(data)), lambda: Multiaddr.from_bytes(data)):
        with contextlib.suppress(AddressError):
            address = parse()
            assert Multiaddr.from_bytes(address.to_bytes()) == address
            # Not the bytes: of a path in HTTP there are two binary forms and one text.
            assert not len(address) or str(Multiaddr.parse(str(address))) == str(address)
            assert str(address).isprintable()


@target("Text that can be dialled is one of the forms we dial; all else is an AddressError.", "multiaddr")
def dial_target(data: bytes) -> None:
    with contextlib.suppress(AddressError):
        parse_target(texts(data))


@target("A peer id that parses has one text in each base and comes back from it.", "keys", "ed25519")
def peer_id(data: bytes) -> None:
    for parse in (lambda: PeerId.parse(texts(data)), lambda: PeerId.from_bytes(data)):
        with contextlib.suppress(AddressError):
            peer = parse()
            assert PeerId.parse(str(peer)) == PeerId.parse(peer.to_cid()) == peer
    with contextlib.suppress(AddressError, ValueError):
        text = data.decode("ascii")
        assert b58encode(b58decode(text)) == text


# --- identity -------------------------------------------------------------------------------------------------------


@target("A public key that parses has one protobuf form and believes no made-up signature.", "keys")
def public_key(data: bytes) -> None:
    with contextlib.suppress(IdentityError):
        key = PublicKey.from_protobuf(data)
        assert PublicKey.from_protobuf(key.to_protobuf()) == key
        assert not key.verify(b"data", data)


@target("Nobody but the signer makes a record that opens.", "envelope")
def envelope(data: bytes) -> None:
    for opened in (open_peer_record, open_voucher):
        with contextlib.suppress(RemoteProtocolError, IdentityError):
            key, record = opened(data)
            assert key.peer_id == (record.peer_id if opened is open_peer_record else record.relay)


# --- handshakes -----------------------------------------------------------------------------------------------------


@target("A negotiation ends agreed, refused or in our error, and its answers stay small.", "multistream")
def multistream(data: bytes) -> None:
    for machine in (
        MultistreamDialer(["/a", "/c"]),
        MultistreamListener(lambda name: name == "/a", lambda: ["/a"]),
    ):
        output = len(machine.take_output())
        with contextlib.suppress(RemoteProtocolError):
            for piece in cut(data):
                machine.receive_data(piece)
                output += len(machine.take_output())
        assert output <= (limits.MULTISTREAM_MAX_PROPOSALS + 1) * limits.MULTISTREAM_MAX_MESSAGE


def _handshake(initiator: bool) -> NoiseHandshake:
    identity, number = (ALICE, 1) if initiator else (BOB, 3)
    static, ephemeral = bytes([number]) * 32, bytes([number + 1]) * 32
    return NoiseHandshake(
        initiator=initiator, identity=identity, static_key=static, ephemeral_key=ephemeral, expected=None
    )


@functools.cache
def _transcript() -> tuple[bytes, bytes, bytes]:
    left, right = _handshake(True), _handshake(False)
    right.receive_data(first := left.take_output())
    left.receive_data(second := right.take_output())
    return first, second, left.take_output()


def noise_seeds() -> list[bytes]:
    """Return handshakes as they are, so that the fuzzer need not invent a curve point."""
    first, second, third = _transcript()
    return [b"\0" + second, b"\1" + first + third]


@target("A handshake completes only with what a holder of the key signed.", max_length=600)
def noise_handshake(data: bytes) -> None:
    initiator = not (data[:1] or b"\0")[0] & 1
    machine = _handshake(initiator)
    first, second, third = _transcript()
    genuine = second if initiator else first + third
    with contextlib.suppress(RemoteProtocolError, IdentityError):
        machine.receive_data(data[1:])
    assert not machine.complete or data[1:].startswith(genuine)


@functools.cache
def _frames() -> bytes:
    left = _handshake(True)
    left.receive_data(_transcript()[1])
    return left.session().encrypt(b"said by nobody else")


def _listening_session() -> NoiseSession:
    first, _, third = _transcript()
    right = _handshake(False)
    right.receive_data(first + third)
    return right.session()


@target("No frame opens but the ones that were sealed, in their order.", max_length=300)
def noise_frames(data: bytes) -> None:
    session = _listening_session()
    with contextlib.suppress(RemoteProtocolError):
        for piece in cut(data):
            session.receive_data(piece)
    assert session.take_plaintext() == (b"said by nobody else" if data[1:].startswith(_frames()) else b"")


@target("No payload is believed that the static key's owner did not sign.", "noise")
def noise_payload(data: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError, IdentityError):
        decode_payload(data, bytes(32))
        raise AssertionError("nobody signed this")


# --- streams --------------------------------------------------------------------------------------------------------


@target(
    "A session takes any frames, keeps its buffers bounded, and lets go of everything when it ends.", "yamux"
)
def yamux(data: bytes) -> None:
    client = bool((data[:1] or b"\0")[0] & 1)
    session = YamuxSession(client=client, now=0.0)
    if client:
        session.open_stream(0.0)
    for piece in cut(data):
        session.receive_data(piece, 0.0)
        assert session.unread_bytes <= len(data)
    sent = 0
    while output := session.take_output(65519):
        sent += len(output)
    assert sent <= 12 * (len(data) + 4) + 4096
    if session.ended is not None:
        assert session.deadline() is None


@target("Each side of a relay exchange answers once and over-reads nothing.", "circuit-hop", "circuit-stop")
def circuit(data: bytes) -> None:
    for machine in (
        HopClient.reserve(),
        HopClient.connect(BOB.peer_id),
        HopServerExchange(),
        StopClient(ALICE.peer_id),
        StopServer(),
    ):
        pieces = cut(data)
        with contextlib.suppress(RemoteProtocolError):
            for piece in pieces:
                machine.receive_data(piece)
                if machine.result is not None:
                    break
            machine.receive_eof()
        if machine.result is not None:
            assert data.endswith(machine.remaining() + b"".join(pieces))


@target("What a peer says of itself is within the limits or refused.", "identify", max_length=2048)
def identify(data: bytes) -> None:
    reader = IdentifyReader()
    with contextlib.suppress(RemoteProtocolError):
        for piece in cut(data):
            reader.receive_data(piece)
        found = reader.receive_eof()
        assert len(found.listen_addresses) <= limits.IDENTIFY_MAX_ADDRESSES
        assert len(found.protocols) <= limits.IDENTIFY_MAX_PROTOCOLS
        assert all(
            text.isprintable() for text in (found.agent_version, found.protocol_version, *found.protocols)
        )


@target("A ping is answered byte for byte and nothing else is.", max_length=128)
def ping(data: bytes) -> None:
    server = PingServer()
    client = PingClient(bytes(32))
    answer = b""
    with contextlib.suppress(RemoteProtocolError):
        for piece in cut(data):
            server.receive_data(piece)
            answer += server.take_output()
    assert data[1:].startswith(answer)
    with contextlib.suppress(RemoteProtocolError):
        for piece in cut(data):
            client.receive_data(piece)
    assert not client.done or data[1:].startswith(bytes(32))


@target("A data channel takes any frames and can always be ended.", "webrtc-stream")
def rtc_stream(data: bytes) -> None:
    stream = RtcStream()
    with contextlib.suppress(RemoteProtocolError):
        for piece in cut(data):
            stream.receive_message(piece)
    assert sum(map(len, stream.take_data())) <= len(data)
    stream.abort()
    stream.channel_closed()
    assert stream.finished
    with contextlib.suppress(RemoteProtocolError):
        parse_dcep(data)


@target(
    "Signalling gives a bounded number of printable candidates, or fails.",
    "webrtc-signaling",
    max_length=2048,
)
def signaling(data: bytes) -> None:
    dialer = SignalingDialer()
    dialer.offer("v=0")
    for machine in (dialer, SignalingListener()):
        with contextlib.suppress(RemoteProtocolError):
            for piece in cut(data):
                machine.receive_data(piece)
            machine.receive_eof()
        assert len(machine.take_events()) <= limits.SIGNALING_MAX_CANDIDATES + 5


@target(
    "A description or candidate that parses says what we write for it, and leads nowhere forbidden.",
    max_length=1024,
)
def sdp(data: bytes) -> None:
    text = texts(data)
    with contextlib.suppress(RemoteProtocolError):
        description = parse_sdp(text)
        assert parse_sdp(description.to_text(1)) == description
    with contextlib.suppress(RemoteProtocolError):
        candidate = parse_candidate(text)
        assert candidate.host.isprintable()
        CandidatePolicy().refusal(candidate.host, candidate.port)
    with contextlib.suppress(BadCandidateError):
        assert normalise_candidate(text).text.isprintable()
    with contextlib.suppress(BadCandidateError):
        parse_candidate_json(text)


@target(
    "Both sides of a session take any frames, deliver in order, and never acknowledge what was not said.",
    max_length=2048,
)
def session(data: bytes) -> None:
    listener = Listener()
    expected = None
    with contextlib.suppress(RemoteProtocolError):
        for piece in cut(data):
            messages = listener.receive_data(piece)
            if listener.hello is not None and expected is None:
                expected = listener.hello.first
                listener.welcome(Position(listener.hello.log, expected - 1, None))
            for message in messages:
                assert message.sequence == expected
                expected += 1
            if messages:
                listener.acknowledge(messages[-1].sequence)
    speaker = Speaker(bytes(16), 1)
    with contextlib.suppress(RemoteProtocolError):
        for piece in cut(data):
            for answer in speaker.receive_data(piece, 0.0):
                assert answer.held >= (0 if isinstance(answer, Welcome) else 1)


@target("Text of the browser page comes out the same however it was cut, and at most as long.")
def chat(data: bytes) -> None:
    whole, pieces = ChatDecoder(), ChatDecoder()
    text = whole.receive_data(data[1:]) + whole.receive_eof()
    assert "".join(map(pieces.receive_data, cut(data))) + pieces.receive_eof() == text
    assert len(text) <= len(data)


# --- the relay's UDP port and the screen ----------------------------------------------------------------------------


@target("The answer to a datagram is never longer than the datagram needs: no amplification.", max_length=256)
def stun(data: bytes) -> None:
    answer = StunResponder(0.0).respond(data, "203.0.113.7", 40_000, 1.0, at=Endpoint("198.51.100.1", 3478))
    assert answer is None or (len(data) >= 20 and len(answer.data) <= max(len(data), 2 * 20 + 60))


@target("No text of a peer keeps a control, format or surrogate character on its way to the screen.")
def safe_text(data: bytes) -> None:
    text = texts(data)
    for kind in Kind:
        shown = visible(text, kind)
        for char in shown:
            assert char in "\n" or not ("\0" <= char < " " or "\x7f" <= char <= "\x9f"), repr(char)
            assert not "\ud800" <= char <= "\udfff", repr(char)
            assert char not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c", (
                repr(char)
            )
    for char in clean_input(text, lines=True):
        assert char == "\n" or char >= " ", repr(char)


_SDP_SEEDS: Final = (
    SessionDescription(
        ufrag="abcd", password="p" * 24, fingerprint=bytes(32), setup=Setup.ACTPASS, mid="0", sctp_port=5000
    )
    .to_text(1)
    .encode(),
    b"candidate:1 1 udp 2130706431 192.0.2.7 50000 typ host generation 0",
    b"a=candidate:2 1 UDP 1694498815 203.0.113.9 50001 typ srflx raddr 0.0.0.0 rport 0",
    b"candidate:3 1 udp 2113937151 0f0e8a1c-3a4b-4c5d-8e6f-7a8b9c0d1e2f.local 50002 typ host",
    b'{"candidate":"candidate:1 1 udp 1 ::1 5000 typ host","sdpMid":"0","sdpMLineIndex":0}',
)


def seeds(name: str, wire: list[dict[str, object]]) -> Iterator[bytes]:
    """Yield what to begin with: the recorded vectors of the target's groups (`tests/vectors/wire.json`)."""
    if name == "noise_handshake":
        yield from noise_seeds()
    if name == "noise_frames":
        yield b"\0" + _frames()
    if name == "sdp":
        yield from _SDP_SEEDS
    for entry in wire:
        if entry["group"] not in TARGETS[name].groups:
            continue
        for key, value in entry.items():
            if not isinstance(value, str) or key in {"group", "name"}:
                continue
            with contextlib.suppress(ValueError):
                raw = bytes.fromhex(value)
                yield raw
                yield b"\0" + raw
                yield b"\3" + raw
                if key == "protobuf":
                    yield b"\0" + length_prefixed(raw)
                continue
            yield value.encode()

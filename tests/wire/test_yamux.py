"""The yamux session: frames, windows, ends, limits; the behaviours of the go suites in our own words."""

from __future__ import annotations

from itertools import product

import pytest

from p2pchat_core import limits
from p2pchat_core.errors import LocalProtocolError, StreamLimitError
from p2pchat_core.wire.yamux import (
    OpenAllowed,
    SessionEnded,
    StreamEnded,
    StreamOpened,
    StreamReadable,
    StreamReset,
    StreamWritable,
    YamuxSession,
)
from p2pchat_core.wire.yamux_frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    HEADER_SIZE,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    FrameDecoder,
    FrameHeader,
    encode_header,
)
from p2pchat_core.wire.yamux_liveness import Allowance, PingClock
from p2pchat_core.wire.yamux_stream import IGNORED, TRANSITIONS, Change, State, Substream
from tests.support.vectors import vectors

WINDOW = limits.YAMUX_INITIAL_WINDOW
PING_0 = encode_header(PING, SYN, 0, 0)
PONG_0 = encode_header(PING, ACK, 0, 0)


def frames(data: bytes) -> list[tuple[FrameHeader, bytes]]:
    """Cut `data` into whole frames."""
    found: list[tuple[FrameHeader, bytes]] = []
    for item in FrameDecoder().feed(data):
        if isinstance(item, memoryview):
            header, payload = found[-1]
            found[-1] = (header, payload + bytes(item))
        else:
            found.append((item, b""))
    return found


def headers(session: YamuxSession) -> list[FrameHeader]:
    """Take everything a session wants to send and return the headers."""
    return [header for header, _ in frames(output(session))]


def output(session: YamuxSession) -> bytes:
    parts = []
    while data := session.take_output(65519):
        assert len(data) <= 65519
        parts.append(data)
    assert not session.has_output
    return b"".join(parts)


def feed(
    session: YamuxSession, type_: int, flags: int, stream_id: int, length: int, payload: bytes = b""
) -> None:
    session.receive_data(encode_header(type_, flags, stream_id, length) + payload, 0.0)


def send(session: YamuxSession, stream_id: int, data: bytes) -> int:
    return session.send_data(stream_id, memoryview(data))


class Pair:
    """A client and a server session and the wire between them, moved by hand."""

    def __init__(self) -> None:
        self.client = YamuxSession(client=True, now=0.0)
        self.server = YamuxSession(client=False, now=0.0)

    def move(self, now: float = 0.0) -> None:
        """Carry bytes both ways until nobody says anything more."""
        while self.client.has_output or self.server.has_output:
            self.server.receive_data(output(self.client), now)
            self.client.receive_data(output(self.server), now)

    def open(self) -> int:
        """Open a stream from the client, which the server accepts."""
        stream_id = self.client.open_stream(0.0)
        self.move()
        assert StreamOpened(stream_id) in self.server.take_events()
        self.server.accept(stream_id)
        return stream_id

    def forget_events(self) -> None:
        self.client.take_events()
        self.server.take_events()


@pytest.fixture
def pair() -> Pair:
    return Pair()


@pytest.fixture
def server() -> YamuxSession:
    return YamuxSession(client=False, now=0.0)


def assert_refused(session: YamuxSession, words: str) -> None:
    """The session has ended because the peer broke a rule, and tells it so with GOAWAY 1."""
    assert session.ended is not None
    assert words in session.ended
    assert SessionEnded(session.ended) in session.take_events()
    assert headers(session) == [FrameHeader(GO_AWAY, 0, 0, 1)]


# --- frames -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", vectors("yamux"), ids=lambda vector: vector["name"])
@pytest.mark.parametrize("step", [1, 5, 1000])
def test_vectors_decode_in_any_pieces_and_encode_the_same(vector: dict[str, object], step: int) -> None:
    raw = bytes.fromhex(str(vector["hex"]))
    decoder = FrameDecoder()
    items = [item for at in range(0, len(raw), step) for item in decoder.feed(raw[at : at + step])]
    header = items[0]
    assert isinstance(header, FrameHeader)
    if "type" in vector:
        assert header == tuple(vector[key] for key in ("type", "flags", "stream_id", "length"))
    assert encode_header(*header) == raw[:HEADER_SIZE]
    payload = b"".join(item for item in items[1:] if isinstance(item, memoryview))
    assert payload == raw[HEADER_SIZE:]
    assert decoder.payload_left == (header.length - len(payload) if header.type == DATA else 0)


def test_vectors_are_what_the_session_says() -> None:
    by_name = {vector["name"]: bytes.fromhex(vector["hex"]) for vector in vectors("yamux")}
    pair = Pair()
    assert pair.client.open_stream(0.0) == 1
    opened = output(pair.client)
    assert opened == by_name["open stream 1: WINDOW_UPDATE|SYN delta 0"]
    pair.server.receive_data(opened, 0.0)
    assert output(pair.server) == by_name["accept stream 1: WINDOW_UPDATE|ACK delta 0"]
    pair.client.end_write(1)
    assert output(pair.client) == by_name["half close stream 1: WINDOW_UPDATE|FIN"]
    pair.server.receive_data(by_name["ping request id 1"], 0.0)
    assert output(pair.server) == encode_header(PING, ACK, 0, 1)
    pair.server.reset_stream(1)
    assert output(pair.server) == by_name["reset stream 1: WINDOW_UPDATE|RST"]
    assert pair.server.open_stream(0.0) == 2
    assert output(pair.server) == by_name["server opens stream 2: WINDOW_UPDATE|SYN"]
    pair.client.handle_timer(0.0)
    assert output(pair.client) == by_name["ping request id 0 (first frame js sends)"]
    pair.client.say_goodbye()
    assert output(pair.client) == by_name["go away normal"]


def test_open_and_half_close_in_one_frame(server: YamuxSession) -> None:
    feed(server, WINDOW_UPDATE, SYN | FIN, 5, 0)
    assert server.take_events() == [StreamOpened(5), StreamReadable(5)]
    assert server.read_data(5, 10, 0.0) == b""
    assert send(server, 5, b"answer") == 6


# --- states -----------------------------------------------------------------------------------------------


def test_every_state_knows_every_change() -> None:
    impossible = {
        (State.LOCAL_ENDED, Change.SEND_FIN),
        (State.ENDED, Change.SEND_FIN),
        (State.RESET, Change.SEND_FIN),
    }
    assert set(product(State, Change)) == TRANSITIONS.keys() | IGNORED | impossible
    assert not TRANSITIONS.keys() & IGNORED
    for state, change in product(State, Change):
        stream = Substream(1, outbound=True, now=0.0)
        stream.state = state
        if (state, change) in impossible:
            with pytest.raises(LocalProtocolError):
                stream.change(change)
        elif (state, change) in IGNORED:
            assert not stream.change(change)
            assert stream.state is state
        else:
            assert stream.change(change)
            assert stream.state is TRANSITIONS[state, change]


# --- streams ----------------------------------------------------------------------------------------------


def test_data_both_ways_and_half_close(pair: Pair) -> None:
    stream_id = pair.open()
    assert send(pair.client, stream_id, b"question") == 8
    pair.client.end_write(stream_id)
    pair.move()
    assert pair.server.read_data(stream_id, 100, 0.0) == b"question"
    assert pair.server.read_data(stream_id, 100, 0.0) == b""
    assert send(pair.server, stream_id, b"answer") == 6
    pair.server.end_write(stream_id)
    pair.move()
    assert pair.client.read_data(stream_id, 4, 0.0) == b"answ"
    assert pair.client.stream_count == 1
    assert pair.client.read_data(stream_id, 4, 0.0) == b"er"
    assert StreamEnded(stream_id) in pair.client.take_events()
    assert (pair.client.stream_count, pair.server.stream_count) == (0, 0)


def test_nothing_to_read_yet_is_not_the_end(pair: Pair) -> None:
    assert pair.client.read_data(pair.open(), 10, 0.0) is None


def test_fin_is_never_on_a_frame_with_payload(pair: Pair) -> None:
    stream_id = pair.open()
    send(pair.client, stream_id, b"last words")
    pair.client.end_write(stream_id)
    assert frames(output(pair.client)) == [
        (FrameHeader(DATA, 0, stream_id, 10), b"last words"),
        (FrameHeader(WINDOW_UPDATE, FIN, stream_id, 0), b""),
    ]


def test_fin_that_comes_with_payload_takes_effect_after_it(server: YamuxSession) -> None:
    raw = encode_header(DATA, SYN | FIN, 1, 4) + b"data"
    for at in range(len(raw)):
        server.receive_data(raw[at : at + 1], 0.0)
    assert server.read_data(1, 3, 0.0) == b"dat"
    assert server.read_data(1, 3, 0.0) == b"a"
    assert server.read_data(1, 3, 0.0) == b""


def test_fin_of_a_frame_waits_for_the_rest_of_it(server: YamuxSession) -> None:
    server.receive_data(encode_header(DATA, SYN | FIN, 1, 4) + b"da", 0.0)
    assert server.read_data(1, 10, 0.0) == b"da"
    assert server.read_data(1, 10, 0.0) is None
    server.receive_data(b"ta", 0.0)
    assert server.read_data(1, 10, 0.0) == b"ta"
    assert server.read_data(1, 10, 0.0) == b""


def test_rest_of_a_frame_is_passed_over_after_a_reset(server: YamuxSession) -> None:
    server.receive_data(encode_header(DATA, SYN, 1, 10) + b"half", 0.0)
    server.reset_stream(1)
    server.receive_data(b"theend" + PING_0, 0.0)
    assert server.unread_bytes == 0
    assert server.ended is None
    assert headers(server)[0] == FrameHeader(PING, ACK, 0, 0)


def test_stray_payload_goes_to_no_other_stream(server: YamuxSession) -> None:
    feed(server, DATA, SYN, 1, 4, b"mine")
    feed(server, DATA, 0, 3, 5, b"stray")
    assert server.read_data(1, 100, 0.0) == b"mine"
    assert server.read_data(1, 100, 0.0) is None


def test_closing_after_both_ends_frees_the_stream(pair: Pair) -> None:
    stream_id = pair.open()
    send(pair.server, stream_id, b"unread")
    pair.server.end_write(stream_id)
    pair.client.end_write(stream_id)
    pair.move()
    assert pair.client.stream_count == 1
    pair.client.close_stream(stream_id, 0.0)
    assert StreamEnded(stream_id) in pair.client.take_events()
    assert (pair.client.stream_count, pair.client.unread_bytes) == (0, 0)


def test_data_may_follow_the_syn_without_an_ack(pair: Pair) -> None:
    stream_id = pair.client.open_stream(0.0)
    send(pair.client, stream_id, b"early")
    assert [header.flags for header in headers(pair.client)] == [SYN, 0]


def test_syn_is_acknowledged_at_once(server: YamuxSession) -> None:
    feed(server, WINDOW_UPDATE, SYN, 1, 0)
    assert headers(server) == [FrameHeader(WINDOW_UPDATE, ACK, 1, 0)]


def test_syn_may_carry_a_window(server: YamuxSession) -> None:
    feed(server, WINDOW_UPDATE, SYN, 1, 1000)
    taken = 0
    while size := send(server, 1, bytes(WINDOW + 5000 - taken)):
        taken += size
        output(server)
    assert taken == WINDOW + 1000


def test_close_before_the_ack(pair: Pair) -> None:
    stream_id = pair.client.open_stream(0.0)
    pair.client.close_stream(stream_id, 0.0)
    pair.move()
    assert StreamOpened(stream_id) in pair.server.take_events()
    pair.server.close_stream(stream_id, 0.0)
    pair.move()
    assert (pair.client.stream_count, pair.server.stream_count) == (0, 0)
    assert pair.client.ended is None


def test_reset_drops_what_is_queued_and_what_is_unread(pair: Pair) -> None:
    stream_id = pair.open()
    send(pair.server, stream_id, b"unread")
    pair.move()
    send(pair.client, stream_id, b"unsent")
    pair.client.reset_stream(stream_id)
    assert pair.client.unread_bytes == 0
    sent = output(pair.client)
    assert [header for header, _ in frames(sent)] == [FrameHeader(WINDOW_UPDATE, RST, stream_id, 0)]
    pair.server.receive_data(sent, 0.0)
    assert pair.server.take_events()[-1] == StreamReset(stream_id, "The remote side reset the stream.")
    with pytest.raises(LocalProtocolError):
        send(pair.server, stream_id, b"more")


@pytest.mark.parametrize("flags", [RST, RST | FIN, RST | ACK])
def test_reset_code_is_not_a_window(pair: Pair, flags: int) -> None:
    stream_id = pair.open()
    pair.forget_events()
    feed(pair.client, WINDOW_UPDATE, flags, stream_id, 0x1001)
    assert pair.client.take_events() == [StreamReset(stream_id, "The remote side reset the stream.")]
    assert pair.client.stream_count == 0


def test_no_data_after_our_end(pair: Pair) -> None:
    stream_id = pair.open()
    pair.client.end_write(stream_id)
    with pytest.raises(LocalProtocolError):
        send(pair.client, stream_id, b"more")
    pair.move()
    with pytest.raises(LocalProtocolError):
        send(pair.client, stream_id, b"more")


def test_data_after_the_end_of_the_peer_resets_the_stream(pair: Pair) -> None:
    stream_id = pair.open()
    feed(pair.client, WINDOW_UPDATE, FIN, stream_id, 0)
    pair.forget_events()
    feed(pair.client, DATA, 0, stream_id, 4, b"more")
    assert pair.client.take_events() == [
        StreamReset(stream_id, "The remote side sent data after it had ended the stream.")
    ]
    assert headers(pair.client) == [FrameHeader(WINDOW_UPDATE, RST, stream_id, 0)]


def test_second_fin_and_late_frames_are_ignored(pair: Pair) -> None:
    stream_id = pair.open()
    pair.client.close_stream(stream_id, 0.0)
    pair.server.close_stream(stream_id, 0.0)
    pair.move()
    for type_, flags, length in [(WINDOW_UPDATE, FIN, 0), (WINDOW_UPDATE, RST, 0), (WINDOW_UPDATE, 0, 70000)]:
        feed(pair.client, type_, flags, stream_id, length)
    # The payload is passed over, so the ping behind it is understood.
    feed(pair.client, DATA, 0, stream_id, 5, b"stray" + PING_0)
    assert pair.client.ended is None
    assert headers(pair.client) == [FrameHeader(PING, ACK, 0, 0)]


def test_closed_stream_swallows_what_still_comes(pair: Pair) -> None:
    stream_id = pair.open()
    send(pair.server, stream_id, bytes(1000))
    pair.move()
    pair.client.close_stream(stream_id, 0.0)
    assert pair.client.unread_bytes == 0
    for _ in range(20):
        send(pair.server, stream_id, bytes(WINDOW))
        pair.move()
    assert pair.client.unread_bytes == 0
    pair.server.end_write(stream_id)
    pair.move()
    assert pair.client.stream_count == 0
    assert pair.server.ended is None


def test_closed_stream_that_the_peer_never_ends_is_reset(pair: Pair) -> None:
    stream_id = pair.open()
    pair.client.handle_timer(0.0)
    pair.client.close_stream(stream_id, 5.0)
    pair.move()
    due = 5.0 + limits.YAMUX_CLOSE_LINGER
    now = 0.0
    while (now := pair.client.deadline() or 0.0) < due:
        pair.client.handle_timer(now)
        pair.move(now)
        assert pair.client.stream_count == 1
    pair.client.handle_timer(due)
    assert pair.client.stream_count == 0
    pair.move(due)
    assert pair.server.take_events()[-1] == StreamReset(stream_id, "The remote side reset the stream.")


def test_many_streams_in_a_row_leave_nothing(pair: Pair) -> None:
    for number in range(1000):
        opener, other = (pair.client, pair.server) if number % 2 else (pair.server, pair.client)
        stream_id = opener.open_stream(0.0)
        send(opener, stream_id, b"x")
        pair.move()
        other.accept(stream_id)
        assert other.read_data(stream_id, 10, 0.0) == b"x"
        opener.close_stream(stream_id, 0.0)
        other.close_stream(stream_id, 0.0)
        pair.move()
    for session in (pair.client, pair.server):
        assert session.stream_count == 0
        assert session.ended is None
        assert not session._core.lingering
        assert not session._core.unacknowledged


# --- windows ----------------------------------------------------------------------------------------------


def test_sending_stops_at_the_window_and_goes_on_with_an_update(pair: Pair) -> None:
    stream_id = pair.open()
    assert send(pair.client, stream_id, bytes(WINDOW + 1)) == WINDOW
    pair.move()
    assert send(pair.client, stream_id, b"x") == 0
    pair.forget_events()
    assert pair.server.read_data(stream_id, WINDOW // 2 - 1, 0.0)
    assert not pair.server.has_output  # less than half of the window is free
    assert pair.server.read_data(stream_id, 1, 0.0)
    update = output(pair.server)
    assert [header for header, _ in frames(update)] == [FrameHeader(WINDOW_UPDATE, 0, stream_id, WINDOW // 2)]
    pair.client.receive_data(update, 0.0)
    assert pair.client.take_events() == [StreamWritable(stream_id)]
    assert send(pair.client, stream_id, bytes(WINDOW)) == WINDOW // 2


def test_window_overflow_ends_the_session(pair: Pair) -> None:
    stream_id = pair.open()
    half = bytes(WINDOW // 2)
    feed(pair.server, DATA, 0, stream_id, len(half), half)
    feed(pair.server, DATA, 0, stream_id, len(half), half)
    pair.forget_events()
    feed(pair.server, DATA, 0, stream_id, 1, b"x")
    assert_refused(pair.server, "into a yamux window with 0 left")


def test_announced_payload_counts_before_it_comes(pair: Pair) -> None:
    stream_id = pair.open()
    pair.server.receive_data(encode_header(DATA, 0, stream_id, WINDOW) + bytes(WINDOW // 2), 0.0)
    assert pair.server.read_data(stream_id, WINDOW, 0.0) == bytes(WINDOW // 2)
    assert headers(pair.server) == [FrameHeader(WINDOW_UPDATE, 0, stream_id, WINDOW // 2)]
    pair.server.receive_data(bytes(WINDOW // 2), 0.0)
    assert pair.server.read_data(stream_id, WINDOW, 0.0) == bytes(WINDOW // 2)
    assert headers(pair.server) == [FrameHeader(WINDOW_UPDATE, 0, stream_id, WINDOW // 2)]


def test_frame_longer_than_any_window_is_refused_from_its_header(server: YamuxSession) -> None:
    feed(server, DATA, 0, 1, limits.YAMUX_MAX_WINDOW + 1)
    assert_refused(server, "frame of")


def test_syn_with_more_than_the_first_window_is_refused(server: YamuxSession) -> None:
    feed(server, DATA, SYN, 1, WINDOW + 1)
    assert_refused(server, "at once")


def test_send_window_must_fit_32_bits(pair: Pair) -> None:
    stream_id = pair.open()
    feed(pair.client, WINDOW_UPDATE, 0, stream_id, 2**32 - 1 - WINDOW)
    assert pair.client.ended is None
    pair.forget_events()
    feed(pair.client, WINDOW_UPDATE, 0, stream_id, 1)
    assert_refused(pair.client, "more than 4 GiB")


def transfer(pair: Pair, stream_id: int, size: int, now: float) -> int:
    """Send `size` bytes, all read at once at `now`; return the largest frame burst that fitted the window."""
    largest = 0
    while size:
        burst = 0
        while taken := send(pair.client, stream_id, bytes(min(size - burst, limits.YAMUX_MAX_WINDOW))):
            burst += taken
            pair.server.receive_data(output(pair.client), now)
        size -= burst
        largest = max(largest, burst)
        while pair.server.read_data(stream_id, 1 << 20, now):
            pass
        pair.move(now)
    return largest


def measure_rtt(session: YamuxSession, seconds: float) -> None:
    session.handle_timer(0.0)
    assert PING_0 in output(session)
    session.receive_data(PONG_0, seconds)
    assert session.rtt == seconds


def test_window_grows_only_when_used_up_within_four_round_trips(pair: Pair) -> None:
    stream_id = pair.open()
    assert transfer(pair, stream_id, 4 * WINDOW, 0.0) == WINDOW  # the round trip is not known yet
    measure_rtt(pair.server, 0.5)
    for now in (100.0, 102.0, 104.0):  # each window lasts four round trips
        assert transfer(pair, stream_id, WINDOW, now) == WINDOW
        assert pair.server._core.streams[stream_id].receive_window == WINDOW
    assert transfer(pair, stream_id, 64 * WINDOW, 105.9) == limits.YAMUX_MAX_WINDOW
    assert transfer(pair, stream_id, 64 * WINDOW, 105.9) <= limits.YAMUX_MAX_WINDOW


def test_windows_grow_within_the_budget_of_the_connection(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2pchat_core.wire.yamux_core.YAMUX_MAX_CONNECTION_WINDOW", 4 * WINDOW)
    first, second = pair.open(), pair.open()
    measure_rtt(pair.server, 1.0)
    assert transfer(pair, first, 20 * WINDOW, 1.0) == 3 * WINDOW
    assert transfer(pair, second, 20 * WINDOW, 1.0) == WINDOW
    for session in (pair.client, pair.server):
        session.reset_stream(first)
    pair.move()
    assert transfer(pair, second, 20 * WINDOW, 1.0) == 4 * WINDOW


def test_unread_bytes_of_a_connection_are_bounded(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pchat_core.wire.yamux_input.YAMUX_MAX_CONNECTION_WINDOW", 2 * WINDOW)
    for _ in range(3):
        stream_id = pair.open()
        send(pair.client, stream_id, bytes(WINDOW))
        pair.move()
    assert pair.server.unread_bytes == 2 * WINDOW
    assert pair.server.take_events()[-1] == StreamReset(
        stream_id, "Too much data waits to be read on this connection."
    )


def test_announcing_much_and_sending_little_costs_little(server: YamuxSession) -> None:
    for number in range(200):
        feed(server, DATA, SYN, 2 * number + 1, WINDOW, b"x" * WINDOW)
        server.accept(2 * number + 1)
        if number:
            server.reset_stream(2 * number + 1)
        output(server)
    assert server.unread_bytes == WINDOW


# --- sending ----------------------------------------------------------------------------------------------


def test_frames_are_bounded_and_streams_take_turns(pair: Pair) -> None:
    first, second = pair.open(), pair.open()
    send(pair.client, first, bytes(3 * limits.YAMUX_MAX_FRAME))
    send(pair.client, second, bytes(2 * limits.YAMUX_MAX_FRAME))
    sent = headers(pair.client)
    assert [header.stream_id for header in sent] == [first, second, first, second, first]
    assert {header.length for header in sent} == {limits.YAMUX_MAX_FRAME}


def test_small_writes_share_a_frame(pair: Pair) -> None:
    stream_id = pair.open()
    for _ in range(100):
        send(pair.client, stream_id, b"tick")
    assert frames(output(pair.client)) == [(FrameHeader(DATA, 0, stream_id, 400), b"tick" * 100)]


def test_buffer_is_bounded_and_leaves_room_for_small_writes(pair: Pair) -> None:
    bulk = [pair.open() for _ in range(6)]
    small = pair.open()
    for stream_id in bulk:
        feed(pair.client, WINDOW_UPDATE, 0, stream_id, 10 * WINDOW)
    taken = [send(pair.client, stream_id, bytes(10 * WINDOW)) for stream_id in bulk]
    assert taken[:4] == [limits.YAMUX_STREAM_SEND_BUFFER] * 4
    assert taken[4:] == [limits.YAMUX_SMALL_WRITE] * 2
    assert send(pair.client, small, b"hello") == 5
    assert send(pair.client, bulk[0], b"x") == 0
    pair.forget_events()
    pair.client.take_output(65519)
    assert pair.client.take_events()[0] == StreamWritable(bulk[0])


def test_reset_streams_leave_their_room_to_others(pair: Pair) -> None:
    for _ in range(10):
        stream_id = pair.client.open_stream(0.0)
        assert send(pair.client, stream_id, bytes(WINDOW)) == limits.YAMUX_STREAM_SEND_BUFFER
        pair.client.reset_stream(stream_id)


def test_pong_goes_ahead_of_queued_data(pair: Pair) -> None:
    stream_id = pair.open()
    send(pair.client, stream_id, bytes(WINDOW))
    pair.client.take_output(65519)
    feed(pair.client, PING, SYN, 0, 7)
    assert frames(pair.client.take_output(65519))[0][0] == FrameHeader(PING, ACK, 0, 7)


def test_output_can_be_taken_in_small_pieces(pair: Pair) -> None:
    stream_id = pair.client.open_stream(0.0)
    send(pair.client, stream_id, b"0123456789")
    pair.client.end_write(stream_id)
    pair.client.say_goodbye()
    taken = b""
    while piece := pair.client.take_output(13):
        assert len(piece) <= 13
        taken += piece
    kinds = [(header.type, header.flags, header.length) for header, _ in frames(taken)]
    assert kinds == [(WINDOW_UPDATE, SYN, 0), *[(DATA, 0, 1)] * 10, (WINDOW_UPDATE, FIN, 0), (GO_AWAY, 0, 0)]


# --- opening and its limits -------------------------------------------------------------------------------


@pytest.mark.parametrize(("client", "stream_id"), [(True, 1), (False, 2), (False, 0xFFFFFFFE)])
def test_wrong_parity_ends_the_session(client: bool, stream_id: int) -> None:
    session = YamuxSession(client=client, now=0.0)
    feed(session, WINDOW_UPDATE, SYN, stream_id, 0)
    assert_refused(session, "a number that is ours")


def test_two_clients_cannot_talk() -> None:
    one, other = (YamuxSession(client=True, now=0.0) for _ in range(2))
    one.open_stream(0.0)
    other.receive_data(output(one), 0.0)
    assert_refused(other, "a number that is ours")


def test_opening_a_stream_twice_ends_the_session(server: YamuxSession) -> None:
    feed(server, WINDOW_UPDATE, SYN, 1, 0)
    output(server)
    feed(server, WINDOW_UPDATE, SYN, 1, 0)
    assert_refused(server, "twice")


def test_streams_nobody_accepts_are_refused_beyond_the_backlog(server: YamuxSession) -> None:
    for number in range(limits.YAMUX_ACCEPT_BACKLOG + 1):
        feed(server, WINDOW_UPDATE, SYN, 2 * number + 1, 0)
    *acknowledged, last = headers(server)
    assert {header.flags for header in acknowledged} == {ACK}
    assert last == FrameHeader(WINDOW_UPDATE, RST, 2 * limits.YAMUX_ACCEPT_BACKLOG + 1, 0)
    server.accept(1)
    feed(server, WINDOW_UPDATE, SYN, 5001, 0)
    assert headers(server) == [FrameHeader(WINDOW_UPDATE, ACK, 5001, 0)]


def test_open_inbound_streams_are_bounded(server: YamuxSession) -> None:
    for number in range(10_000):
        feed(server, WINDOW_UPDATE, SYN, 2 * number + 1, 0)
        server.accept(2 * number + 1)
        refused = headers(server)[0].flags == RST
        assert refused == (number >= limits.YAMUX_MAX_INBOUND_STREAMS)
    assert server.stream_count == limits.YAMUX_MAX_INBOUND_STREAMS
    assert server.ended is None
    # The data of a refused stream is passed over.
    feed(server, DATA, SYN, 30001, 5, b"stray" + PING_0)
    assert headers(server) == [FrameHeader(WINDOW_UPDATE, RST, 30001, 0), FrameHeader(PING, ACK, 0, 0)][::-1]


def test_unread_answers_are_bounded(server: YamuxSession) -> None:
    for number in range(10_000):
        feed(server, WINDOW_UPDATE, SYN, 2 * number + 1, 0)
    assert_refused(server, "does not read the answers")


def test_opening_and_resetting_without_end_ends_the_session(server: YamuxSession) -> None:
    for number in range(limits.YAMUX_MAX_RESETS + 1):
        assert server.ended is None
        server.receive_data(encode_header(WINDOW_UPDATE, SYN, 2 * number + 1, 0), 1.0)
        server.receive_data(encode_header(WINDOW_UPDATE, RST, 2 * number + 1, 0), 1.0)
        server.take_events() if number < limits.YAMUX_MAX_RESETS else None
        output(server) if number < limits.YAMUX_MAX_RESETS else None
    assert_refused(server, "without end")


def test_resetting_now_and_then_is_fine(server: YamuxSession) -> None:
    for number in range(2000):
        now = number * limits.YAMUX_RESET_PERIOD / limits.YAMUX_MAX_RESETS
        server.receive_data(encode_header(WINDOW_UPDATE, SYN | RST, 2 * number + 1, 0), now)
    assert server.ended is None
    assert server.stream_count == 0


def test_unacknowledged_streams_are_bounded_and_any_frame_acknowledges() -> None:
    client = YamuxSession(client=True, now=0.0)
    opened = [client.open_stream(0.0) for _ in range(limits.YAMUX_ACK_BACKLOG)]
    output(client)
    assert client.ack_backlog_full
    with pytest.raises(StreamLimitError):
        client.open_stream(0.0)
    feed(client, WINDOW_UPDATE, ACK, opened[0], 0)
    assert client.take_events() == [OpenAllowed()]
    client.open_stream(0.0)
    assert client.ack_backlog_full
    feed(client, DATA, 0, opened[1], 1, b"x")
    assert OpenAllowed() in client.take_events()
    client.open_stream(0.0)
    client.reset_stream(opened[2])
    assert client.take_events() == [OpenAllowed()]
    client.open_stream(0.0)


def test_outbound_streams_are_bounded(pair: Pair) -> None:
    for _ in range(limits.MAX_STREAMS_PER_CONNECTION):
        pair.open()
    with pytest.raises(StreamLimitError):
        pair.client.open_stream(0.0)


# --- pings ------------------------------------------------------------------------------------------------


def test_first_ping_goes_out_at_once_and_measures(pair: Pair) -> None:
    assert (pair.client.deadline() or 0.0) <= 0.0
    pair.client.handle_timer(10.0)
    pair.server.receive_data(output(pair.client), 10.0)
    pong = output(pair.server)
    assert pong == PONG_0
    pair.client.receive_data(pong, 10.25)
    assert pair.client.rtt == 0.25
    assert pair.server.rtt is None


def test_idle_peer_is_pinged_and_given_up_when_silent(pair: Pair) -> None:
    pair.client.handle_timer(0.0)
    pair.move()
    due = limits.YAMUX_PING_INTERVAL
    assert pair.client.deadline() == due
    pair.client.handle_timer(due - 0.1)
    assert not pair.client.has_output
    pair.client.handle_timer(due)
    assert headers(pair.client) == [FrameHeader(PING, SYN, 0, 1)]
    dead = due + limits.YAMUX_PING_TIMEOUT
    assert pair.client.deadline() == dead
    pair.client.handle_timer(dead - 0.1)
    assert pair.client.ended is None
    pair.client.handle_timer(dead)
    assert pair.client.ended == "The remote side no longer answers."
    assert headers(pair.client) == [FrameHeader(GO_AWAY, 0, 0, 2)]
    assert pair.client.deadline() is None


def test_whatever_is_received_puts_off_the_next_ping(pair: Pair) -> None:
    stream_id = pair.open()
    pair.client.handle_timer(0.0)
    pair.move()
    pair.client.receive_data(encode_header(WINDOW_UPDATE, 0, stream_id, 1), 10.0)
    assert pair.client.deadline() == 10.0 + limits.YAMUX_PING_INTERVAL


def test_idle_sessions_live_on(pair: Pair) -> None:
    now = 0.0
    while now < 1000.0:
        now = max(0.0, min(pair.client.deadline() or 0.0, pair.server.deadline() or 0.0))
        pair.client.handle_timer(now)
        pair.server.handle_timer(now)
        pair.move(now)
    assert pair.client.ended is None
    assert pair.server.ended is None


def test_a_peer_that_sends_data_lives_though_its_pong_is_late() -> None:
    pings = PingClock(0.0)
    assert pings.due(0.0) == 0
    for second in range(60):
        pings.received(float(second))
        assert not pings.dead(float(second))
    assert pings.due(60.0) is None
    assert pings.dead(59.0 + limits.YAMUX_PING_TIMEOUT)


def test_busy_connection_is_measured_now_and_then() -> None:
    pings = PingClock(0.0)
    pings.due(0.0)
    pings.answered(0, 0.5)
    for second in range(1, int(limits.YAMUX_RTT_INTERVAL)):
        pings.received(float(second))
        assert pings.due(float(second)) is None
    assert pings.due(limits.YAMUX_RTT_INTERVAL) == 1
    pings.answered(1, limits.YAMUX_RTT_INTERVAL + 1.5)
    assert pings.rtt == 1.0


def test_an_answer_nobody_asked_for_is_ignored(pair: Pair) -> None:
    feed(pair.client, PING, ACK, 0, 3)
    pair.client.handle_timer(0.0)
    feed(pair.client, PING, ACK, 0, 3)
    assert pair.client.rtt is None
    assert pair.client.ended is None
    assert headers(pair.client) == [FrameHeader(PING, SYN, 0, 0)]


def test_ping_flood_ends_the_session(server: YamuxSession) -> None:
    for number in range(limits.YAMUX_MAX_PINGS_PER_SECOND):
        feed(server, PING, SYN, 0, number)
    assert server.ended is None
    feed(server, PING, SYN, 0, 99)
    assert_refused(server, "times a second")


def test_steady_pings_are_answered(server: YamuxSession) -> None:
    for number in range(1000):
        server.receive_data(encode_header(PING, SYN, 0, number), number / limits.YAMUX_MAX_PINGS_PER_SECOND)
        assert headers(server) == [FrameHeader(PING, ACK, 0, number)]


def test_allowance_refills_to_its_size_only() -> None:
    allowance = Allowance(3, 1.0)
    assert [allowance.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert allowance.take(0.5)
    assert not allowance.take(0.5)
    assert [allowance.take(1000.0) for _ in range(4)] == [True, True, True, False]


# --- the end ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"\x01" + PING_0[1:], "version 1"),
        (encode_header(4, 0, 0, 0), "unknown type 4"),
        (encode_header(DATA, SYN, 0, 0), "stream 0"),
        (encode_header(WINDOW_UPDATE, 0, 0, 5), "stream 0"),
        (encode_header(PING, SYN, 1, 0), "neither question nor answer"),
        (encode_header(PING, SYN | ACK, 0, 0), "neither question nor answer"),
        (encode_header(PING, 0, 0, 0), "neither question nor answer"),
        (encode_header(GO_AWAY, 0, 1, 0), "go-away on a stream"),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_broken_frames_end_the_session(server: YamuxSession, raw: bytes, words: str, whole: bool) -> None:
    if whole:
        server.receive_data(raw + PING_0, 0.0)
    else:
        for at in range(len(raw)):
            server.receive_data(raw[at : at + 1], 0.0)
    assert_refused(server, words)
    server.receive_data(PING_0, 0.0)
    assert not server.has_output


def test_goodbye_comes_after_everything_queued(pair: Pair) -> None:
    stream_id = pair.open()
    send(pair.client, stream_id, bytes(WINDOW))
    pair.client.end_write(stream_id)
    pair.client.say_goodbye()
    with pytest.raises(LocalProtocolError):
        pair.client.open_stream(0.0)
    *_, fin, last = headers(pair.client)
    assert fin == FrameHeader(WINDOW_UPDATE, FIN, stream_id, 0)
    assert last == FrameHeader(GO_AWAY, 0, 0, 0)
    feed(pair.client, WINDOW_UPDATE, SYN, 2, 0)
    assert headers(pair.client) == [FrameHeader(WINDOW_UPDATE, RST, 2, 0)]


def test_goodbye_of_the_peer_lets_open_streams_end(pair: Pair) -> None:
    stream_id = pair.open()
    pair.forget_events()
    pair.client.say_goodbye()
    pair.move()
    assert pair.server.going_away
    assert pair.server.ended is None
    send(pair.server, stream_id, b"still here")
    pair.server.close_stream(stream_id, 0.0)
    pair.move()
    assert pair.client.read_data(stream_id, 100, 0.0) == b"still here"
    pair.client.close_stream(stream_id, 0.0)
    pair.move()
    assert pair.server.ended == "The remote side said good-bye."


def test_goodbye_of_the_peer_ends_an_empty_session_at_once(pair: Pair) -> None:
    feed(pair.server, GO_AWAY, 0, 0, 0)
    assert pair.server.ended == "The remote side said good-bye."
    assert not pair.server.has_output


def test_goodbye_of_the_peer_ends_the_session_in_time(pair: Pair) -> None:
    pair.open()
    feed(pair.server, GO_AWAY, 0, 0, 0)
    due = limits.YAMUX_CLOSE_LINGER
    now = 0.0
    while (now := max(0.0, pair.server.deadline() or 0.0)) < due:
        pair.server.handle_timer(now)
        pair.move(now)
        assert pair.server.ended is None
    pair.server.handle_timer(due)
    assert pair.server.ended == "The remote side said good-bye."


def test_error_of_the_peer_ends_the_session(pair: Pair) -> None:
    pair.open()
    pair.forget_events()
    feed(pair.server, GO_AWAY, 0, 0, 2)
    assert pair.server.take_events() == [
        SessionEnded("The remote side gave the connection up (yamux error 2).")
    ]


def test_what_came_before_the_end_can_still_be_read(pair: Pair) -> None:
    stream_id = pair.open()
    send(pair.client, stream_id, bytes(WINDOW))
    pair.move()
    pair.server.receive_eof("The line was cut.")
    assert pair.server.read_data(stream_id, WINDOW, 0.0) == bytes(WINDOW)
    assert pair.server.read_data(stream_id, WINDOW, 0.0) is None
    with pytest.raises(LocalProtocolError):
        send(pair.server, stream_id, b"x")
    pair.server.end_write(stream_id)
    pair.server.close_stream(stream_id, 0.0)
    pair.server.reset_stream(stream_id)
    assert not pair.server.has_output
    assert pair.server.deadline() is None

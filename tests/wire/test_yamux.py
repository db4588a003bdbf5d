"""The yamux session: frames, states, streams and how they end; the behaviours of the go suites in our own words."""

from __future__ import annotations

from itertools import product

import pytest

from p2pchat_core import limits
from p2pchat_core.errors import LocalProtocolError
from p2pchat_core.wire.yamux import StreamEnded, StreamOpened, StreamReadable, StreamReset, YamuxSession
from p2pchat_core.wire.yamux_frames import (
    ACK,
    DATA,
    FIN,
    HEADER_SIZE,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    FrameDecoder,
    FrameHeader,
    encode_header,
)
from p2pchat_core.wire.yamux_stream import IGNORED, TRANSITIONS, Change, State, Substream
from tests.support.vectors import vectors
from tests.support.yamux import PING_0, WINDOW, Pair, feed, frames, headers, output, send


@pytest.fixture
def pair() -> Pair:
    return Pair()


@pytest.fixture
def server() -> YamuxSession:
    return YamuxSession(client=False, now=0.0)


# --- frames ------------------------------------------------------------------------------------------------


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


# --- states ------------------------------------------------------------------------------------------------


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


# --- streams -----------------------------------------------------------------------------------------------


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

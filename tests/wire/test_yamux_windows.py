"""Windows and the order of sending of a yamux session."""

from __future__ import annotations

import pytest

from p2pchat_core import limits
from p2pchat_core.wire.yamux import StreamReset, StreamWritable, YamuxSession
from p2pchat_core.wire.yamux_frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    PING,
    SYN,
    WINDOW_UPDATE,
    FrameHeader,
    encode_header,
)
from tests.support.yamux import (
    PING_0,
    PONG_0,
    WINDOW,
    Pair,
    assert_refused,
    feed,
    frames,
    headers,
    output,
    send,
)


@pytest.fixture
def pair() -> Pair:
    return Pair()


@pytest.fixture
def server() -> YamuxSession:
    return YamuxSession(client=False, now=0.0)


# --- windows -----------------------------------------------------------------------------------------------


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


# --- sending -----------------------------------------------------------------------------------------------


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


def test_goodbye_waits_for_streams_that_did_not_fit(pair: Pair) -> None:
    for stream_id in (pair.open(), pair.open()):
        send(pair.client, stream_id, b"0123456789")
    pair.client.say_goodbye()
    assert [header.type for header, _ in frames(pair.client.take_output(60))] == [DATA]
    assert [header.type for header, _ in frames(pair.client.take_output(2000))] == [DATA, GO_AWAY]

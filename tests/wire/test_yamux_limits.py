"""What a yamux session lets a peer do, its pings, and its end."""

from __future__ import annotations

import pytest

from p2pchat_core import limits
from p2pchat_core.errors import LocalProtocolError, StreamLimitError
from p2pchat_core.wire.yamux import OpenAllowed, SessionEnded, StreamEnded, YamuxSession
from p2pchat_core.wire.yamux_frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    FrameHeader,
    encode_header,
)
from p2pchat_core.wire.yamux_liveness import Allowance, PingClock
from tests.support.yamux import PING_0, PONG_0, WINDOW, Pair, assert_refused, feed, headers, output, send


@pytest.fixture
def pair() -> Pair:
    return Pair()


@pytest.fixture
def server() -> YamuxSession:
    return YamuxSession(client=False, now=0.0)


# --- opening and its limits --------------------------------------------------------------------------------


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
    assert client.take_events() == [StreamEnded(opened[2]), OpenAllowed()]
    client.open_stream(0.0)


def test_outbound_streams_are_bounded(pair: Pair) -> None:
    for _ in range(limits.MAX_STREAMS_PER_CONNECTION):
        pair.open()
    with pytest.raises(StreamLimitError):
        pair.client.open_stream(0.0)


# --- pings -------------------------------------------------------------------------------------------------


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


# --- the end -----------------------------------------------------------------------------------------------


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

"""The sending half of SCTP, chunk by chunk."""

from __future__ import annotations

import struct

import pytest

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.limits import (
    SCTP_BURST,
    SCTP_BURST_MAX,
    SCTP_FLIGHT_MIN,
    SCTP_FRAGMENT,
    SCTP_INITIAL_WINDOW,
    SCTP_REORDERING,
    SCTP_RTO_INITIAL,
    SCTP_RTO_MAX,
    SCTP_WINDOW,
)
from p2pchat_core.wire.sctp_sender import SctpSender

ROOM = 16 + SCTP_FRAGMENT
FIRST = 2**32 - 5  # the numbers wrap around in every test


def tsns(packets: list[bytes]) -> list[int]:
    """The numbers of the chunks in packets, counted from the first one of all."""
    found = []
    for packet in packets:
        at = 0
        while at < len(packet):
            kind, _, length, tsn = struct.unpack_from("!BBHL", packet, at)
            assert kind == 0
            found.append((tsn - FIRST) % 2**32)
            at += length + -length % 4
    return found


def sender(chunks: int) -> SctpSender:
    """A sender with this many full chunks waiting."""
    made = SctpSender(FIRST)
    for _ in range(chunks):
        made.send(1, 53, bytes(SCTP_FRAGMENT))
    return made


def acknowledge(
    what: SctpSender, up_to: int, *gaps: tuple[int, int], now: float = 0.05, twice: tuple[int, ...] = ()
) -> None:
    """Acknowledge everything up to chunk `up_to` and the chunks of `gaps`, first and last."""
    relative = [(first - up_to, last - up_to) for first, last in gaps]
    again = [(FIRST + number) % 2**32 for number in twice]
    assert what.acknowledged((FIRST + up_to) % 2**32, SCTP_WINDOW, relative, now, again)


def test_a_message_is_cut_and_numbered() -> None:
    one = SctpSender(FIRST)
    one.send(3, 53, b"a" * SCTP_FRAGMENT + b"b")
    one.send(3, 53, b"c")
    chunks = b"".join(one.take(0.0, ROOM))
    fields = struct.Struct("!BBHLHHL")
    first, second = fields.unpack_from(chunks), fields.unpack_from(chunks, 16 + SCTP_FRAGMENT)
    assert first == (0, 2, 16 + SCTP_FRAGMENT, FIRST, 3, 0, 53)
    assert second == (0, 1, 17, FIRST + 1, 3, 0, 53)
    assert fields.unpack_from(chunks, 16 + SCTP_FRAGMENT + 20) == (0, 3, 17, FIRST + 2, 3, 1, 53)


def test_small_messages_share_a_packet() -> None:
    one = SctpSender(FIRST)
    for _ in range(10):
        one.send(1, 53, b"small")
    packets = one.take(0.0, ROOM)
    assert len(packets) == 1
    assert tsns(packets) == list(range(10))


def test_room_for_something_else_in_the_first_packet_is_left() -> None:
    one = sender(1)
    assert one.take(0.0, ROOM, ROOM - 16)[0] == b""
    two = SctpSender(FIRST)
    two.send(1, 53, b"small")
    assert tsns(two.take(0.0, ROOM, ROOM - 16)[:1]) == [0]


def test_the_window_opens_with_what_is_acknowledged_and_not_beyond_what_the_path_needs() -> None:
    one = sender(2000)
    now, last, sizes = 0.0, -1, []
    for _ in range(12):
        sent = tsns(one.take(now, ROOM))
        assert len(sent) <= SCTP_BURST_MAX
        sizes.append(len(sent))
        last = sent[-1]
        now += 0.0001
        acknowledge(one, last, now=now)
        assert one.flight == 0
    assert sizes[:3] == [SCTP_INITIAL_WINDOW // SCTP_FRAGMENT, 20, 40]
    assert max(sizes) <= SCTP_FLIGHT_MIN // SCTP_FRAGMENT + 1


def test_a_large_window_is_not_used_up_in_one_burst() -> None:
    one = sender(200)
    one.window = 100 * SCTP_FRAGMENT
    assert len(one.take(0.0, ROOM)) == SCTP_BURST
    acknowledge(one, 3)
    assert len(one.take(0.05, ROOM)) == SCTP_BURST + 8


def test_a_window_that_is_not_used_does_not_grow() -> None:
    one = SctpSender(FIRST)
    for number in range(50):
        one.send(1, 53, b"small")
        one.take(float(number), ROOM)
        acknowledge(one, number, now=number + 0.05)
    assert one.window == SCTP_INITIAL_WINDOW


def test_a_chunk_is_lost_when_three_later_ones_have_arrived_and_repeated_at_once() -> None:
    one = sender(30)
    one.take(0.0, ROOM)
    for last in range(2, SCTP_REORDERING + 1):
        acknowledge(one, 0, (2, last))
        assert 1 not in tsns(one.take(0.05, ROOM))
    acknowledge(one, 0, (2, SCTP_REORDERING + 1))
    assert tsns(one.take(0.05, ROOM))[0] == 1
    assert one.window == max(one.threshold, 4 * SCTP_FRAGMENT) < SCTP_INITIAL_WINDOW


def test_one_loss_of_many_in_a_window_halves_it_once() -> None:
    one = sender(30)
    one.take(0.0, ROOM)
    acknowledge(one, 0, (2, 5))
    window = one.window
    acknowledge(one, 0, (2, 5), (7, 9))
    assert one.window == window


def test_a_repeated_chunk_that_is_lost_again_needs_no_timer() -> None:
    one = sender(60)
    one.take(0.0, ROOM)
    acknowledge(one, 0, (2, 9))
    repeated, last = 0, 9
    for step in range(5):
        # All arrives but chunk 1, again and again.
        sent = tsns(one.take(0.1 + step / 20, ROOM))
        repeated += sent.count(1)
        last = max(sent)
        acknowledge(one, 0, (2, last), now=0.15 + step / 20)
    assert repeated >= 2
    assert one.timeouts == 0


def test_a_path_that_changes_the_order_of_packets_is_learnt() -> None:
    one = sender(200)
    one.take(0.0, ROOM)
    acknowledge(one, 0, (2, 5))
    assert 1 in tsns(one.take(0.05, ROOM))
    acknowledge(one, 9, twice=(1,))
    assert one.window >= SCTP_INITIAL_WINDOW
    start = tsns(one.take(0.1, ROOM))
    acknowledge(one, start[0], (start[2], start[5]))
    assert start[1] not in tsns(one.take(0.15, ROOM))


def test_reports_of_what_was_never_repeated_change_nothing() -> None:
    one = sender(30)
    one.take(0.0, ROOM)
    for _ in range(10):
        acknowledge(one, 0, twice=(0,))
    acknowledge(one, 0, (2, 5))
    assert 1 in tsns(one.take(0.05, ROOM))


def test_the_timer_repeats_everything_even_what_gaps_had_acknowledged() -> None:
    one = sender(10)
    assert tsns(one.take(0.0, ROOM)) == list(range(10))
    acknowledge(one, 0, (3, 4))
    assert one.deadline is not None
    assert not one.timeout(one.deadline - 0.001)
    assert one.timeout(one.deadline)
    assert one.window == SCTP_FRAGMENT
    sent: list[int] = []
    now = 1.0
    while not one.idle:
        sent += tsns(one.take(now, ROOM))
        acknowledge(one, sent[-1], now=now)
    assert sent == list(range(1, 10))


def test_waiting_gets_longer_but_not_for_ever() -> None:
    one = sender(1)
    waits, now = [], 0.0
    for _ in range(8):
        one.take(now, ROOM)
        assert one.deadline is not None
        waits.append(one.deadline - now)
        now = one.deadline
        assert one.timeout(now)
    assert waits[0] == SCTP_RTO_INITIAL
    assert waits[-1] == pytest.approx(SCTP_RTO_MAX)


def test_a_closed_window_is_tried_with_one_chunk() -> None:
    one = sender(5)
    one.set_peer_window(0)
    assert tsns(one.take(0.0, ROOM)) == [0]
    assert one.take(0.0, ROOM) == []
    assert one.acknowledged(FIRST, 0, [], 0.05)
    assert tsns(one.take(0.05, ROOM)) == [1]
    assert one.acknowledged(FIRST + 1, SCTP_WINDOW, [], 0.1)
    assert tsns(one.take(0.1, ROOM)) == [2, 3, 4]


def test_old_acknowledgements_are_left_alone() -> None:
    one = sender(5)
    one.take(0.0, ROOM)
    acknowledge(one, 4)
    assert not one.acknowledged((FIRST + 1) % 2**32, 0, [(1, 2)], 0.1)
    assert one.idle


@pytest.mark.parametrize(("up_to", "gaps"), [(5, []), (2, [(1, 3)]), (1000, [])])
def test_acknowledging_what_was_never_sent_is_refused(up_to: int, gaps: list[tuple[int, int]]) -> None:
    one = sender(20)
    one.window = 4 * SCTP_FRAGMENT
    assert len(tsns(one.take(0.0, ROOM))) == 4
    with pytest.raises(RemoteProtocolError):
        one.acknowledged((FIRST + up_to) % 2**32, SCTP_WINDOW, gaps, 0.05)

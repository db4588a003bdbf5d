"""What the suites of go-yamux (46 tests) and hashicorp/yamux (35 tests) look at, and where we look at it.

Every test of theirs stands in one row, with ours or with the reason why there is none. Nothing of theirs is repeated
here but the name; what ours checks is written for our rules, which differ in places. The tests in this file are for
what the files about yamux do not check themselves.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

import pytest

from p2pchat_core import limits
from p2pchat_core.errors import P2PChatError, StreamResetError
from p2pchat_core.wire.yamux import YamuxSession
from p2pchat_core.wire.yamux_frames import ACK, DATA, RST, SYN, WINDOW_UPDATE, FrameHeader
from tests.conformance.named import named_tests
from tests.net.test_yamux import against_peer, connect, muxers, settle
from tests.support.yamux import Pair, assert_refused, feed, headers, output

WINDOW: Final = limits.YAMUX_INITIAL_WINDOW


class Behaviour(NamedTuple):
    """One thing that is looked at.

    Attributes:
        what: the behaviour, a sentence.
        theirs: their tests, the go-yamux ones behind ``g:`` and the hashicorp ones behind ``h:``, without `Test`.
        ours: our tests, without ``test_``; or, where it does not apply, the reason behind ``-``.
    """

    what: str
    theirs: str
    ours: str


BEHAVIOURS: Final = [
    Behaviour(
        "The numbers of types, flags and codes are those of the protocol.",
        "g:Const h:Const",
        "vectors_are_what_the_session_says vectors_decode_in_any_pieces_and_encode_the_same",
    ),
    Behaviour(
        "A header is decoded to what was encoded.", "g:EncodeDecode h:EncodeDecode", "headers_round_trip"
    ),
    Behaviour("Two sides that both dialled cannot talk.", "g:ClientClient", "two_clients_cannot_talk"),
    Behaviour("Nor can two that both listened.", "g:ServerServer", "two_servers_cannot_talk"),
    Behaviour(
        "Who waits for a stream that the peer does not answer waits for a bounded time.",
        "g:OpenStreamTimeout h:OpenStreamTimeout",
        "waiting_for_the_ack_backlog_has_an_end opening_waits_for_the_ack_backlog",
    ),
    Behaviour(
        "Whatever is done to a stream while both sides close ends, and in an error of ours at worst.",
        "g:StreamAfterShutdown",
        "anything_may_meet_the_end",
    ),
    Behaviour(
        "A ping is answered, and measures the round trip.",
        "g:Ping h:Ping",
        "pings_of_the_peer_are_answered round_trip_is_measured first_ping_goes_out_at_once_and_measures",
    ),
    Behaviour(
        "A ping without an answer is noticed, and a late one does no harm.",
        "h:Ping_Timeout",
        "idle_peer_is_pinged_and_given_up_when_silent a_peer_that_sends_data_lives_though_its_pong_is_late",
    ),
    Behaviour(
        "Pings are answered while much data goes both ways, and a flood of them is not.",
        "g:Session_PingOfDeath h:Session_PingOfDeath",
        "pong_goes_ahead_of_queued_data steady_pings_are_answered ping_flood_ends_the_session",
    ),
    Behaviour(
        "A stream closed before it was acknowledged leaves nothing behind.",
        "g:CloseBeforeAck h:CloseBeforeAck",
        "close_before_the_ack",
    ),
    Behaviour(
        "Both sides open and accept at once, and every stream finds its partner.",
        "g:Accept h:Accept",
        "both_sides_open_and_exchange_in_any_pieces",
    ),
    Behaviour(
        "A failed call gives no half-made value.",
        "g:NonNilInterface h:NonNilInterface",
        "- It is about nil pointers inside interfaces, which Python does not have.",
    ),
    Behaviour(
        "Small and large data arrive whole and in order, also through many windows.",
        "g:SendData_Small g:SendData_Large g:SendData_VeryLarge h:SendData_Small h:SendData_Large h:SendData_VeryLarge",
        "both_sides_open_and_exchange_in_any_pieces window_update_arrives_while_writing "
        "question_and_answer_with_half_close",
    ),
    Behaviour(
        "After a good-bye nobody opens streams, and who waits to is told.",
        "g:GoAway h:GoAway",
        "goodbye_of_the_peer_wakes_who_waits_to_open goodbye_comes_after_everything_queued "
        "goodbye_of_the_peer_lets_open_streams_end",
    ),
    Behaviour(
        "A session ended with an error code tells the other side that code.",
        "g:CloseWithError",
        "error_of_the_peer_ends_the_session error_of_the_peer_resets_the_streams",
    ),
    Behaviour(
        "Many streams at once do not mix their data.",
        "g:ManyStreams h:ManyStreams g:ManyStreams_PingPong h:ManyStreams_PingPong",
        "many_streams_at_once hundred_streams_one_after_the_other",
    ),
    Behaviour(
        "Reading alone can be given up.",
        "g:CloseRead",
        "- Our streams have no such call: closing one ends writing and drops what still comes.",
    ),
    Behaviour(
        "One side may end its direction and still read.",
        "g:HalfClose g:StreamHalfClose2 h:HalfClose",
        "close_write_leaves_reading data_both_ways_and_half_close fin_is_never_on_a_frame_with_payload",
    ),
    Behaviour(
        "What arrived before the session ended can still be read.",
        "h:HalfCloseSessionShutdown",
        "what_came_before_the_end_can_still_be_read end_of_the_channel_reaches_every_stream_after_its_data",
    ),
    Behaviour(
        "A stream that the peer never closes is given up in time.",
        "h:Close_closeTimeout",
        "closed_stream_that_the_peer_never_ends_is_reset",
    ),
    Behaviour(
        "Reading and writing can have a deadline, also one that is set or passes while they wait.",
        "g:ReadDeadline g:WriteDeadlineWindowFull g:ReadDeadlineInterrupt h:ReadDeadline h:ReadDeadline_BlockedRead "
        "h:WriteDeadline h:WriteDeadline_BlockedWrite",
        "cancelled_reader_and_writer_lose_nothing",
    ),
    Behaviour(
        "Writes that are given up on a stream nobody reads do not disturb another.",
        "g:LotsOfWritesWithStreamDeadline",
        "many_writes_given_up_disturb_no_other_stream a_reader_that_stops_does_not_stop_the_others",
    ),
    Behaviour(
        "Who waits behind a full backlog is told when the session ends.",
        "g:BacklogExceeded h:BacklogExceeded",
        "goodbye_of_the_peer_wakes_who_waits_to_open unacknowledged_streams_are_bounded_and_any_frame_acknowledges",
    ),
    Behaviour(
        "Streams that nobody accepts are refused beyond a number.",
        "g:BacklogExceeded_Accept h:BacklogExceeded_Accept",
        "streams_nobody_accepts_are_refused_beyond_the_backlog",
    ),
    Behaviour(
        "Pings keep an idle session and find a dead one.",
        "g:KeepAlive g:KeepAlive_Timeout h:KeepAlive h:KeepAlive_Timeout",
        "idle_sessions_live_on idle_peer_is_pinged_and_given_up_when_silent silent_peer_is_given_up",
    ),
    Behaviour(
        "Windows larger than the first one work.",
        "g:LargeWindow h:LargeWindow",
        "window_grows_only_when_used_up_within_four_round_trips windows_grow_within_the_budget_of_the_connection",
    ),
    Behaviour(
        "Two sides with first windows of other sizes understand each other.",
        "g:InitialStreamWindow",
        "syn_may_carry_a_window",
    ),
    Behaviour(
        "A window update that arrives while both read and write is not lost.",
        "g:Session_WindowUpdateWriteDuringRead h:Session_WindowUpdateWriteDuringRead",
        "window_update_arrives_while_writing writer_waits_for_the_reader_and_is_woken",
    ),
    Behaviour(
        "A window is given back in useful portions, not with every byte read.",
        "g:Session_PartialReadWindowUpdate h:Session_PartialReadWindowUpdate",
        "sending_stops_at_the_window_and_goes_on_with_an_update",
    ),
    Behaviour(
        "A transport that takes nothing does not make us queue or wait for ever.",
        "g:Session_sendMsg_Timeout g:Session_ConnectionWriteTimeout h:Session_sendNoWait_Timeout "
        "h:Session_ConnectionWriteTimeout",
        "writers_on_a_blocked_transport_end_with_it unread_answers_are_bounded "
        "close_does_not_wait_for_a_peer_that_does_not_read buffer_is_bounded_and_leaves_room_for_small_writes",
    ),
    Behaviour(
        "More data than the window allows ends the session.",
        "g:WindowOverflow",
        "window_overflow_ends_the_session frame_longer_than_any_window_is_refused_from_its_header",
    ),
    Behaviour(
        "A reset reaches the reader and the writer of the other side, and their waiting ends.",
        "g:StreamResetWrite g:StreamResetRead",
        "reset_is_seen_by_reader_and_writer ending_a_stream_wakes_our_own_tasks",
    ),
    Behaviour(
        "A reset may carry a code in place of a length.",
        "g:StreamResetWithError",
        "reset_code_is_not_a_window",
    ),
    Behaviour(
        "Streams of the peer are bounded, and an ended one makes room.",
        "g:MaxIncomingStreams",
        "open_inbound_streams_are_bounded an_ended_stream_makes_room_for_one_more",
    ),
    Behaviour(
        "Closing does not hang on a frame that is half there and writers that wait.",
        "g:SessionCloseDeadlock",
        "closing_in_the_middle_of_a_frame",
    ),
    Behaviour("Waiting to accept can be given up.", "h:CancelAccept", "accept_can_be_cancelled"),
    Behaviour(
        "Errors with a code are errors of the general kind.",
        "g:ErrorCodeErrorIsErrStreamReset",
        "- There are no errors with codes here: a code becomes part of the sentence.",
    ),
    Behaviour(
        "Parts of the implementation do what they are for.",
        "g:AsyncSendErr g:AsyncNotify g:Min g:SegmentedBuffer h:AsyncSendErr h:AsyncNotify h:Min",
        "- They are about channels, a minimum and a buffer of that implementation.",
    ),
]


def test_the_table_is_complete() -> None:
    theirs = [name for row in BEHAVIOURS for name in row.theirs.split()]
    assert len(theirs) == len(set(theirs))
    assert sum(name.startswith("g:") for name in theirs) == 46
    assert sum(name.startswith("h:") for name in theirs) == 35


@pytest.mark.parametrize("row", BEHAVIOURS, ids=lambda row: row.theirs.split()[0])
def test_every_behaviour_has_a_test_or_a_reason(row: Behaviour) -> None:
    if row.ours.startswith("- "):
        return
    files = ("*/test_yamux*.py", "conformance/test_yamux_behaviours.py")
    there = frozenset().union(*map(named_tests, files))
    assert {f"test_{name}" for name in row.ours.split()} <= there


# --- what the other files do not check ----------------------------------------------------------------------------


def test_two_servers_cannot_talk() -> None:
    one, other = (YamuxSession(client=False, now=0.0) for _ in range(2))
    one.open_stream(0.0)
    other.receive_data(output(one), 0.0)
    assert_refused(other, "a number that is ours")


def test_an_ended_stream_makes_room_for_one_more() -> None:
    pair = Pair()
    opened = []
    for _ in range(limits.YAMUX_MAX_INBOUND_STREAMS):
        opened.append(pair.open())
        pair.forget_events()
    first = opened[0]
    refused = opened[-1] + 2
    feed(pair.server, WINDOW_UPDATE, SYN, refused, 0)
    assert headers(pair.server) == [FrameHeader(WINDOW_UPDATE, RST, refused, 0)]
    pair.client.close_stream(first, 0.0)
    pair.server.close_stream(first, 0.0)
    pair.move()
    feed(pair.server, WINDOW_UPDATE, SYN, refused + 2, 0)
    assert headers(pair.server) == [FrameHeader(WINDOW_UPDATE, ACK, refused + 2, 0)]


@pytest.mark.parametrize("last", ["read", "write", "close", "close_write", "abort"])
@pytest.mark.parametrize("how", ["close", "abort"])
async def test_anything_may_meet_the_end(last: str, how: str) -> None:
    for pause in range(8):
        async with muxers() as (client, server):
            ours, theirs = await connect(client, server)

            async def use(ours=ours) -> None:  # type: ignore[no-untyped-def]
                match last:
                    case "read":
                        await ours.read()
                    case "write":
                        await ours.write(bytes(2 * WINDOW))
                    case "abort":
                        ours.abort()
                    case _:
                        await getattr(ours, last)()

            using = asyncio.ensure_future(use())
            for _ in range(pause):
                await asyncio.sleep(0)
            if how == "close":
                await asyncio.gather(client.close(), server.close())
            else:
                client.abort("The test is over.")
                server.abort("The test is over.")
            (outcome,) = await asyncio.gather(using, return_exceptions=True)
            assert outcome is None or isinstance(outcome, P2PChatError)
            theirs.abort()


async def test_many_writes_given_up_disturb_no_other_stream() -> None:
    async with muxers() as (client, server):
        clogged, never_read = await connect(client, server)
        ours, theirs = await connect(client, server)
        await clogged.write(bytes(WINDOW))
        for number in range(50):
            given_up = asyncio.ensure_future(clogged.write(bytes(WINDOW)))
            await settle()
            given_up.cancel()
            await asyncio.gather(given_up, return_exceptions=True)
            await asyncio.gather(ours.write(bytes([number]) * 1000), theirs.read_exactly(1000))
        await ours.write(b"the end")
        assert await theirs.read_exactly(7) == b"the end"
        never_read.abort()
        with pytest.raises(StreamResetError):
            await clogged.write(bytes(WINDOW))


async def test_writers_on_a_blocked_transport_end_with_it() -> None:
    # Nobody reads what we send, though the peer's windows are open: everything waits in the transport.
    async with against_peer() as (muxer, peer):
        streams = [await muxer.open_stream() for _ in range(16)]
        writing = [asyncio.ensure_future(stream.write(bytes(WINDOW))) for stream in streams]
        await settle()
        waiting = [task for task in writing if not task.done()]
        assert waiting
        # What a writer waits with is its own; below that the queue of the connection is bounded.
        held = sum(stream.buffered for stream in streams)
        assert muxer.buffered - held <= limits.YAMUX_SEND_BUFFER + len(streams) * limits.YAMUX_SMALL_WRITE
        peer.channel.abort()
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(outcome, P2PChatError)
        await muxer.wait_closed()


async def test_closing_in_the_middle_of_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pchat_core.net.yamux.CLOSE_TIMEOUT", 0.01)
    async with against_peer() as (muxer, peer):
        await peer.say(DATA, SYN, 1, 2000, bytes(1000))
        stream = await muxer.accept_stream()
        writing = asyncio.ensure_future(stream.write(bytes(20 * WINDOW)))
        await settle()
        closing = asyncio.ensure_future(muxer.close())
        await peer.say(DATA, 0, 1, 1 << 31)  # still payload of the first frame
        await closing
        (outcome,) = await asyncio.gather(writing, return_exceptions=True)
        assert isinstance(outcome, P2PChatError)
        assert await muxer.wait_closed()

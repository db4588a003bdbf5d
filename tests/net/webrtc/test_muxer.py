"""Streams over data channels, on channels joined in memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_core.errors import ConnectionLostError, StreamClosedError, StreamLimitError, StreamResetError
from p2pchat_core.limits import RTC_EARLY_STREAMS, RTC_MAX_MESSAGE, RTC_MAX_PAYLOAD
from p2pchat_core.multiformats.varint import encode_uvarint, length_prefixed
from p2pchat_core.net.webrtc import muxer as muxer_module
from p2pchat_core.net.webrtc import rtc_stream as stream_module
from tests.net.webrtc.fakes import FakeAssociation, muxer_pair, settle

if TYPE_CHECKING:
    from p2pchat_core.net.stream import Stream
    from p2pchat_core.net.webrtc.muxer import DataChannelMuxer

FIN, STOP_SENDING, RESET, FIN_ACK = (bytes([2, 8, flag]) for flag in range(4))


async def stream_pair(left: DataChannelMuxer, right: DataChannelMuxer) -> tuple[Stream, Stream]:
    """Return both ends of a new stream."""
    near = await left.open_stream()
    return near, await right.accept_stream()


async def read_all(stream: Stream) -> bytes:
    """Read until the end."""
    data = b""
    while part := await stream.read():
        data += part
    return data


async def test_data_both_ways_and_half_close() -> None:
    left, right, *_ = muxer_pair()
    near, far = await stream_pair(left, right)
    await near.write(b"question")
    await near.close_write()
    assert await read_all(far) == b"question"
    await far.write(b"answer")
    await far.close()
    assert await read_all(near) == b"answer"
    await near.close()
    await settle()
    assert left._streams == right._streams == set()


async def test_large_data_is_cut_into_messages_of_the_size_that_peers_take() -> None:
    left, right, below, _ = muxer_pair()
    near, far = await stream_pair(left, right)
    await far.write(b"ready")
    await near.read()
    data = bytes(range(256)) * 1024
    await near.write(data)
    await near.close_write()
    assert await read_all(far) == data
    assert max(map(len, below.channels[0].sent)) <= RTC_MAX_MESSAGE


async def test_fin_is_confirmed_at_once_even_if_nobody_reads() -> None:
    left, right, below, far_below = muxer_pair()
    near, _ = await stream_pair(left, right)
    await near.write(b"x")
    await near.close_write()
    await settle()
    assert far_below.channels[0].sent == [FIN_ACK]
    assert FIN in below.channels[0].sent


async def test_close_returns_at_once_and_the_channel_follows_the_handshake() -> None:
    left, right, below, _ = muxer_pair()
    near, far = await stream_pair(left, right)
    await near.close()
    await settle()
    assert below.channels[0].sent == [FIN, STOP_SENDING]
    assert not below.channels[0].closing  # the remote has not ended its side
    await far.close()
    await settle()
    assert below.channels[0].gone


async def test_a_peer_that_never_confirms_does_not_keep_the_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "RTC_FIN_ACK_TIMEOUT", 0.01)
    left, _, below, _ = muxer_pair()
    near = await left.open_stream()
    below.channels[0].other = None  # hears nothing any more
    await near.close()
    async with asyncio.timeout(5):
        while not below.channels[0].closing:
            await asyncio.sleep(0.005)


async def test_reset_is_heard_by_reader_and_writer() -> None:
    left, right, *_ = muxer_pair()
    near, far = await stream_pair(left, right)
    reading = asyncio.create_task(far.read())
    await settle()
    near.abort()
    with pytest.raises(StreamResetError):
        await reading
    with pytest.raises(StreamResetError):
        await far.write(b"x")
    with pytest.raises(StreamResetError):
        await near.read()
    await settle()
    assert left._streams == right._streams == set()


async def test_closed_here() -> None:
    left, right, *_ = muxer_pair()
    near, _ = await stream_pair(left, right)
    await near.close()
    await near.close()
    with pytest.raises(StreamClosedError):
        await near.write(b"x")
    with pytest.raises(StreamClosedError):
        await near.read()


async def test_a_peer_that_stops_reading_stops_our_writing() -> None:
    left, right, *_ = muxer_pair()
    near, far = await stream_pair(left, right)
    await far.close()
    await settle()
    with pytest.raises(StreamResetError, match="stopped reading"):
        await near.write(b"x")
    await near.close_write()


async def test_damaged_frames_reset_only_their_stream() -> None:
    left, right, below, _ = muxer_pair()
    near, far = await stream_pair(left, right)
    other, other_far = await stream_pair(left, right)
    below.channels[0].receive(b"\xff" * 12)
    with pytest.raises(StreamResetError):
        await near.read()
    with pytest.raises(StreamResetError):
        await far.read()
    await other.write(b"fine")
    assert await other_far.read() == b"fine"


async def test_unread_gives_bytes_back_first() -> None:
    left, right, *_ = muxer_pair()
    near, far = await stream_pair(left, right)
    await near.write(b"abcdef")
    first = await far.read(4)
    far.unread(first)
    assert await far.read(2) == b"ab"
    assert await far.read(2) == b"cd"
    assert await far.read() == b"ef"


async def test_everything_received_is_given_back_to_the_window() -> None:
    left, right, _, below = muxer_pair()
    near, far = await stream_pair(left, right)
    await near.write(b"abc")
    await settle()
    assert below.channels[0].held == 3  # not the framing
    await far.read()
    assert below.channels[0].held == 0
    await near.write(b"never read")
    await settle()
    await far.close()
    assert below.channels[0].held == 0
    await settle()
    assert below.channels[0].held == 0


async def test_a_frame_in_pieces_is_counted_until_it_is_read() -> None:
    left, right, _, far_below = muxer_pair()
    _, far = await stream_pair(left, right)
    channel = far_below.channels[0]
    channel.receive(bytes.fromhex("07120568"))
    assert channel.held == 4
    channel.receive(bytes.fromhex("656c6c6f"))
    assert channel.held == 5
    assert await far.read() == b"hello"
    assert channel.held == 0


async def test_writers_wait_while_much_is_queued() -> None:
    left, right, below, _ = muxer_pair()
    near, far = await stream_pair(left, right)
    await far.write(b"ready")
    await near.read()
    below.congested = True
    writing = asyncio.create_task(near.write(bytes(1024 * 1024)))
    await settle()
    assert not writing.done()
    assert limits.RTC_BUFFERED_HIGH <= below.channels[0].queued <= limits.RTC_BUFFERED_HIGH + RTC_MAX_MESSAGE
    below.congested = False
    below.channels[0].queued = 0
    near.channel_drained()  # type: ignore[attr-defined]
    await writing


async def test_init_channels_are_closed_and_no_stream() -> None:
    left, right, below, far_below = muxer_pair()
    await left.run_init_channel()
    assert below.channels[0].gone
    assert far_below.channels[0].gone
    near = await left.open_stream()
    assert (await right.accept_stream()).stream_id == near.stream_id


async def test_a_peer_that_never_answers_init_costs_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(muxer_module, "RTC_INIT_TIMEOUT", 0.01)
    left, _, below, _ = muxer_pair()
    below.other = None
    await left.run_init_channel()
    assert below.channels[0].closing


async def test_few_streams_until_the_peer_has_said_something() -> None:
    left, right, *_ = muxer_pair()
    opened = [await left.open_stream() for _ in range(RTC_EARLY_STREAMS)]
    waiting = asyncio.create_task(left.open_stream())
    await settle()
    assert not waiting.done()
    far = await right.accept_stream()
    await far.write(b"here")
    await settle()
    assert (await waiting).stream_id > opened[-1].stream_id


async def test_little_on_one_stream_until_the_peer_has_said_something() -> None:
    left, right, below, _ = muxer_pair()
    near, far = await stream_pair(left, right)
    writing = asyncio.create_task(near.write(bytes(4 * RTC_MAX_PAYLOAD)))
    await settle()
    assert not writing.done()
    assert sum(map(len, below.channels[0].sent)) <= limits.RTC_EARLY_BYTES
    await far.write(b"here")
    await writing
    other, _ = await stream_pair(left, right)
    for _ in range(20):
        await other.write(b"x")


async def test_limits_of_the_association_are_told() -> None:
    left, right, *_ = muxer_pair()
    near, far = await stream_pair(left, right)
    await far.write(b"x")
    await near.read()
    with pytest.raises(StreamLimitError):
        for _ in range(200):
            await left.open_stream()


async def test_close_ends_both_sides() -> None:
    left, right, below, _ = muxer_pair()
    near, far = await stream_pair(left, right)
    await near.write(b"last words")
    accepting = asyncio.create_task(right.accept_stream())
    await settle()
    await left.close()
    assert below.flushed
    assert await left.wait_closed() == "The connection was closed on this side."
    assert await right.wait_closed() == "The peer closed the connection."
    assert left.closed
    assert right.closed
    assert await far.read() == b"last words"
    with pytest.raises(ConnectionLostError):
        await accepting
    with pytest.raises(ConnectionLostError):
        await left.open_stream()
    with pytest.raises(ConnectionLostError):
        await right.open_stream()
    await left.close()


async def test_abort_tells_every_stream_the_reason() -> None:
    left, right, *_ = muxer_pair()
    near, far = await stream_pair(left, right)
    reading = asyncio.create_task(near.read())
    await settle()
    left.abort("No answer.")
    with pytest.raises(ConnectionLostError, match="No answer"):
        await reading
    with pytest.raises(ConnectionLostError, match="No answer"):
        await near.write(b"x")
    with pytest.raises(ConnectionLostError):
        await near.close_write()
    assert await left.wait_closed() == "No answer."
    with pytest.raises(ConnectionLostError):
        await far.read()


async def test_a_stream_nobody_reads_cannot_hold_the_shared_window_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left, right, _, below = muxer_pair()
    _, far = await stream_pair(left, right)
    _, busy_far = await stream_pair(left, right)
    frame = _frame(16000)
    for _ in range(60):
        below.channels[0].receive(frame)
    below.channels[1].receive(_frame(10))
    right._watch_stalls()
    assert await busy_far.read() == bytes(10)
    right._watch_stalls()
    with pytest.raises(StreamResetError):
        await far.read()
    assert below.channels[0].held == 0
    below.channels[1].receive(_frame(10))
    assert await busy_far.read() == bytes(10)
    left.abort("done")
    right.abort("done")


async def test_a_slow_reader_is_left_alone() -> None:
    left, right, _, below = muxer_pair()
    _, far = await stream_pair(left, right)
    for _ in range(60):
        below.channels[0].receive(_frame(16000))
    for _ in range(5):
        right._watch_stalls()
        assert await far.read(100) == bytes(100)
    left.abort("done")


def _frame(size: int) -> bytes:
    return length_prefixed(b"\x12" + encode_uvarint(size) + bytes(size))


def test_a_fake_is_an_association() -> None:
    assert FakeAssociation.__abstractmethods__ == frozenset()

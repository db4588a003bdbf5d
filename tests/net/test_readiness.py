"""What is promised to those who do not wait but are called: in the same turn, in order, and never too deep."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_core.errors import P2PChatError, StreamResetError
from p2pchat_core.net.memory import MemoryStream, memory_pair
from p2pchat_core.net.yamux import YamuxMuxer
from p2pchat_core.wire.yamux_frames import DATA, FIN, RST, SYN, WINDOW_UPDATE, encode_header

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from p2pchat_core.net.stream import ByteStream, Stream


@asynccontextmanager
async def muxer_and_peer() -> AsyncIterator[tuple[YamuxMuxer, MemoryStream]]:
    """A server, and the raw other end of its channel."""
    near, far = memory_pair()
    muxer = YamuxMuxer(near, client=False)
    muxer.start()
    try:
        yield muxer, far
    finally:
        muxer.abort("The test is over.")
        await muxer.wait_closed()


async def opened(muxer: YamuxMuxer, peer: MemoryStream, count: int = 1) -> list[Stream]:
    peer.send(b"".join(encode_header(WINDOW_UPDATE, SYN, 1 + 2 * number, 0) for number in range(count)))
    return [await muxer.accept_stream() for _ in range(count)]


def data(stream: Stream, payload: bytes, flags: int = 0) -> bytes:
    return encode_header(DATA, flags, stream.stream_id, len(payload)) + payload


def collector(stream: ByteStream) -> tuple[list[bytes | Exception], Callable[[], None]]:
    """Return a list, and a callback that adds to it everything that can be read, the end and errors included."""
    got: list[bytes | Exception] = []

    def read_all() -> None:
        try:
            while (piece := stream.read_nowait()) is not None:
                got.append(piece)
                if not piece:
                    return
        except P2PChatError as error:
            got.append(error)

    return got, read_all


async def test_a_reader_is_called_in_the_turn_in_which_it_came() -> None:
    async with muxer_and_peer() as (muxer, peer):
        (stream,) = await opened(muxer, peer)
        got, stream.on_readable = collector(stream)
        peer.send(data(stream, b"hello"))
        assert got == [b"hello"], "without waiting for anything"
        peer.send(data(stream, b"more", FIN))
        assert got == [b"hello", b"more", b""]


async def test_what_came_before_a_reset_of_the_same_packet_is_no_fault() -> None:
    async with muxer_and_peer() as (muxer, peer):
        (stream,) = await opened(muxer, peer)
        got, stream.on_readable = collector(stream)
        peer.send(data(stream, b"lost") + encode_header(WINDOW_UPDATE, RST, stream.stream_id, 0))
        assert got
        assert all(isinstance(item, StreamResetError) for item in got)
        assert not muxer.closed


async def test_a_stream_that_ends_while_it_is_read() -> None:
    async with muxer_and_peer() as (muxer, peer):
        (stream,) = await opened(muxer, peer)
        await stream.close_write()
        await asyncio.sleep(0)
        got, stream.on_readable = collector(stream)
        peer.send(data(stream, b"last", FIN))
        assert got[:2] == [b"last", b""]
        assert set(got[2:]) <= {b""}


async def test_readers_that_make_others_readable_do_not_nest() -> None:
    """However many streams one packet is for: a deep call would end in a RecursionError, at the peer's will."""
    depth = deepest = 0
    async with muxer_and_peer() as (muxer, peer):
        streams = await opened(muxer, peer, 200)

        def reader(stream: Stream) -> Callable[[], None]:
            def read() -> None:
                nonlocal depth, deepest
                depth += 1
                deepest = max(deepest, depth)
                stream.read_nowait()
                stream.send(b"answer")
                depth -= 1

            return read

        for stream in streams:
            stream.on_readable = reader(stream)
        peer.send(b"".join(data(stream, b"x") for stream in streams))
        assert deepest == 1
        for stream in streams:
            stream.on_readable = None


async def test_order_is_kept_when_reading_brings_more() -> None:
    """Taking something from a channel may make its sender send the next thing before the first was looked at."""
    near, far = memory_pair()
    muxer = YamuxMuxer(near, client=False)
    pieces = [encode_header(WINDOW_UPDATE, SYN, 1, 0)]
    pieces += [encode_header(DATA, 0, 1, 1) + bytes([number]) for number in range(5)]
    queue = iter(pieces)

    def feed() -> None:
        if (piece := next(queue, None)) is not None:
            far.send(piece)

    far.on_writable = feed
    feed()
    muxer.start()
    stream = await muxer.accept_stream()
    assert await stream.read_exactly(5) == bytes(range(5))
    muxer.abort("The test is over.")
    await muxer.wait_closed()


async def test_small_writes_of_one_turn_leave_together() -> None:
    async with muxer_and_peer() as (muxer, peer):
        first, second = await opened(muxer, peer, 2)
        await asyncio.sleep(0)
        while peer.read_nowait():
            pass
        got, peer.on_readable = collector(peer)
        for stream in (first, second):
            stream.send(b"a")
            stream.send(b"b")
        await asyncio.sleep(0)
        (packet,) = got
        assert isinstance(packet, bytes)
        assert packet.endswith(data(first, b"ab") + data(second, b"ab"))


async def test_a_full_channel_costs_nothing_until_it_drains(monkeypatch: pytest.MonkeyPatch) -> None:
    async with muxer_and_peer() as (muxer, peer):
        streams = await opened(muxer, peer, 4)
        for stream in streams:
            stream.send(bytes(limits.YAMUX_INITIAL_WINDOW))
        for _ in range(20):
            await asyncio.sleep(0)
        asked = 0
        original = MemoryStream.can_send

        def can_send(self: MemoryStream) -> bool:
            nonlocal asked
            asked += 1
            return original(self)

        monkeypatch.setattr(MemoryStream, "can_send", can_send)
        for _ in range(20):
            await asyncio.sleep(0)
        assert asked == 0, "or the loop would spin for as long as the peer does not read"
        received = 0
        while received < 4 * limits.YAMUX_INITIAL_WINDOW:
            received += len(await asyncio.wait_for(peer.read(), 5))


async def test_what_the_window_does_not_take_is_one_write_at_most() -> None:
    async with muxer_and_peer() as (muxer, peer):
        (stream,) = await opened(muxer, peer)
        assert stream.can_send()
        stream.send(bytes(limits.YAMUX_INITIAL_WINDOW + 5))
        assert not stream.can_send()
        called = []
        stream.on_writable = lambda: called.append(stream.can_send())
        peer.send(encode_header(WINDOW_UPDATE, 0, stream.stream_id, 100_000))
        while not called:
            assert await peer.read()
        stream.on_writable = None
        assert called == [True]

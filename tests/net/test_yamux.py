"""yamux over an in-memory connection: waiting, waking, ending; behaviours of the go suites in our own words."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_core.errors import (
    ConnectionLostError,
    P2PChatError,
    RemoteProtocolError,
    StreamClosedError,
    StreamLimitError,
    StreamResetError,
)
from p2pchat_core.net.memory import memory_pair
from p2pchat_core.net.yamux import YamuxMuxer
from p2pchat_core.wire.yamux_frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    FrameDecoder,
    FrameHeader,
    encode_header,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from p2pchat_core.net.stream import ByteStream, Stream

WINDOW = limits.YAMUX_INITIAL_WINDOW


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


class Peer:
    """The other end of a connection, played frame by frame."""

    def __init__(self, channel: ByteStream) -> None:
        self.channel = channel
        self._decoder = FrameDecoder()
        self._items: list[FrameHeader | bytes] = []

    async def say(self, type_: int, flags: int, stream_id: int, length: int, payload: bytes = b"") -> None:
        await self.channel.write(encode_header(type_, flags, stream_id, length) + payload)

    async def hear(self) -> FrameHeader:
        """Return the next header that is no ping, passing over payload."""
        while True:
            while not self._items:
                data = await self.channel.read()
                if not data:
                    raise EOFError
                self._items = [
                    bytes(item) if isinstance(item, memoryview) else item for item in self._decoder.feed(data)
                ]
            item = self._items.pop(0)
            if isinstance(item, FrameHeader) and item.type != PING:
                return item


@asynccontextmanager
async def muxers(*, max_read: int | None = None) -> AsyncIterator[tuple[YamuxMuxer, YamuxMuxer]]:
    """A client and a server, started and joined; closed in the end, leaving no task behind."""
    tasks = asyncio.all_tasks()
    left, right = memory_pair(max_read=max_read)
    client, server = YamuxMuxer(left, client=True), YamuxMuxer(right, client=False)
    client.start()
    server.start()
    try:
        yield client, server
    finally:
        await asyncio.gather(client.close(), server.close())
        assert asyncio.all_tasks() == tasks


@asynccontextmanager
async def against_peer(clock: FakeClock | None = None) -> AsyncIterator[tuple[YamuxMuxer, Peer]]:
    """A server whose client is played by the test."""
    tasks = asyncio.all_tasks()
    left, right = memory_pair()
    muxer = YamuxMuxer(left, client=False, clock=clock)
    muxer.start()
    try:
        yield muxer, Peer(right)
    finally:
        muxer.abort("The test is over.")
        await muxer.wait_closed()
        assert asyncio.all_tasks() == tasks


async def connect(client: YamuxMuxer, server: YamuxMuxer) -> tuple[Stream, Stream]:
    opened = await client.open_stream()
    return opened, await server.accept_stream()


async def read_all(stream: Stream) -> bytes:
    parts = []
    while data := await stream.read():
        parts.append(data)
    return b"".join(parts)


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(50):
        await asyncio.sleep(0)


# --- reading and writing ----------------------------------------------------------------------------------


async def test_question_and_answer_with_half_close() -> None:
    async with muxers() as (client, server):
        ours, theirs = await connect(client, server)
        assert (ours.stream_id, theirs.stream_id) == (1, 1)
        await ours.write(b"question")
        await ours.close_write()
        assert await read_all(theirs) == b"question"
        assert await theirs.read() == b""
        await theirs.write(b"answer")
        await theirs.close()
        assert await ours.read(3) == b"ans"
        assert await read_all(ours) == b"wer"
        assert await ours.read() == b""
        await ours.close()


@pytest.mark.parametrize("max_read", [None, 1, 7, 1000])
async def test_both_sides_open_and_exchange_in_any_pieces(max_read: int | None) -> None:
    size = 1_000_000 if max_read is None else 3000
    async with muxers(max_read=max_read) as (client, server):

        async def echo(muxer: YamuxMuxer) -> None:
            stream = await muxer.accept_stream()
            while data := await stream.read():
                await stream.write(data)
            await stream.close()

        async def send(muxer: YamuxMuxer, seed: bytes) -> None:
            data = hashlib.shake_128(seed).digest(size)
            stream = await muxer.open_stream()

            async def write() -> None:
                await stream.write(data)
                await stream.close_write()

            _, received = await asyncio.gather(write(), read_all(stream))
            assert received == data

        await asyncio.gather(echo(client), echo(server), send(client, b"client"), send(server, b"server"))


async def test_many_streams_at_once() -> None:
    async with muxers() as (client, server):

        async def echo_all() -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(200):
                    group.create_task(echo(await server.accept_stream()))

        async def echo(stream: Stream) -> None:
            await stream.write(await read_all(stream))
            await stream.close()

        async def ask(number: int) -> None:
            stream = await client.open_stream()
            await stream.write(b"%d" % number * 1000)
            await stream.close_write()
            assert await read_all(stream) == b"%d" % number * 1000
            await stream.close()

        await asyncio.gather(echo_all(), *(ask(number) for number in range(200)))
        await settle()
        assert not client._streams
        assert not server._streams


async def test_hundred_streams_one_after_the_other() -> None:
    async with muxers() as (client, server):
        for _ in range(100):
            ours, theirs = await connect(client, server)
            await ours.write(b"x")
            assert await theirs.read() == b"x"
            await ours.close()
            await theirs.close()
        await settle()
        assert not client._streams
        assert not server._streams


async def test_unread_bytes_come_first() -> None:
    async with muxers() as (client, server):
        ours, theirs = await connect(client, server)
        await ours.write(b"world")
        await ours.close_write()
        theirs.unread(b"lo ")
        theirs.unread(b"hel")
        assert await theirs.read(2) == b"he"
        assert await theirs.read_exactly(9) == b"llo world"
        with pytest.raises(RemoteProtocolError):
            await theirs.read_exactly(1)


async def test_writer_waits_for_the_reader_and_is_woken() -> None:
    async with muxers() as (client, server):
        ours, theirs = await connect(client, server)
        writing = asyncio.ensure_future(ours.write(bytes(2 * WINDOW)))
        await settle()
        assert not writing.done()
        await theirs.read_exactly(2 * WINDOW)
        await writing


async def test_window_update_arrives_while_writing() -> None:
    async with muxers() as (client, server):
        ours, theirs = await connect(client, server)

        async def talk(stream: Stream) -> int:
            received = 0
            writing = asyncio.ensure_future(stream.write(bytes(5 * WINDOW)))
            while received < 5 * WINDOW:
                received += len(await stream.read(1000))
            await writing
            return received

        assert set(await asyncio.gather(talk(ours), talk(theirs))) == {5 * WINDOW}


async def test_a_reader_that_stops_does_not_stop_the_others() -> None:
    async with muxers() as (client, server):
        stuck, never_read = await connect(client, server)
        writing = asyncio.ensure_future(stuck.write(bytes(4 * WINDOW)))
        await settle()
        ours, theirs = await connect(client, server)
        for _ in range(3):
            await asyncio.gather(ours.write(bytes(WINDOW)), theirs.read_exactly(WINDOW))
        assert not writing.done()
        never_read.abort()
        with pytest.raises(StreamResetError):
            await writing


async def test_written_buffer_may_be_reused() -> None:
    async with muxers() as (client, server):
        ours, theirs = await connect(client, server)
        buffer = bytearray(b"first")
        await ours.write(buffer)  # type: ignore[arg-type]
        buffer[:] = b"other"
        assert await theirs.read_exactly(5) == b"first"


async def test_writing_nothing_is_fine() -> None:
    async with muxers() as (client, server):
        ours, theirs = await connect(client, server)
        await ours.write(b"")
        await ours.write(b"x")
        assert await theirs.read() == b"x"


# --- ending a stream --------------------------------------------------------------------------------------


async def test_after_close_nothing_works_and_nothing_raises_twice() -> None:
    async with muxers() as (client, server):
        ours, _ = await connect(client, server)
        await ours.close()
        await ours.close()
        await ours.close_write()
        with pytest.raises(StreamClosedError):
            await ours.read()
        with pytest.raises(StreamClosedError):
            await ours.write(b"x")
        ours.abort()
        ours.reset()


async def test_close_write_leaves_reading() -> None:
    async with muxers() as (client, server):
        ours, theirs = await connect(client, server)
        await ours.close_write()
        await ours.close_write()
        with pytest.raises(StreamClosedError):
            await ours.write(b"x")
        await theirs.write(b"still")
        assert await ours.read() == b"still"


async def test_close_swallows_what_still_comes_and_frees_both_sides() -> None:
    async with muxers() as (client, server):
        ours, theirs = await connect(client, server)
        await ours.close()
        await theirs.write(bytes(10 * WINDOW))
        await theirs.close()
        await settle()
        assert not client._streams
        assert not server._streams


async def test_reset_is_seen_by_reader_and_writer() -> None:
    async with muxers() as (client, server):
        ours, theirs = await connect(client, server)
        reading = asyncio.ensure_future(theirs.read())
        writing = asyncio.ensure_future(theirs.write(bytes(2 * WINDOW)))
        await settle()
        ours.abort()
        for waiting in (reading, writing):
            with pytest.raises(StreamResetError, match="remote side reset"):
                await waiting
        with pytest.raises(StreamResetError, match="on this side"):
            await ours.read()
        with pytest.raises(StreamResetError):
            await ours.write(b"x")
        with pytest.raises(StreamResetError):
            await ours.close_write()
        await ours.close()
        await theirs.close()
        await settle()
        assert not client._streams
        assert not server._streams


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_ending_a_stream_wakes_our_own_tasks(end: str) -> None:
    async with muxers() as (client, server):
        ours, _ = await connect(client, server)
        reading = asyncio.ensure_future(ours.read())
        writing = asyncio.ensure_future(ours.write(bytes(2 * WINDOW)))
        await settle()
        if end == "close":
            await ours.close()
        else:
            ours.abort()
        for waiting in (reading, writing):
            with pytest.raises(StreamClosedError if end == "close" else StreamResetError):
                await waiting


async def test_giving_up_what_both_sides_have_ended_and_nobody_read() -> None:
    async with muxers() as (client, server):
        ours, theirs = await connect(client, server)
        await theirs.write(b"never read")
        await theirs.close_write()
        await ours.close_write()
        await settle()
        assert list(client._streams) == [ours.stream_id]
        ours.abort()
        with pytest.raises(StreamResetError, match="on this side"):
            await ours.read()
        assert not client._streams
        ours, theirs = await connect(client, server)
        await ours.write(b"goes on")
        assert await theirs.read() == b"goes on"


async def test_giving_up_a_stream_while_its_end_goes_out() -> None:
    """The session has let go of it already when the other side, called in the same turn, makes us reset it."""
    async with muxers() as (client, server):
        ours, theirs = await connect(client, server)
        await theirs.close_write()
        assert await ours.read() == b""
        told: list[bool] = []

        def give_up() -> None:
            told.append(ours.stream_id in client._streams)
            ours.abort()

        theirs.on_readable = give_up
        await ours.close_write()
        await settle()
        assert told[0], "the end was not told yet"
        assert not client.closed
        assert not server.closed
        assert not client._streams


async def test_a_stream_that_the_peer_never_ends_is_forgotten() -> None:
    clock = FakeClock()
    async with against_peer(clock) as (muxer, peer):
        await peer.say(WINDOW_UPDATE, SYN, 1, 0)
        await (await muxer.accept_stream()).close()
        assert list(muxer._streams) == [1]
        clock.now += limits.YAMUX_CLOSE_LINGER
        muxer._on_timer()
        while not (await peer.hear()).flags & RST:
            pass
        assert not muxer._streams


async def test_context_closes_or_resets() -> None:
    async with muxers() as (client, server):
        ours, theirs = await connect(client, server)
        async with ours:
            await ours.write(b"bye")
        assert await read_all(theirs) == b"bye"
        ours, theirs = await connect(client, server)
        with pytest.raises(ValueError, match="oops"):
            async with ours:
                raise ValueError("oops")
        with pytest.raises(StreamResetError):
            await theirs.read()


async def test_cancelled_reader_and_writer_lose_nothing() -> None:
    async with muxers() as (client, server):
        ours, theirs = await connect(client, server)
        for coroutine in (theirs.read(), ours.write(bytes(WINDOW + 1))):
            task = asyncio.ensure_future(coroutine)
            await settle()
            task.cancel()
            await asyncio.wait([task])
        # What the window did not take when the writer was cancelled follows as well: never only a part.
        await asyncio.gather(
            ours.write(b"x"), received := asyncio.ensure_future(theirs.read_exactly(WINDOW + 2))
        )
        assert received.result() == bytes(WINDOW + 1) + b"x"


async def test_stream_reset_before_it_was_accepted_is_not_offered() -> None:
    async with muxers() as (client, server):
        (await client.open_stream()).abort()
        second = await client.open_stream()
        await settle()
        accepted = await server.accept_stream()
        assert accepted.stream_id == second.stream_id


async def test_accept_can_be_cancelled() -> None:
    async with muxers() as (client, server):
        task = asyncio.ensure_future(server.accept_stream())
        await settle()
        task.cancel()
        await asyncio.wait([task])
        opened = await client.open_stream()
        assert (await server.accept_stream()).stream_id == opened.stream_id


# --- limits -----------------------------------------------------------------------------------------------


async def test_opening_waits_for_the_ack_backlog() -> None:
    async with against_peer() as (muxer, peer):
        for number in range(limits.YAMUX_ACK_BACKLOG):
            await muxer.open_stream()
            assert (await peer.hear()).stream_id == 2 * number + 2
        opening = [asyncio.ensure_future(muxer.open_stream()) for _ in range(3)]
        await settle()
        assert not any(task.done() for task in opening)
        await peer.say(WINDOW_UPDATE, ACK, 2, 0)
        await peer.say(WINDOW_UPDATE, RST, 4, 0)
        await settle()
        assert [task.done() for task in opening] == [True, True, False]
        opening[2].cancel()


async def test_waiting_for_the_ack_backlog_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pchat_core.net.yamux.NEGOTIATION_TIMEOUT", 0.0)
    async with against_peer() as (muxer, _):
        for _ in range(limits.YAMUX_ACK_BACKLOG):
            await muxer.open_stream()
        with pytest.raises(StreamLimitError, match="does not answer"):
            await muxer.open_stream()


async def test_goodbye_of_the_peer_wakes_who_waits_to_open() -> None:
    async with against_peer() as (muxer, peer):
        for _ in range(limits.YAMUX_ACK_BACKLOG):
            await muxer.open_stream()
        opening = asyncio.ensure_future(muxer.open_stream())
        await settle()
        await peer.say(GO_AWAY, 0, 0, 0)
        with pytest.raises(ConnectionLostError, match="ending"):
            await opening


async def test_outbound_streams_are_bounded() -> None:
    async with muxers() as (client, server):
        for _ in range(limits.MAX_STREAMS_PER_CONNECTION):
            await connect(client, server)
            await settle()
        with pytest.raises(StreamLimitError):
            await client.open_stream()


# --- the end of the connection ----------------------------------------------------------------------------


async def test_close_flushes_then_says_goodbye() -> None:
    async with against_peer() as (muxer, peer):
        stream = await muxer.open_stream()
        await stream.write(bytes(200_000))
        await stream.close()
        closing = asyncio.ensure_future(muxer.close())
        heard = []
        with pytest.raises(EOFError):
            while True:
                heard.append(await peer.hear())
        assert heard[0].flags == SYN
        assert sum(header.length for header in heard if header.type == DATA) == 200_000
        assert heard[-2:] == [FrameHeader(WINDOW_UPDATE, FIN, 2, 0), FrameHeader(GO_AWAY, 0, 0, 0)]
        await closing
        assert muxer.closed


async def test_close_ends_everything_with_the_reason() -> None:
    async with muxers() as (client, server):
        ours, theirs = await connect(client, server)
        waiting = [
            asyncio.ensure_future(ours.read()),
            asyncio.ensure_future(ours.write(bytes(2 * WINDOW))),
            asyncio.ensure_future(client.accept_stream()),
        ]
        await settle()
        await client.close()
        for task in waiting:
            with pytest.raises(ConnectionLostError, match="closed on this side"):
                await task
        with pytest.raises(ConnectionLostError):
            await client.open_stream()
        with pytest.raises(ConnectionLostError):
            await ours.write(b"x")
        with pytest.raises(ConnectionLostError):
            await ours.close_write()
        await ours.close()
        assert await client.wait_closed() == "The connection was closed on this side."
        assert await theirs.read_exactly(WINDOW) == bytes(WINDOW)
        with pytest.raises(ConnectionLostError):
            await theirs.read()
        await server.wait_closed()
        await client.close()


async def test_close_does_not_wait_for_a_peer_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pchat_core.net.yamux.CLOSE_TIMEOUT", 0.01)
    async with against_peer() as (muxer, peer):
        stream = await muxer.open_stream()
        await stream.write(bytes(WINDOW))
        await muxer.close()
        with pytest.raises(P2PChatError):
            while True:
                await peer.hear()


async def test_abort_ends_everything_at_once() -> None:
    async with muxers() as (client, server):
        ours, theirs = await connect(client, server)
        await theirs.write(b"unread")
        await settle()
        client.abort("The user gave up.")
        assert client.closed
        with pytest.raises(ConnectionLostError, match="gave up"):
            await ours.read()
        ours.abort()
        await ours.close()
        assert await client.wait_closed() == "The user gave up."
        assert await server.wait_closed()
        client.abort("Another reason.")
        assert await client.wait_closed() == "The user gave up."


async def test_after_an_abort_nothing_can_be_read() -> None:
    async with muxers() as (client, server):
        pairs = [await connect(client, server) for _ in range(2)]
        for _, theirs in pairs:
            await theirs.write(b"unread")
        await settle()
        client.abort("The user gave up.")
        await pairs[0][0].close()
        with pytest.raises(ConnectionLostError, match="gave up"):
            await pairs[1][0].read()
        await server.wait_closed()
    async with against_peer() as (muxer, peer):
        await peer.say(DATA, SYN, 1, 5, b"hello")
        stream = await muxer.accept_stream()
        await peer.channel.close()
        await muxer.wait_closed()
        muxer.abort("The user gave up.")
        with pytest.raises(ConnectionLostError):
            await stream.read()


async def test_end_of_the_channel_reaches_every_stream_after_its_data() -> None:
    async with against_peer() as (muxer, peer):
        await peer.say(WINDOW_UPDATE, SYN, 1, 0)
        await peer.say(DATA, 0, 1, 5, b"hello")
        await peer.say(DATA, SYN | FIN, 3, 3, b"end")
        first, second = await muxer.accept_stream(), await muxer.accept_stream()
        await peer.channel.close()
        assert await muxer.wait_closed() == "The remote side closed the connection."
        assert await first.read() == b"hello"
        with pytest.raises(ConnectionLostError, match="closed the connection"):
            await first.read()
        assert await read_all(second) == b"end"
        with pytest.raises(ConnectionLostError):
            await second.write(b"x")
        with pytest.raises(ConnectionLostError):
            await muxer.accept_stream()
        await first.close()
        second.abort()


async def test_broken_channel_ends_the_connection() -> None:
    async with against_peer() as (muxer, peer):
        accepting = asyncio.ensure_future(muxer.accept_stream())
        await settle()
        peer.channel.abort()
        with pytest.raises(ConnectionLostError):
            await accepting
        assert await muxer.wait_closed()


async def test_protocol_error_is_answered_and_ends_the_connection() -> None:
    async with against_peer() as (muxer, peer):
        stream = await muxer.open_stream()
        assert (await peer.hear()).flags == SYN
        await peer.say(WINDOW_UPDATE, SYN, 2, 0)
        assert await peer.hear() == FrameHeader(GO_AWAY, 0, 0, 1)
        with pytest.raises(ConnectionLostError, match="a number that is ours"):
            await stream.read()
        assert "a number that is ours" in await muxer.wait_closed()


async def test_error_of_the_peer_resets_the_streams() -> None:
    async with against_peer() as (muxer, peer):
        stream = await muxer.open_stream()
        await peer.say(GO_AWAY, 0, 0, 1)
        with pytest.raises(ConnectionLostError, match="yamux error 1"):
            await stream.read()


async def test_close_and_abort_before_start() -> None:
    for end in ("close", "abort"):
        left, right = memory_pair()
        muxer = YamuxMuxer(left, client=True)
        if end == "close":
            await muxer.close()
        else:
            muxer.abort("Not wanted.")
        assert await muxer.wait_closed()
        with pytest.raises(P2PChatError):
            await right.write(b"x")


async def test_simultaneous_close() -> None:
    async with muxers() as (client, server):
        await connect(client, server)
        await asyncio.gather(client.close(), server.close(), client.close())


async def test_a_fault_of_ours_ends_the_connection_too(caplog: pytest.LogCaptureFixture) -> None:
    left, _ = memory_pair()

    def broken(max_bytes: int = 0) -> bytes:
        raise ZeroDivisionError

    left.read_nowait = broken  # type: ignore[method-assign]
    muxer = YamuxMuxer(left, client=True)
    muxer.start()
    assert "error in this program" in await muxer.wait_closed()
    assert "ZeroDivisionError" in caplog.text


# --- time -------------------------------------------------------------------------------------------------


async def test_round_trip_is_measured() -> None:
    async with muxers() as (client, server):
        assert client.rtt is None
        await settle()
        assert client.rtt is not None
        assert server.rtt is not None


async def test_silent_peer_is_given_up() -> None:
    clock = FakeClock()
    async with against_peer(clock) as (muxer, _):
        stream = await muxer.open_stream()
        await settle()
        clock.now += limits.YAMUX_PING_TIMEOUT + 1
        muxer._on_timer()  # the timer is armed by the real clock of the loop, which time has not passed for
        with pytest.raises(ConnectionLostError, match="no longer answers"):
            await stream.read()
        assert await muxer.wait_closed() == "The remote side no longer answers."


async def test_pings_of_the_peer_are_answered() -> None:
    async with against_peer() as (_, peer):
        await peer.say(PING, SYN, 0, 77)
        received = b""
        while len(received) < 24:
            received += await peer.channel.read()
        assert encode_header(PING, ACK, 0, 77) in received

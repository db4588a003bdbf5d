"""What each layer says that it holds: every buffer once, and nothing once it is empty."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_core.net.memory import memory_pair
from p2pchat_core.net.metered import MeteredStream
from p2pchat_core.net.stream import ByteStream
from p2pchat_core.net.yamux import YamuxMuxer
from p2pchat_core.wire.circuit_budget import CircuitBudget
from tests.net import test_tcp, test_websocket
from tests.net.test_noise_channel import channels

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from p2pchat_core.net.websocket_library import WebSocketEnd

PAIRS = {"tcp": test_tcp.pair, "ws": test_websocket.pair}


async def until_held(stream: ByteStream, least: int) -> int:
    async with asyncio.timeout(5):
        while stream.buffered < least:
            await asyncio.sleep(0)
    return stream.buffered


def connected(transport: str) -> AbstractAsyncContextManager[tuple[ByteStream, ByteStream]]:
    return PAIRS[transport]()


@pytest.mark.parametrize("transport", PAIRS)
async def test_what_a_socket_brought_and_nobody_read(transport: str) -> None:
    async with connected(transport) as (near, far):
        assert (near.buffered, far.buffered) == (0, 0)
        await near.write(bytes(1000))
        assert await until_held(far, 1000) == 1000
        await far.read(400)
        assert far.buffered == 600
        far.unread(bytes(50))
        assert far.buffered == 650
        far.abort()
        assert far.buffered == 0


@pytest.mark.parametrize("transport", PAIRS)
async def test_what_a_socket_does_not_take(transport: str) -> None:
    async with connected(transport) as (near, far):
        sent = 0
        while near.can_send():
            near.send(bytes(limits.READ_CHUNK))
            sent += limits.READ_CHUNK
            await asyncio.sleep(0)
        assert near.buffered > limits.TCP_WRITE_LIMIT
        assert near.buffered + far.buffered <= sent * 1.01
        near.abort()
        assert near.buffered == 0


async def test_a_message_of_which_a_part_came() -> None:
    async with test_websocket.pair() as (near, far):
        end: WebSocketEnd = near._end_point
        end.protocol.send_binary(bytes(5000))
        (message,) = end.protocol.data_to_send()
        end.transport.write(message[:3000])
        # The frame's header is taken off as soon as it is there.
        assert await until_held(far, 2980) <= 3000


async def test_a_frame_of_which_a_part_came() -> None:
    dialled, accepted, left, right = await channels()
    await dialled.write(bytes(5000))
    frame = right.read_nowait()
    assert frame is not None
    right.unread(frame[:2000])
    assert accepted.buffered == 2000
    assert accepted.read_nowait() is None
    assert (len(right._pending), accepted.buffered) == (0, 2000)
    right.unread(frame[2000:])
    assert accepted.read_nowait(1000) == bytes(1000)
    assert accepted.buffered == 4000
    assert left.buffered == 0


async def test_what_the_window_did_not_take_and_what_was_pushed_back() -> None:
    near, far = memory_pair(capacity=1 << 20)
    muxer = YamuxMuxer(near, client=True)
    muxer.start()
    try:
        stream = await muxer.open_stream()
        more = limits.YAMUX_INITIAL_WINDOW + 1000
        stream.send(bytes(more))
        assert muxer.buffered >= more
        async with asyncio.timeout(5):
            while far.buffered < limits.YAMUX_STREAM_SEND_BUFFER or muxer._session.has_output:
                await asyncio.sleep(0)
        assert muxer.buffered == 1000
        stream.unread(bytes(70))
        assert muxer.buffered == 1070
        stream.abort()
        await asyncio.sleep(0)
        assert muxer.buffered < 100
    finally:
        muxer.abort("The test is over.")
        await muxer.wait_closed()


async def test_counting_hides_nothing() -> None:
    near, far = memory_pair()
    far.send(bytes(300))
    assert MeteredStream(near, CircuitBudget(60, 1000, 0.0)).buffered == 300

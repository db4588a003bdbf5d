"""The in-memory transport keeps every promise of `ByteStream`."""

from __future__ import annotations

import asyncio

import pytest

from p2pchat_core.errors import ConnectionLostError, RemoteProtocolError, StreamClosedError, StreamResetError
from p2pchat_core.net.byte_queue import ByteQueue
from p2pchat_core.net.memory import memory_pair


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_both_directions() -> None:
    left, right = memory_pair()
    await left.write(b"ping")
    await right.write(b"pong")
    assert await right.read() == b"ping"
    assert await left.read() == b"pong"


async def test_reading_waits() -> None:
    left, right = memory_pair()
    reading = asyncio.create_task(right.read())
    await settle()
    assert not reading.done()
    await left.write(b"late")
    assert await reading == b"late"


async def test_pieces() -> None:
    left, right = memory_pair(max_read=2)
    await left.write(b"hello")
    assert [await right.read(3), await right.read(1), await right.read(100)] == [b"he", b"l", b"lo"]


async def test_unread() -> None:
    left, right = memory_pair()
    await left.write(b"hello")
    assert await right.read(3) == b"hel"
    right.unread(b"hel")
    assert await right.read_exactly(5) == b"hello"


async def test_a_writer_waits_for_the_reader() -> None:
    left, right = memory_pair(capacity=4)
    writing = asyncio.create_task(left.write(b"too much"))
    await settle()
    assert not writing.done()
    assert await right.read_exactly(4) == b"too "
    await writing
    assert await right.read() == b"much"


async def test_close_is_the_end_after_what_was_written() -> None:
    left, right = memory_pair()
    await left.write(b"bye")
    await left.close()
    await left.close()
    assert await right.read() == b"bye"
    assert await right.read() == b""
    assert await right.read() == b""
    with pytest.raises(ConnectionLostError):
        await right.write(b"?")
    with pytest.raises(StreamClosedError):
        await left.read()
    with pytest.raises(StreamClosedError):
        await left.write(b"?")


async def test_close_wakes_everyone() -> None:
    left, right = memory_pair(capacity=1)
    their_write = asyncio.create_task(right.write(b"1234"))
    their_read = asyncio.create_task(right.read())
    await settle()
    await left.close()
    with pytest.raises(ConnectionLostError):
        await their_write
    assert await their_read == b""


async def test_close_wakes_our_own_reader() -> None:
    left, _right = memory_pair()
    reading = asyncio.create_task(left.read())
    await settle()
    await left.close()
    with pytest.raises(StreamClosedError):
        await reading


async def test_abort_resets_both_ends() -> None:
    left, right = memory_pair(capacity=1)
    await left.write(b"1")
    their_write = asyncio.create_task(right.write(b"1234"))
    await settle()
    left.abort()
    left.abort()
    for use in (their_write, right.read(), right.write(b"?"), left.read(), left.write(b"?")):
        with pytest.raises(StreamResetError):
            await use


async def test_an_end_that_comes_too_early() -> None:
    left, right = memory_pair()
    await left.write(b"hel")
    await left.close()
    with pytest.raises(RemoteProtocolError, match="2 bytes"):
        await right.read_exactly(5)


def test_byte_queue() -> None:
    queue = ByteQueue()
    queue.append(b"hello")
    queue.append(b"")
    queue.append(b"world")
    assert len(queue) == 10
    assert queue.take(3) == b"hel"
    queue.push_front(b"HEL")
    assert queue.take(7) == b"HELlowo"
    assert queue.take(0) == b""
    assert queue.take(100) == b"rld"
    assert queue.take(1) == b""
    queue.append(b"x")
    queue.clear()
    assert len(queue) == 0
    assert queue.take(1) == b""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat_core.errors import ConnectionLostError, StreamResetError
from p2pchat_core.limits import KIB
from p2pchat_relay.limits import SPLICE_CHUNK
from p2pchat_relay.splice import End, SpliceResult, splice
from tests.relay_server.fakes import FakeStream, stream_pair


class Circuit:
    """Two peers, each with a stream to the relay, which splices them."""

    def __init__(self, *, capacity: int = 64 * KIB, **limits: Any) -> None:
        self.near_source, self.source = stream_pair(capacity)
        self.near_target, self.target = stream_pair(capacity)
        self.task = asyncio.ensure_future(splice(self.near_source, self.near_target, **limits))

    async def result(self) -> SpliceResult:
        return await asyncio.wait_for(self.task, 10)


async def read_all(stream: FakeStream) -> bytes:
    parts = []
    while data := await stream.read():
        parts.append(data)
    return b"".join(parts)


async def test_both_directions_then_half_closes() -> None:
    circuit = Circuit()
    await circuit.source.write(b"question")
    await circuit.source.close_write()
    assert await read_all(circuit.target) == b"question"
    # The source has ended its side only: the answer still comes.
    await circuit.target.write(b"the answer")
    await circuit.target.close_write()
    assert await read_all(circuit.source) == b"the answer"
    assert await circuit.result() == SpliceResult(End.CLOSED, 8, 10)
    assert not circuit.source.aborted
    assert not circuit.target.aborted


async def test_what_comes_goes_on_in_the_same_turn() -> None:
    circuit = Circuit()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    circuit.source.send(b"question")
    assert circuit.target.read_nowait() == b"question"
    circuit.target.send(b"answer")
    assert circuit.source.read_nowait() == b"answer"
    circuit.source.abort()
    await circuit.result()


async def test_what_came_right_behind_the_handshake_goes_first() -> None:
    near_source, source = stream_pair()
    near_target, target = stream_pair()
    near_source.unread(b"mss header of the source, ")
    near_target.unread(b"mss header of the target, ")
    task = asyncio.ensure_future(splice(near_source, near_target))
    await source.write(b"more")
    await target.write(b"more")
    await source.close_write()
    await target.close_write()
    assert await read_all(target) == b"mss header of the source, more"
    assert await read_all(source) == b"mss header of the target, more"
    assert (await asyncio.wait_for(task, 10)).to_target == 30


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("how", ["abort", "lose"])
async def test_a_side_that_breaks_takes_the_other_with_it(side: str, how: str) -> None:
    circuit = Circuit()
    await circuit.source.write(b"hello")
    assert await circuit.target.read() == b"hello"
    broken: FakeStream = getattr(circuit, side)
    other = circuit.target if side == "source" else circuit.source
    getattr(broken, how)()
    assert await circuit.result() == SpliceResult(End.BROKEN, 5, 0)
    with pytest.raises((StreamResetError, ConnectionLostError)):
        await other.read()


async def test_a_side_that_breaks_after_the_other_ended() -> None:
    circuit = Circuit()
    await circuit.source.close_write()
    assert await circuit.target.read() == b""
    circuit.target.abort()
    assert (await circuit.result()).end is End.BROKEN
    assert circuit.source.aborted


async def test_cancelling_resets_both() -> None:
    circuit = Circuit()
    await asyncio.sleep(0)
    circuit.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await circuit.task
    assert circuit.source.aborted
    assert circuit.target.aborted


async def test_the_time_limit_resets_both() -> None:
    circuit = Circuit(seconds=0.01)
    await circuit.source.write(b"hello")
    assert await circuit.result() == SpliceResult(End.TIME, 5, 0)
    assert circuit.source.aborted
    assert circuit.target.aborted


async def test_the_byte_limit_is_per_direction_and_exact() -> None:
    circuit = Circuit(max_bytes=100)
    await circuit.source.write(bytes(100))
    await circuit.target.write(bytes(100))
    assert await circuit.target.read_exactly(100) == bytes(100)
    assert await circuit.source.read_exactly(100) == bytes(100)
    assert not circuit.task.done()
    await circuit.source.write(b"x")
    assert await circuit.result() == SpliceResult(End.BYTES, 100, 100)
    assert circuit.target.received == 100
    assert circuit.source.aborted
    assert circuit.target.aborted


async def test_a_chunk_across_the_byte_limit_is_delivered_up_to_it() -> None:
    circuit = Circuit(max_bytes=100)
    await circuit.source.write(bytes(1000))
    assert await circuit.result() == SpliceResult(End.BYTES, 100, 0)
    assert circuit.target.received == 100


async def test_exactly_the_limit_and_then_the_end_is_no_cut() -> None:
    circuit = Circuit(max_bytes=100)
    for stream in (circuit.source, circuit.target):
        await stream.write(bytes(100))
        await stream.close_write()
    assert await circuit.result() == SpliceResult(End.CLOSED, 100, 100)


async def test_a_reader_that_stops_stops_its_sender_only() -> None:
    circuit = Circuit(capacity=SPLICE_CHUNK)
    sender = asyncio.ensure_future(circuit.source.write(bytes(10 * SPLICE_CHUNK)))
    for _ in range(200):
        await asyncio.sleep(0)
    # One chunk is on its way in the relay; beyond that the target has a window, and the rest waits at the
    # sender.
    assert circuit.target.received <= 2 * SPLICE_CHUNK
    assert not sender.done()
    await circuit.target.write(b"still talking")
    assert await asyncio.wait_for(circuit.source.read(), 5) == b"still talking"
    assert len(await circuit.target.read_exactly(10 * SPLICE_CHUNK)) == 10 * SPLICE_CHUNK
    await asyncio.wait_for(sender, 5)
    circuit.source.abort()
    assert (await circuit.result()).to_target == 10 * SPLICE_CHUNK


async def test_a_circuit_on_which_nothing_moves_is_cut() -> None:
    circuit = Circuit(idle_seconds=0.01)
    assert await circuit.result() == SpliceResult(End.IDLE, 0, 0)
    assert circuit.source.aborted
    assert circuit.target.aborted


async def test_a_reader_that_never_reads_is_idle_too() -> None:
    circuit = Circuit(idle_seconds=0.02, capacity=100)
    sender = asyncio.ensure_future(circuit.source.write(bytes(10 * SPLICE_CHUNK)))
    assert (await circuit.result()).end is End.IDLE
    with pytest.raises(StreamResetError):
        await sender


async def test_either_direction_keeps_it_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = Circuit(idle_seconds=10)
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    real, ahead = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: real() + ahead)
    for turn in range(6):
        ahead += 8.0
        sender, reader = (circuit.source, circuit.target) if turn % 2 else (circuit.target, circuit.source)
        await sender.write(b"x")
        assert await reader.read() == b"x"
        for _ in range(5):
            await asyncio.sleep(0)
        assert not circuit.task.done()
    ahead += 10.1
    assert (await circuit.result()).end is End.IDLE


async def test_idle_and_time_are_told_apart() -> None:
    circuit = Circuit(idle_seconds=100, seconds=0.01)
    assert (await circuit.result()).end is End.TIME


async def test_who_is_too_fast_waits() -> None:
    spent: list[int] = []
    waits = [0.0, 0.01, 0.0]

    def spend(count: int) -> float:
        spent.append(count)
        return waits.pop(0)

    circuit = Circuit(spend=spend)
    await circuit.source.write(b"one")
    assert await circuit.target.read() == b"one"
    await circuit.source.write(b"two!")
    for _ in range(5):
        await asyncio.sleep(0)
    assert circuit.target.received == 3, "it waits"
    assert await circuit.target.read() == b"two!"
    await circuit.target.write(b"three")
    assert await circuit.source.read() == b"three"
    assert spent == [3, 4, 5]
    circuit.source.abort()
    await circuit.result()


@given(
    there=st.lists(st.binary(max_size=300), max_size=12),
    back=st.lists(st.binary(max_size=300), max_size=12),
    capacity=st.integers(1, 400),
)
@settings(max_examples=40, deadline=None)
def test_nothing_is_lost_or_reordered(there: list[bytes], back: list[bytes], capacity: int) -> None:
    async def send(stream: FakeStream, parts: list[bytes]) -> None:
        for part in parts:
            await stream.write(part)
        await stream.close_write()

    async def run() -> None:
        circuit = Circuit(capacity=capacity)
        arrived, returned, *_ = await asyncio.gather(
            read_all(circuit.target),
            read_all(circuit.source),
            send(circuit.source, there),
            send(circuit.target, back),
        )
        assert arrived == b"".join(there)
        assert returned == b"".join(back)
        assert await circuit.result() == SpliceResult(End.CLOSED, len(arrived), len(returned))

    asyncio.run(run())

"""Nothing stays behind: the runs of ``python -m tests.soak`` in short, and whether they would notice."""

from __future__ import annotations

import asyncio
import gc
import socket
import time

import pytest

from tests.soak.census import take_census
from tests.soak.runs import run
from tests.soak.skipping_loop import LoopClock, run_skipping


@pytest.mark.process
@pytest.mark.timeout(300)
def test_nothing_stays_behind_after_connecting_and_hanging_up() -> None:
    found = run("cycles", cycles=10, hours=0)
    assert found.left == {}
    assert found.after.tasks.total() > 10  # it does see tasks, those of the relay and of two programs
    assert found.after.objects["p2pchat_core.net.connection.Connection"] >= 4  # two programs at a relay


@pytest.mark.process
@pytest.mark.timeout(300)
def test_nothing_stays_behind_after_idle_hours() -> None:
    found = run("idle", cycles=0, hours=0.2)
    assert found.left == {}
    assert found.after.objects["p2pchat_core.net.webrtc.muxer.DataChannelMuxer"] == 2


async def test_a_census_sees_what_is_left() -> None:
    before = take_census()

    async def linger() -> None:
        await asyncio.sleep(1000)

    task = asyncio.create_task(linger())
    await asyncio.sleep(0)
    with socket.socket():
        grown = take_census().more_than(before)
        assert grown["file socket"] == 1
    assert grown[f"task {linger.__qualname__}"] == 1
    assert grown["timer"] == 1
    assert grown["object asyncio.Task"] == 1
    task.cancel()
    await asyncio.wait([task])
    del task
    gc.collect()
    assert take_census().more_than(before) == {}


def test_a_skipping_loop_waits_for_sockets_and_threads_only() -> None:
    async def main(clock: LoopClock) -> list[str]:
        order: list[str] = []
        near, far = socket.socketpair()
        near.setblocking(False)
        began = clock.monotonic(), clock.time()

        async def read() -> None:
            order.append((await asyncio.get_running_loop().sock_recv(near, 5)).decode())

        async def work() -> None:
            await asyncio.to_thread(time.sleep, 0.05)
            order.append("thread")

        tasks = [asyncio.create_task(read()), asyncio.create_task(work())]
        await asyncio.sleep(0)
        far.send(b"bytes")
        await asyncio.sleep(3600)
        order.append("hour")
        await asyncio.gather(*tasks)
        assert clock.monotonic() - began[0] == pytest.approx(3600)
        assert clock.time() - began[1] == pytest.approx(3600)
        far.close()
        near.close()
        return order

    assert run_skipping(main) == ["bytes", "thread", "hour"]

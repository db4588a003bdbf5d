from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from p2pchat_core.errors import UnsupportedProtocolError
from p2pchat_core.net.connection import CircuitLimit, Kind
from p2pchat_core.net.liveness import Liveness, LivenessConfig
from p2pchat_core.net.ping import ping, serve_ping
from p2pchat_core.wire.ping import PING_PROTOCOL
from tests.support.hosts import link, running_hosts

if TYPE_CHECKING:
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.host import Host
    from p2pchat_core.net.stream import Stream

QUICK = LivenessConfig(0.01, 0.05, 0.01, 0.05)
NEVER = 3600.0


async def say_nothing(stream: Stream) -> None:
    await stream.read()
    await asyncio.Event().wait()


class CountedPings:
    """Answers pings, and counts them."""

    def __init__(self, host: Host) -> None:
        serve_ping(host)
        registration = host.registry.get(PING_PROTOCOL)
        assert registration is not None
        self._answer = registration.handler
        self.count = asyncio.Semaphore(0)
        host.handle(PING_PROTOCOL, self._count)

    async def _count(self, stream: Stream) -> None:
        self.count.release()
        await self._answer(stream)


async def test_a_peer_without_ping_is_alive() -> None:
    async with running_hosts(2) as (a, b):
        Liveness(a, QUICK)
        near, _ = await link(a, b)
        with pytest.raises(UnsupportedProtocolError):
            await ping(near, a.clock)
        for _ in range(5):
            await asyncio.sleep(QUICK.interval)
        assert not near.closed


async def test_a_silent_peer_is_given_up() -> None:
    async with running_hosts(2) as (a, b):
        b.handle(PING_PROTOCOL, say_nothing)
        Liveness(a, QUICK)
        near, _ = await link(a, b)
        assert await near.wait_closed() == "The peer stopped answering."


async def test_a_connection_in_use_is_asked_more_often() -> None:
    async with running_hosts(2) as (a, b):
        pings = CountedPings(b)
        liveness = Liveness(a, LivenessConfig(NEVER, 20.0, 0.001, 20.0))
        liveness.busy = lambda _: True
        await link(a, b)
        async with asyncio.timeout(20):
            for _ in range(5):
                await pings.count.acquire()


async def test_in_doubt_everyone_is_asked_at_once() -> None:
    async with running_hosts(3) as (a, b, c):
        counts = [CountedPings(b), CountedPings(c)]
        liveness = Liveness(a, LivenessConfig(NEVER, 20.0, NEVER, 20.0))
        await link(a, b)
        await link(c, a)
        await asyncio.sleep(0.01)
        liveness.check_now()
        async with asyncio.timeout(20):
            for pings in counts:
                await pings.count.acquire()


@pytest.mark.parametrize("excuse", ["we stood still", "something else came"])
async def test_silence_that_means_nothing(excuse: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_hosts(2) as (a, b):
        asked = 0
        near: Connection

        async def first_nothing(stream: Stream) -> None:
            nonlocal asked
            asked += 1
            if asked == 1:
                if excuse == "something else came":
                    near.heard_at = a.clock.monotonic() + 1
                else:
                    before = a.clock.monotonic
                    monkeypatch.setattr(a.clock, "monotonic", lambda: before() + 60.0)
                await say_nothing(stream)
            finished.set()
            await asyncio.Event().wait()

        finished = asyncio.Event()
        b.handle(PING_PROTOCOL, first_nothing)
        Liveness(a, QUICK)
        near, _ = await link(a, b)
        async with asyncio.timeout(20):
            await finished.wait()
        assert asked == 2


async def test_a_silent_path_is_told_and_kept_while_the_peer_answers_on_another() -> None:
    async with running_hosts(2) as (a, b):
        near, far = await link(a, b)
        good, _ = await link(a, b)

        async def deaf_on_one(stream: Stream) -> None:
            if stream.connection is far and deaf:
                await say_nothing(stream)
            await answer(stream)

        deaf = True
        serve_ping(b)
        registration = b.registry.get(PING_PROTOCOL)
        assert registration is not None
        answer = registration.handler
        b.handle(PING_PROTOCOL, deaf_on_one)
        liveness = Liveness(a, LivenessConfig(0.01, 0.05, 0.01, 0.05, 0.05, keep=3600.0))
        for connection in (near, good):
            liveness._connected(connection)
        changes: asyncio.Queue[Connection] = asyncio.Queue()
        liveness.on_change.append(changes.put_nowait)
        async with asyncio.timeout(20):
            while near.silent_since is None:
                await changes.get()
            assert not near.closed
            good.abort("The other is gone too.")
            assert await near.wait_closed() == "The peer stopped answering."


async def test_how_long_a_silent_path_in_use_is_kept() -> None:
    async with running_hosts(3) as (a, b, c):
        config = LivenessConfig(NEVER, NEVER, NEVER, 3.5, keep=10.0)
        liveness = Liveness(a, config)
        used: set[Connection] = set()
        liveness.busy = used.__contains__
        near, _ = await link(a, b)
        used.add(near)
        beat = liveness._beats[near]
        beat.asked = a.clock.monotonic() + 1
        assert liveness._last_chance(near) == 3.5, (
            "there is nobody else who could show that our network works"
        )
        other, _ = await link(a, c)
        liveness._beats[other].asked = beat.asked
        assert liveness._last_chance(near) == 3.5, "others that are seldom asked show nothing"
        used.add(other)
        assert liveness._last_chance(near) == 10.0, "nobody answers: our network is gone"
        liveness._beats[other].asked = None
        assert liveness._last_chance(near) == 3.5, "others answer: the peer is gone"
        liveness.patient = used.__contains__
        assert liveness._last_chance(near) == 10.0


async def test_a_late_answer_is_told_of_paths_in_use() -> None:
    async with running_hosts(2) as (a, b):
        b.handle(PING_PROTOCOL, say_nothing)
        liveness = Liveness(a, LivenessConfig(NEVER, NEVER, 0.01, NEVER, NEVER))
        doubts: asyncio.Queue[Connection] = asyncio.Queue()
        liveness.on_doubt.append(doubts.put_nowait)
        liveness.busy = lambda _: True
        near, _ = await link(a, b)
        async with asyncio.timeout(20):
            assert await doubts.get() is near
        assert near.silent_since is None


async def test_a_silent_path_that_answers_again_is_used_again() -> None:
    async with running_hosts(2) as (a, b):
        near, _ = await link(a, b)
        liveness = Liveness(a, LivenessConfig(NEVER, NEVER, NEVER, NEVER))
        liveness._connected(near)
        changes: asyncio.Queue[Connection] = asyncio.Queue()
        liveness.on_change.append(changes.put_nowait)
        beat = liveness._beats[near]
        near.silent_since = beat.asked = near.heard_at + 0.001
        serve_ping(b)
        await asyncio.sleep(0.002)
        await liveness._ping(near, beat)
        assert changes.get_nowait() is near
        assert near.silent_since is None


@pytest.mark.parametrize(
    ("limit", "pace"),
    [
        (None, 1.25),
        (CircuitLimit(None, None), 1.25),
        (CircuitLimit(1800, 16 * 2**20), 1.25),
        (CircuitLimit(120, 131072), 5.0),
        (CircuitLimit(100, 400_000), 2.0),
        (CircuitLimit(None, 131072), 5.0),
    ],
)
async def test_pings_spare_the_bytes_of_a_circuit(limit: CircuitLimit | None, pace: float) -> None:
    async with running_hosts(2) as (a, b):
        liveness = Liveness(a)
        near, _ = await link(a, b, kind=Kind.CIRCUIT, limit=limit)
        assert liveness._pace(near) == pace


def test_a_path_in_use_is_left_within_five_seconds_of_its_death() -> None:
    config = LivenessConfig()
    assert config.busy_interval + config.busy_timeout < 5.0

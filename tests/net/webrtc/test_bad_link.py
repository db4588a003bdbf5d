"""Whatever a link does, everything arrives, once and in order: ours to ours, and to and from the unchanged library."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from aiortc import RTCDataChannel, RTCDataChannelParameters, RTCSctpCapabilities, RTCSctpTransport
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat_core.limits import SCTP_RTO_MAX
from p2pchat_core.net.webrtc.sctp_channels import GuardedSctp
from tests.net.webrtc.bad_link import Link, LinkEnd, VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

LONGEST = 900.0
PATIENCE = 60.0


class Ours:
    """Our association."""

    def __init__(self, end: LinkEnd) -> None:
        self.received: dict[str, list[bytes]] = {}
        self.lost: list[str] = []
        self.up = asyncio.Event()
        self._tasks: list[asyncio.Task[Any]] = []
        self.sctp = GuardedSctp(
            end,  # type: ignore[arg-type]
            port=5000,
            on_established=self.up.set,
            on_channel=self._watch,
            on_lost=self.lost.append,
            spawn=self._spawn,
        )

    def open(self, label: str) -> Any:
        channel = self.sctp.open_channel(label)
        self._watch(channel)
        return channel

    async def ready(self) -> None:
        await self.up.wait()

    def _watch(self, channel: Any) -> None:
        messages = self.received.setdefault(channel.label, [])

        def message(data: bytes) -> None:
            messages.append(data)
            self.sctp.consumed(len(data))

        channel.on_message = message

    def _spawn(self, coro: Coroutine[Any, Any, object], name: str) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(coro))


class Librarys:
    """The library's association, as it is."""

    def __init__(self, end: LinkEnd) -> None:
        self.received: dict[str, list[bytes]] = {}
        self.lost: list[str] = []
        self.sctp = RTCSctpTransport(end, 5000)  # type: ignore[arg-type]
        self.sctp.on("datachannel", self._watch)

    def open(self, label: str) -> Any:
        channel = RTCDataChannel(self.sctp, RTCDataChannelParameters(label=label))
        self._watch(channel)
        return channel

    async def ready(self) -> None:
        while self.sctp.state != "connected":
            await asyncio.sleep(0.1)

    def _watch(self, channel: Any) -> None:
        channel.on("message", self.received.setdefault(channel.label, []).append)


async def exchange(
    link: Link, kinds: tuple[Callable[[LinkEnd], Any], Callable[[LinkEnd], Any]], messages: list[bytes]
) -> tuple[Any, Any]:
    """Send `messages` over a channel that each side opens, and wait until both have everything."""
    sides = [kind(end) for kind, end in zip(kinds, link.pair(), strict=True)]
    for side in sides:
        await side.sctp.start(RTCSctpCapabilities(maxMessageSize=262144), 5000)
    for side, label in zip(sides, ("left", "right"), strict=True):
        await side.ready()
        channel = side.open(label)
        while channel.readyState != "open":
            await asyncio.sleep(0.1)
        for message in messages:
            channel.send(message)
    async with asyncio.timeout(LONGEST):
        while (sides[0].received.get("right"), sides[1].received.get("left")) != (messages, messages):
            await asyncio.sleep(0.5)
            for side, label in zip(sides, ("right", "left"), strict=True):
                arrived = side.received.get(label, [])
                assert arrived == messages[: len(arrived)]
    # Whatever is still under way must change nothing.
    await asyncio.sleep(PATIENCE)
    assert (sides[0].received["right"], sides[1].received["left"]) == (messages, messages)
    for side in sides:
        assert side.lost == []
        await side.sctp.stop()
    return sides[0], sides[1]


def run(coro: Coroutine[Any, Any, Any]) -> Any:
    """Run on a clock of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coro)


def some_messages(random: Random, count: int) -> list[bytes]:
    """Small and large ones."""
    return [random.randbytes(random.choice((1, 100, 1104, 1105, 5000, 16384))) for _ in range(count)]


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param((Ours, Ours), id="ours and ours"),
        pytest.param((Ours, Librarys), id="ours and the library's"),
        pytest.param((Librarys, Ours), id="the library's and ours"),
    ],
)
@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    loss=st.sampled_from((0.0, 0.01, 0.05, 0.2)),
    doubled=st.sampled_from((0.0, 0.1)),
    jitter=st.sampled_from((0.0, 0.002, 0.03)),
)
def test_everything_arrives_once_and_in_order(
    kinds: Any, seed: int, loss: float, doubled: float, jitter: float
) -> None:
    random = Random(seed)
    link = Link(random, loss, doubled, jitter=jitter)
    run(exchange(link, kinds, some_messages(random, 40)))


def test_without_loss_nothing_is_sent_twice() -> None:
    random = Random(1)
    link = Link(random)
    left, _ = run(exchange(link, (Ours, Ours), [bytes(16384)] * 200))
    assert left.sctp._sender._repeated == set()
    assert left.sctp._sender.timeouts == 0


def test_one_in_a_hundred_lost_needs_no_timer() -> None:
    random = Random(2)
    link = Link(random, loss=0.01, delay=0.025)

    async def transfer() -> float:
        loop = asyncio.get_running_loop()
        started = loop.time()
        await exchange(link, (Ours, Ours), [bytes(16384)] * 100)
        return loop.time() - started - PATIENCE

    # Two times 1.6 MB at 50 ms; a single timeout in the middle would cost more than the rest.
    assert run(transfer()) < 25
    assert link.lost > 10


def test_after_a_hole_it_goes_on_soon() -> None:
    random = Random(3)
    link = Link(random)

    async def hole() -> float:
        loop = asyncio.get_running_loop()
        left, right = (Ours(end) for end in link.pair())
        for side in (left, right):
            await side.sctp.start(RTCSctpCapabilities(maxMessageSize=262144), 5000)
        await left.ready()
        channel = left.open("hole")
        channel.send(b"before")
        await asyncio.sleep(5)
        link.loss = 1.0
        channel.send(b"meanwhile")
        await asyncio.sleep(60)
        link.loss = 0.0
        healed = loop.time()
        while right.received["hole"] != [b"before", b"meanwhile"]:
            await asyncio.sleep(0.01)
        for side in (left, right):
            await side.sctp.stop()
        return loop.time() - healed

    assert run(hole()) < SCTP_RTO_MAX + 0.1


def test_an_init_that_is_repeated_is_understood() -> None:
    # Both have heard the other's INIT, but all answers are lost once: the library alone never gets over that.
    link = Link(Random(4))

    async def connect() -> None:
        left, right = (Ours(end) for end in link.pair())
        for side in (left, right):
            await side.sctp.start(RTCSctpCapabilities(maxMessageSize=262144), 5000)
        link.loss = 1.0
        await asyncio.sleep(0.5)
        link.loss = 0.0
        async with asyncio.timeout(5):
            await asyncio.gather(left.ready(), right.ready())
        for side in (left, right):
            await side.sctp.stop()

    run(connect())

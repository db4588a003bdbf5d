"""Listening to the kernel: only what changes is told, once it settled."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator

import pytest

from p2pchat_core import limits
from p2pchat_core.net.network_watch import NetworkWatch, open_netlink
from tests.support.hosts import eventually
from tests.support.netlink import address, done, link


class Kernel:
    """The other end of the socket, and what was told."""

    def __init__(self) -> None:
        self.socket, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        self.told = 0
        self.flaky = Flaky(ours)
        self.watch = NetworkWatch(self.flaky, self._tell)

    def _tell(self) -> None:
        self.told += 1

    async def say(self, *datagrams: bytes) -> None:
        for datagram in datagrams:
            self.socket.send(datagram)
        await eventually(lambda: not self.flaky.pending())

    async def dump(self, *facts: bytes) -> None:
        for _ in range(3):
            assert self.socket.recv(1000)
            await self.say(*facts, done())


class Flaky:
    """A socket that can run over."""

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner
        self.fileno, self.send, self.close = inner.fileno, inner.send, inner.close
        self.failure: OSError | None = None

    def pending(self) -> bool:
        try:
            return bool(self._inner.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False

    def recv(self, size: int, /) -> bytes:
        data = self._inner.recv(size)
        if self.failure is not None:
            error, self.failure = self.failure, None
            raise error
        return data


@pytest.fixture
async def kernel(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kernel]:
    monkeypatch.setattr(limits, "NETWORK_SETTLE", 0.01)
    kernel = Kernel()
    with kernel.socket:
        yield kernel
        kernel.watch.close()


async def test_what_there_is_at_the_start_is_no_change(kernel: Kernel) -> None:
    await kernel.dump(link(1), address("192.0.2.1"))
    await kernel.say(link(1), address("192.0.2.1"))
    await asyncio.sleep(0.03)
    assert kernel.told == 0


async def test_a_burst_is_told_once(kernel: Kernel) -> None:
    await kernel.dump(link(1))
    await kernel.say(*(address(f"192.0.2.{n}") for n in range(20)))
    while not kernel.told:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.03)
    assert kernel.told == 1


async def test_a_burst_without_end_is_told_all_the_same(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "NETWORK_SETTLE", 3600.0)
    monkeypatch.setattr(limits, "NETWORK_SETTLE_MAX", 0.01)
    await kernel.dump()
    await kernel.say(link(1))
    while not kernel.told:
        await kernel.say(link(1, gone=True), link(1))
        await asyncio.sleep(0.001)


async def test_after_an_overrun_everything_is_asked_for_anew(kernel: Kernel) -> None:
    await kernel.dump(link(1))
    kernel.flaky.failure = OSError(errno.ENOBUFS, "no room")
    await kernel.say(link(2))
    await kernel.dump(link(1), link(3))
    while not kernel.told:
        await asyncio.sleep(0.001)
    assert kernel.told == 1
    await kernel.say(link(3))
    await asyncio.sleep(0.03)
    assert kernel.told == 1


async def test_a_socket_that_fails_is_left_alone(kernel: Kernel) -> None:
    await kernel.dump()
    kernel.flaky.failure = OSError(errno.EIO, "broken")
    kernel.socket.send(link(2))
    await eventually(lambda: kernel.flaky.failure is None)
    kernel.socket.send(link(3))
    await asyncio.sleep(0.03)
    assert kernel.told == 0


async def test_the_kernel_of_this_machine_answers() -> None:
    sock = open_netlink()
    if sock is None:
        pytest.skip("this system has no netlink")
    watch = NetworkWatch(sock, lambda: None)
    try:
        async with asyncio.timeout(20):
            while watch._dumps:
                await asyncio.sleep(0.001)
        assert any(key[0] == "link" for key in watch._state._facts)
    finally:
        watch.close()

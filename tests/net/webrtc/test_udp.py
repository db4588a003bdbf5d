"""Sockets that read and write many datagrams at a time."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from p2pchat_core.net.webrtc.udp import UdpSocket


class Heard:
    """Keeps what a socket reports."""

    def __init__(self) -> None:
        self.datagrams: list[bytes] = []
        self.errors: list[Exception] = []
        self.closed = asyncio.Event()
        self._more = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)

    def datagrams_received(self, datagrams: list[tuple[bytes, tuple[Any, ...]]]) -> None:
        self.datagrams += [data for data, _ in datagrams]
        self._more.set()

    async def count(self, number: int) -> None:
        async with asyncio.timeout(10):
            while len(self.datagrams) < number:
                self._more.clear()
                await self._more.wait()


def pair(address: str = "127.0.0.1") -> tuple[UdpSocket, UdpSocket, Heard]:
    """Two sockets, and what the second one hears."""
    heard = Heard()
    return UdpSocket(address, Heard()), UdpSocket(address, heard), heard


SIZES = [1200] * 100 + [700] + [1200] * 3 + [1, 1, 2, 3] + [1400, 1200, 1000] + [9000] * 9 + [5, 6, 5]


@pytest.mark.parametrize("segments", [True, False])
@pytest.mark.parametrize("receives_many", [True, False])
async def test_datagrams_arrive_as_they_were_sent(segments: bool, receives_many: bool) -> None:
    sender, receiver, heard = pair()
    sender._segments = sender._segments and segments
    receiver._receives_many = receiver._receives_many and receives_many
    if not receives_many:
        receiver._socket.setsockopt(17, 104, 0)
    sent = [bytes([index % 256]) * size for index, size in enumerate(SIZES)]
    sender.send_all(sent, receiver.get_extra_info("sockname"))
    await heard.count(len(sent))
    assert heard.datagrams == sent
    assert sender._segments or not segments or sys.platform != "linux"  # the kernel refused nothing
    sender.close()
    receiver.close()
    await heard.closed.wait()


async def test_a_kernel_that_cannot_do_it_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sender, receiver, heard = pair()

    class Refuses:
        calls = 0

        def __init__(self, sock: Any) -> None:
            self._sock = sock

        def sendmsg(self, *arguments: object) -> int:
            Refuses.calls += 1
            raise OSError(5, "not with this network card")

        def __getattr__(self, name: str) -> Any:
            return getattr(self._sock, name)

    monkeypatch.setattr(sender, "_socket", Refuses(sender._socket))
    sender._segments = True
    for _ in range(3):
        sender.send_all([b"one", b"two"], receiver.get_extra_info("sockname"))
    await heard.count(6)
    assert Refuses.calls == 1
    sender.abort()
    receiver.abort()
    await heard.closed.wait()


async def test_what_the_socket_does_not_take_waits_its_turn() -> None:
    sender, receiver, heard = pair()
    real, blocked = sender._socket, [True]

    class Full:
        def sendto(self, data: bytes, addr: Any) -> int:
            if blocked[0]:
                raise BlockingIOError
            return real.sendto(data, addr)

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    sender._socket = Full()  # type: ignore[assignment]
    sender._segments = False
    sender.send_all([b"one", b"two"], receiver.get_extra_info("sockname"))
    blocked[0] = False
    sender.sendto(b"three", receiver.get_extra_info("sockname"))
    await heard.count(3)
    assert heard.datagrams == [b"one", b"two", b"three"]
    sender.close()
    receiver.close()
    await heard.closed.wait()

"""Two SCTP associations joined in memory, and what they said."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiortc import RTCSctpCapabilities

from p2pchat_core.net.webrtc.sctp_channels import GuardedSctp, SctpChannel

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

__all__ = ["Dtls", "End", "chunk_kinds", "connected_pair", "settle"]


def chunk_kinds(packet: bytes) -> list[int]:
    """The types of the chunks in a packet."""
    kinds, position = [], 12
    while position + 4 <= len(packet):
        kinds.append(packet[position])
        length = int.from_bytes(packet[position + 2 : position + 4], "big")
        position += length + -length % 4
    return kinds


class Dtls:
    """Stands in for RTCDtlsTransport: whatever is sent arrives at the other end, unless `drop` says otherwise."""

    def __init__(self, role: str) -> None:
        self._role = role
        self.state = "connected"
        self.other: Dtls | None = None
        self.receiver: Any = None
        self.drop: Callable[[bytes], bool] = lambda packet: False
        self.sent: list[bytes] = []

    def _register_data_receiver(self, receiver: object) -> None:
        self.receiver = receiver

    def _unregister_data_receiver(self, receiver: object) -> None:
        self.receiver = None

    def send_packets(self, packets: Sequence[bytes]) -> None:
        if self.state != "connected":
            raise ConnectionError("not connected")
        for packet in packets:
            self.sent.append(packet)
            if self.other is not None and not self.drop(packet):
                asyncio.get_running_loop().create_task(self.other._deliver(packet))

    async def _deliver(self, packet: bytes) -> None:
        if self.receiver is not None:
            await self.receiver._handle_data(packet)


class End:
    """One association with everything that it reported."""

    def __init__(self, role: str) -> None:
        self.dtls = Dtls(role)
        self.established = asyncio.Event()
        self.channels: list[SctpChannel] = []
        self.messages: list[tuple[int, bytes]] = []
        self.closed: list[int] = []
        self.lost: list[str] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.sctp = GuardedSctp(
            self.dtls,  # type: ignore[arg-type]
            port=5000,
            on_established=self.established.set,
            on_channel=self.watch,
            on_lost=self.lost.append,
            spawn=self._spawn,
        )

    def watch(self, channel: SctpChannel) -> None:
        """Note what happens on `channel`."""
        self.channels.append(channel)
        channel.on_message = lambda data: self.messages.append((channel.id or 0, data))
        channel.on_close = lambda: self.closed.append(channel.id or 0)

    def open(self, label: str = "") -> SctpChannel:
        """Open a channel and watch it."""
        channel = self.sctp.open_channel(label)
        self.watch(channel)
        return channel

    def expire(self) -> None:
        """Let the retransmission timer run out."""
        self.sctp._sender.timeout(float("inf"))
        self.sctp.flush()

    async def inject(self, packet: bytes) -> None:
        """Receive `packet` from the peer."""
        await self.sctp._handle_data(packet)

    def _spawn(self, coro: Coroutine[Any, Any, object], name: str) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(coro))


async def settle(rounds: int = 60) -> None:
    """Let everything that is under way arrive."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def connected_pair() -> tuple[End, End]:
    """Return the DTLS server's end, which opens odd channels, and the client's."""
    server, client = End("server"), End("client")
    server.dtls.other, client.dtls.other = client.dtls, server.dtls
    for end in (server, client):
        await end.sctp.start(RTCSctpCapabilities(maxMessageSize=262144), 5000)
    await asyncio.gather(server.established.wait(), client.established.wait())
    await settle()
    return server, client

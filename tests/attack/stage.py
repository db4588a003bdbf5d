"""Where attacks happen: a relay, a victim with a friend it talks to, and a stranger who may do anything.

Everything is real and on loopback: the relay, the sockets, WebRTC between the two friends. The stranger has the
victim's address and a key of its own, and reaches it through the relay, as anybody would.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from p2pchat_core.chat.events import ListeningEvent, MessageEvent, PathKind
from p2pchat_core.chat.model import ServiceConfig
from p2pchat_core.chat.service import ChatService
from p2pchat_core.errors import P2PChatError
from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.circuit import CircuitTransport, hop_exchange
from p2pchat_core.net.host import Host
from p2pchat_core.net.negotiation import select_one
from p2pchat_core.net.noise_channel import secure_outbound
from p2pchat_core.net.steps import StepTimer
from p2pchat_core.wire.circuit import HOP_PROTOCOL, HopClient
from p2pchat_core.wire.noise import NOISE
from p2pchat_relay.server import RelayConfig, RelayServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from p2pchat_core.chat.event_hub import EventStream
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.noise_channel import NoiseChannel
    from p2pchat_core.net.stream import ByteStream

__all__ = ["Stage", "Stranger", "stage"]


def resident() -> int:
    """Return the memory this process has, in bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@dataclass
class Stranger:
    """Somebody with a key, the victim's address, and every means of our own code and none of its manners."""

    host: Host
    relay: Multiaddr
    victim: PeerId
    _circuits: CircuitTransport = field(init=False)

    def __post_init__(self) -> None:
        self._circuits = CircuitTransport(self.host, lambda _: False, None)

    async def circuit(self) -> Connection:
        """Open a circuit to the victim and finish every handshake on it."""
        relay = await self.host.dial(self.relay)
        timer = StepTimer(self.victim, self.host.clock, None)
        return await self._circuits.dial(relay, self.victim, timer)

    async def raw(self) -> ByteStream:
        """Open a circuit and return its bytes: nothing has been said to the victim yet."""
        relay = await self.host.dial(self.relay)
        stream = await relay.open_stream([HOP_PROTOCOL])
        status = await hop_exchange(stream, HopClient.connect(self.victim))
        assert status.status == 100, status
        return stream

    async def secured(self) -> NoiseChannel:
        """Open a circuit and prove who we are; the muxer is left to the attack (it was named early)."""
        raw = await self.raw()
        await select_one(raw, [NOISE])
        return await secure_outbound(raw, self.host.identity, self.victim)


@dataclass
class Stage:
    """The relay, the victim, its friend, and how they are."""

    relay: RelayServer
    victim: ChatService
    friend: ChatService
    _at_victim: EventStream
    _strangers: list[Host] = field(default_factory=list)
    _said: int = 0

    def stranger(self) -> Stranger:
        """Let somebody new come."""
        host = Host(PrivateKey.generate())
        self._strangers.append(host)
        return Stranger(host, self.relay.addresses[0], PeerId.parse(self.victim.peer_id))

    async def talk(self) -> float:
        """Let the friend say something, wait until the victim has it, and return the seconds it took."""
        self._said += 1
        text = f"how are you? {self._said}"
        started = time.perf_counter()
        await self.friend.send(self.victim.peer_id, text)
        async with asyncio.timeout(20):
            async for event in self._at_victim:
                if isinstance(event, MessageEvent) and event.text == text:
                    assert event.peer == self.friend.peer_id
                    return time.perf_counter() - started
        raise AssertionError("the victim is gone")

    def tasks(self) -> int:
        """Return how many tasks there are."""
        return len(asyncio.all_tasks())

    def connections_of_strangers(self) -> int:
        """Return how many connections the victim has that are not its friend's or its relay's."""
        known = {self.friend.peer_id, str(self.relay.peer_id)}
        return sum(str(one.peer) not in known for one in self.victim._node.host.connections())

    async def dismiss(self) -> None:
        """Let every stranger leave."""
        for host in self._strangers:
            await host.close()
        self._strangers.clear()


@asynccontextmanager
async def stage(path: Path) -> AsyncIterator[Stage]:
    """Set everything up, with the two friends connected directly."""
    async with AsyncExitStack() as stack:
        config = RelayConfig(data_dir=path / "relay", listen=("/ip4/127.0.0.1/tcp/0/ws",))
        relay = await RelayServer.start(config)
        stack.push_async_callback(relay.stop)
        address = str(relay.addresses[0])
        victim = ChatService(ServiceConfig(path / "victim", relays=(address,)))
        at_victim = victim.subscribe()
        await victim.start()
        stack.push_async_callback(victim.stop)
        friend = ChatService(ServiceConfig(path / "friend"))
        await friend.start()
        stack.push_async_callback(friend.stop)
        async with asyncio.timeout(20):
            async for event in at_victim:
                if isinstance(event, ListeningEvent) and event.addresses:
                    break
        result = await friend.connect(victim.status().addresses[0])
        assert result.path is PathKind.DIRECT
        await victim.accept(friend.peer_id)  # of a stranger only the first messages would be kept
        found = Stage(relay, victim, friend, at_victim)
        await found.talk()
        try:
            yield found
        finally:
            await found.dismiss()


async def quietly(attempt: object) -> None:
    """Await what the victim may cut off at any point."""
    try:
        await attempt  # type: ignore[misc]
    except (P2PChatError, TimeoutError):
        return

"""A relay and two chat services in one process, with real sockets and real WebRTC on loopback."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from p2pchat_core.chat.events import ListeningEvent, MessageEvent, PathKind
from p2pchat_core.chat.model import ServiceConfig
from p2pchat_core.chat.service import ChatService
from p2pchat_core.errors import NotConnectedError
from p2pchat_core.net.node import Node
from p2pchat_core.net.webrtc.config import IceConfig
from p2pchat_relay.limits import RelayLimits
from p2pchat_relay.server import RelayConfig, RelayServer
from tests.chat.services import heard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from p2pchat_core.clock import Clock

__all__ = ["SmallWorld", "small_world"]


def _on_loopback(identity: Any, *, config: Any, **others: Any) -> Node:
    """Make a node whose direct connections stay on this machine."""
    ice = IceConfig(addresses=("127.0.0.1",))
    return Node(identity, config=replace(config, ice=ice, relay_stun=False), **others)


@dataclass
class SmallWorld:
    """Alice listens, Bob dials.

    Attributes:
        address: Alice's.
    """

    relay: RelayServer
    alice: ChatService
    bob: ChatService
    address: str

    async def meet(self) -> None:
        """Let Bob dial, and both say something."""
        result = await self.bob.connect(self.address)
        assert result.path is PathKind.DIRECT, result
        for speaker, hearer in ((self.bob, self.alice), (self.alice, self.bob)):
            # Nobody listens longer than that: events that are not read would pile up.
            with closing(hearer.subscribe()) as events:
                await speaker.send(hearer.peer_id, "hello")
                message = await heard(events, MessageEvent)
                assert message.text == "hello"

    async def part(self) -> None:
        """Let both hang up, and wait until nothing is left of it on either side."""
        sides = ((self.alice, self.bob.peer_id), (self.bob, self.alice.peer_id))
        while any(side.status().connections for side, _ in sides):
            for side, other in sides:
                try:
                    await side.disconnect(other)
                except NotConnectedError:  # the other was faster
                    continue
            await asyncio.sleep(0.01)


@asynccontextmanager
async def small_world(
    directory: Path, *, clock: Clock | None = None, reservation: int = 3600
) -> AsyncIterator[SmallWorld]:
    """Run it, with both reserved for `reservation` seconds at a time."""
    async with AsyncExitStack() as stack:
        config = RelayConfig(
            listen=("/ip4/127.0.0.1/tcp/0/ws",),
            data_dir=directory / "relay",
            limits=RelayLimits(reservation_seconds=reservation),
        )
        relay = await RelayServer.start(config, clock=clock)
        stack.push_async_callback(relay.stop)
        alice, address = await _start(stack, directory / "alice", relay, clock)
        bob, _ = await _start(stack, directory / "bob", relay, clock)
        yield SmallWorld(relay, alice, bob, address)


async def _start(
    stack: AsyncExitStack, data_dir: Path, relay: RelayServer, clock: Clock | None
) -> tuple[ChatService, str]:
    config = ServiceConfig(data_dir, relays=(str(relay.addresses[0]),))
    service = ChatService(config, clock=clock, make_node=_on_loopback)
    with closing(service.subscribe()) as events:
        await service.start()
        stack.push_async_callback(service.stop)
        return service, (await heard(events, ListeningEvent)).addresses[0]

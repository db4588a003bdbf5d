"""The whole thing in one process: a real relay, real sockets on loopback, real WebRTC."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from p2pchat_core.chat.events import (
    ConnectionEvent,
    ConnectionState,
    ListeningEvent,
    MessageEvent,
    PathKind,
    RelayEvent,
    RelayState,
    StepEvent,
)
from p2pchat_core.chat.model import ServiceConfig
from p2pchat_core.chat.service import ChatService
from p2pchat_core.errors import NoReservationError
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_relay.server import RelayConfig, RelayServer
from tests.chat.services import heard, read, running_page, until_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from p2pchat_core.chat.event_hub import EventStream


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as entered:
        yield entered


async def start_relay(stack: AsyncExitStack, path: Path) -> RelayServer:
    relay = await RelayServer.start(RelayConfig(data_dir=path, listen=("/ip4/127.0.0.1/tcp/0/ws",)))
    stack.push_async_callback(relay.stop)
    return relay


async def start_service(
    stack: AsyncExitStack, path: Path, *relays: RelayServer
) -> tuple[ChatService, EventStream]:
    service = ChatService(ServiceConfig(path, relays=tuple(str(relay.addresses[0]) for relay in relays)))
    events = service.subscribe()
    await service.start()
    stack.push_async_callback(service.stop)
    return service, events


async def say(speaker: ChatService, hearer: ChatService, events: EventStream, text: str) -> None:
    await speaker.send(hearer.peer_id, text)
    message = await heard(events, MessageEvent)
    assert (message.peer, message.text) == (speaker.peer_id, text)


async def test_two_services_meet_through_a_relay_and_outlive_it(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    relay = await start_relay(stack, tmp_path / "relay")
    alice, at_alice = await start_service(stack, tmp_path / "alice", relay)
    bob, at_bob = await start_service(stack, tmp_path / "bob")
    listening = await heard(at_alice, ListeningEvent)
    assert listening.addresses == alice.status().addresses
    steps = bob.subscribe()

    result = await bob.connect(listening.addresses[0])
    assert (result.kind, result.peer, result.path) == ("peer", alice.peer_id, PathKind.DIRECT)
    assert result.rtt_ms is not None
    await heard(
        at_alice, ConnectionEvent, lambda e: e.path is PathKind.DIRECT and e.state is ConnectionState.OPEN
    )
    done = [(await heard(steps, StepEvent)).step for _ in range(7)]
    assert done == [2, 3, 4, 5, 6, 7, 8]

    await say(bob, alice, at_alice, "hello ☃")
    await say(alice, bob, at_bob, "hello yourself")
    echo = await alice.echo(bob.peer_id, "x" * 16_000)
    assert echo.text == "x" * 16_000

    await relay.stop()
    lost = await heard(at_alice, RelayEvent, lambda event: event.state is RelayState.LOST)
    assert lost.reason
    await say(bob, alice, at_alice, "the relay is gone")
    await say(alice, bob, at_bob, "and we are still here")
    assert next(c.path for c in alice.status().connections) is PathKind.DIRECT
    assert await bob.ping(alice.peer_id) > 0


async def test_the_last_words_before_the_end_arrive(stack: AsyncExitStack, tmp_path: Path) -> None:
    relay = await start_relay(stack, tmp_path / "relay")
    alice, at_alice = await start_service(stack, tmp_path / "alice", relay)
    bob, _at_bob = await start_service(stack, tmp_path / "bob")
    await bob.connect((await heard(at_alice, ListeningEvent)).addresses[0])
    for _ in range(5):
        await bob.send(alice.peer_id, "good-bye. ")
    await bob.stop()
    await until_text(at_alice, lambda e: e.text if isinstance(e, MessageEvent) else None, 5 * "good-bye. ")


async def test_a_relay_can_be_added_by_connecting_to_it(stack: AsyncExitStack, tmp_path: Path) -> None:
    relay = await start_relay(stack, tmp_path / "relay")
    alice, _events = await start_service(stack, tmp_path / "alice")
    for _ in range(2):
        result = await alice.connect(f" {relay.addresses[0]}\n")
        assert (result.kind, result.peer, result.path) == ("relay", str(relay.peer_id), None)
    (status,) = alice.status().relays
    assert (status.address, status.state) == (str(relay.addresses[0]), RelayState.RESERVED)
    assert status.expires is not None
    (address,) = alice.status().addresses
    assert address.startswith(f"{relay.addresses[0]}/p2p-circuit/webrtc/p2p/")
    assert alice.status().connections == ()


async def test_a_peer_without_a_reservation_is_not_found(stack: AsyncExitStack, tmp_path: Path) -> None:
    relay = await start_relay(stack, tmp_path / "relay")
    alice, _at_alice = await start_service(stack, tmp_path / "alice")
    bob, _at_bob = await start_service(stack, tmp_path / "bob")
    with pytest.raises(NoReservationError) as caught:
        await bob.connect(f"{relay.addresses[0]}/p2p-circuit/webrtc/p2p/{alice.peer_id}")
    assert caught.value.code == "no_reservation"
    assert bob.status().connections == ()


async def test_a_peer_that_listens_itself_is_not_taken_for_a_relay(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    page = await stack.enter_async_context(running_page())
    (address,) = await page.host.listen(Multiaddr.parse("/ip4/127.0.0.1/tcp/0/ws"))
    alice, at_alice = await start_service(stack, tmp_path / "alice")
    result = await alice.connect(str(address / page.host.peer.as_multiaddr()))
    assert (result.kind, result.peer, result.path) == ("peer", page.peer, PathKind.DIRECT)
    assert (await heard(at_alice, ConnectionEvent)).peer == page.peer
    assert [connection.peer for connection in alice.status().connections] == [page.peer]
    assert alice.status().relays == ()
    await alice.send(page.peer, "hello")
    await read(await page.opened(), "hello")

"""Who is reachable stays reachable: several relays, lost ones, limits of circuits, and no network at the start."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, closing
from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_core.chat.events import (
    ConnectionEvent,
    ConnectionState,
    ListeningEvent,
    MessageEvent,
    RelayEvent,
    RelayState,
    SentEvent,
)
from p2pchat_core.chat.model import ServiceConfig
from p2pchat_core.chat.service import ChatService
from p2pchat_core.errors import IceFailedError
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.node import Node
from p2pchat_relay import handlers
from p2pchat_relay.limits import RelayLimits
from p2pchat_relay.server import RelayConfig, RelayServer
from p2pchat_relay.splice import End, SpliceResult, splice
from tests.chat.services import heard, host_of
from tests.chat.test_session import eventually_true

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from p2pchat_core.chat.event_hub import EventStream


class RelayedNode(Node):
    """A node whose network lets no direct connection through."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self._direct.upgrade = self._refuse  # type: ignore[method-assign,assignment]

    async def _refuse(self, *_args: object) -> None:
        raise IceFailedError("No UDP here.", 0)

    async def load(self) -> None:
        """Do nothing."""


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as entered:
        yield entered


async def start_relay(
    stack: AsyncExitStack, path: Path, listen: str = "/ip4/127.0.0.1/tcp/0/ws", **options: int
) -> RelayServer:
    relay = await RelayServer.start(
        RelayConfig(data_dir=path, listen=(listen,), limits=RelayLimits(**options))
    )
    stack.push_async_callback(relay.stop)
    return relay


async def start_service(
    stack: AsyncExitStack, path: Path, *relays: RelayServer | str
) -> tuple[ChatService, EventStream]:
    addresses = tuple(r if isinstance(r, str) else str(r.addresses[0]) for r in relays)
    service = ChatService(ServiceConfig(path, relays=addresses), make_node=RelayedNode)
    events = service.subscribe()
    await service.start()
    stack.push_async_callback(service.stop)
    return service, events


async def listening(events: EventStream, count: int) -> tuple[str, ...]:
    return (await heard(events, ListeningEvent, lambda event: len(event.addresses) == count)).addresses


async def test_reserved_on_all_relays_and_peers_hear_of_those_that_remain(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    relays = [await start_relay(stack, tmp_path / f"relay{n}") for n in range(3)]
    alice, at_alice = await start_service(stack, tmp_path / "alice", *relays)
    bob, _events = await start_service(stack, tmp_path / "bob")
    addresses = await listening(at_alice, 3)
    await bob.connect(addresses[2])
    peer = PeerId.parse(alice.peer_id)
    await eventually_true(lambda: len(bob._redial._addresses.of(peer)) == 3)
    await relays[0].stop()
    left = await listening(at_alice, 2)
    assert set(left) == set(addresses[1:])

    def told() -> bool:
        info = bob._node.info(peer)
        named = set() if info is None else {str(a) for a in info.addresses if str(a).endswith("/webrtc")}
        return named == {address.removesuffix(f"/p2p/{peer}") for address in left}

    await eventually_true(told)
    # What bob held before is not forgotten: that relay may come back.
    assert len(bob._redial._addresses.of(peer)) == 3


async def test_an_address_that_somebody_holds_works_as_long_as_one_relay_lives(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    relays = [await start_relay(stack, tmp_path / f"relay{n}") for n in range(3)]
    alice, at_alice = await start_service(stack, tmp_path / "alice", *relays)
    bob, _events = await start_service(stack, tmp_path / "bob")
    await bob.connect((await listening(at_alice, 3))[0])
    peer = PeerId.parse(alice.peer_id)
    await eventually_true(lambda: len(bob._redial._addresses.of(peer)) == 3)
    await bob.send(alice.peer_id, "1")
    assert (await heard(at_alice, MessageEvent)).text == "1"
    for number, relay in enumerate(relays[:2]):
        await relay.stop()
        await bob.send(alice.peer_id, f"after {number}")
        assert (await heard(at_alice, MessageEvent)).text == f"after {number}"


async def test_a_relay_that_swallows_everything_does_not_hold_up_the_others(
    stack: AsyncExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WS_OPEN_TIMEOUT", 3600.0)
    relay = await start_relay(stack, tmp_path / "relay")
    alice, at_alice = await start_service(stack, tmp_path / "alice", relay)
    bob, _events = await start_service(stack, tmp_path / "bob")
    (address,) = await listening(at_alice, 1)
    with closing(socket.create_server(("127.0.0.1", 0))) as hole:
        silent = address.replace(str(relay.addresses[0].value("tcp")), str(hole.getsockname()[1]))
        connection = await bob._node.reach([Multiaddr.parse(silent), Multiaddr.parse(address)])
    assert connection.peer == PeerId.parse(alice.peer_id)


async def test_start_without_any_network_and_recover(stack: AsyncExitStack, tmp_path: Path) -> None:
    async with AsyncExitStack() as first:
        relay = await start_relay(first, tmp_path / "relay")
        address = str(relay.addresses[0])
    alice, at_alice = await start_service(stack, tmp_path / "alice", address)
    await heard(at_alice, RelayEvent, lambda event: event.state is RelayState.LOST)
    assert alice.status().addresses == ()
    listen = str(Multiaddr.parse(address).before("p2p"))
    await start_relay(stack, tmp_path / "relay", listen)
    alice._running._world_changed("the network is there")
    (found,) = await listening(at_alice, 1)
    bob, _events = await start_service(stack, tmp_path / "bob")
    assert (await bob.connect(found)).peer == alice.peer_id


@pytest.mark.parametrize("active", [True, False])
async def test_an_active_conversation_has_a_second_path_and_an_idle_one_has_not(
    stack: AsyncExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, active: bool
) -> None:
    if not active:
        monkeypatch.setattr(limits, "SESSION_ACTIVE", 0.0)
    monkeypatch.setattr(limits, "STANDBY_MIN", 0.01)
    monkeypatch.setattr(limits, "UPKEEP_INTERVAL", 0.02)
    relays = [await start_relay(stack, tmp_path / f"relay{n}") for n in range(2)]
    alice, at_alice = await start_service(stack, tmp_path / "alice", *relays)
    bob, _events = await start_service(stack, tmp_path / "bob")
    await bob.connect((await listening(at_alice, 2))[0])
    peer = PeerId.parse(alice.peer_id)
    await eventually_true(lambda: len(bob._redial._addresses.of(peer)) == 2)
    (only,) = host_of(bob).connections(peer)
    opened: list[object] = []
    stand_by = bob._node.stand_by
    monkeypatch.setattr(bob._node, "stand_by", lambda *args: (opened.append(args), stand_by(*args))[1])
    await bob.send(alice.peer_id, "1")
    assert (await heard(at_alice, MessageEvent)).text == "1"
    if not active:
        for _ in range(5):
            await asyncio.sleep(limits.UPKEEP_INTERVAL)
        assert not opened
        return
    await eventually_true(lambda: len(host_of(bob).connections(peer)) == 2)
    only.abort("The cable was cut.")
    await bob.send(alice.peer_id, "2")
    assert (await heard(at_alice, MessageEvent)).text == "2"
    await eventually_true(lambda: len(host_of(bob).connections(peer)) == 2)


@pytest.mark.parametrize("leads", ["dialer", "listener"])
async def test_circuits_are_replaced_before_their_bytes_are_gone(
    stack: AsyncExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leads: str
) -> None:
    """A conversation goes through many short circuits, and never is without one."""
    monkeypatch.setattr(limits, "CIRCUIT_RENEW_PAUSE", 0.01)
    monkeypatch.setattr(limits, "SUCCESSION_LINGER", 0.3)
    relay = await start_relay(stack, tmp_path / "relay", circuit_bytes=64 * 1024)
    alice, at_alice = await start_service(stack, tmp_path / "alice", relay)
    bob, at_bob = await start_service(stack, tmp_path / "bob", relay)
    (address,) = await listening(at_alice, 1)
    await listening(at_bob, 1)
    if leads == "listener":
        monkeypatch.setattr(limits, "CIRCUIT_RENEW", limits.CIRCUIT_TAKE_OVER)
        bob._redial._upkeep.connected = lambda _connection: None  # type: ignore[method-assign]
    await bob.connect(address)
    paths = bob.subscribe()
    for number in range(100):
        for speaker, hearer, events, sent in (
            (bob, alice, at_alice, at_bob),
            (alice, bob, at_bob, at_alice),
        ):
            text = f"{number} " + "x" * 2000
            await speaker.send(hearer.peer_id, text)
            assert (await heard(events, MessageEvent)).text == text
            await heard(sent, SentEvent, lambda event: event.delivered)
    replaced, open_now = 0, 1
    bob._hub.close()
    async for event in paths:
        if isinstance(event, ConnectionEvent):
            open_now += 1 if event.state is ConnectionState.OPEN else -1
            replaced += event.state is ConnectionState.CLOSED
            assert open_now > 0, event.reason
    assert replaced >= 3


async def test_a_burst_larger_than_a_circuit_arrives_whole(
    stack: AsyncExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CIRCUIT_RENEW_PAUSE", 0.01)
    ends: list[End] = []

    async def noting(*args: object, **options: object) -> SpliceResult:
        result = await splice(*args, **options)  # type: ignore[arg-type]
        ends.append(result.end)
        return result

    monkeypatch.setattr(handlers, "splice", noting)
    relay = await start_relay(stack, tmp_path / "relay", circuit_bytes=64 * 1024)
    alice, at_alice = await start_service(stack, tmp_path / "alice", relay)
    bob, _events = await start_service(stack, tmp_path / "bob")
    await bob.connect((await listening(at_alice, 1))[0])
    await alice.accept(bob.peer_id)  # of a stranger less is kept
    texts = [f"{number} " + "x" * 4000 for number in range(50)]
    for text in texts:
        await bob.send(alice.peer_id, text)
    assert [(await heard(at_alice, MessageEvent)).text for _ in texts] == texts
    assert host_of(bob).connections(PeerId.parse(alice.peer_id))
    assert End.BYTES not in ends


async def test_the_chat_goes_on_and_recovers_when_a_circuit_is_cut(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    relay = await start_relay(stack, tmp_path / "relay", circuit_seconds=1)
    alice, at_alice = await start_service(stack, tmp_path / "alice", relay)
    bob, _events = await start_service(stack, tmp_path / "bob")
    await bob.connect((await listening(at_alice, 1))[0])
    numbers = iter(range(10_000))
    circuits: set[object] = set()
    while len(circuits) < 3:
        text = str(next(numbers))
        await bob.send(alice.peer_id, text)
        assert (await heard(at_alice, MessageEvent)).text == text
        circuits.update(host_of(bob).connections(PeerId.parse(alice.peer_id)))
        await asyncio.sleep(0.02)

"""Being connected again: who is dialled, where, and with real relays, that it works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from p2pchat_core import limits
from p2pchat_core.chat.events import ConnectionEvent, ListeningEvent, MessageEvent
from p2pchat_core.chat.service import ChatService
from p2pchat_core.errors import DialError
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.connection import Connection
from tests.chat.services import drop, heard, host_of, meet, running_service
from tests.chat.test_session import eventually_true
from tests.chat.test_two_services import start_relay, start_service

RELAYS = [
    f"/ip4/192.0.2.{n}/tcp/4001/ws/p2p/12D3KooWRqAUEzPwKMoGstpfJVqr3aoinwKVPu4DLo9nQncbnuLk" for n in (1, 2)
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REDIAL_MIN", 0.001)
    monkeypatch.setattr(limits, "REDIAL_MAX", 0.005)
    monkeypatch.setattr(limits, "REDIAL_GLARE", 0.001)
    monkeypatch.setattr(limits, "UPKEEP_INTERVAL", 0.01)
    monkeypatch.setattr(limits, "SUCCESSION_LINGER", 0.1)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as entered:
        yield entered


@pytest.fixture
async def alice(tmp_path: Path) -> AsyncIterator[ChatService]:
    async with running_service(tmp_path / "alice") as service:
        yield service


@pytest.fixture
async def bob(tmp_path: Path) -> AsyncIterator[ChatService]:
    async with running_service(tmp_path / "bob") as service:
        yield service


def addresses_of(peer: str, *, form: str = "/p2p-circuit/webrtc") -> list[Multiaddr]:
    return [Multiaddr.parse(f"{relay}{form}/p2p/{peer}") for relay in RELAYS]


class Dials:
    """Stands in for `Node.reach`: fails so many times, then connects in memory."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, dialer: ChatService, target: ChatService, failures: int
    ):
        self.asked: list[list[Multiaddr]] = []
        self._dialer, self._target, self._failures = dialer, target, failures
        monkeypatch.setattr(dialer._node, "reach", self._reach)

    async def _reach(self, addresses: list[Multiaddr]) -> Connection:
        self.asked.append(addresses)
        if len(self.asked) <= self._failures:
            raise DialError("Nobody there.")
        ours, _theirs = await meet(self._dialer, self._target)
        return ours


async def test_who_has_messages_waiting_is_dialled_until_reached(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    await drop(*await meet(alice, bob))
    alice._redial.learn(PeerId.parse(bob.peer_id), addresses_of(bob.peer_id))
    dials = Dials(monkeypatch, alice, bob, failures=4)
    at_bob = bob.subscribe()
    await alice.send(bob.peer_id, "are you there?")
    assert (await heard(at_bob, MessageEvent)).text == "are you there?"
    assert dials.asked == [addresses_of(bob.peer_id)] * 5


async def test_a_contact_that_is_lost_is_dialled_although_nothing_waits(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = await meet(alice, bob)
    peer = PeerId.parse(bob.peer_id)
    alice._redial.learn(peer, addresses_of(bob.peer_id))
    await alice._people.befriend(peer)
    Dials(monkeypatch, alice, bob, failures=1)
    at_bob = bob.subscribe()
    await drop(*connections)
    await heard(at_bob, ConnectionEvent, lambda event: event.state.value == "open")


@pytest.mark.parametrize("why", ["a stranger", "disconnected by the user", "no address"])
async def test_others_are_left_alone(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    connections = await meet(alice, bob)
    peer = PeerId.parse(bob.peer_id)
    if why != "no address":
        alice._redial.learn(peer, addresses_of(bob.peer_id))
    if why != "a stranger":
        await alice._people.befriend(peer)
    dials = Dials(monkeypatch, alice, bob, failures=0)
    if why == "disconnected by the user":
        await alice.disconnect(bob.peer_id)
        await connections[0].wait_closed()
    await drop(*connections)
    await eventually_true(lambda: not host_of(alice).connections(peer))
    assert alice._redial._hope == {}
    assert dials.asked == []


async def test_hope_ends_the_wait(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REDIAL_MIN", 3600.0)
    monkeypatch.setattr(limits, "REDIAL_MAX", 3600.0)
    await drop(*await meet(alice, bob))
    alice._redial.learn(PeerId.parse(bob.peer_id), addresses_of(bob.peer_id))
    dials = Dials(monkeypatch, alice, bob, failures=1)
    at_bob = bob.subscribe()
    await alice.send(bob.peer_id, "hello")
    await eventually_true(lambda: len(dials.asked) == 1)
    alice._running._network_is_back()
    await heard(at_bob, MessageEvent)


async def circuit_with_conversation(alice: ChatService, bob: ChatService) -> Connection:
    circuit, _ = await meet(alice, bob, limited=True)
    at_bob = bob.subscribe()
    await alice.send(bob.peer_id, "over the relay")
    await heard(at_bob, MessageEvent)
    return circuit


async def test_direct_is_tried_again_while_there_is_only_a_circuit(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DIRECT_RETRY_MIN", 0.001)
    tried: list[Connection] = []

    async def improve(connection: Connection) -> Connection:
        tried.append(connection)
        if len(tried) < 3:
            raise DialError("Still no way.")
        return (await meet(alice, bob))[0]

    monkeypatch.setattr(alice._node, "improve", improve)
    circuit = await circuit_with_conversation(alice, bob)
    await eventually_true(lambda: host_of(alice).connections(PeerId.parse(bob.peer_id))[0].direct)
    assert tried == [circuit] * 3


async def test_a_circuit_is_replaced_before_its_time_is_up(
    alice: ChatService, bob: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CIRCUIT_RENEW", 0.001)  # of 120 s
    renewed: list[Connection] = []

    async def renew(connection: Connection, _addresses: list[Multiaddr]) -> Connection:
        monkeypatch.setattr(limits, "CIRCUIT_RENEW", 1.0)
        renewed.append(connection)
        return (await meet(alice, bob, limited=True))[0]

    monkeypatch.setattr(alice._node, "renew", renew)
    circuit = await circuit_with_conversation(alice, bob)
    at_alice, at_bob = alice.subscribe(), bob.subscribe()
    await eventually_true(lambda: circuit.closed)
    assert renewed == [circuit]
    await alice.send(bob.peer_id, "1")
    await bob.send(alice.peer_id, "2")
    assert (await heard(at_bob, MessageEvent)).text == "1"
    assert (await heard(at_alice, MessageEvent)).text == "2"


# --- with a real relay and WebRTC -------------------------------------------------------------------------------------


async def test_a_lost_direct_path_is_made_again_and_nothing_is_lost(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    relay = await start_relay(stack, tmp_path / "relay")
    alice, at_alice = await start_service(stack, tmp_path / "alice", relay)
    bob, at_bob = await start_service(stack, tmp_path / "bob")
    result = await bob.connect((await heard(at_alice, ListeningEvent)).addresses[0])
    await bob.send(alice.peer_id, "1")
    assert (await heard(at_alice, MessageEvent)).text == "1"
    for connection in host_of(bob).connections(PeerId.parse(result.peer)):
        connection.abort("The cable was cut.")
    await bob.send(alice.peer_id, "2")
    await alice.send(bob.peer_id, "3")
    assert (await heard(at_alice, MessageEvent)).text == "2"
    assert (await heard(at_bob, MessageEvent)).text == "3"
    for service in (alice, bob):
        await eventually_true(lambda s=service: s.status().connections[0].path.value == "direct")  # type: ignore[misc]


async def test_messages_written_while_alone_find_their_way_after_a_restart(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    relay = await start_relay(stack, tmp_path / "relay")
    dead = await start_relay(stack, tmp_path / "dead relay")
    alice_stack = await stack.enter_async_context(AsyncExitStack())
    alice, at_alice = await start_service(alice_stack, tmp_path / "alice", dead, relay)
    await heard(at_alice, ListeningEvent, lambda event: len(event.addresses) == 2)
    async with AsyncExitStack() as first:
        bob, _events = await start_service(first, tmp_path / "bob")
        await bob.connect(alice.status().addresses[0])
        await eventually_true(lambda: len(bob._redial._addresses.of(PeerId.parse(alice.peer_id))) == 2)
        peer = alice.peer_id
        await alice_stack.aclose()
        await dead.stop()
        for number in range(3):
            await bob.send(peer, f"{number}")
    alice, at_alice = await start_service(stack, tmp_path / "alice", relay)
    await heard(at_alice, ListeningEvent)
    await start_service(stack, tmp_path / "bob")
    for number in range(3):
        assert (await heard(at_alice, MessageEvent)).text == f"{number}"


async def test_circuits_are_renewed_and_improved_on(stack: AsyncExitStack, tmp_path: Path) -> None:
    relay = await start_relay(stack, tmp_path / "relay")
    alice, at_alice = await start_service(stack, tmp_path / "alice", relay)
    bob, _at_bob = await start_service(stack, tmp_path / "bob")
    await bob.connect((await heard(at_alice, ListeningEvent)).addresses[0])
    peer, node = PeerId.parse(alice.peer_id), bob._node
    direct, circuit = node.host.connections(peer)
    fresh = await node.renew(circuit)
    assert circuit.superseded
    await eventually_true(lambda: circuit.closed)
    assert node.host.connections(peer) == [direct, fresh]
    assert fresh.relayed
    assert await node.improve(fresh) is direct
    direct.abort("The cable was cut.")
    await direct.wait_closed()
    assert (await node.improve(fresh)).direct


async def test_a_direct_connection_is_renewed_over_itself_without_a_relay(
    stack: AsyncExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All relays are gone, the network changes, and the conversation goes on on another direct connection."""
    monkeypatch.setattr(limits, "DIRECT_RENEW_MIN", 0.05)
    relay = await start_relay(stack, tmp_path / "relay")
    alice, at_alice = await start_service(stack, tmp_path / "alice", relay)
    bob, at_bob = await start_service(stack, tmp_path / "bob")
    await bob.connect((await heard(at_alice, ListeningEvent)).addresses[0])
    await bob.send(alice.peer_id, "1")
    assert (await heard(at_alice, MessageEvent)).text == "1"
    await relay.stop()
    peer = PeerId.parse(alice.peer_id)
    await eventually_true(lambda: [c.direct for c in host_of(bob).connections(peer)] == [True])
    (first,) = host_of(bob).connections(peer)
    for speaker, hearer, events in ((bob, alice, at_alice), (alice, bob, at_bob)):
        monkeypatch.setattr(speaker._redial._upkeep, "_were", frozenset({"192.0.2.1"}))
        monkeypatch.setattr(speaker._redial._upkeep, "_here", lambda: frozenset({"192.0.2.2"}))
        speaker._running._world_changed("for the test")
        await eventually_true(lambda old=first: old.closed)  # type: ignore[misc]
        (first,) = host_of(bob).connections(peer)
        assert first.direct
        await speaker.send(hearer.peer_id, "2")
        assert (await heard(events, MessageEvent)).text == "2"


async def test_a_direct_connection_that_falls_silent_is_made_again_over_the_circuit(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    """As a NAT that has forgotten it will never let it through again."""
    relay = await start_relay(stack, tmp_path / "relay")
    alice, at_alice = await start_service(stack, tmp_path / "alice", relay)
    bob, _at_bob = await start_service(stack, tmp_path / "bob")
    await bob.connect((await heard(at_alice, ListeningEvent)).addresses[0])
    await bob.send(alice.peer_id, "1")
    await heard(at_alice, MessageEvent)
    for service, other in ((alice, bob), (bob, alice)):
        direct = host_of(service).connections(PeerId.parse(other.peer_id))[0]
        assert direct.direct
        direct.silent_since = direct.heard_at
        service._node.liveness._tell(direct)
    await eventually_true(lambda: direct.superseded)


async def test_both_sides_renewing_at_once_end_up_with_one_connection(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    relay = await start_relay(stack, tmp_path / "relay")
    alice, at_alice = await start_service(stack, tmp_path / "alice", relay)
    bob, _at_bob = await start_service(stack, tmp_path / "bob")
    await bob.connect((await heard(at_alice, ListeningEvent)).addresses[0])
    a, b = host_of(alice), host_of(bob)
    olds = a.connections(b.peer)[0], b.connections(a.peer)[0]
    news = await asyncio.gather(alice._node.renew(olds[0]), bob._node.renew(olds[1]))
    await eventually_true(lambda: len([c for c in a.connections(b.peer) if c.direct]) == 1)
    await eventually_true(lambda: len([c for c in b.connections(a.peer) if c.direct]) == 1)
    smaller = 0 if a.peer.to_bytes() < b.peer.to_bytes() else 1
    assert not news[smaller].closed
    assert news[1 - smaller].closed
    assert all(old.closed for old in olds)

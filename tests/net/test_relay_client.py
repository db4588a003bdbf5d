"""Reservations and circuits, with a real relay over loopback WebSockets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_core.errors import DialError, NoReservationError
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.circuit import CircuitTransport
from p2pchat_core.net.ping import ping, serve_ping
from p2pchat_core.net.relay_client import RelayClient, RelayInfo
from p2pchat_core.net.steps import Step, StepReport, StepTimer
from p2pchat_core.wire import reservation
from p2pchat_core.wire.reservation import ReservationState
from p2pchat_relay.limits import RelayLimits
from p2pchat_relay.server import RelayConfig, RelayServer
from tests.support.hosts import make_host

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from p2pchat_core.net.host import Host


@dataclass
class Client:
    """A host with a relay client, and what it said."""

    host: Host
    steps: list[StepReport] = field(default_factory=list)
    states: list[ReservationState] = field(default_factory=list)
    listening: list[list[Multiaddr]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        serve_ping(self.host)
        self.relays = RelayClient(
            self.host, observer=self.steps.append, on_relay=self._relay, on_listening=self._listening
        )
        self.circuits = CircuitTransport(self.host, self.relays.holds, self.steps.append)

    def _relay(self, info: RelayInfo) -> None:
        self.states.append(info.state)
        self.changed.set()

    def _listening(self, addresses: list[Multiaddr]) -> None:
        self.listening.append(addresses)

    async def state(self, wanted: ReservationState) -> None:
        async with asyncio.timeout(20):
            while not self.states or self.states[-1] is not wanted:
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def world(tmp_path: Path, **options: int) -> AsyncIterator[tuple[RelayServer, Client, Client]]:
    relay = await RelayServer.start(config(tmp_path, **options))
    clients = [Client(make_host(number)) for number in (1, 2)]
    try:
        yield relay, clients[0], clients[1]
    finally:
        for client in clients:
            await client.relays.close()
            await client.host.close()
        await relay.stop()


def config(tmp_path: Path, **options: int) -> RelayConfig:
    return RelayConfig(
        listen=("/ip4/127.0.0.1/tcp/0/ws",), data_dir=tmp_path / "relay", limits=RelayLimits(**options)
    )


async def test_a_reservation_gives_a_complete_address(tmp_path: Path) -> None:
    async with world(tmp_path) as (relay, a, _b):
        a.relays.add(relay.addresses[0])
        await a.state(ReservationState.RESERVED)
        (info,) = a.relays.relays()
        assert info.expires is not None
        assert [str(address) for address in a.relays.addresses()] == [
            f"{relay.addresses[0]}/p2p-circuit/webrtc/p2p/{a.host.peer}"
        ]
        assert [(r.step, r.ok) for r in a.steps] == [(Step.RESERVATION, True)]


async def test_a_circuit_in_both_roles(tmp_path: Path) -> None:
    async with world(tmp_path) as (relay, a, b):
        a.relays.add(relay.addresses[0])
        await a.state(ReservationState.RESERVED)
        to_relay = await b.host.dial(relay.addresses[0])
        circuit = await b.circuits.dial(
            to_relay, a.host.peer, StepTimer(a.host.peer, b.host.clock, b.steps.append)
        )
        assert circuit.relayed
        assert circuit.limited
        assert await ping(circuit, b.host.clock) > 0
        assert [r.step for r in b.steps] == [Step.HOP, Step.STOP, Step.CIRCUIT]
        assert [r.step for r in a.steps] == [Step.RESERVATION, Step.STOP, Step.CIRCUIT]
        (inbound,) = a.host.connections(b.host.peer)
        assert str(inbound.remote_address).endswith(f"/p2p-circuit/p2p/{b.host.peer}")


async def test_a_peer_without_reservation(tmp_path: Path) -> None:
    async with world(tmp_path) as (relay, a, b):
        to_relay = await b.host.dial(relay.addresses[0])
        timer = StepTimer(a.host.peer, b.host.clock, b.steps.append)
        with pytest.raises(NoReservationError, match="not online"):
            await b.circuits.dial(to_relay, a.host.peer, timer)
        assert [(r.step, r.ok) for r in b.steps] == [(Step.HOP, True), (Step.STOP, False)]


async def test_a_relay_we_hold_nothing_on_cannot_call_us(tmp_path: Path) -> None:
    """The relay believes in a reservation that the client does not want to know of."""
    async with world(tmp_path) as (relay, a, b):
        a.relays.add(relay.addresses[0])
        await a.state(ReservationState.RESERVED)
        a.circuits._is_our_relay = lambda _peer: False
        to_relay = await b.host.dial(relay.addresses[0])
        with pytest.raises(DialError):
            await b.circuits.dial(to_relay, a.host.peer, StepTimer(a.host.peer, b.host.clock, None))


async def test_a_full_relay_refuses(tmp_path: Path) -> None:
    async with world(tmp_path, max_reservations=1) as (relay, a, b):
        a.relays.add(relay.addresses[0])
        await a.state(ReservationState.RESERVED)
        b.relays.add(relay.addresses[0])
        await b.state(ReservationState.REFUSED)
        assert "slot" in b.relays.relays()[0].reason
        assert b.relays.addresses() == []


async def test_back_on_a_relay_that_restarts(tmp_path: Path) -> None:
    async with world(tmp_path) as (relay, a, _b):
        a.relays.add(relay.addresses[0])
        await a.state(ReservationState.RESERVED)
        before = relay.addresses
        await relay.stop()
        await a.state(ReservationState.LOST)
        assert a.relays.addresses() == []
        again = await RelayServer.start(config(tmp_path))
        try:
            assert again.addresses == before
            await a.state(ReservationState.RESERVED)
            assert [bool(addresses) for addresses in a.listening] == [True, False, True]
        finally:
            await again.stop()


async def test_a_reservation_moves_to_another_connection_without_being_lost(tmp_path: Path) -> None:
    async with world(tmp_path) as (relay, a, b):
        a.relays.add(relay.addresses[0])
        await a.state(ReservationState.RESERVED)
        (old,) = a.host.connections()
        new = await a.host.dial(old.remote_address, beside=old)
        assert new is not old
        async with asyncio.timeout(20):
            await a.relays.move(old, new)
            old.abort("It is not needed any more.")
            await old.wait_closed()
        assert a.states == [ReservationState.CONNECTING, ReservationState.RESERVED]
        timer = StepTimer(a.host.peer, b.host.clock, b.steps.append)
        circuit = await b.circuits.dial(await b.host.dial(relay.addresses[0]), a.host.peer, timer)
        assert await ping(circuit, b.host.clock) > 0
        new.abort("The cable was cut.")
        await a.state(ReservationState.LOST)


@pytest.mark.parametrize("again", [False, True])
async def test_a_relay_that_a_conversation_needs_is_tried_again_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """And a little later if it was lost before, lest a relay that hangs up be asked without end."""
    for name in ("RELAY_RETRY_MIN", "RELAY_RETRY_MAX"):
        monkeypatch.setattr(reservation, name, 3600.0)
    monkeypatch.setattr(limits, "RELAY_RETRY_ACTIVE", 0.01 if again else 3600.0)
    async with world(tmp_path) as (relay, a, _b):
        a.host.hurried = lambda: True
        a.relays.add(relay.addresses[0])
        for _ in range(2 if again else 1):
            await a.state(ReservationState.RESERVED)
            (connection,) = a.host.connections()
            a.states.clear()
            connection.abort("The cable was cut.")
        await a.state(ReservationState.RESERVED)


async def test_a_relay_that_is_not_there_is_a_state(tmp_path: Path) -> None:
    async with world(tmp_path) as (relay, a, _b):
        address = relay.addresses[0]
        await relay.stop()
        a.relays.add(address)
        await a.state(ReservationState.LOST)
        assert "Nothing answers" in a.relays.relays()[0].reason


async def test_a_peer_that_is_no_relay_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as (_relay, a, b):
        (address,) = await b.host.listen(Multiaddr.parse("/ip4/127.0.0.1/tcp/0/ws"))
        a.relays.add(address / b.host.peer.as_multiaddr())
        await a.state(ReservationState.REFUSED)
        assert "not a relay" in a.relays.relays()[0].reason


async def test_a_defect_costs_one_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(tmp_path) as (relay, a, _b):
        with monkeypatch.context() as patch:
            patch.setattr(a.host, "dial", lambda _address: 1 / 0)
            a.relays.add(relay.addresses[0])
            await a.state(ReservationState.LOST)
        assert "defect" in a.relays.relays()[0].reason
        await a.state(ReservationState.RESERVED)
    assert "ZeroDivisionError" in caplog.text


async def test_a_relay_that_returns_with_another_key_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as (relay, a, _b):
        address = relay.addresses[0]
        a.relays.add(address)
        await a.state(ReservationState.RESERVED)
        await relay.stop()
        (tmp_path / "relay").rename(tmp_path / "old relay")
        listen = str(address.before("p2p"))
        again = await RelayServer.start(RelayConfig(listen=(listen,), data_dir=tmp_path / "relay"))
        try:
            await a.state(ReservationState.REFUSED)
            (info,) = a.relays.relays()
            assert again.peer_id.short() in info.reason
            assert "not trusted" in info.reason
            assert a.relays.addresses() == []
        finally:
            await again.stop()

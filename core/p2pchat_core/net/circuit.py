"""Circuits: connections to peers through a relay, as the one who dials and the one who is dialled."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.errors import DialError, NoAnswerError, NoReservationError, P2PChatError, RelayError
from p2pchat_core.net.connection import CircuitLimit, Direction, Kind, Route
from p2pchat_core.net.metered import MeteredStream
from p2pchat_core.net.steps import Step, StepTimer
from p2pchat_core.net.upgrader import upgrade_inbound, upgrade_outbound
from p2pchat_core.wire.circuit import HOP_PROTOCOL, STOP_PROTOCOL, HopClient, Status, StopServer
from p2pchat_core.wire.circuit_budget import CircuitBudget

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.host import Host
    from p2pchat_core.net.steps import StepObserver
    from p2pchat_core.net.stream import ByteStream, Stream
    from p2pchat_core.wire.circuit import HopStatus, Limit

__all__ = ["CircuitTransport", "hop_exchange"]

logger = logging.getLogger(__name__)

_CIRCUIT = "/p2p-circuit"


async def hop_exchange(stream: Stream, machine: HopClient) -> HopStatus:
    """Send the machine's request to a relay and return its STATUS; what follows it is left unread on `stream`.

    Raises:
        RemoteProtocolError: the relay answered with something else.
        StreamError, ConnectionLostError: the stream broke.
    """
    await stream.write(machine.take_output())
    while machine.result is None:
        data = await stream.read()
        if data:
            machine.receive_data(data)
        else:
            machine.receive_eof()
    if surplus := machine.remaining():
        stream.unread(surplus)
    return machine.result


class CircuitTransport:
    """Opens circuits through relays (HOP) and answers those that relays announce (STOP)."""

    def __init__(
        self, host: Host, is_our_relay: Callable[[PeerId], bool], observer: StepObserver | None
    ) -> None:
        """`is_our_relay` says whether we hold a reservation there; calls from other relays are refused."""
        self._host = host
        self._is_our_relay = is_our_relay
        self._observer = observer
        host.handle(STOP_PROTOCOL, self._called, max_inbound=limits.MAX_INBOUND_CIRCUITS)

    async def dial(self, relay: Connection, peer: PeerId, timer: StepTimer) -> Connection:
        """Open a circuit to `peer` through a connected relay.

        Raises:
            NoReservationError: the relay does not know the peer.
            RelayError: the relay refused for another reason.
            DialError: the relay or the peer did not answer, or the peer is not who it should be.
        """
        step, began = Step.HOP, self._host.clock.monotonic()
        try:
            async with asyncio.timeout(limits.HOP_TIMEOUT):
                stream = await relay.open_stream([HOP_PROTOCOL])
                try:
                    timer.done(Step.HOP)
                    step = Step.STOP
                    status = await hop_exchange(stream, HopClient.connect(peer))
                    _raise_for(status, peer)
                    timer.done(Step.STOP)
                    step = Step.CIRCUIT
                    raw, budget = self._metered(stream, status.limit)
                    upgraded = await upgrade_outbound(raw, self._host.identity, peer)
                except BaseException:
                    stream.abort()
                    raise
        except TimeoutError:
            error = NoAnswerError(
                f"{peer.short()} did not answer through the relay within {limits.HOP_TIMEOUT:g} s."
            )
            timer.failed(step, str(error))
            raise error from None
        except P2PChatError as error:
            timer.failed(step, str(error))
            if isinstance(error, (DialError, RelayError)):
                raise
            raise DialError(f"The circuit to {peer.short()} could not be built: {error}") from error
        address = relay.remote_address / _CIRCUIT / peer.as_multiaddr()
        route = Route(
            Kind.CIRCUIT,
            Direction.OUTBOUND,
            address,
            _limit(status.limit),
            label=f"relay {relay.peer.short()}",
            budget=budget,
            began_at=began,
        )
        timer.done(Step.CIRCUIT)
        return self._host.adopt(upgraded.peer, upgraded.muxer, route)

    async def _called(self, stream: Stream) -> None:
        """A relay says that somebody wants to reach us."""
        relay = stream.connection
        machine = StopServer()
        started = self._host.clock.monotonic()
        async with asyncio.timeout(limits.STOP_TIMEOUT):
            try:
                while machine.result is None:
                    data = await stream.read()
                    if data:
                        machine.receive_data(data)
                    else:
                        machine.receive_eof()
            except P2PChatError:
                if machine.failure is not None:
                    machine.respond(machine.failure)
                    await stream.write(machine.take_output())
                raise
            allowed = not relay.relayed and self._is_our_relay(relay.peer)
            machine.respond(Status.OK if allowed else Status.PERMISSION_DENIED)
            await stream.write(machine.take_output())
        if not allowed:
            return
        if surplus := machine.remaining():
            stream.unread(surplus)
        source = machine.result.peer
        timer = StepTimer(source, self._host.clock, self._observer, since=started)
        timer.done(Step.STOP)
        try:
            raw, budget = self._metered(stream, machine.result.limit)
            upgraded = await upgrade_inbound(raw, self._host.identity, source)
        except P2PChatError as error:
            timer.failed(Step.CIRCUIT, str(error))
            raise
        address = relay.remote_address / _CIRCUIT / source.as_multiaddr()
        route = Route(
            Kind.CIRCUIT,
            Direction.INBOUND,
            address,
            _limit(machine.result.limit),
            label=f"relay {relay.peer.short()}",
            budget=budget,
            began_at=started,
        )
        timer.done(Step.CIRCUIT)
        connection = self._host.adopt(upgraded.peer, upgraded.muxer, route)
        await connection.wait_closed()

    def _metered(self, stream: Stream, limit: Limit | None) -> tuple[ByteStream, CircuitBudget | None]:
        """Return what a circuit with this limit is read from and written to, and what counts it."""
        if limit is None:
            return stream, None
        budget = CircuitBudget(limit.duration, limit.data, self._host.clock.monotonic())
        return MeteredStream(stream, budget), budget


def _raise_for(status: HopStatus, peer: PeerId) -> None:
    match status.status:
        case Status.OK:
            return
        case Status.NO_RESERVATION:
            raise NoReservationError(
                f"The relay has no reservation for {peer.short()}: it is not online now, or uses another relay."
            )
        case Status.CONNECTION_FAILED:
            raise DialError(f"The relay could not reach {peer.short()}, although it is registered there.")
        case Status.RESOURCE_LIMIT_EXCEEDED:
            raise RelayError("The relay is full; try again later or use another relay.", status.status)
        case Status.PERMISSION_DENIED:
            raise RelayError("The relay does not allow this connection.", status.status)
        case other:
            raise RelayError(f"The relay refused the connection ({other.name}).", other)


def _limit(limit: Limit | None) -> CircuitLimit | None:
    # A limit without any number is none for js; for go its presence alone makes the circuit limited.
    return None if limit is None else CircuitLimit(limit.duration, limit.data)

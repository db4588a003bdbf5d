"""Keeps reservations: for each relay one task that dials, reserves, renews, and starts again after a loss."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.errors import P2PChatError, RelayError, UnsupportedProtocolError, WrongPeerError
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.net.circuit import hop_exchange
from p2pchat_core.net.steps import Step, StepTimer
from p2pchat_core.net.tasks import TaskOwner
from p2pchat_core.wire.circuit import HOP_PROTOCOL, HopClient, Status
from p2pchat_core.wire.dial_target import listen_addresses
from p2pchat_core.wire.reservation import ActionKind, NextAction, ReservationKeeper, ReservationState

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2pchat_core.multiformats.multiaddr import Multiaddr
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.host import Host
    from p2pchat_core.net.steps import StepObserver
    from p2pchat_core.wire.circuit import Reservation

__all__ = ["RelayClient", "RelayInfo"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RelayInfo:
    """How we stand with one relay.

    Attributes:
        address: as it was given to `RelayClient.add`.
        expires: Unix seconds at which the reservation ends, while there is one.
        reason: one sentence, while lost or refused.
        peer: the relay's id, once known.
    """

    address: Multiaddr
    state: ReservationState
    expires: float | None = None
    reason: str = ""
    peer: PeerId | None = None


class _Slot:
    """Our place on one relay."""

    def __init__(self, address: Multiaddr, now: float) -> None:
        self.keeper = ReservationKeeper(now, random.random)
        self.info = RelayInfo(address, self.keeper.state, peer=PeerId.of(address))
        self.connection: Connection | None = None
        self.reservation: Reservation | None = None
        self.changed = asyncio.Event()
        self.renewed = asyncio.Event()  # the last attempt at reserving has ended
        self.hurried_at = float("-inf")


class RelayClient:
    """All the relays that others may reach us through.

    `on_relay` is called whenever how we stand with one changes, `on_listening` with all addresses when they do.
    """

    def __init__(
        self,
        host: Host,
        *,
        observer: StepObserver | None = None,
        on_relay: Callable[[RelayInfo], None] | None = None,
        on_listening: Callable[[list[Multiaddr]], None] | None = None,
    ) -> None:
        self._host = host
        self._observer = observer
        self._on_relay = on_relay
        self._on_listening = on_listening
        self._slots: dict[Multiaddr, _Slot] = {}
        self._listening: list[Multiaddr] = []
        self._tasks = TaskOwner("relay client")
        host.on_disconnect.append(self._disconnected)

    def add(self, address: Multiaddr) -> None:
        """Keep a reservation on the relay at `address` from now on; one that is kept already is tried at once."""
        slot = self._slots.get(address)
        if slot is not None:
            slot.keeper.retry_now(self._host.clock.monotonic())
            slot.changed.set()
            return
        slot = self._slots[address] = _Slot(address, self._host.clock.monotonic())
        self._tasks.spawn(self._keep(slot), f"keep {address}")

    def retry_now(self) -> None:
        """Try every relay that we have no reservation on at once: the network may be there again."""
        for slot in self._slots.values():
            slot.keeper.retry_now(self._host.clock.monotonic())
            slot.changed.set()

    def relays(self) -> list[RelayInfo]:
        """Return every relay, in the order they were added."""
        return [slot.info for slot in self._slots.values()]

    def addresses(self) -> list[Multiaddr]:
        """Return our complete addresses, those of the first relay first."""
        return list(self._listening)

    def holds(self, relay: PeerId) -> bool:
        """Whether we have a reservation with this relay, or are asking for one at this moment."""
        wanted = (ReservationState.RESERVED, ReservationState.CONNECTING)
        return any(slot.info.peer == relay and slot.keeper.state in wanted for slot in self._slots.values())

    async def move(self, old: Connection, new: Connection) -> None:
        """Reserve over another connection to the same relay than before, and return when that was tried."""
        now = self._host.clock.monotonic()
        for slot in self._slots.values():
            if slot.info.peer == new.peer and slot.keeper.state is ReservationState.LOST:
                slot.keeper.retry_now(now)
                slot.changed.set()
            if slot.connection is old:
                slot.connection = new
                slot.renewed.clear()
                slot.keeper.renew_now(now)
                slot.changed.set()
                await slot.renewed.wait()

    async def close(self) -> None:
        """Stop keeping reservations; the connections are left to the host."""
        await self._tasks.close()

    # --- one relay --------------------------------------------------------------------------------------------------

    async def _keep(self, slot: _Slot) -> None:
        while True:
            now = self._host.clock.monotonic()
            action = slot.keeper.next_action(now)
            self._report(slot)
            slot.changed.clear()
            try:
                await self._act(slot, action, now)
            except Exception as error:
                # A defect here must cost one attempt, not the reservation for ever.
                logger.exception("keeping the reservation on %s failed", slot.info.address)
                slot.keeper.failed(now, f"This is a defect in p2pchat: {error!r}.", refused=False)

    async def _act(self, slot: _Slot, action: NextAction, now: float) -> None:
        match action.kind:
            case ActionKind.CONNECT:
                await self._connect(slot)
            case ActionKind.RESERVE:
                await self._reserve(slot)
                slot.renewed.set()
            case ActionKind.WAIT:
                slot.renewed.set()  # as there is nothing to renew
                await self._wait(slot, action.at - now)

    async def _wait(self, slot: _Slot, delay: float) -> None:
        hurried = self._host.hurried() and slot.keeper.state is ReservationState.LOST
        if hurried:
            delay = min(delay, limits.RELAY_RETRY_ACTIVE * random.uniform(0.8, 1.2))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await slot.changed.wait()
                return
        if hurried:
            slot.keeper.retry_now(self._host.clock.monotonic())

    async def _connect(self, slot: _Slot) -> None:
        keeper, clock = slot.keeper, self._host.clock
        try:
            slot.connection = await self._host.dial(slot.info.address)
        except P2PChatError as error:
            # A relay with another key is not ours any more: nothing more is said to it, and not often asked.
            self._fail(slot, None, str(error), refused=isinstance(error, WrongPeerError))
        else:
            slot.info = replace(slot.info, peer=slot.connection.peer)
            keeper.connected(clock.monotonic())

    async def _reserve(self, slot: _Slot) -> None:
        keeper, clock, connection = slot.keeper, self._host.clock, slot.connection
        if connection is None or connection.closed:
            keeper.lost(clock.monotonic())
            return
        timer = StepTimer(connection.peer, clock, self._observer)
        try:
            async with (
                asyncio.timeout(limits.RESERVE_TIMEOUT),
                await connection.open_stream([HOP_PROTOCOL]) as stream,
            ):
                status = await hop_exchange(stream, HopClient.reserve())
            if status.status is not Status.OK or status.reservation is None:
                raise RelayError(_refusal(status.status), status.status)
        except UnsupportedProtocolError:
            self._fail(slot, timer, "That peer is not a relay: it offers no reservations.", refused=True)
        except RelayError as error:
            self._fail(slot, timer, str(error), refused=True)
        except TimeoutError:
            self._fail(
                slot, timer, "The relay did not answer the request for a reservation in time.", refused=False
            )
        except P2PChatError as error:
            self._fail(slot, timer, f"The relay broke off the reservation: {error}", refused=False)
        else:
            first = slot.reservation is None
            slot.reservation = status.reservation
            keeper.reserved(clock.monotonic(), status.reservation.expire, clock.time())
            if first:
                timer.done(Step.RESERVATION)

    def _fail(self, slot: _Slot, timer: StepTimer | None, reason: str, *, refused: bool) -> None:
        # Of a relay that was never reached, and whose address does not name it, there is nobody to report on.
        if timer is None and slot.info.peer is not None:
            timer = StepTimer(slot.info.peer, self._host.clock, self._observer)
        if timer is not None:
            timer.failed(Step.RESERVATION, reason)
        slot.keeper.failed(self._host.clock.monotonic(), reason, refused=refused)

    def _disconnected(self, connection: Connection, reason: str) -> None:
        for slot in self._slots.values():
            if slot.connection is connection:
                slot.connection = None
                slot.reservation = None
                now = self._host.clock.monotonic()
                slot.keeper.lost(now, f"The connection to the relay was lost: {reason}")
                if self._host.hurried() and now - slot.hurried_at > limits.RELAY_RETRY_MAX:
                    slot.hurried_at = now  # not again and again, should it be the relay that hangs up
                    slot.keeper.retry_now(now)
                self._report(slot)
                slot.changed.set()

    def _report(self, slot: _Slot) -> None:
        """Tell the listeners what changed since the last time, if anything."""
        keeper = slot.keeper
        if keeper.state is not ReservationState.RESERVED:
            slot.reservation = None
        info = replace(slot.info, state=keeper.state, expires=keeper.expires, reason=keeper.reason)
        if info != slot.info:
            slot.info = info
            logger.info("relay %s: %s %s", info.address, info.state.value, info.reason)
            if self._on_relay is not None:
                self._on_relay(info)
        listening = self._find_addresses()
        if listening != self._listening:
            self._listening = listening
            if self._on_listening is not None:
                self._on_listening(list(listening))

    def _find_addresses(self) -> list[Multiaddr]:
        found: dict[Multiaddr, None] = {}
        for slot in self._slots.values():
            if slot.reservation is None or slot.info.peer is None:
                continue
            known = [slot.info.address, *slot.reservation.addresses]
            found.update(dict.fromkeys(listen_addresses(known, slot.info.peer, self._host.peer)))
        return list(found)


def _refusal(status: Status) -> str:
    match status:
        case Status.RESERVATION_REFUSED:
            return "The relay has no free slot; try another relay, or wait."
        case Status.PERMISSION_DENIED:
            return "The relay does not accept reservations from us."
        case Status.RESOURCE_LIMIT_EXCEEDED:
            return "The relay is at one of its limits; try another relay, or wait."
        case other:
            return f"The relay refused the reservation ({other.name})."

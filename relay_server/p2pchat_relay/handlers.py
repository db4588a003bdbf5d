"""The HOP protocol: what clients ask of the relay, answered by the policy and carried out."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from p2pchat_core.errors import P2PChatError, RemoteProtocolError
from p2pchat_core.identity.envelope import Voucher, seal
from p2pchat_core.limits import HOP_TIMEOUT, RESERVATION_MAX_ADDRESSES, STOP_TIMEOUT
from p2pchat_core.wire.circuit import (
    HOP_PROTOCOL,
    STOP_PROTOCOL,
    HopConnect,
    HopServerExchange,
    HopStatus,
    Limit,
    Reservation,
    Status,
    StopClient,
)
from p2pchat_core.wire.ip import parse_ip
from p2pchat_relay.limits import HOP_STREAMS_PER_CONNECTION
from p2pchat_relay.observer import NullObserver
from p2pchat_relay.policy import Verdict
from p2pchat_relay.refusals import Refusals
from p2pchat_relay.splice import splice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.multiformats.multiaddr import Multiaddr
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.host import Host
    from p2pchat_core.net.stream import Stream
    from p2pchat_relay.observer import RelayObserver
    from p2pchat_relay.policy import Grant, RelayPolicy

__all__ = ["HopHandler"]

logger = logging.getLogger(__name__)


class HopHandler:
    """Serves reservations and circuits on a host (docs/wire.md section 8).

    Every request is answered with a status and the stream ended after it, refusals too. The relay never
    dials: it reaches targets over the connections that they keep open.
    """

    def __init__(
        self,
        host: Host,
        policy: RelayPolicy,
        addresses: Callable[[], Sequence[Multiaddr]],
        *,
        observer: RelayObserver | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        """Serve on `host`; `addresses` gives where the relay can be reached, each with its own PeerId."""
        self._host = host
        self._policy = policy
        self._addresses = addresses
        self._observer: RelayObserver = observer if observer is not None else NullObserver()
        self._refusals = refusals if refusals is not None else Refusals(self._observer, host.clock)

    def register(self) -> None:
        """Begin to serve, and let slots go with the peers that held them."""
        # Allowed over circuits too, so that it can be refused with a reason there.
        self._host.handle(HOP_PROTOCOL, self.handle, on_limited=True, max_inbound=HOP_STREAMS_PER_CONNECTION)
        self._host.on_disconnect.append(self._on_disconnect)

    async def handle(self, stream: Stream) -> None:
        """Serve one HOP stream, to the end of its circuit if one comes of it.

        Raises:
            StreamError, ConnectionLostError: the stream broke; nothing is left behind.
            TimeoutError: the exchange took longer than `limits.HOP_TIMEOUT`.
        """
        exchange = HopServerExchange()
        async with asyncio.timeout(HOP_TIMEOUT) as deadline:
            try:
                await _receive(stream, exchange)
            except RemoteProtocolError as error:
                logger.debug("bad request from %s: %s", stream.connection.peer.short(), error)
                unexpected = exchange.failure is Status.UNEXPECTED_MESSAGE
                verdict = Verdict.UNEXPECTED if unexpected else Verdict.MALFORMED
                self._refusals.request("unknown", stream.connection.peer, verdict)
                await _refuse(stream, exchange, verdict)
                return
            if isinstance(exchange.result, HopConnect):
                await self._connect(stream, exchange, exchange.result.peer, deadline)
            else:
                exchange.respond(self._reserve(stream.connection))
                await stream.write(exchange.take_output())
                await stream.close_write()

    # --- reservations ---------------------------------------------------------------------------------------

    def _reserve(self, connection: Connection) -> HopStatus:
        """Decide on a reservation and return the answer."""
        peer, now = connection.peer, self._host.clock.monotonic()
        renewed = self._policy.reserved(peer, now)
        if connection.relayed:
            verdict = Verdict.OVER_A_CIRCUIT
        else:
            verdict = self._policy.reserve(peer, _remote_ip(connection), now)
        if verdict is not Verdict.OK:
            self._refusals.request("reserve", peer, verdict)
            return HopStatus(verdict.status)
        self._observer.reservation_granted(renewed=renewed)
        expire = int(self._host.clock.time()) + self._policy.limits.reservation_seconds
        voucher = seal(self._host.identity, Voucher(self._host.peer, peer, expire))
        logger.info("%s has a reservation (%d in all)", peer.short(), self._policy.reservations)
        reservation = Reservation(expire, self._addresses_for(connection), voucher)
        # What most of its circuits will have; those with a trusted peer have none.
        return HopStatus(Status.OK, reservation, _limit(self._policy.grant(peer, peer)))

    def _addresses_for(self, connection: Connection) -> tuple[Multiaddr, ...]:
        """Return the relay's addresses that may be of use to others who reach `connection.peer` through
        it."""
        addresses = self._addresses()
        if not _is_loopback(connection.remote_address):
            # Whoever came from elsewhere would only make others dial their own machine.
            addresses = [address for address in addresses if not _is_loopback(address)]
        return tuple(addresses[:RESERVATION_MAX_ADDRESSES])

    def _on_disconnect(self, connection: Connection, _reason: str) -> None:
        if not self._host.connections(connection.peer):
            self._policy.release(connection.peer)

    # --- circuits -------------------------------------------------------------------------------------------

    async def _connect(
        self, stream: Stream, exchange: HopServerExchange, target: PeerId, deadline: asyncio.Timeout
    ) -> None:
        connection, source = stream.connection, stream.connection.peer
        if connection.relayed:
            verdict = Verdict.OVER_A_CIRCUIT
        else:
            now = self._host.clock.monotonic()
            verdict = self._policy.connect(source, _remote_ip(connection), target, now)
        if verdict is not Verdict.OK:
            self._refusals.request("connect", source, verdict, target)
            await _refuse(stream, exchange, verdict)
            return
        try:
            await self._carry(stream, exchange, target, deadline)
        finally:
            self._policy.disconnect(source, target)

    async def _carry(
        self, stream: Stream, exchange: HopServerExchange, target: PeerId, deadline: asyncio.Timeout
    ) -> None:
        source, clock = stream.connection.peer, self._host.clock
        grant = self._policy.grant(source, target)
        call = await self._call(source, target, grant)
        if call is None:
            self._refusals.request("connect", source, Verdict.TARGET_FAILED, target)
            await _refuse(stream, exchange, Verdict.TARGET_FAILED)
            return
        async with call:
            exchange.respond(HopStatus(Status.OK, limit=_limit(grant)))
            await stream.write(exchange.take_output())
            # What the source sent right behind its request belongs to the circuit (section 8.3).
            stream.unread(exchange.remaining())
            deadline.reschedule(None)
            logger.info(
                "circuit from %s to %s (%d open)", source.short(), target.short(), self._policy.circuits
            )
            self._observer.circuit_opened(limited=grant.limited)
            opened = clock.monotonic()
            pace = self._policy.bandwidth.pace(source, target, opened, trusted=grant.trusted)

            def spend(count: int) -> float:
                self._observer.circuit_bytes(count)
                return pace.spend(count, clock.monotonic())

            end = "cancelled"
            try:
                result = await splice(
                    stream,
                    call,
                    seconds=grant.seconds,
                    max_bytes=grant.bytes,
                    idle_seconds=grant.idle_seconds,
                    spend=spend,
                )
                end = result.end.name.lower()
            finally:
                self._observer.circuit_ended(end, clock.monotonic() - opened)
        logger.info(
            "circuit from %s to %s ended: %s (%d bytes there, %d back)",
            source.short(),
            target.short(),
            result.end.value,
            result.to_target,
            result.to_source,
        )

    async def _call(self, source: PeerId, target: PeerId, grant: Grant) -> Stream | None:
        """Offer the target a circuit from `source` and return the stream it took it on, or ``None`` if it did
        not."""
        # The newest connection first: an older one may belong to a network the target has left.
        connection = next((c for c in self._host.connections(target) if not c.relayed), None)
        if connection is None:
            return None
        exchange = StopClient(source, _limit(grant))
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                stream = await connection.open_stream([STOP_PROTOCOL])
                try:
                    await stream.write(exchange.take_output())
                    await _receive(stream, exchange)
                    answer = exchange.result
                    if answer is None or answer.status is not Status.OK:
                        logger.debug("%s refused the circuit: %s", target.short(), answer)
                        stream.abort()
                        return None
                except BaseException:
                    stream.abort()
                    raise
        except (P2PChatError, TimeoutError) as error:
            logger.debug("%s could not be called: %s", target.short(), str(error) or "no answer in time")
            return None
        stream.unread(exchange.remaining())
        return stream


async def _receive(stream: Stream, exchange: HopServerExchange | StopClient) -> None:
    while exchange.result is None:
        data = await stream.read()
        if data:
            exchange.receive_data(data)
        else:
            exchange.receive_eof()


async def _refuse(stream: Stream, exchange: HopServerExchange, verdict: Verdict) -> None:
    exchange.respond(HopStatus(verdict.status))
    await stream.write(exchange.take_output())
    await stream.close_write()


def _limit(grant: Grant) -> Limit | None:
    # go takes the mere presence of a limit for a limited circuit (section 8.5), so there is none without one.
    return Limit(grant.seconds or None, grant.bytes or None) if grant.limited else None


def _remote_ip(connection: Connection) -> str:
    address = connection.remote_address
    return address.value("ip4") or address.value("ip6") or ""


def _is_loopback(address: Multiaddr) -> bool:
    ip = parse_ip(address.value("ip4") or address.value("ip6") or "")
    return ip is not None and ip.is_loopback

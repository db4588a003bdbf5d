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
from p2pchat_relay.limits import HOP_STREAMS_PER_CONNECTION
from p2pchat_relay.sources import parse_ip
from p2pchat_relay.splice import splice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.multiformats.multiaddr import Multiaddr
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.host import Host
    from p2pchat_core.net.stream import Stream
    from p2pchat_relay.policy import RelayPolicy

__all__ = ["HopHandler"]

logger = logging.getLogger(__name__)


class HopHandler:
    """Serves reservations and circuits on a host (PROTOCOL section 8).

    Every request is answered with a status and the stream ended after it, refusals too. The relay never
    dials: it reaches targets over the connections that they keep open.
    """

    def __init__(self, host: Host, policy: RelayPolicy, addresses: Callable[[], Sequence[Multiaddr]]) -> None:
        """Serve on `host`; `addresses` gives where the relay can be reached, each with its own PeerId."""
        self._host = host
        self._policy = policy
        self._addresses = addresses

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
                await _refuse(stream, exchange, exchange.failure or Status.MALFORMED_MESSAGE)
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
        if connection.relayed:
            return HopStatus(Status.PERMISSION_DENIED)
        peer, now = connection.peer, self._host.clock.monotonic()
        status = self._policy.reserve(peer, _remote_ip(connection), now)
        if status is not Status.OK:
            logger.info("refused %s a reservation: %s", peer.short(), status.name)
            return HopStatus(status)
        expire = int(self._host.clock.time()) + self._policy.limits.reservation_seconds
        voucher = seal(self._host.identity, Voucher(self._host.peer, peer, expire))
        logger.info("%s has a reservation (%d in all)", peer.short(), self._policy.reservations)
        reservation = Reservation(expire, self._addresses_for(connection), voucher)
        return HopStatus(Status.OK, reservation, self._limit())

    def _addresses_for(self, connection: Connection) -> tuple[Multiaddr, ...]:
        """Return the relay's addresses that may be of use to others who reach `connection.peer` through
        it."""
        addresses = self._addresses()
        if not _is_loopback(connection.remote_address):
            # Whoever came from elsewhere would only make others dial their own machine.
            addresses = [address for address in addresses if not _is_loopback(address)]
        return tuple(addresses[:RESERVATION_MAX_ADDRESSES])

    def _limit(self) -> Limit | None:
        # go takes the mere presence of a limit for a limited circuit (section 8.5), so there is none without
        # one.
        seconds, data = self._policy.limits.circuit_seconds, self._policy.limits.circuit_bytes
        return Limit(seconds or None, data or None) if seconds or data else None

    def _on_disconnect(self, connection: Connection, _reason: str) -> None:
        if not self._host.connections(connection.peer):
            self._policy.release(connection.peer)

    # --- circuits -------------------------------------------------------------------------------------------

    async def _connect(
        self, stream: Stream, exchange: HopServerExchange, target: PeerId, deadline: asyncio.Timeout
    ) -> None:
        source = stream.connection.peer
        if stream.connection.relayed:
            status = Status.PERMISSION_DENIED
        else:
            status = self._policy.connect(source, target, self._host.clock.monotonic())
        if status is not Status.OK:
            logger.info("refused %s a circuit to %s: %s", source.short(), target.short(), status.name)
            await _refuse(stream, exchange, status)
            return
        try:
            await self._carry(stream, exchange, target, deadline)
        finally:
            self._policy.disconnect(source, target)

    async def _carry(
        self, stream: Stream, exchange: HopServerExchange, target: PeerId, deadline: asyncio.Timeout
    ) -> None:
        source, limits = stream.connection.peer, self._policy.limits
        call = await self._call(source, target)
        if call is None:
            logger.info("%s did not take a circuit from %s", target.short(), source.short())
            await _refuse(stream, exchange, Status.CONNECTION_FAILED)
            return
        async with call:
            exchange.respond(HopStatus(Status.OK, limit=self._limit()))
            await stream.write(exchange.take_output())
            # What the source sent right behind its request belongs to the circuit (section 8.3).
            stream.unread(exchange.remaining())
            deadline.reschedule(None)
            logger.info(
                "circuit from %s to %s (%d open)", source.short(), target.short(), self._policy.circuits
            )
            result = await splice(
                stream, call, seconds=limits.circuit_seconds, max_bytes=limits.circuit_bytes
            )
        logger.info(
            "circuit from %s to %s ended: %s (%d bytes there, %d back)",
            source.short(),
            target.short(),
            result.end.value,
            result.to_target,
            result.to_source,
        )

    async def _call(self, source: PeerId, target: PeerId) -> Stream | None:
        """Offer the target a circuit from `source` and return the stream it took it on, or ``None`` if it did
        not."""
        # The newest connection first: an older one may belong to a network the target has left.
        connection = next((c for c in self._host.connections(target) if not c.relayed), None)
        if connection is None:
            return None
        exchange = StopClient(source, self._limit())
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


async def _refuse(stream: Stream, exchange: HopServerExchange, status: Status) -> None:
    exchange.respond(HopStatus(status))
    await stream.write(exchange.take_output())
    await stream.close_write()


def _remote_ip(connection: Connection) -> str:
    address = connection.remote_address
    return address.value("ip4") or address.value("ip6") or ""


def _is_loopback(address: Multiaddr) -> bool:
    ip = parse_ip(address.value("ip4") or address.value("ip6") or "")
    return ip is not None and ip.is_loopback

"""A connection: authenticated, multiplexed, to one peer."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from p2pchat_core.errors import P2PChatError, StreamLimitError
from p2pchat_core.limits import HANDLER_GRACE, MAX_STREAMS_PER_CONNECTION
from p2pchat_core.net.negotiation import answer, select_one
from p2pchat_core.net.tasks import TaskOwner
from p2pchat_core.wire.circuit_budget import CircuitBudget
from p2pchat_core.wire.round_trips import RoundTrip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.multiformats.multiaddr import Multiaddr
    from p2pchat_core.net.muxer import Muxer
    from p2pchat_core.net.registry import ProtocolRegistry
    from p2pchat_core.net.stream import Stream

__all__ = ["CircuitLimit", "Connection", "Direction", "Kind", "Route"]

logger = logging.getLogger(__name__)


class Direction(enum.Enum):
    """Who opened the connection."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class Kind(enum.Enum):
    """What carries the connection, best first."""

    WEBRTC = "webrtc"
    WEBSOCKET = "websocket"
    TCP = "tcp"
    CIRCUIT = "circuit"


@dataclass(frozen=True, slots=True)
class CircuitLimit:
    """What a relay allows on one circuit; ``None`` means that it named no limit of this sort.

    Attributes:
        seconds: from the moment the circuit opened.
        bytes: how many it carries before it is cut.
    """

    seconds: int | None
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Route:
    """How a connection came about and what carries it.

    Attributes:
        remote_address: the peer's address, as dialled or as seen.
        limit: present on circuits whose relay set a limit.
        label: the far end in a few characters, for people: `host:port` of the nominated candidate, or a relay.
        detail: one line more, such as the candidate pair.
        budget: counts down a circuit with a limit; without it only the time is known.
        began_at: monotonic seconds when making it began, if that took a while.
    """

    kind: Kind
    direction: Direction
    remote_address: Multiaddr
    limit: CircuitLimit | None = None
    label: str = ""
    detail: str = ""
    budget: CircuitBudget | None = field(default=None, compare=False)
    began_at: float | None = None


class Connection:
    """Streams to and from one peer, negotiated by protocol name.

    Attributes:
        peer: who is at the other end, proved by the handshake.
        route: how it travels.
        began_at, opened_at: monotonic seconds.
        round_trip: the round trips measured so far, smoothed.
        silent_since: monotonic seconds of the oldest ping that is overdue; ``None`` while pings are answered.
        rtt: the last measured round trip in seconds, if any.
        heard_at: monotonic seconds when something last proved that the peer is there.
        budget: what is left of a circuit with a limit; ``None`` for all others.
        successor: the connection that took the place of this one, if any.
    """

    def __init__(
        self, peer: PeerId, muxer: Muxer, route: Route, registry: ProtocolRegistry, opened_at: float
    ) -> None:
        self.peer = peer
        self.route = route
        self.began_at = opened_at if route.began_at is None else route.began_at
        self.opened_at = opened_at
        self.rtt: float | None = None
        self.heard_at = opened_at
        self.budget = route.budget
        if self.budget is None and route.limit is not None:
            self.budget = CircuitBudget(route.limit.seconds, route.limit.bytes, opened_at)
        self.successor: Connection | None = None
        self._muxer = muxer
        self._registry = registry
        self._serving: Counter[str] = Counter()
        self._streams = 0
        self._tasks = TaskOwner(f"connection to {peer.short()}")
        self._reason: str | None = None
        self.round_trip = RoundTrip()
        self.silent_since: float | None = None

    @property
    def remote_address(self) -> Multiaddr:
        """The peer's address, as dialled or as seen."""
        return self.route.remote_address

    @property
    def direction(self) -> Direction:
        """Who opened it."""
        return self.route.direction

    @property
    def limit(self) -> CircuitLimit | None:
        """The circuit's limit, if the relay set one."""
        return self.route.limit

    @property
    def limited(self) -> bool:
        """Whether it is a circuit that the relay will cut."""
        return self.route.limit is not None

    @property
    def bytes_left(self) -> int | None:
        """Bytes that the relay still carries, both ways together; ``None`` without such a limit."""
        return None if self.budget is None else self.budget.bytes_left

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds until the relay cuts it; ``None`` without such a limit. `now` is monotonic."""
        return None if self.budget is None else self.budget.seconds_left(now)

    @property
    def superseded(self) -> bool:
        """Whether another connection has taken the place of this one, which ends soon."""
        return self.successor is not None and not self.successor.closed

    @property
    def relayed(self) -> bool:
        """Whether it travels through a relay."""
        return self.route.kind is Kind.CIRCUIT

    @property
    def direct(self) -> bool:
        """Whether it is a WebRTC connection between the two peers."""
        return self.route.kind is Kind.WEBRTC

    @property
    def plain(self) -> bool:
        """Whether it is one to a listener: to a relay as a rule."""
        return self.route.kind in (Kind.WEBSOCKET, Kind.TCP)

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._muxer.closed

    @property
    def buffered(self) -> int:
        """Bytes that are held for it in either direction: received and not read, and to be sent."""
        return self._muxer.buffered

    def start(self) -> None:
        """Begin to serve what the peer opens."""
        self._muxer.start()
        self._tasks.spawn(self._accept(), "accept streams")

    async def open_stream(self, protocols: Sequence[str], *, allow_limited: bool = False) -> Stream:
        """Open a stream and agree on the first of `protocols` that the peer serves.

        Raises:
            UnsupportedProtocolError: the peer serves none of them.
            StreamLimitError: the connection is a limited circuit and `allow_limited` is false, or is full.
            NoAnswerError: the peer did not answer in time.
            StreamError, ConnectionLostError: it broke while negotiating.
        """
        if self.limited and not allow_limited:
            raise StreamLimitError(
                "Only a limited circuit through a relay leads to the peer; this needs a direct path."
            )
        stream = await self._muxer.open_stream()
        stream.connection = self
        try:
            stream.protocol = await select_one(stream, protocols)
        except BaseException:
            stream.abort()
            raise
        return stream

    async def close(self) -> None:
        """Say good-bye and end. Never raises."""
        await self._muxer.close()

    def abort(self, reason: str) -> None:
        """End at once; `reason` is a sentence."""
        self._muxer.abort(reason)

    async def wait_closed(self) -> str:
        """Wait until it has ended, with every handler, and return the reason.

        Handlers are given a moment to read what had come before the end.
        """
        reason = await self._muxer.wait_closed()
        await self._tasks.close(grace=HANDLER_GRACE)
        return reason

    async def _accept(self) -> None:
        while True:
            try:
                stream = await self._muxer.accept_stream()
            except P2PChatError:
                return
            stream.connection = self
            if self._streams >= MAX_STREAMS_PER_CONNECTION:
                stream.abort()
                continue
            self._streams += 1
            self._tasks.spawn(self._serve(stream), f"inbound stream {stream.stream_id}")

    async def _serve(self, stream: Stream) -> None:
        try:
            await self._negotiate_and_handle(stream)
        except (P2PChatError, TimeoutError) as error:
            logger.debug("stream %s of %s ended: %s", stream.protocol or "?", self.peer.short(), error)
            stream.abort()
        except asyncio.CancelledError:
            stream.abort()
            raise
        except Exception:
            logger.exception("the handler of %s failed", stream.protocol)
            stream.abort()
        finally:
            self._streams -= 1

    async def _negotiate_and_handle(self, stream: Stream) -> None:
        protocol = await answer(stream, self._registry.supports, self._registry.names)
        stream.protocol = protocol
        registration = self._registry.get(protocol)
        # Like js, refuse for policy after accepting the name: the peer sees a reset, not "unknown protocol".
        if registration is None or (self.limited and not registration.on_limited):
            stream.abort()
            return
        if self._serving[protocol] >= registration.max_inbound:
            logger.debug("%s opened too many %s streams", self.peer.short(), protocol)
            stream.abort()
            return
        self._serving[protocol] += 1
        try:
            await registration.handler(stream)
        finally:
            self._serving[protocol] -= 1
        await stream.close()

    def __repr__(self) -> str:
        return f"<Connection {self.peer.short()} {self.route.kind.value} {self.direction.value}>"

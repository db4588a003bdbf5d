"""Turns a circuit into a direct WebRTC connection, as the side that asks or the side that answers.

The WebRTC stack is large (aiortc and PyAV take 0.4 s to import), so it is loaded in a thread after start-up, or at the
latest for the first exchange.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from typing import TYPE_CHECKING, Any

from p2pchat_core import limits
from p2pchat_core.errors import P2PChatError, UnsupportedProtocolError
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.connection import Direction, Kind, Route
from p2pchat_core.net.steps import Step, StepTimer
from p2pchat_core.wire.signaling import SIGNALING_PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.host import Host
    from p2pchat_core.net.steps import StepObserver
    from p2pchat_core.net.stream import Stream
    from p2pchat_core.net.webrtc.config import IceConfig
    from p2pchat_core.net.webrtc.transport import DirectConnection

__all__ = ["DirectUpgrade"]

logger = logging.getLogger(__name__)

_TRANSPORT = "p2pchat_core.net.webrtc.transport"


class DirectUpgrade:
    """WebRTC private to private (docs/wire.md section 9) on the connections of one host.

    The signalling may travel over any connection to the peer, also over a direct one, which is renewed that way.
    `on_asked` holds callbacks that are told when a peer has offered a direct connection.
    """

    def __init__(
        self, host: Host, ice: Callable[[Connection], IceConfig], observer: StepObserver | None
    ) -> None:
        """`ice` returns the servers to use for an exchange over this connection, asked anew each time."""
        self._host = host
        self._ice = ice
        self._observer = observer
        self._attempts = asyncio.Semaphore(limits.MAX_DIRECT_ATTEMPTS)
        self._transport: Any = None
        self.on_asked: list[Callable[[PeerId], None]] = []
        host.handle(SIGNALING_PROTOCOL, self._asked, on_limited=True, max_inbound=limits.MAX_DIRECT_ATTEMPTS)

    async def load(self) -> None:
        """Import the WebRTC stack in a thread, if that has not happened yet."""
        if self._transport is None:
            self._transport = await asyncio.to_thread(importlib.import_module, _TRANSPORT)

    async def upgrade(self, circuit: Connection, address: Multiaddr, timer: StepTimer) -> Connection:
        """Open a direct connection to the peer of `circuit`, which stays open. `address` is the one that was dialled.

        `circuit` may be any connection that leads to the peer.

        Raises:
            UnsupportedProtocolError: the peer knows no WebRTC signalling.
            SignalingError: the exchange broke off.
            IceFailedError: the networks do not let it through.
            DialError, StreamError, ConnectionLostError: the circuit failed meanwhile.
        """
        began = self._host.clock.monotonic()
        async with self._attempts:
            await self.load()
            try:
                stream = await circuit.open_stream([SIGNALING_PROTOCOL], allow_limited=True)
            except UnsupportedProtocolError:
                timer.failed(Step.SIGNALING, "The peer's program knows no WebRTC.")
                raise
            except P2PChatError as error:
                timer.failed(Step.SIGNALING, str(error))
                raise
            timer.done(Step.SIGNALING)
            try:
                direct: DirectConnection = await self._transport.dial_direct(
                    stream, self._ice(circuit), timer=timer, clock=self._host.clock
                )
            except P2PChatError as error:
                timer.failed(Step.DIRECT, str(error))
                raise
        return self._adopt(circuit, direct, Direction.OUTBOUND, address, began)

    async def _asked(self, stream: Stream) -> None:
        """A peer opened a signalling stream: answer its offer."""
        circuit, began = stream.connection, self._host.clock.monotonic()
        timer = StepTimer(circuit.peer, self._host.clock, self._observer)
        for callback in self.on_asked:
            callback(circuit.peer)
        async with self._attempts:
            await self.load()
            timer.done(Step.SIGNALING)
            try:
                direct: DirectConnection = await self._transport.accept_direct(
                    stream, self._ice(circuit), timer=timer, clock=self._host.clock
                )
            except P2PChatError as error:
                timer.failed(Step.DIRECT, str(error))
                raise
        # The form js shows on its listening side; the peer was proved by the circuit that carried the SDP.
        address = Multiaddr.parse("/webrtc") / circuit.peer.as_multiaddr()
        self._adopt(circuit, direct, Direction.INBOUND, address, began)

    def _adopt(
        self,
        circuit: Connection,
        direct: DirectConnection,
        direction: Direction,
        address: Multiaddr,
        began: float,
    ) -> Connection:
        route = Route(
            Kind.WEBRTC,
            direction,
            address,
            label=f"{direct.remote.host}:{direct.remote.port}",
            detail=f"{direct.local.type} ⇄ {direct.remote.type}, udp",
            began_at=began,
        )
        return self._host.adopt(circuit.peer, direct.muxer, route)

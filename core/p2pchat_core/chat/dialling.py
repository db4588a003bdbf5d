"""What ``connect`` does: an address is that of a relay or of a peer, and the one who answers may say which."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.chat.events import RelayState
from p2pchat_core.chat.model import ConnectResult
from p2pchat_core.chat.node_events import NodeEvents, path_of, relay_state, where
from p2pchat_core.errors import (
    DialError,
    NoAnswerError,
    OwnAddressError,
    P2PChatError,
    RelayUnreachableError,
)
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.wire.circuit import HOP_PROTOCOL
from p2pchat_core.wire.dial_target import CircuitTarget, parse_target

if TYPE_CHECKING:
    from p2pchat_core.chat.people import People
    from p2pchat_core.chat.redial import Redial
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.node import Node

__all__ = ["Dialling"]

logger = logging.getLogger(__name__)


class Dialling:
    """Connects where the user says."""

    def __init__(self, node: Node, events: NodeEvents, people: People, redial: Redial) -> None:
        self._node = node
        self._events = events
        self._people = people
        self._redial = redial

    async def connect(self, address: str) -> ConnectResult:
        """Connect to a relay or a peer; see `ChatService.connect`."""
        target = parse_target(address)
        if target.peer == self._node.peer:
            raise OwnAddressError("That is your own address. Give it to somebody, and enter theirs here.")
        try:
            async with asyncio.timeout(limits.CONNECT_TIMEOUT):
                if isinstance(target, CircuitTarget):
                    with self._people.expecting(target.peer):
                        return await self._connect_peer(Multiaddr.parse(address.strip()))
                return await self._connect_websocket(target.address)
        except TimeoutError:
            raise NoAnswerError(f"Connecting took longer than {limits.CONNECT_TIMEOUT:g} s.") from None

    async def _connect_peer(self, address: Multiaddr) -> ConnectResult:
        connection = await self._node.connect(address)
        await self._people.befriend(connection.peer)
        self._redial.learn(connection.peer, [address])
        return await self._connected(connection)

    async def _connect_websocket(self, address: Multiaddr) -> ConnectResult:
        """Connect to what answers at a WebSocket address: a relay, unless it says that it is none."""
        try:
            connection = await self._node.connect(address)
        except DialError as error:
            raise RelayUnreachableError(str(error)) from error
        info = await self._node.identify.identified(connection)
        if info is not None and HOP_PROTOCOL not in info.protocols:
            self._events.tell(connection)  # which ends it, should the user have blocked this peer
            await self._people.befriend(connection.peer)
            return await self._connected(connection)
        relay = connection.remote_address
        if not any(
            known.peer == connection.peer and relay_state(known) is RelayState.RESERVED
            for known in self._node.relays()
        ):
            self._node.add_relay(relay)
            await self._events.reserved(relay)
        return ConnectResult("relay", str(connection.peer), None, await self._measure(connection), str(relay))

    async def _connected(self, connection: Connection) -> ConnectResult:
        rtt = await self._measure(connection)
        return ConnectResult("peer", str(connection.peer), path_of(connection), rtt, where(connection))

    async def _measure(self, connection: Connection) -> float | None:
        """Return one round trip in milliseconds, or ``None`` from those who do not answer pings."""
        try:
            return await self._node.ping(connection) * 1e3
        except P2PChatError as error:
            logger.debug("no round trip of %s: %s", connection, error)
            return None

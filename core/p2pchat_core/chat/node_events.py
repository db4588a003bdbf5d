"""Turns what the node reports into the events of the chat, and lets commands wait for some of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from p2pchat_core.chat.events import (
    ConnectionEvent,
    ConnectionState,
    ListeningEvent,
    PathKind,
    RelayEvent,
    RelayState,
    StepEvent,
)
from p2pchat_core.errors import NoAnswerError, RelayError, RelayUnreachableError
from p2pchat_core.limits import RELAY_CONNECT_TIMEOUT
from p2pchat_core.net.connection import Kind
from p2pchat_core.net.node import NodeListener
from p2pchat_core.net.steps import STEP_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2pchat_core.chat.event_hub import EventHub
    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.multiformats.multiaddr import Multiaddr
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.relay_client import RelayInfo
    from p2pchat_core.net.steps import StepReport

__all__ = ["NodeEvents", "path_of", "relay_state", "where"]


def path_of(connection: Connection) -> PathKind:
    """Return how a connection travels, in the words of the events."""
    return PathKind.RELAYED if connection.relayed else PathKind.DIRECT


def where(connection: Connection) -> str:
    """Return the far end of a connection: `host:port` of a direct one when known, else the multiaddr."""
    return (connection.direct and connection.route.label) or str(connection.remote_address)


def relay_state(info: RelayInfo) -> RelayState:
    """Return the state of a relay in the words of the events; one that was not tried yet is about to be."""
    try:
        return RelayState(info.state.value)
    except ValueError:
        return RelayState.CONNECTING


class NodeEvents(NodeListener):
    """The listener of the node behind a chat service.

    A WebSocket connection leads to a relay and is not told as a connection to a peer, unless `tell` says that it
    leads to somebody to talk to.
    """

    def __init__(
        self,
        hub: EventHub,
        opened: Callable[[Connection], None],
        closed: Callable[[Connection], None] = lambda _: None,
        hope: Callable[[], None] = lambda: None,
        refuses: Callable[[Connection], bool] = lambda _: False,
        silent: Callable[[PeerId], bool] = lambda _: False,
    ) -> None:
        """Pass events to `hub`.

        Args:
            opened: called for every new connection to a peer.
            closed: called when it has ended.
            hope: called when the network is there again: a relay has given us a reservation.
            refuses: says of a new connection whether it is to be ended at once, without a word to anybody.
            silent: says of a peer whether no step of its connections is told.
        """
        self._hub = hub
        self._opened = opened
        self._closed = closed
        self._hope = hope
        self._refuses = refuses
        self._silent = silent
        self._told: set[Connection] = set()
        self._waiting: dict[Multiaddr, list[asyncio.Future[RelayInfo]]] = {}
        self.listening = asyncio.Event()

    def tells(self, connection: Connection) -> bool:
        """Whether this connection is one to a peer."""
        return connection in self._told

    def tell(self, connection: Connection) -> None:
        """This connection leads to a peer."""
        if connection in self._told or connection.closed:
            return
        if self._refuses(connection):
            connection.abort("The user does not want it.")
            return
        self._told.add(connection)
        self._hub.emit(_connection_event(connection, ConnectionState.OPEN))
        self._opened(connection)

    async def reserved(self, address: Multiaddr) -> RelayInfo:
        """Wait until the next attempt on this relay has succeeded.

        Raises:
            RelayError: it refused.
            RelayUnreachableError: it does not answer.
            NoAnswerError: neither happened in time.
        """
        outcome: asyncio.Future[RelayInfo] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(address, [])
        waiting.append(outcome)
        try:
            async with asyncio.timeout(RELAY_CONNECT_TIMEOUT):
                info = await outcome
        except TimeoutError:
            raise NoAnswerError(f"The relay {address} has not given a reservation in time.") from None
        finally:
            waiting.remove(outcome)
            if not waiting:
                del self._waiting[address]
        match relay_state(info):
            case RelayState.REFUSED:
                raise RelayError(info.reason)
            case RelayState.LOST:
                raise RelayUnreachableError(info.reason)
        return info

    # --- what the node calls ----------------------------------------------------------------------------------------

    def on_step(self, report: StepReport) -> None:
        """Pass a step on."""
        if self._silent(report.peer):
            return
        name = STEP_NAMES[report.step]
        peer, step = str(report.peer), int(report.step)
        self._hub.emit(StepEvent(peer, step, name, report.ms, report.ok, report.detail))

    def on_relay(self, relay: RelayInfo) -> None:
        """Pass a relay's state on, and wake who waits for the outcome."""
        state = relay_state(relay)
        self._hub.emit(RelayEvent(str(relay.address), state, relay.expires, relay.reason))
        if state is RelayState.CONNECTING:
            return
        if state is RelayState.RESERVED:
            self._hope()
        for outcome in self._waiting.get(relay.address, ()):
            if not outcome.done():
                outcome.set_result(relay)

    def on_listening(self, addresses: list[Multiaddr]) -> None:
        """Pass the addresses on."""
        self._hub.emit(ListeningEvent(tuple(map(str, addresses))))
        if addresses:
            self.listening.set()

    def on_connection(self, connection: Connection) -> None:
        """Pass a connection to a peer on."""
        if connection.route.kind not in (Kind.WEBSOCKET, Kind.TCP):
            self.tell(connection)

    def on_disconnect(self, connection: Connection, reason: str) -> None:
        """Pass the end of a connection on."""
        if connection in self._told:
            self._told.discard(connection)
            self._hub.emit(_connection_event(connection, ConnectionState.CLOSED, reason))
            self._closed(connection)


def _connection_event(connection: Connection, state: ConnectionState, reason: str = "") -> ConnectionEvent:
    limit = connection.limit
    return ConnectionEvent(
        str(connection.peer),
        path_of(connection),
        state,
        where(connection),
        connection.limited,
        reason,
        limit_bytes=None if limit is None else limit.bytes,
        limit_seconds=None if limit is None else limit.seconds,
    )

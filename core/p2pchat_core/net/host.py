"""A node's connections: listening, dialling, the table of who is connected, and the protocols served."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p2pchat_core import limits
from p2pchat_core.clock import SystemClock
from p2pchat_core.errors import (
    AddressError,
    ConnectionLostError,
    DialError,
    HandshakeError,
    IdentityError,
    P2PChatError,
    StreamLimitError,
    WrongPeerError,
)
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.connection import Connection, Direction, Kind, Route
from p2pchat_core.net.interfaces import expand_wildcard
from p2pchat_core.net.locks import KeyedLocks
from p2pchat_core.net.registry import ProtocolRegistry
from p2pchat_core.net.side_by_side import first_of
from p2pchat_core.net.tasks import TaskOwner
from p2pchat_core.net.tcp import TcpListener, TcpStream, dial_tcp
from p2pchat_core.net.upgrader import upgrade_inbound, upgrade_outbound
from p2pchat_core.net.websocket import WebSocketListener, WebSocketStream, dial_websocket
from p2pchat_core.wire.tcp_address import is_tcp

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine, Sequence

    from p2pchat_core.clock import Clock
    from p2pchat_core.identity.keys import PrivateKey
    from p2pchat_core.net.forwarding import Forwarding
    from p2pchat_core.net.muxer import Muxer
    from p2pchat_core.net.registry import Handler
    from p2pchat_core.net.stream import Stream
    from p2pchat_core.net.upgrader import Upgraded

__all__ = ["Host", "HostConfig"]

logger = logging.getLogger(__name__)

_RANK = {Kind.WEBRTC: 0, Kind.WEBSOCKET: 1, Kind.TCP: 1, Kind.CIRCUIT: 2}


@dataclass(frozen=True, slots=True)
class HostConfig:
    """Bounds of one host; see limits.py for the reasons."""

    max_connections: int = limits.MAX_CONNECTIONS
    max_connections_per_peer: int = limits.MAX_CONNECTIONS_PER_PEER
    max_pending_upgrades: int = limits.MAX_PENDING_UPGRADES
    upgrade_timeout: float = limits.UPGRADE_TIMEOUT
    """For an inbound connection, from TCP to an authenticated one."""


class Host:
    """One identity on the network.

    `on_connection` and `on_disconnect` hold callbacks that are called for every connection, in order;
    `on_handshake_failed` those for who was let in and did not come to prove who it is.
    `admit` may refuse an inbound connection by the remote's IP address before anything is spent on it; whoever it
    let in is told to `released` when the connection is gone. With `forwarding`, both are told ``None`` for the
    connection of a proxy until that has said whose it is. While `hurried`, dialling does not wait for lost packets
    to be repeated, but tries other sockets side by side. `config` may be replaced by another at any time.
    """

    def __init__(
        self, identity: PrivateKey, *, clock: Clock | None = None, config: HostConfig | None = None
    ) -> None:
        self.identity = identity
        self.peer: PeerId = identity.peer_id
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.config = config if config is not None else HostConfig()
        self.registry = ProtocolRegistry()
        self.on_connection: list[Callable[[Connection], None]] = []
        self.on_disconnect: list[Callable[[Connection, str], None]] = []
        self.on_handshake_failed: list[Callable[[Multiaddr, P2PChatError], None]] = []
        self.admit: Callable[[str | None], bool] = lambda _remote_ip: True
        self.released: Callable[[str | None], None] = lambda _remote_ip: None
        self.forwarding: Forwarding | None = None
        self.hurried: Callable[[], bool] = lambda: False
        self._connections: defaultdict[PeerId, list[Connection]] = defaultdict(list)
        self._listeners: list[WebSocketListener | TcpListener] = []
        self._proving: dict[WebSocketStream | TcpStream, None] = {}
        self._dial_locks: KeyedLocks[Multiaddr] = KeyedLocks()
        self._tasks = TaskOwner("host")
        self._closing = False

    # --- protocols and streams ----------------------------------------------------------------------------------

    def handle(
        self,
        protocol: str,
        handler: Handler,
        *,
        on_limited: bool = False,
        max_inbound: int = limits.MAX_INBOUND_STREAMS_PER_PROTOCOL,
    ) -> None:
        """Serve `protocol`; see `ProtocolRegistry.add`."""
        self.registry.add(protocol, handler, on_limited=on_limited, max_inbound=max_inbound)

    async def open_stream(
        self, peer: PeerId, protocols: Sequence[str], *, allow_limited: bool = False
    ) -> Stream:
        """Open a stream on the best connection to `peer`: direct first, limited circuits only if allowed.

        Raises:
            DialError: there is no connection that may carry it.
            UnsupportedProtocolError, StreamError, ConnectionLostError: see `Connection.open_stream`.
        """
        usable = [c for c in self.connections(peer) if allow_limited or not c.limited]
        if not usable:
            raise DialError(f"There is no connection to {peer.short()} that can carry this.")
        return await usable[0].open_stream(protocols, allow_limited=allow_limited)

    # --- connections --------------------------------------------------------------------------------------------

    def connections(self, peer: PeerId | None = None) -> list[Connection]:
        """Return the open connections, to one peer or all, best first: direct, plain, unlimited, limited, newest.

        Those that have a successor come behind it.
        """
        if peer is not None:
            found = list(self._connections.get(peer, ()))
        else:
            found = [c for group in self._connections.values() for c in group]
        alive = [c for c in found if not c.closed]
        return sorted(alive, key=lambda c: (_RANK[c.route.kind], c.limited, c.superseded, -c.opened_at))

    def adopt(self, peer: PeerId, muxer: Muxer, route: Route) -> Connection:
        """Take an upgraded transport into the table and begin to serve it.

        Raises:
            StreamLimitError: too many connections, in all or with this peer; the muxer has been aborted.
            ConnectionLostError: the host is closing.
        """
        try:
            self._check_room(peer)
        except P2PChatError as error:
            muxer.abort(str(error))
            raise
        connection = Connection(peer, muxer, route, self.registry, self.clock.monotonic())
        self._connections[peer].append(connection)
        connection.start()
        self._tasks.spawn(self._watch(connection), f"watch {peer.short()}")
        logger.info("connected to %s (%s, %s)", peer.short(), route.kind.value, route.direction.value)
        for callback in self.on_connection:
            callback(connection)
        return connection

    async def dial(
        self,
        address: Multiaddr,
        *,
        ssl_context: ssl.SSLContext | None = None,
        beside: Connection | None = None,
    ) -> Connection:
        """Connect to a listener at a ws, wss or tcp address, or return the connection there is to its peer.

        Args:
            beside: a connection that will not do, so that another is made or returned.

        Raises:
            AddressError: it is our own address, or not one of the three.
            DialError: nothing answers, it answers wrongly, or it is another peer than the address names.
        """
        expected = PeerId.of(address)
        if expected == self.peer:
            raise AddressError("That is this program's own address; it needs somebody else's.")
        bare = address.without_trailing_p2p()
        async with self._dial_locks[bare]:
            existing = self._open_plain_to(expected, beside)
            if existing is not None:
                return existing
            upgraded, kind = await first_of(
                lambda: self._dial(bare, expected, ssl_context),
                limits.DIAL_STAGGER if self.hurried() else (0.0,),
                lambda late: late[0].muxer.abort("another was quicker"),
            )
            route = Route(kind, Direction.OUTBOUND, bare / upgraded.peer.as_multiaddr(), label=str(bare))
            return self.adopt(upgraded.peer, upgraded.muxer, route)

    async def _dial(
        self, bare: Multiaddr, expected: PeerId | None, ssl_context: ssl.SSLContext | None
    ) -> tuple[Upgraded, Kind]:
        raw: TcpStream | WebSocketStream
        if is_tcp(bare):
            kind, raw = Kind.TCP, await dial_tcp(bare)
        else:
            kind, raw = Kind.WEBSOCKET, await dial_websocket(bare, ssl_context=ssl_context)
        try:
            upgraded = await upgrade_outbound(raw, self.identity, expected)
        except DialError:
            raise
        except IdentityError as error:
            raise WrongPeerError(f"{bare} is not trusted: {error}") from error
        except P2PChatError as error:
            raise DialError(f"The handshake with {bare} failed: {error}") from error
        if upgraded.peer == self.peer:
            upgraded.muxer.abort("connected to ourselves")
            raise AddressError("That is this program's own address; it needs somebody else's.")
        return upgraded, kind

    def _open_plain_to(self, peer: PeerId | None, beside: Connection | None) -> Connection | None:
        found = () if peer is None else self.connections(peer)
        return next((c for c in found if c.plain and c is not beside), None)

    def _check_room(self, peer: PeerId) -> None:
        if self._closing:
            raise ConnectionLostError("This program is closing.")
        if sum(len(group) for group in self._connections.values()) >= self.config.max_connections:
            raise StreamLimitError("Too many connections are open.")
        if len(self._connections.get(peer, ())) >= self.config.max_connections_per_peer:
            raise StreamLimitError(f"Too many connections with {peer.short()} are open.")

    async def _watch(self, connection: Connection) -> None:
        reason = await connection.wait_closed()
        group = self._connections[connection.peer]
        group.remove(connection)
        if not group:
            del self._connections[connection.peer]
        logger.info("connection to %s ended: %s", connection.peer.short(), reason)
        for callback in self.on_disconnect:
            callback(connection, reason)

    # --- listening ----------------------------------------------------------------------------------------------

    async def listen(
        self, address: Multiaddr, *, ssl_context: ssl.SSLContext | None = None
    ) -> list[Multiaddr]:
        """Accept connections at `address` and return where (with the port that port 0 became).

        The form of the address says what is spoken: plain TCP, WebSockets, or with `ssl_context` WebSockets in TLS.

        Raises:
            AddressError: not a ws, wss or tcp address.
            ConfigError: the address cannot be bound.
        """
        listener: WebSocketListener | TcpListener
        if is_tcp(address):
            listener = await TcpListener.open(
                address, self._on_inbound, admit=self._admits, released=self._on_released
            )
        else:
            listener = await WebSocketListener.open(
                address,
                self._on_inbound,
                ssl_context=ssl_context,
                admit=self._admits,
                readmit=lambda client_ip: self.admit(client_ip),
                released=self._on_released,
                failed=self._on_failed,
                forwarding=self.forwarding,
                open_timeout=self.config.upgrade_timeout,
            )
        self._listeners.append(listener)
        return listener.addresses

    def listen_addresses(self) -> list[Multiaddr]:
        """Return what we listen on, without our PeerId; a wildcard becomes this machine's addresses."""
        return list(
            dict.fromkeys(
                expanded
                for listener in self._listeners
                for address in listener.addresses
                for expanded in _expand(address)
            )
        )

    @property
    def handshakes(self) -> int:
        """Inbound connections that have not proved who they are yet."""
        return len(self._proving) + sum(listener.waiting for listener in self._listeners)

    @property
    def buffered_before(self) -> int:
        """Bytes held for those who have not proved who they are; for the others see `Connection.buffered`."""
        return sum(raw.buffered for raw in self._proving)

    def _admits(self, remote_ip: str | None) -> bool:
        if self._closing or not self.admit(remote_ip):
            return False
        room = sum(len(group) for group in self._connections.values()) < self.config.max_connections
        if room and (self.handshakes < self.config.max_pending_upgrades or self._drop_oldest_handshake()):
            return True
        self.released(remote_ip)
        return False

    def _drop_oldest_handshake(self) -> bool:
        """Make room for a newcomer; whether that was possible.

        Whoever means it is through in a moment. Turning newcomers away instead would let a few callers who say
        nothing keep everybody else out.
        """
        waiting = [x for x in self._listeners if isinstance(x, WebSocketListener) and x.waiting]
        listener = min(waiting, key=lambda x: x.waiting_since, default=None)
        proving = next(iter(self._proving), None)
        if proving is not None and (listener is None or proving.opened_at <= listener.waiting_since):
            del self._proving[proving]
            proving.abort()
        elif listener is not None:
            listener.drop_waiting()
        return proving is not None or listener is not None

    def _on_released(self, remote_ip: str | None) -> None:
        self.released(remote_ip)

    def _on_failed(self, remote_address: Multiaddr, error: P2PChatError) -> None:
        if not self._closing:
            for callback in self.on_handshake_failed:
                callback(remote_address, error)

    async def _on_inbound(self, raw: WebSocketStream | TcpStream) -> None:
        self._proving[raw] = None
        deadline = raw.opened_at + self.config.upgrade_timeout
        try:
            timeout = max(0.0, deadline - asyncio.get_running_loop().time())
            upgraded = await upgrade_inbound(raw, self.identity, timeout=timeout)
        except P2PChatError as error:
            logger.debug("inbound connection from %s was not completed: %s", raw.remote_address, error)
            raw.abort()
            if raw not in self._proving:
                error = HandshakeError("It had to make room for others.", "crowded")
            self._on_failed(raw.remote_address, error)
            return
        finally:
            self._proving.pop(raw, None)
        address = raw.remote_address / upgraded.peer.as_multiaddr()
        kind = Kind.TCP if isinstance(raw, TcpStream) else Kind.WEBSOCKET
        route = Route(kind, Direction.INBOUND, address, label=str(raw.remote_address))
        try:
            connection = self.adopt(upgraded.peer, upgraded.muxer, route)
        except P2PChatError as error:
            logger.debug("inbound connection from %s was refused: %s", raw.remote_address, error)
            self._on_failed(raw.remote_address, error)
            return
        await connection.wait_closed()

    # --- life ---------------------------------------------------------------------------------------------------

    def spawn(self, coro: Coroutine[Any, Any, object], name: str) -> None:
        """Run a coroutine as long as the host lives."""
        self._tasks.spawn(coro, name)

    async def close(self) -> None:
        """Stop listening, close every connection and end every task. Never raises."""
        self._closing = True
        await asyncio.gather(*(connection.close() for connection in self.connections()))
        await asyncio.gather(*(listener.close() for listener in self._listeners))
        # The watchers end by themselves once their connections have; give their callbacks the chance to run.
        await asyncio.sleep(0)
        await self._tasks.close()


def _expand(address: Multiaddr) -> list[Multiaddr]:
    first, *rest = str(address).strip("/").split("/")
    if first not in ("ip4", "ip6"):
        return [address]
    host, tail = rest[0], "/".join(rest[1:])
    return [Multiaddr.parse(f"/{first}/{concrete}/{tail}") for concrete in expand_wildcard(host)]

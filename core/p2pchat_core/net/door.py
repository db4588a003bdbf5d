"""Who came through a listening socket, from TCP to the end, and who is asked about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p2pchat_core.errors import ConnectionLostError, NoAnswerError, P2PChatError
from p2pchat_core.net.tasks import TaskOwner

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from websockets.asyncio.server import Server

    from p2pchat_core.net.forwarding import Forwarding

__all__ = ["Gatekeeper", "Visitor", "WebSocketServer", "host_and_port"]


def host_and_port(address: Any) -> tuple[str, int]:
    """Return both parts of what the system calls a socket's name."""
    host, port = address[:2]
    # A link-local IPv6 address carries its interface in the fourth field.
    scope = address[3] if len(address) > 3 else 0
    return (f"{host}%{scope}" if scope and "%" not in host else host), port


class Visitor:
    """Somebody who was let in, from TCP to the end.

    Attributes:
        address: IP address and port of the TCP connection.
        counted_as: the IP address under which it was let in: its own, or that of the client that a proxy named;
            ``None`` until the proxy has.
        admitted: whether it counts; false once the client that a proxy named was not let in.
        opened_at: when, in the loop's time.
        abort: cuts the connection, whatever state it is in.
    """

    def __init__(
        self,
        address: tuple[str, int],
        counted_as: str | None,
        opened_at: float,
        abort: Callable[[], object],
    ) -> None:
        self.address = address
        self.counted_as = counted_as
        self.admitted = True
        self.opened_at = opened_at
        self.abort = abort

    @property
    def client_ip(self) -> str | None:
        """Whom a proxy made the connection for, if one did."""
        return self.counted_as if self.counted_as != self.address[0] else None


@dataclass(frozen=True, slots=True)
class Gatekeeper:
    """Who is let in, and who is told of it; see `WebSocketListener.open`."""

    admit: Callable[[str | None], bool]
    readmit: Callable[[str], bool]
    released: Callable[[str | None], None]
    failed: Callable[[tuple[str, int], P2PChatError], None]
    forwarding: Forwarding | None
    open_timeout: float


class WebSocketServer:
    """A listening socket and who came through it.

    Attributes:
        visitors: everybody who is there, in whatever state.
        waiting: those of them that are no WebSockets yet, oldest first.
        closed: nobody is let in any more; set it before closing `server`, which may have accepted somebody just now.
    """

    def __init__(self, keeper: Gatekeeper) -> None:
        """Not called directly: see `serve_websockets`."""
        self.visitors: set[Visitor] = set()
        self.waiting: dict[Visitor, None] = {}
        self.handshakes = TaskOwner("TLS handshakes")
        self.keeper = keeper
        self.closed = False
        self.server: Server

    def enter(self, transport: asyncio.Transport, now: float) -> Visitor | None:
        """Let somebody in, or cut the connection."""
        peer, forwarding = transport.get_extra_info("peername"), self.keeper.forwarding
        if not peer or self.closed:
            transport.abort()
            return None
        counted_as = None if forwarding is not None and forwarding.expects(peer[0]) else peer[0]
        if not self.keeper.admit(counted_as):
            transport.abort()
            return None
        visitor = Visitor(host_and_port(peer), counted_as, now, transport.abort)
        self.visitors.add(visitor)
        self.waiting[visitor] = None
        return visitor

    def name(self, visitor: Visitor, headers: Iterable[tuple[str, str]]) -> bool:
        """Let a proxy say whose connection it brings; whether that client is let in.

        Raises:
            RemoteProtocolError: it does not say so.
        """
        if visitor.counted_as is not None or self.keeper.forwarding is None:
            return True
        client_ip = self.keeper.forwarding.client(visitor.address[0], headers)
        self.keeper.released(None)
        visitor.admitted = self.keeper.readmit(client_ip)
        visitor.counted_as = client_ip
        return visitor.admitted

    def fail(self, visitor: Visitor, error: P2PChatError) -> None:
        """Note that somebody will not become a WebSocket."""
        if visitor in self.waiting:
            del self.waiting[visitor]
            if self.server.is_serving():
                self.keeper.failed(visitor.address, error)

    def leave(self, visitor: Visitor, now: float) -> None:
        """Note that somebody has gone."""
        self.fail(visitor, _gone(now - visitor.opened_at >= self.keeper.open_timeout))
        self.visitors.discard(visitor)
        if visitor.admitted:
            self.keeper.released(visitor.counted_as)


def _gone(late: bool) -> P2PChatError:
    if late:
        return NoAnswerError("The caller did not complete the handshake in time.")
    return ConnectionLostError("The caller left during the handshake.")

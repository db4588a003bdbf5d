"""Identify: tells every peer who we are and what we serve, and learns the same of them."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.errors import P2PChatError
from p2pchat_core.identity.envelope import PeerRecord, seal
from p2pchat_core.wire.identify import (
    IDENTIFY_PROTOCOL,
    IDENTIFY_PUSH_PROTOCOL,
    Identify,
    IdentifyReader,
    encode,
    verify,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.multiformats.multiaddr import Multiaddr
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.host import Host
    from p2pchat_core.net.stream import Stream

__all__ = ["IdentifyService", "PeerInfo"]

logger = logging.getLogger(__name__)

_PROTOCOL_VERSION = "ipfs/0.1.0"


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """What a connected peer said about itself.

    Attributes:
        protocols: what it answers to.
        addresses: from its signed record if it sent one, else as it claims.
        agent: its software, printable.
        observed: where it sees us, if it said.
        signed: whether the addresses come from a record that the peer signed.
    """

    protocols: frozenset[str]
    addresses: tuple[Multiaddr, ...]
    agent: str
    observed: Multiaddr | None = None
    signed: bool = False


class IdentifyService:
    """Runs identify on every connection of a host, in both directions, and pushes our changes."""

    def __init__(self, host: Host, agent: str, addresses: Callable[[], list[Multiaddr]]) -> None:
        """`addresses` returns what we advertise at the moment, with or without our own ``/p2p`` at the end."""
        self._host = host
        self._agent = agent
        self._addresses = addresses
        self._known: dict[PeerId, PeerInfo] = {}
        self._pending: dict[Connection, asyncio.Event] = {}
        self._last_seq = 0
        self._seen: dict[
            PeerId, int
        ] = {}  # the newest signed record's number, those heard of longest ago first
        self._push_wanted = False
        self.on_identified: list[Callable[[PeerId, PeerInfo], None]] = []
        host.handle(IDENTIFY_PROTOCOL, self._serve, on_limited=True, max_inbound=4)
        host.handle(IDENTIFY_PUSH_PROTOCOL, self._receive_push, on_limited=True, max_inbound=2)
        host.on_connection.append(self._connected)
        host.on_disconnect.append(self._disconnected)

    def info(self, peer: PeerId) -> PeerInfo | None:
        """Return what a connected peer said about itself, once it has."""
        return self._known.get(peer)

    async def identified(self, connection: Connection) -> PeerInfo | None:
        """Wait until identify on `connection` has ended, well or not, and return what is known of the peer."""
        pending = self._pending.get(connection)
        if pending is not None:
            await pending.wait()
        return self._known.get(connection.peer)

    def push(self) -> None:
        """Tell connected peers soon that our addresses or protocols changed; several changes become one push."""
        if not self._push_wanted:
            self._push_wanted = True
            self._host.spawn(self._push_soon(), "identify push")

    # --- ours -----------------------------------------------------------------------------------------------------

    def _ourselves(self, observed: Multiaddr | None) -> Identify:
        addresses = tuple(address.without_trailing_p2p() for address in self._addresses())
        # "An older or equal seq is ignored" by js and go, so it grows even if the clock does not.
        self._last_seq = max(self._last_seq + 1, int(self._host.clock.time() * 1000))
        record = PeerRecord(self._host.peer, self._last_seq, addresses)
        return Identify(
            public_key=self._host.identity.public_key.to_protobuf(),
            listen_addresses=addresses,
            protocols=tuple(self._host.registry.names()),
            observed_address=observed,
            protocol_version=_PROTOCOL_VERSION,
            agent_version=self._agent,
            signed_peer_record=seal(self._host.identity, record),
        )

    async def _serve(self, stream: Stream) -> None:
        observed = stream.connection.remote_address
        seen = (
            observed if {"ip4", "ip6"} & set(observed.names[:1]) and not stream.connection.relayed else None
        )
        await stream.write(encode(self._ourselves(seen)))
        # js and go wait for the end of the stream, js for five seconds: end it at once.
        await stream.close_write()

    async def _push_soon(self) -> None:
        await asyncio.sleep(limits.IDENTIFY_PUSH_DEBOUNCE)
        self._push_wanted = False
        message = encode(self._ourselves(None))
        told: set[PeerId] = set()
        async with asyncio.TaskGroup() as group:
            for connection in self._host.connections():
                info = self._known.get(connection.peer)
                if info is None or IDENTIFY_PUSH_PROTOCOL not in info.protocols or connection.peer in told:
                    continue
                told.add(connection.peer)
                group.create_task(self._push_to(connection, message))

    async def _push_to(self, connection: Connection, message: bytes) -> None:
        try:
            async with (
                asyncio.timeout(limits.IDENTIFY_TIMEOUT),
                await connection.open_stream([IDENTIFY_PUSH_PROTOCOL], allow_limited=True) as stream,
            ):
                await stream.write(message)
                await stream.close_write()
        except (P2PChatError, TimeoutError) as error:
            logger.debug("identify push to %s: %r", connection, error)

    # --- theirs ---------------------------------------------------------------------------------------------------

    def _connected(self, connection: Connection) -> None:
        self._pending[connection] = asyncio.Event()
        self._host.spawn(self._identify(connection), f"identify {connection.peer.short()}")

    def _disconnected(self, connection: Connection, _reason: str) -> None:
        pending = self._pending.pop(connection, None)
        if pending is not None:
            pending.set()
        if not self._host.connections(connection.peer):
            self._known.pop(connection.peer, None)

    async def _identify(self, connection: Connection) -> None:
        try:
            async with (
                asyncio.timeout(limits.IDENTIFY_TIMEOUT),
                await connection.open_stream([IDENTIFY_PROTOCOL], allow_limited=True) as stream,
            ):
                await stream.close_write()
                self._learn(connection.peer, await _read(stream), replace=True)
        except (P2PChatError, TimeoutError) as error:
            logger.debug("identify of %s: %r", connection, error)
        finally:
            pending = self._pending.pop(connection, None)
            if pending is not None:
                pending.set()

    async def _receive_push(self, stream: Stream) -> None:
        async with asyncio.timeout(limits.IDENTIFY_TIMEOUT):
            identify = await _read(stream)
        self._learn(stream.connection.peer, identify, replace=False)

    def _learn(self, peer: PeerId, identify: Identify, *, replace: bool) -> None:
        record = verify(identify, peer)
        if not self._host.connections(peer):
            return
        before = self._known.get(peer)
        addresses, signed = identify.listen_addresses, False
        if record is not None and record.seq >= self._seen.get(peer, 0):
            self._remember(peer, record.seq)
            addresses, signed = record.addresses, True
        elif record is not None:
            # An older record: what the newer one said holds, and of this message nothing does.
            logger.debug("%s sent a record older than one we have", peer.short())
            addresses, signed = (before.addresses, before.signed) if before else ((), False)
        known = PeerInfo(
            protocols=frozenset(identify.protocols),
            addresses=addresses,
            agent=identify.agent_version or (before.agent if before and not replace else ""),
            observed=identify.observed_address,
            signed=signed,
        )
        self._known[peer] = known
        for callback in self.on_identified:
            callback(peer, known)

    def _remember(self, peer: PeerId, seq: int) -> None:
        self._seen.pop(peer, None)
        self._seen[peer] = seq
        while len(self._seen) > limits.IDENTIFY_MAX_SEQUENCES:
            del self._seen[next(iter(self._seen))]


async def _read(stream: Stream) -> Identify:
    reader = IdentifyReader()
    while data := await stream.read():
        reader.receive_data(data)
    return reader.receive_eof()

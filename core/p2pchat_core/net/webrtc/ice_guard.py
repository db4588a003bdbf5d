"""What aioice 0.13 leaves open, closed: an ICE connection that strangers cannot disturb and that connects at once.

Everything is done in subclasses; nothing of the library is patched. Each guard is named where it stands, and the tests
in ``tests/net/webrtc/test_ice_guard.py`` show what happens without it. They are tied to aioice 0.13: look through them
when that version changes (`GUARDED_AIOICE`).

* Datagrams are read and written many at a time (`udp`), and those of DTLS skip the queue once it is connected.
* Datagrams that are neither STUN nor from the far end of one of our pairs are dropped, as are empty ones: one empty
  datagram from anybody ends a plain aiortc connection.
* The queue to DTLS is bounded.
* The peer's addresses, signalled or seen, are filtered and counted before anything is sent to them.
* A check of the peer that comes through is answered by our own check at once, not after the half second of a
  retransmission (RFC 8445 section 7.3.1.4): with two NATs the first check of one side is always lost.
* `connect` returns when a pair is nominated, not at the next tick.
* Our first DTLS flight is repeated soon if nothing comes back: libdatachannel drops what arrives in the
  milliseconds between its ICE and its DTLS, and DTLS would wait a second.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from typing import TYPE_CHECKING, Any, Final

from aioice import Candidate, Connection, ice, stun
from aioice.candidate import candidate_foundation, candidate_priority

from p2pchat_core.limits import (
    DTLS_REPEAT_INTERVALS,
    ICE_MAX_REMOTES,
    ICE_QUEUE,
    ICE_RESENDS,
)
from p2pchat_core.net.webrtc.udp import UdpSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from p2pchat_core.wire.candidate import CandidatePolicy

__all__ = ["GUARDED_AIOICE", "GuardedIce", "GuardedStun"]

logger = logging.getLogger(__name__)

GUARDED_AIOICE: Final = "0.13."
_COMPONENT: Final = 1
_CHECK_INTERVAL: Final = 0.02  # between two first checks (RFC 8445 section 14.2 asks for at least 5 ms)
_STUN_COOKIE: Final = b"\x21\x12\xa4\x42"
_STUN_HEADER: Final = 20
_DTLS_FIRST: Final = 20
_DTLS_LAST: Final = 63


def _is_stun(data: bytes) -> bool:
    return len(data) >= _STUN_HEADER and data[0] < 4 and data[4:8] == _STUN_COOKIE


class GuardedStun(ice.StunProtocol):
    """One UDP socket (or TURN allocation) of a `GuardedIce`."""

    receiver: GuardedIce

    def __init__(self, receiver: GuardedIce) -> None:
        super().__init__(receiver)
        self._in_flight: dict[tuple[str, int], stun.Message] = {}
        self._resent: dict[tuple[str, int], int] = {}
        self._trusted: set[tuple[Any, ...]] = set()

    def datagrams_received(self, datagrams: list[tuple[bytes, tuple[Any, ...]]]) -> None:
        """Take datagrams that arrived together."""
        ice, trusted = self.receiver, self._trusted
        batch: list[bytes] = []
        for data, addr in datagrams:
            if data and _DTLS_FIRST <= data[0] <= _DTLS_LAST and addr in trusted and ice.to_dtls is not None:
                batch.append(data)
            else:
                self.datagram_received(data, addr)
        if batch and ice.to_dtls is not None:
            ice.to_dtls(batch)

    def trust(self, addr: tuple[Any, ...]) -> None:
        """What comes from `addr` is known to be the peer's, as far as one can tell below DTLS."""
        if len(self._trusted) < ICE_MAX_REMOTES:
            self._trusted.add(addr)

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """Take a datagram from the network: anybody may have sent it."""
        if not isinstance(data, bytes) or not self._wanted(data, (addr[0], addr[1])):
            self.receiver.dropped += 1
            return
        if _DTLS_FIRST <= data[0] <= _DTLS_LAST and self.receiver.to_dtls is not None:
            self.trust(addr)
        try:
            super().datagram_received(data, addr)
        except Exception:
            # Whatever a parser of the library makes of hostile bytes: to the connection it was a lost datagram.
            self.receiver.dropped += 1
            logger.debug("a datagram could not be handled", exc_info=True)

    def _wanted(self, data: bytes, source: tuple[str, int]) -> bool:
        if not data:
            return False
        return _is_stun(data) or self.receiver.knows(self, source)

    async def request(
        self,
        request: stun.Message,
        addr: tuple[str, int],
        integrity_key: bytes | None = None,
        retransmissions: int | None = None,
    ) -> tuple[stun.Message, tuple[str, int]]:
        """Run a STUN transaction, and remember the request so that `resend` can repeat it."""
        self._in_flight[addr] = request
        try:
            return await super().request(request, addr, integrity_key, retransmissions)
        finally:
            if self._in_flight.get(addr) is request:
                del self._in_flight[addr]

    def resend(self, addr: tuple[str, int]) -> None:
        """Repeat the check under way to `addr`, a bounded number of times."""
        request = self._in_flight.get(addr)
        count = self._resent.get(addr, 0)
        if request is not None and count < ICE_RESENDS:
            self._resent[addr] = count + 1
            self.send_stun(request, addr)


class GuardedIce(Connection):
    """An ICE connection for one component, without servers of its own: see `add_local` for what is found later.

    Attributes:
        dropped: datagrams that were not let through.
        refused: candidates of the peer that were not used.
        to_dtls: takes DTLS datagrams that arrived together, in place of the queue that `recv` reads.
    """

    def __init__(self, *, controlling: bool, addresses: Sequence[str], policy: CandidatePolicy) -> None:
        """Use the local `addresses`."""
        super().__init__(ice_controlling=controlling)
        self.dropped = 0
        self.refused = 0
        self.to_dtls: Callable[[Sequence[bytes]], None] | None = None
        self._addresses = list(addresses)
        self._policy = policy
        self._heard: set[tuple[ice.StunProtocol, tuple[str, int]]] = set()
        self._flight: _FlightRepeater | None = _FlightRepeater(self)

    # --- our side -----------------------------------------------------------------------------------------------

    async def gather_candidates(self) -> None:
        """Bind one socket to each address; takes no network round trip.

        Raises:
            ConnectionError: none could be bound.
        """
        for address in self._addresses:
            protocol = GuardedStun(self)
            try:
                UdpSocket(address, protocol)
            except OSError as exc:
                logger.info("no UDP socket on %s: %s", address, exc)
                continue
            host, port = protocol.transport.get_extra_info("sockname")[:2]
            protocol.local_candidate = make_candidate("host", host, port)
            self._protocols.append(protocol)
            self._local_candidates.append(protocol.local_candidate)
        self._local_candidates_end = True
        if not self._protocols:
            raise ConnectionError("No UDP socket could be opened on any address of this machine.")

    @property
    def protocols(self) -> list[ice.StunProtocol]:
        """Our sockets."""
        return list(self._protocols)

    @property
    def pairs(self) -> int:
        """How many candidate pairs there are."""
        return len(self._check_list)

    @property
    def nominated(self) -> ice.CandidatePair | None:
        """The pair in use."""
        return self._nominated.get(_COMPONENT)

    def add_relayed(self, protocol: ice.StunProtocol) -> None:
        """Use a TURN allocation too, with every address of the peer known so far and to come."""
        self._protocols.append(protocol)
        self._local_candidates.append(protocol.local_candidate)
        if self._check_list_done:
            return
        for remote in self._remote_candidates:
            self._pair_remote_candidate(remote)
        self.sort_check_list()

    async def connect(self) -> None:
        """Check the pairs, also those added meanwhile, until one is nominated.

        Raises:
            ConnectionError: the connection was closed before.
        """
        for remote in self._remote_candidates:
            self._pair_remote_candidate(remote)
        self.sort_check_list()
        self._unfreeze_initial()
        self._early_checks_done = True
        while self._early_checks:
            self.check_incoming(*self._early_checks.popleft())
        result: int | None = None
        while result is None:
            self._check_periodic()
            try:
                async with asyncio.timeout(_CHECK_INTERVAL):
                    result = await self._check_list_state.get()
            except TimeoutError:
                pass
        for pair in self._check_list:
            if pair.task is not None:
                pair.task.cancel()
        if result != ice.ICE_COMPLETED:
            raise ConnectionError("No pair of addresses worked.")
        self._query_consent_task = asyncio.create_task(self.query_consent())

    # --- the peer's side ----------------------------------------------------------------------------------------

    def _add_remote_candidate(self, remote_candidate: Candidate, network_host: str) -> None:
        # Here also arrives what an mDNS name was resolved to: anybody on the link may have answered.
        reason = self._policy.refusal(network_host, remote_candidate.port)
        if reason is None and len(self._remote_candidates) >= ICE_MAX_REMOTES:
            reason = "one too many"
        if reason is not None:
            self.refused += 1
            logger.debug("a candidate of the peer is not used: %s", reason)
            return
        super()._add_remote_candidate(remote_candidate, str(ipaddress.ip_address(network_host)))
        if self._early_checks_done and not self._closing:
            self._check_periodic()

    def check_incoming(
        self, message: stun.Message, addr: tuple[str, int], protocol: ice.StunProtocol
    ) -> None:
        """Handle a check that the peer's password has authenticated."""
        known = any(
            remote._network_host == addr[0] and remote.port == addr[1] for remote in self._remote_candidates
        )
        if not known and len(self._remote_candidates) >= ICE_MAX_REMOTES:
            self.refused += 1
            return
        self._heard.add((protocol, addr))
        super().check_incoming(message, addr, protocol)
        if isinstance(protocol, GuardedStun):
            protocol.resend(addr)

    def knows(self, protocol: ice.StunProtocol, source: tuple[str, int]) -> bool:
        """Whether `source` is the far end of a pair with this socket.

        Pairs still being checked count, and so does every address that the peer has sent a check from with our
        password: the peer may have finished first or prefer a pair that we gave up, and its ClientHello must not
        get lost.
        """
        return (
            (protocol, source) in self._heard
            or any(pair.protocol is protocol and pair.remote_addr == source for pair in self._check_list)
            or any(
                pair.protocol is protocol and pair.remote_addr == source for pair in self._nominated.values()
            )
            or any(early[2] is protocol and early[1] == source for early in self._early_checks)
        )

    def data_received(self, data: bytes, component: int) -> None:
        """Queue a datagram for DTLS."""
        if self.to_dtls is not None:
            self.to_dtls((data,))
            return
        if self._queue.qsize() >= ICE_QUEUE:
            self.dropped += 1
            return
        self.flight_answered()
        super().data_received(data, component)

    async def send(self, data: bytes) -> None:
        """Send a datagram of DTLS to the peer."""
        if self._flight is not None:
            self._flight.sent(data)
        await super().send(data)

    def send_all(self, datagrams: Sequence[bytes]) -> None:
        """Send datagrams of DTLS to the peer.

        Raises:
            ConnectionError: there is no connection.
        """
        pair = self._nominated.get(_COMPONENT)
        if pair is None:
            raise ConnectionError("Cannot send data, not connected.")
        transport = pair.protocol.transport
        if isinstance(transport, UdpSocket):
            transport.send_all(datagrams, pair.remote_addr)
        else:
            for datagram in datagrams:
                transport.sendto(datagram, pair.remote_addr)

    def end_of_data(self) -> None:
        """The peer has closed DTLS: `recv` tells its reader."""
        self._queue.put_nowait(None)

    def flight_answered(self) -> None:
        """The peer's DTLS is there: nothing needs to be repeated any more."""
        if self._flight is not None:
            self._flight.stop()
            self._flight = None

    async def close(self) -> None:
        """Close every socket."""
        self.flight_answered()
        await super().close()

    @property
    def released(self) -> bool:
        """Whether every socket is closed."""
        return not self._protocols

    def force_close(self) -> None:
        """Close what would not close in good order, such as an allocation on a TURN server that is gone."""
        for protocol in self._protocols:
            transport: Any = protocol.transport
            inner = getattr(transport, "_TurnTransport__inner_protocol", None)
            (transport if inner is None else inner.transport).abort()
        self._protocols.clear()


class _FlightRepeater:
    """Sends our first DTLS datagrams again after a moment. DTLS drops duplicates by their sequence numbers."""

    def __init__(self, connection: GuardedIce) -> None:
        self._connection = connection
        self._datagrams: list[bytes] = []
        self._repeats = 0
        self._timer: asyncio.TimerHandle | None = None

    def sent(self, data: bytes) -> None:
        if data in self._datagrams or len(self._datagrams) >= 4:
            return
        self._datagrams.append(data)
        if self._timer is None:
            self._arm()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._repeats = len(DTLS_REPEAT_INTERVALS)

    def _arm(self) -> None:
        if self._repeats < len(DTLS_REPEAT_INTERVALS):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(DTLS_REPEAT_INTERVALS[self._repeats], self._repeat)
            self._repeats += 1

    def _repeat(self) -> None:
        pair = self._connection.nominated
        if pair is None:
            return
        for datagram in self._datagrams:
            pair.protocol.transport.sendto(datagram, pair.remote_addr)
        self._arm()


def make_candidate(kind: str, host: str, port: int, base: Candidate | None = None) -> Candidate:
    """Return a local candidate; `base` is the host candidate a reflexive one was found from."""
    return Candidate(
        foundation=candidate_foundation(kind, "udp", base.host if base is not None else host),
        component=_COMPONENT,
        transport="udp",
        priority=candidate_priority(_COMPONENT, kind),
        host=host,
        port=port,
        type=kind,
        related_address=base.host if base is not None else None,
        related_port=base.port if base is not None else None,
    )

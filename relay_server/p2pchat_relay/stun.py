"""A STUN server (RFC 8489, RFC 5780): tells a client the address that its datagram came from, and nothing more.

`StunResponder` is the whole logic without a socket; `StunServer` puts it on UDP, at several ports and, for the
whole of RFC 5780, at two IP addresses. Bytes of UDP payload that go out for those that come in:

===================  =======  ============  ============
request              bytes    answer, IPv4  answer, IPv6
===================  =======  ============  ============
plain                20       32            44
plain, two hosts     20       44            68
with CHANGE-REQUEST  28       44            68
the same, two hosts  28       56            92
===================  =======  ============  ============

With IP and UDP headers an answer is never twice as long as its request. Each source gets `limits.STUN_RATE`
answers a second, and what is not a well-formed binding request is dropped silently, so that the ports are of no
use for amplification. An attribute that would make us send elsewhere than to the source (RESPONSE-PORT) is refused.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from p2pchat_core.wire.ip import parse_ip
from p2pchat_relay import limits
from p2pchat_relay.observer import NullObserver
from p2pchat_relay.ratelimit import KeyedRateLimit, TokenBucket
from p2pchat_relay.sources import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from p2pchat_core.clock import Clock
    from p2pchat_relay.observer import RelayObserver

__all__ = ["BindingRequest", "Endpoint", "StunAnswer", "StunResponder", "StunServer", "parse_binding_request"]

logger = logging.getLogger(__name__)

_HEADER: Final = struct.Struct("!HHI12s")
_ATTRIBUTE: Final = struct.Struct("!HH")
_COOKIE: Final = 0x2112A442
_BINDING_REQUEST: Final = 0x0001
_BINDING_SUCCESS: Final = 0x0101
_BINDING_ERROR: Final = 0x0111
_ERROR_CODE: Final = 0x0009
_UNKNOWN_ATTRIBUTES: Final = 0x000A
_CHANGE_REQUEST: Final = 0x0003
_CHANGE_IP: Final = 0x04
_CHANGE_PORT: Final = 0x02
_XOR_MAPPED_ADDRESS: Final = 0x0020
_RESPONSE_ORIGIN: Final = 0x802B
_OTHER_ADDRESS: Final = 0x802C
_FINGERPRINT: Final = 0x8028
_FINGERPRINT_XOR: Final = 0x5354554E
_FIRST_OPTIONAL: Final = 0x8000
# The comprehension-required attributes of RFC 8489 itself. None of them changes an answer without
# authentication.
_UNDERSTOOD: Final = frozenset(
    {0x0001, 0x0006, 0x0008, 0x0009, 0x000A, 0x0014, 0x0015, 0x001C, 0x001D, 0x001E, 0x0020}
)


class Endpoint(NamedTuple):
    """One of our sockets.

    Attributes:
        host: the IP address it is bound to; a wildcard where it is all of them.
        port: its UDP port.
    """

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class BindingRequest:
    """What a client asks.

    Attributes:
        transaction: 12 bytes that the answer repeats.
        unknown: codes of the attributes that must be understood and are not.
        change: the flags of CHANGE-REQUEST (RFC 5780 7.2), or ``None`` without it.
    """

    transaction: bytes
    unknown: tuple[int, ...] = ()
    change: int | None = None


def parse_binding_request(data: bytes) -> BindingRequest | None:
    """Return what is asked.

    ``None`` stands for everything else: a classic (RFC 3489) request without magic cookie, a wrong
    fingerprint, lengths that do not add up, and more than `limits.STUN_MAX_ATTRIBUTES` attributes.
    """
    if not _HEADER.size <= len(data) <= limits.STUN_MAX_REQUEST:
        return None
    kind, length, cookie, transaction = _HEADER.unpack_from(data)
    if kind != _BINDING_REQUEST or cookie != _COOKIE or length % 4 or length != len(data) - _HEADER.size:
        return None
    unknown: dict[int, None] = {}
    change: int | None = None
    offset = _HEADER.size
    for _ in range(limits.STUN_MAX_ATTRIBUTES):
        if offset == len(data):
            break
        code, size = _ATTRIBUTE.unpack_from(data, offset)
        value = offset + _ATTRIBUTE.size
        end = value + size + -size % 4
        if end > len(data):
            return None
        if code == _FINGERPRINT:
            # "It MUST be the last attribute in the message" (RFC 8489 14.7).
            if end != len(data) or not _fingerprint_fits(data, offset):
                return None
        elif code == _CHANGE_REQUEST:
            if size != 4:
                return None
            change = data[end - 1] if change is None else change
        elif code < _FIRST_OPTIONAL and code not in _UNDERSTOOD:
            unknown[code] = None
        offset = end
    return BindingRequest(transaction, tuple(unknown), change) if offset == len(data) else None


def _fingerprint_fits(data: bytes, offset: int) -> bool:
    if len(data) - offset != 8:
        return False
    (stated,) = struct.unpack_from("!I", data, offset + 4)
    return bool(stated == zlib.crc32(data[:offset]) ^ _FINGERPRINT_XOR)


@dataclass(frozen=True, slots=True)
class StunAnswer:
    """What to send back, and from which of our sockets."""

    data: bytes
    source: Endpoint


class StunResponder:
    """Answers datagrams. Keeps nothing but the rate limits, in a table of `limits.STUN_SOURCES` entries.

    One responder serves all sockets of a relay, so that a source gets its rate once.
    """

    def __init__(self, now: float, observer: RelayObserver | None = None) -> None:
        self._observer: RelayObserver = observer if observer is not None else NullObserver()
        self._per_source: KeyedRateLimit[str] = KeyedRateLimit(
            limits.STUN_RATE, limits.STUN_BURST, limits.STUN_SOURCES
        )
        self._total = TokenBucket(limits.STUN_TOTAL_RATE, limits.STUN_TOTAL_BURST, now)

    def respond(
        self,
        data: bytes,
        host: str,
        port: int,
        now: float,
        *,
        at: Endpoint,
        other_host: str | None = None,
        other_port: int | None = None,
    ) -> StunAnswer | None:
        """Return the answer to a datagram, or ``None`` for none.

        Args:
            data: the datagram.
            host: the IP address it came from.
            port: the port it came from.
            now: monotonic seconds.
            at: the socket it came to.
            other_host: our other IP address, if there is one.
            other_port: our other port, if there is one.
        """
        request = parse_binding_request(data)
        address, source = parse_ip(host), Source.of(host)
        # A datagram from port 0 cannot be answered.
        if request is None or not port or address is None:
            self._observer.stun_dropped("malformed")
            return None
        # Nobody elsewhere can pretend to be this machine, where a test may well start a hundred peers at
        # once.
        if not source.loopback and not self._per_source.take(source.host, now):
            self._observer.stun_dropped("source_rate")
            return None
        if not self._total.take(now):
            self._observer.stun_dropped("total_rate")
            return None
        origin = _changed(request.change, at, other_host, other_port)
        if request.unknown or origin is None:
            self._observer.stun_answered("error")
            codes = request.unknown if origin is not None else (*request.unknown, _CHANGE_REQUEST)
            return StunAnswer(_unknown_attributes(request.transaction, codes), at)
        self._observer.stun_answered("success")
        parts = [_mapped_address(request.transaction, address.packed, port)]
        if request.change is not None:
            parts.append(_plain_address(_RESPONSE_ORIGIN, origin))
        if other_host is not None and other_port is not None:
            # Only with two hosts: with one, a client would find both of its first two tests at the same place, and
            # take any NAT for one that keeps a mapping everywhere (RFC 5780 4.3).
            parts.append(_plain_address(_OTHER_ADDRESS, Endpoint(other_host, other_port)))
        return StunAnswer(_message(_BINDING_SUCCESS, request.transaction, b"".join(parts)), origin)


def _changed(
    change: int | None, at: Endpoint, other_host: str | None, other_port: int | None
) -> Endpoint | None:
    """Return where the answer is to come from, or ``None`` where we cannot do that."""
    if change is None:
        return at
    if other_port is None:
        return None
    host = other_host if change & _CHANGE_IP else at.host
    return Endpoint(host, other_port if change & _CHANGE_PORT else at.port) if host is not None else None


def _mapped_address(transaction: bytes, address: bytes, port: int) -> bytes:
    # "XOR-MAPPED-ADDRESS" (RFC 8489 14.2): so that no NAT on the way rewrites what looks like an address.
    mask = struct.pack("!I", _COOKIE) + transaction
    family = 0x01 if len(address) == 4 else 0x02
    masked = bytes(a ^ b for a, b in zip(address, mask, strict=False))
    value = struct.pack("!BBH", 0, family, port ^ (_COOKIE >> 16)) + masked
    return _attribute(_XOR_MAPPED_ADDRESS, value)


def _plain_address(code: int, endpoint: Endpoint) -> bytes:
    address = parse_ip(endpoint.host)
    assert address is not None  # one of our own
    family = 0x01 if address.version == 4 else 0x02
    return _attribute(code, struct.pack("!BBH", 0, family, endpoint.port) + address.packed)


def _unknown_attributes(transaction: bytes, codes: Sequence[int]) -> bytes:
    # RFC 8489 6.3.1: "the server replies with an error response with an error code of 420".
    error = _attribute(_ERROR_CODE, struct.pack("!HBB", 0, 4, 20))
    listed = _attribute(_UNKNOWN_ATTRIBUTES, b"".join(struct.pack("!H", code) for code in codes))
    return _message(_BINDING_ERROR, transaction, error + listed)


def _attribute(code: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(code, len(value)) + value + bytes(-len(value) % 4)


def _message(kind: int, transaction: bytes, attributes: bytes) -> bytes:
    return _HEADER.pack(kind, len(attributes), _COOKIE, transaction) + attributes


class StunServer:
    """`StunResponder` on UDP sockets: every given port at every given host.

    The last port is the second one, from which changed answers come; for the last port that is the first one.
    """

    def __init__(self, responder: StunResponder, clock: Clock) -> None:
        """Not called directly: see `open`."""
        self._responder = responder
        self._clock = clock
        self._sockets: dict[Endpoint, _Socket] = {}
        self._hosts: tuple[str, ...] = ()
        self._ports: list[int] = []

    @classmethod
    async def open(
        cls, hosts: Sequence[str], ports: Sequence[int], responder: StunResponder, clock: Clock
    ) -> StunServer:
        """Answer at all `ports` of all `hosts`.

        Args:
            hosts: an IP address or a wildcard; or two IP addresses of one family, for the whole of RFC 5780.
            ports: at least one; 0 takes a free one, the same for all hosts.
            responder: one for all servers of a relay.

        Raises:
            OSError: a port cannot be bound; none is then.
        """
        self = cls(responder, clock)
        self._hosts = tuple(hosts)
        try:
            for port in ports:
                await self.add_port(port)
        except BaseException:
            self.close()
            raise
        return self

    async def add_port(self, port: int) -> int:
        """Answer at one more port of all hosts, and return it (0 takes a free one).

        Raises:
            OSError: it cannot be bound at every host, and is then at none.
        """
        bound: list[Endpoint] = []
        try:
            for host in self._hosts:
                endpoint = await self._bind(host, port)
                bound.append(endpoint)
                port = endpoint.port
        except BaseException:
            for endpoint in bound:
                self._sockets.pop(endpoint).transport.close()
            raise
        self._ports.append(port)
        return port

    @property
    def ports(self) -> list[int]:
        """The bound ports, in the order they were given."""
        return list(self._ports)

    def close(self) -> None:
        """Stop answering."""
        for bound in self._sockets.values():
            bound.transport.close()

    def _received(self, data: bytes, addr: tuple[object, ...], at: Endpoint) -> None:
        host, port = str(addr[0]), int(cast("int", addr[1]))
        answer = self._responder.respond(
            data,
            host,
            port,
            self._clock.monotonic(),
            at=at,
            other_host=next((other for other in self._hosts if other != at.host), None),
            other_port=self._other_port(at.port),
        )
        if answer is not None and (sender := self._sockets.get(answer.source)) is not None:
            sender.send(answer.data, addr)

    def _other_port(self, port: int) -> int | None:
        if len(self._ports) < 2:
            return None
        return self._ports[0] if port == self._ports[-1] else self._ports[-1]

    async def _bind(self, host: str, port: int) -> Endpoint:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            if family is socket.AF_INET6:
                # As asyncio does for TCP, so that 0.0.0.0 and :: can be listened at side by side.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((host, port))
            endpoint = Endpoint(host, int(sock.getsockname()[1]))
            loop = asyncio.get_running_loop()
            _, bound = await loop.create_datagram_endpoint(
                lambda: _Socket(self._received, endpoint), sock=sock
            )
        except BaseException:
            sock.close()
            raise
        self._sockets[endpoint] = bound
        return endpoint


class _Socket(asyncio.DatagramProtocol):
    """One UDP socket."""

    transport: asyncio.DatagramTransport

    def __init__(
        self, received: Callable[[bytes, tuple[object, ...], Endpoint], None], endpoint: Endpoint
    ) -> None:
        self._received = received
        self._endpoint = endpoint
        self._writable = True

    def send(self, data: bytes, addr: tuple[object, ...]) -> None:
        """Send, unless the network cannot keep up: nothing is queued, clients ask again."""
        if self._writable and not self.transport.is_closing():
            self.transport.sendto(data, addr)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[object, ...]) -> None:
        self._received(data, addr, self._endpoint)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True

    def error_received(self, exc: Exception) -> None:
        # An earlier answer could not be delivered: of no interest.
        logger.debug("a STUN answer was not delivered: %s", exc)

"""A STUN server (RFC 8489) that does one thing: tell a client the address its datagram came from.

`StunResponder` is the whole logic without a socket; `StunServer` puts it on UDP. The answer to a plain
request of 20 bytes has 32 (IPv4) or 44 (IPv6), each source gets `limits.STUN_RATE` answers a second, and
everything that is not a well-formed binding request is dropped silently, so the port is of no use for
amplification.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import zlib
from typing import TYPE_CHECKING, Final, cast

from p2pchat_relay import limits
from p2pchat_relay.ratelimit import KeyedRateLimit, TokenBucket
from p2pchat_relay.sources import Source, parse_ip

if TYPE_CHECKING:
    from p2pchat_core.clock import Clock

__all__ = ["StunResponder", "StunServer", "parse_binding_request"]

logger = logging.getLogger(__name__)

_HEADER: Final = struct.Struct("!HHI12s")
_ATTRIBUTE: Final = struct.Struct("!HH")
_COOKIE: Final = 0x2112A442
_BINDING_REQUEST: Final = 0x0001
_BINDING_SUCCESS: Final = 0x0101
_BINDING_ERROR: Final = 0x0111
_ERROR_CODE: Final = 0x0009
_UNKNOWN_ATTRIBUTES: Final = 0x000A
_XOR_MAPPED_ADDRESS: Final = 0x0020
_FINGERPRINT: Final = 0x8028
_FINGERPRINT_XOR: Final = 0x5354554E
_FIRST_OPTIONAL: Final = 0x8000
# The comprehension-required attributes of RFC 8489 itself. None of them changes an answer without
# authentication.
_UNDERSTOOD: Final = frozenset(
    {0x0001, 0x0006, 0x0008, 0x0009, 0x000A, 0x0014, 0x0015, 0x001C, 0x001D, 0x001E, 0x0020}
)


def parse_binding_request(data: bytes) -> tuple[bytes, list[int]] | None:
    """Return the transaction id and the required attributes that we do not understand.

    ``None`` stands for everything else: a classic (RFC 3489) request without magic cookie, a wrong
    fingerprint, lengths that do not add up, and more than `limits.STUN_MAX_ATTRIBUTES` attributes.
    """
    if not _HEADER.size <= len(data) <= limits.STUN_MAX_REQUEST:
        return None
    kind, length, cookie, transaction = _HEADER.unpack_from(data)
    if kind != _BINDING_REQUEST or cookie != _COOKIE or length % 4 or length != len(data) - _HEADER.size:
        return None
    unknown: list[int] = []
    offset = _HEADER.size
    for _ in range(limits.STUN_MAX_ATTRIBUTES):
        if offset == len(data):
            return transaction, unknown
        code, size = _ATTRIBUTE.unpack_from(data, offset)
        value = offset + _ATTRIBUTE.size
        end = value + size + -size % 4
        if end > len(data):
            return None
        if code == _FINGERPRINT:
            # "It MUST be the last attribute in the message" (RFC 8489 14.7).
            return (transaction, unknown) if end == len(data) and _fingerprint_fits(data, offset) else None
        if code < _FIRST_OPTIONAL and code not in _UNDERSTOOD and code not in unknown:
            unknown.append(code)
        offset = end
    return (transaction, unknown) if offset == len(data) else None


def _fingerprint_fits(data: bytes, offset: int) -> bool:
    if len(data) - offset != 8:
        return False
    (stated,) = struct.unpack_from("!I", data, offset + 4)
    return bool(stated == zlib.crc32(data[:offset]) ^ _FINGERPRINT_XOR)


class StunResponder:
    """Answers datagrams. Keeps nothing but the rate limits, in a table of `limits.STUN_SOURCES` entries."""

    def __init__(self, now: float) -> None:
        self._per_source: KeyedRateLimit[str] = KeyedRateLimit(
            limits.STUN_RATE, limits.STUN_BURST, limits.STUN_SOURCES
        )
        self._total = TokenBucket(limits.STUN_TOTAL_RATE, limits.STUN_TOTAL_BURST, now)

    def respond(self, data: bytes, host: str, port: int, now: float) -> bytes | None:
        """Return the answer to the datagram `data` from `host` (an IP address) and `port`, or ``None`` for
        none."""
        request = parse_binding_request(data)
        # A datagram from port 0 cannot be answered.
        if request is None or not port:
            return None
        address, source = parse_ip(host), Source.of(host)
        if address is None:
            return None
        # Nobody elsewhere can pretend to be this machine, where a test may well start a hundred peers at
        # once.
        if not source.loopback and not self._per_source.take(source.host, now):
            return None
        if not self._total.take(now):
            return None
        transaction, unknown = request
        if unknown:
            return _unknown_attributes(transaction, unknown)
        return _success(transaction, address.packed, port)


def _success(transaction: bytes, address: bytes, port: int) -> bytes:
    # "XOR-MAPPED-ADDRESS" (RFC 8489 14.2): so that no NAT on the way rewrites what looks like an address.
    mask = struct.pack("!I", _COOKIE) + transaction
    family = 0x01 if len(address) == 4 else 0x02
    masked = bytes(a ^ b for a, b in zip(address, mask, strict=False))
    value = struct.pack("!BBH", 0, family, port ^ (_COOKIE >> 16)) + masked
    return _message(_BINDING_SUCCESS, transaction, _attribute(_XOR_MAPPED_ADDRESS, value))


def _unknown_attributes(transaction: bytes, codes: list[int]) -> bytes:
    # RFC 8489 6.3.1: "the server replies with an error response with an error code of 420".
    error = _attribute(_ERROR_CODE, struct.pack("!HBB", 0, 4, 20))
    listed = _attribute(_UNKNOWN_ATTRIBUTES, b"".join(struct.pack("!H", code) for code in codes))
    return _message(_BINDING_ERROR, transaction, error + listed)


def _attribute(code: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(code, len(value)) + value + bytes(-len(value) % 4)


def _message(kind: int, transaction: bytes, attributes: bytes) -> bytes:
    return _HEADER.pack(kind, len(attributes), _COOKIE, transaction) + attributes


class StunServer(asyncio.DatagramProtocol):
    """`StunResponder` on a UDP socket."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._responder = StunResponder(clock.monotonic())
        self._transport: asyncio.DatagramTransport | None = None
        self._writable = True

    @classmethod
    async def open(cls, host: str, port: int, clock: Clock) -> StunServer:
        """Answer at `host`:`port`.

        Raises:
            OSError: the port cannot be bound.
        """
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            if family is socket.AF_INET6:
                # As asyncio does for TCP, so that 0.0.0.0 and :: can be listened at side by side.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((host, port))
            _, server = await loop.create_datagram_endpoint(lambda: cls(clock), sock=sock)
        except BaseException:
            sock.close()
            raise
        return server

    @property
    def port(self) -> int:
        """The bound port."""
        assert self._transport is not None
        return int(self._transport.get_extra_info("sockname")[1])

    def close(self) -> None:
        """Stop answering."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop once the socket is bound."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[object, ...]) -> None:
        """Called by the loop for every datagram."""
        host, port = str(addr[0]), int(cast("int", addr[1]))
        answer = self._responder.respond(data, host, port, self._clock.monotonic())
        if answer is not None and self._transport is not None and self._writable:
            self._transport.sendto(answer, addr)

    def pause_writing(self) -> None:
        """Called by the loop when the network cannot keep up: nothing is queued, clients ask again."""
        self._writable = False

    def resume_writing(self) -> None:
        """Called by the loop when it can again."""
        self._writable = True

    def error_received(self, exc: Exception) -> None:
        """Called by the loop when an earlier answer could not be delivered: of no interest."""
        logger.debug("a STUN answer was not delivered: %s", exc)

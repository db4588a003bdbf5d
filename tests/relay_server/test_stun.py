from __future__ import annotations

import asyncio
import ipaddress
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat_core.clock import SystemClock
from p2pchat_relay import limits
from p2pchat_relay.stun import StunResponder, StunServer, parse_binding_request

COOKIE = bytes.fromhex("2112a442")
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")


def request(
    attributes: bytes = b"", *, kind: int = 1, cookie: bytes = COOKIE, length: int | None = None
) -> bytes:
    size = len(attributes) if length is None else length
    return struct.pack("!HH", kind, size) + cookie + TRANSACTION + attributes


def attribute(code: int, value: bytes = b"") -> bytes:
    return struct.pack("!HH", code, len(value)) + value + bytes(-len(value) % 4)


def fingerprinted(attributes: bytes = b"") -> bytes:
    head = request(attributes, length=len(attributes) + 8)
    return head + attribute(0x8028, struct.pack("!I", zlib.crc32(head) ^ 0x5354554E))


def respond(data: bytes, host: str = "192.0.2.1", port: int = 32853) -> bytes | None:
    return StunResponder(0.0).respond(data, host, port, 0.0)


# The addresses, and the XOR-MAPPED-ADDRESS attributes that stand for them, are those of RFC 5769 2.2 and 2.3.
@pytest.mark.parametrize(
    ("host", "mapped"),
    [
        ("192.0.2.1", "002000080001a147e112a643"),
        ("::ffff:192.0.2.1", "002000080001a147e112a643"),
        ("2001:db8:1234:5678:11:2233:4455:6677", "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"),
    ],
)
def test_the_answer_is_the_address_and_nothing_else(host: str, mapped: str) -> None:
    expected = bytes.fromhex(mapped)
    answer = respond(request(), host)
    assert answer == struct.pack("!HH", 0x0101, len(expected)) + COOKIE + TRANSACTION + expected


@given(st.ip_addresses(), st.integers(1, 65535), st.binary(min_size=12, max_size=12))
def test_the_address_can_be_read_back(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, transaction: bytes
) -> None:
    answer = StunResponder(0.0).respond(
        struct.pack("!HH", 1, 0) + COOKIE + transaction, str(address).partition("%")[0], port, 0.0
    )
    assert answer is not None
    assert answer[8:20] == transaction
    xored_port = struct.unpack_from("!H", answer, 26)[0]
    assert xored_port ^ 0x2112 == port
    plain = bytes(a ^ b for a, b in zip(answer[28:], COOKIE + transaction, strict=False))
    read = ipaddress.ip_address(plain)
    mapped = getattr(address, "ipv4_mapped", None)
    assert read == (mapped or type(address)(int(address)))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(request(attribute(0x8022, b"libwebrtc")), id="software"),
        pytest.param(
            request(attribute(0x0006, b"user:name") + attribute(0x0008, bytes(20))), id="credentials"
        ),
        pytest.param(request(attribute(0xC057, bytes(4))), id="unknown but optional"),
        pytest.param(fingerprinted(), id="fingerprint"),
        pytest.param(fingerprinted(attribute(0x8022, b"x")), id="software and fingerprint"),
        pytest.param(request(attribute(0x8022) * limits.STUN_MAX_ATTRIBUTES), id="as many as allowed"),
    ],
)
def test_answered(data: bytes) -> None:
    answer = respond(data)
    assert answer is not None
    assert answer[:2] == b"\x01\x01"
    assert len(answer) == 32


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(request()[:19], id="short"),
        pytest.param(request(cookie=bytes(4)), id="RFC 3489"),
        pytest.param(request(kind=0x0011), id="indication"),
        pytest.param(request(kind=0x0101), id="our own answer"),
        pytest.param(request(kind=0x0111), id="error answer"),
        pytest.param(request(kind=0x0003), id="TURN allocate"),
        pytest.param(request() + b"x", id="trailing byte"),
        pytest.param(request(length=4), id="length too long"),
        pytest.param(request(attribute(0x8022, b"abcd"), length=4), id="length too short"),
        pytest.param(request(b"\x80\x22\x00\x08abcd"), id="attribute too long"),
        pytest.param(request(b"ab", length=2), id="length not a multiple of four"),
        pytest.param(fingerprinted()[:-1] + b"\x00", id="wrong fingerprint"),
        pytest.param(request(attribute(0x8028, bytes(4)) + attribute(0x8022)), id="fingerprint not last"),
        pytest.param(request(attribute(0x8028, bytes(8))), id="fingerprint of eight bytes"),
        pytest.param(request(attribute(0x8022) * (limits.STUN_MAX_ATTRIBUTES + 1)), id="too many attributes"),
        pytest.param(request(attribute(0x8022, bytes(limits.STUN_MAX_REQUEST))), id="too long"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n   ", id="HTTP"),
    ],
)
def test_dropped_silently(data: bytes) -> None:
    assert parse_binding_request(data) is None
    assert respond(data) is None


def test_a_required_attribute_we_do_not_know_is_named_in_error_420() -> None:
    answer = respond(request(attribute(0x0024, bytes(4)) + attribute(0x0003, bytes(4)) + attribute(0x0024)))
    assert answer is not None
    assert answer[:2] == b"\x01\x11"
    assert answer[20:] == bytes.fromhex("0009 0004 0000 0414 000a 0004 0024 0003")


@given(st.binary(max_size=600) | st.binary(max_size=80).map(lambda tail: request(tail)))
def test_any_datagram_is_answered_briefly_or_not_at_all(data: bytes) -> None:
    answer = respond(data)
    assert answer is None or len(answer) <= 2 * len(data)


def test_an_answer_cannot_be_sent_to_port_0() -> None:
    assert respond(request(), port=0) is None


def test_one_source_gets_a_bounded_rate() -> None:
    responder = StunResponder(0.0)

    def answers(host: str, now: float) -> int:
        return sum(responder.respond(request(), host, port, now) is not None for port in range(1, 200))

    assert answers("203.0.113.1", 0.0) == limits.STUN_BURST
    assert answers("::ffff:203.0.113.1", 0.0) == 0
    assert answers("203.0.113.2", 0.0) == limits.STUN_BURST
    assert answers("203.0.113.1", 1.0) == limits.STUN_RATE
    assert answers("2001:db8::1", 1.0) == limits.STUN_BURST
    assert answers("2001:db8::2", 1.0) == 0
    assert answers("127.0.0.1", 1.0) == 199


def test_everybody_together_gets_a_bounded_rate() -> None:
    responder = StunResponder(0.0)
    answered = sum(
        responder.respond(request(), str(ipaddress.IPv4Address(number)), 1, 0.0) is not None
        for number in range(1 << 24, (1 << 24) + limits.STUN_TOTAL_BURST + 500)
    )
    assert answered == limits.STUN_TOTAL_BURST


class Client(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[object, ...]) -> None:
        self.received.put_nowait(data)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_over_udp(host: str) -> None:
    try:
        server = await StunServer.open(host, 0, SystemClock())
    except OSError as error:
        pytest.skip(f"no {host} here: {error}")
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(Client, remote_addr=(host, server.port))
    transport.sendto(b"nonsense")
    transport.sendto(request())
    answer = await asyncio.wait_for(client.received.get(), 5)
    port = transport.get_extra_info("sockname")[1]
    assert answer[:2] == b"\x01\x01"
    assert struct.unpack_from("!H", answer, 26)[0] ^ 0x2112 == port
    assert client.received.empty()
    transport.close()
    server.close()
    await asyncio.sleep(0)


async def test_a_taken_port_is_an_error() -> None:
    server = await StunServer.open("127.0.0.1", 0, SystemClock())
    with pytest.raises(OSError, match="in use"):
        await StunServer.open("127.0.0.1", server.port, SystemClock())
    server.close()
    await asyncio.sleep(0)

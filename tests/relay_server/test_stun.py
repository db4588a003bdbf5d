from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import struct
import zlib
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat_core.clock import SystemClock
from p2pchat_relay import limits
from p2pchat_relay.stun import Endpoint, StunAnswer, StunResponder, StunServer, parse_binding_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

COOKIE = bytes.fromhex("2112a442")
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
AT = Endpoint("0.0.0.0", 3478)


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
    answer = StunResponder(0.0).respond(data, host, port, 0.0, at=AT)
    return None if answer is None else answer.data


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
    answer = respond(struct.pack("!HH", 1, 0) + COOKIE + transaction, str(address).partition("%")[0], port)
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
        return sum(responder.respond(request(), host, port, now, at=AT) is not None for port in range(1, 200))

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
        responder.respond(request(), str(ipaddress.IPv4Address(number)), 1, 0.0, at=AT) is not None
        for number in range(1 << 24, (1 << 24) + limits.STUN_TOTAL_BURST + 500)
    )
    assert answered == limits.STUN_TOTAL_BURST


PORTS: dict[str, Any] = {"other_port": 3479}
HOSTS: dict[str, Any] = {"other_port": 3479, "other_host": "198.51.100.2"}
HERE = Endpoint("198.51.100.1", 3478)


def change(flags: int) -> bytes:
    return request(attribute(0x0003, struct.pack("!I", flags)))


def ask(data: bytes, host: str = "192.0.2.1", *, at: Endpoint = HERE, **others: Any) -> StunAnswer:
    answer = StunResponder(0.0).respond(data, host, 32853, 0.0, at=at, **others)
    assert answer is not None
    return answer


def attributes(data: bytes) -> dict[int, bytes]:
    found, offset = {}, 20
    while offset < len(data):
        code, size = struct.unpack_from("!HH", data, offset)
        found[code] = data[offset + 4 : offset + 4 + size]
        offset += 4 + size + -size % 4
    return found


@pytest.mark.parametrize(
    ("flags", "others", "source"),
    [
        (0, PORTS, HERE),
        (2, PORTS, Endpoint("198.51.100.1", 3479)),
        (0, HOSTS, HERE),
        (2, HOSTS, Endpoint("198.51.100.1", 3479)),
        (4, HOSTS, Endpoint("198.51.100.2", 3478)),
        (6, HOSTS, Endpoint("198.51.100.2", 3479)),
    ],
)
def test_the_answer_comes_from_where_it_is_wanted(
    flags: int, others: dict[str, Any], source: Endpoint
) -> None:
    answer = ask(change(flags), **others)
    assert answer.source == source
    origin = ipaddress.ip_address(source.host).packed
    assert attributes(answer.data)[0x802B] == struct.pack("!BBH", 0, 1, source.port) + origin


@pytest.mark.parametrize(("flags", "others"), [(0, {}), (2, {}), (4, PORTS), (6, PORTS)])
def test_what_cannot_be_changed_is_refused(flags: int, others: dict[str, Any]) -> None:
    answer = ask(change(flags), **others)
    assert answer.source == HERE
    assert answer.data[20:] == bytes.fromhex("0009 0004 0000 0414 000a 0002 0003 0000")


def test_the_other_address_is_told_only_where_there_are_two() -> None:
    assert 0x802C not in attributes(ask(request()).data)
    assert 0x802C not in attributes(ask(request(), **PORTS).data)
    other = attributes(ask(request(), **HOSTS).data)[0x802C]
    assert other == struct.pack("!BBH", 0, 1, 3479) + bytes([198, 51, 100, 2])


SIX = {"at": Endpoint("2001:db8::1", 3478), "other_port": 3479}


@pytest.mark.parametrize(
    ("data", "host", "setting", "size"),
    [
        (request(), "192.0.2.1", {}, 32),
        (request(), "2001:db8::9", {}, 44),
        (request(), "192.0.2.1", PORTS, 32),
        (request(), "192.0.2.1", HOSTS, 44),
        (request(), "2001:db8::9", SIX | {"other_host": "2001:db8::2"}, 68),
        (change(2), "192.0.2.1", PORTS, 44),
        (change(2), "2001:db8::9", SIX, 68),
        (change(6), "192.0.2.1", HOSTS, 56),
        (change(6), "2001:db8::9", SIX | {"other_host": "2001:db8::2"}, 92),
    ],
)
def test_the_sizes_that_are_stated(data: bytes, host: str, setting: dict[str, Any], size: int) -> None:
    answer = ask(data, host, **setting)
    assert len(answer.data) == size
    headers = 48 if ":" in host else 28
    assert headers + size < 2 * (headers + len(data))


@pytest.mark.parametrize("code", [0x0026, 0x0027], ids=["PADDING", "RESPONSE-PORT"])
def test_nothing_is_sent_elsewhere_or_made_longer(code: int) -> None:
    answer = ask(request(attribute(code, bytes(4))), **HOSTS)
    assert answer.data[:2] == b"\x01\x11"


@given(st.binary(max_size=600) | st.binary(max_size=80).map(lambda tail: request(tail)))
def test_with_two_hosts_any_datagram_is_answered_briefly_or_not_at_all(data: bytes) -> None:
    answer = StunResponder(0.0).respond(data, "192.0.2.1", 1, 0.0, at=HERE, **HOSTS)
    assert answer is None or 28 + len(answer.data) < 2 * (28 + len(data))


class Client(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[bytes, tuple[Any, ...]]] = asyncio.Queue()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self.received.put_nowait((data, addr))

    async def ask(self, data: bytes, host: str, port: int) -> tuple[dict[int, bytes], Endpoint]:
        self.transport.sendto(data, (host, port))
        answer, source = await asyncio.wait_for(self.received.get(), 5)
        assert answer[:2] == b"\x01\x01"
        return attributes(answer), Endpoint(*source[:2])


@contextlib.asynccontextmanager
async def serving(hosts: Sequence[str], ports: Sequence[int]) -> AsyncIterator[tuple[StunServer, Client]]:
    clock = SystemClock()
    try:
        server = await StunServer.open(hosts, ports, StunResponder(clock.monotonic()), clock)
    except OSError as error:
        pytest.skip(f"no {hosts} here: {error}")
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(Client, local_addr=(hosts[0], 0))
    try:
        yield server, client
    finally:
        transport.close()
        server.close()
        await asyncio.sleep(0)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_two_ports_tell_how_a_nat_maps(host: str) -> None:
    async with serving([host], [0, 0]) as (server, client):
        client.transport.sendto(b"nonsense", (host, server.ports[0]))
        answers = [await client.ask(request(), host, port) for port in server.ports]
        assert [source for _, source in answers] == [Endpoint(host, port) for port in server.ports]
        mapped = [found[0x0020] for found, _ in answers]
        port = client.transport.get_extra_info("sockname")[1]
        assert struct.unpack_from("!H", mapped[0], 2)[0] ^ 0x2112 == port
        assert mapped[0] == mapped[1], "without a NAT, and behind one that keeps a mapping, both see the same"
        assert client.received.empty()


async def test_two_hosts_and_two_ports_are_the_whole_of_it() -> None:
    hosts = "127.0.0.1", "127.0.0.2"
    async with serving(hosts, [0, 0]) as (server, client):
        first, second = server.ports
        found, _ = await client.ask(request(), hosts[0], first)
        _, _, port, *address = struct.unpack("!BBH4B", found[0x802C])
        assert (port, address) == (second, [127, 0, 0, 2])
        for flags, source in ((2, (hosts[0], second)), (4, (hosts[1], first)), (6, (hosts[1], second))):
            _, seen = await client.ask(change(flags), hosts[0], first)
            assert seen == source
        _, seen = await client.ask(change(6), hosts[1], second)
        assert seen == (hosts[0], first)


async def test_a_taken_port_is_an_error_and_leaves_nothing_bound() -> None:
    clock = SystemClock()
    responder = StunResponder(clock.monotonic())
    server = await StunServer.open(["127.0.0.1"], [0], responder, clock)
    free = await StunServer.open(["127.0.0.1"], [0], responder, clock)
    free.close()
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="in use"):
        await StunServer.open(["127.0.0.1"], [*free.ports, *server.ports], responder, clock)
    await asyncio.sleep(0)
    again = await StunServer.open(["127.0.0.1"], free.ports, responder, clock)
    again.close()
    server.close()
    await asyncio.sleep(0)

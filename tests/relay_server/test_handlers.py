from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from p2pchat_core.errors import ConnectionLostError, StreamResetError
from p2pchat_core.identity.envelope import open_voucher
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.multiformats.varint import LengthPrefixedReader, length_prefixed
from p2pchat_core.wire.circuit import (
    HOP_PROTOCOL,
    HopConnect,
    HopReserve,
    HopStatus,
    Limit,
    Status,
    StopConnect,
    StopStatus,
    decode_hop,
    decode_stop,
    encode,
)
from p2pchat_relay.acl import Access, AccessList, Trust, parse_network
from p2pchat_relay.handlers import HopHandler
from p2pchat_relay.limits import RelayLimits
from p2pchat_relay.observer import NullObserver
from p2pchat_relay.policy import RelayPolicy
from p2pchat_relay.splice import splice
from tests.relay_server.fakes import FakeConnection, FakeHost, FakeStream, key
from tests.support.hosts import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from p2pchat_core.net.host import Host
    from p2pchat_core.net.stream import Stream
    from p2pchat_relay.splice import SpliceResult

RELAY = key(0).peer_id
ADDRESSES = [
    Multiaddr.parse(f"/ip4/{ip}/tcp/9001/ws/p2p/{RELAY}") for ip in ("127.0.0.1", "203.0.113.5", "10.0.0.5")
]


async def read_message(stream: FakeStream) -> bytes:
    reader = LengthPrefixedReader(4096)
    while True:
        message = reader.next()
        if message is not None:
            stream.unread(reader.remaining())
            return message
        data = await stream.read()
        assert data, "the stream ended before a message"
        reader.feed(data)


async def read_hop(stream: FakeStream) -> HopStatus:
    status = decode_hop(await asyncio.wait_for(read_message(stream), 5))
    assert isinstance(status, HopStatus)
    return status


class Seen(NullObserver):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []
        self.bytes = 0

    def reservation_granted(self, *, renewed: bool) -> None:
        self.events.append(("reserved", renewed))

    def request_refused(self, request: str, status: str, reason: str) -> None:
        self.events.append((request, status, reason))

    def circuit_opened(self, *, limited: bool) -> None:
        self.events.append(("opened", limited))

    def circuit_bytes(self, count: int) -> None:
        self.bytes += count

    def circuit_ended(self, end: str, seconds: float) -> None:
        self.events.append(("ended", end))


class Relay:
    def __init__(self, access: Access | None = None, trust: Trust | None = None, **limits: int) -> None:
        self.host = FakeHost()
        self.seen = Seen()
        self.limits = RelayLimits(**limits)
        self.policy = RelayPolicy(self.limits, access, trust)
        self.handler = HopHandler(cast("Host", self.host), self.policy, lambda: ADDRESSES, observer=self.seen)
        self.handler.register()
        self.tasks: list[asyncio.Task[None]] = []

    def open(self, connection: FakeConnection) -> FakeStream:
        """Let the peer of `connection` open a HOP stream, and return its end."""
        ours, theirs = connection.inbound()
        self.tasks.append(asyncio.ensure_future(self.serve(ours)))
        return theirs

    async def serve(self, stream: FakeStream) -> None:
        """Treat the handler as `Connection` does."""
        try:
            await self.handler.handle(stream)
        except BaseException:
            stream.abort()
            raise
        await stream.close()

    async def ask(self, connection: FakeConnection, request: bytes) -> HopStatus:
        """Send `request`, and return the answer after making sure that the relay ended the stream."""
        stream = self.open(connection)
        await stream.write(request)
        status = await read_hop(stream)
        assert await asyncio.wait_for(stream.read(), 5) == b""
        return status

    async def reserve(self, connection: FakeConnection) -> HopStatus:
        return await self.ask(connection, encode(HopReserve()))

    async def settled(self) -> None:
        results = await asyncio.wait_for(asyncio.gather(*self.tasks, return_exceptions=True), 5)
        assert all(isinstance(r, None | StreamResetError | ConnectionLostError) for r in results), results
        assert self.policy.circuits == 0


def target_that(answer: bytes | None, keep: list[FakeStream]) -> Callable[[FakeStream], Awaitable[None]]:
    """Return a STOP handler that reads the call and writes `answer`, or resets for ``None``."""

    async def on_stream(stream: FakeStream) -> None:
        keep.append(stream)
        call = decode_stop(await read_message(stream))
        assert isinstance(call, StopConnect)
        if answer is None:
            stream.abort()
        else:
            await stream.write(answer)

    return on_stream


# --- reservations -------------------------------------------------------------------------------------------


async def test_a_reservation_carries_expiry_addresses_voucher_and_limit() -> None:
    relay = Relay(reservation_seconds=3600, circuit_seconds=120, circuit_bytes=4096)
    connection = relay.host.connect(1)
    status = await relay.reserve(connection)
    assert status.status is Status.OK
    assert status.limit == Limit(duration=120, data=4096)
    assert status.reservation is not None
    assert status.reservation.expire == 1_700_000_000 + 3600
    # Not our loopback address: for whoever reaches the peer from elsewhere that is their own machine.
    assert status.reservation.addresses == tuple(ADDRESSES[1:])
    assert status.reservation.voucher is not None
    signer, voucher = open_voucher(status.reservation.voucher)
    assert signer == relay.host.identity.public_key
    assert (voucher.relay, voucher.peer, voucher.expiration) == (RELAY, connection.peer, 1_700_003_600)


async def test_a_peer_on_this_machine_is_given_every_address() -> None:
    relay = Relay()
    status = await relay.reserve(relay.host.connect(1, "/ip4/127.0.0.1/tcp/5000/ws"))
    assert status.reservation is not None
    assert status.reservation.addresses == tuple(ADDRESSES)


async def test_without_limits_there_is_no_limit_message_at_all() -> None:
    relay = Relay(circuit_seconds=0, circuit_bytes=0)
    assert (await relay.reserve(relay.host.connect(1))).limit is None
    relay = Relay(circuit_seconds=0, circuit_bytes=1000)
    assert (await relay.reserve(relay.host.connect(1))).limit == Limit(None, 1000)


async def test_a_full_relay_refuses_and_a_slot_is_freed_by_leaving() -> None:
    relay = Relay(max_reservations=1)
    first, second = relay.host.connect(1), relay.host.connect(2)
    assert (await relay.reserve(first)).status is Status.OK
    refused = await relay.reserve(second)
    assert refused == HopStatus(Status.RESERVATION_REFUSED)
    assert (await relay.reserve(first)).status is Status.OK
    relay.host.disconnect(first)
    assert (await relay.reserve(second)).status is Status.OK


async def test_the_slot_stays_while_another_connection_of_the_peer_does() -> None:
    relay = Relay()
    first, again = relay.host.connect(1), relay.host.connect(1)
    await relay.reserve(first)
    relay.host.disconnect(first)
    assert relay.policy.reservations == 1
    relay.host.disconnect(again)
    assert relay.policy.table_size == 0


@pytest.mark.parametrize("request_", [HopReserve(), HopConnect(key(2).peer_id)])
async def test_nothing_is_granted_over_a_circuit(request_: HopReserve | HopConnect) -> None:
    relay = Relay()
    await relay.reserve(relay.host.connect(2))
    connection = relay.host.connect(1)
    connection.relayed = True
    assert (await relay.ask(connection, encode(request_))).status is Status.PERMISSION_DENIED
    assert relay.policy.reservations == 1
    await relay.settled()


# --- bad requests -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(length_prefixed(b"\x08\x00\xff"), Status.MALFORMED_MESSAGE, id="damaged"),
        pytest.param(length_prefixed(b""), Status.MALFORMED_MESSAGE, id="no type"),
        pytest.param(length_prefixed(b"\x08\x09"), Status.MALFORMED_MESSAGE, id="unknown type"),
        pytest.param(length_prefixed(b"\x08\x01"), Status.MALFORMED_MESSAGE, id="CONNECT to nobody"),
        pytest.param(length_prefixed(b"\x08\x01\x12\x03\x0a\x01x"), Status.MALFORMED_MESSAGE, id="bad peer"),
        pytest.param(b"\xff\xff\x7f", Status.MALFORMED_MESSAGE, id="too long"),
        pytest.param(encode(HopStatus(Status.OK)), Status.UNEXPECTED_MESSAGE, id="a status"),
    ],
)
async def test_a_bad_request_is_answered(data: bytes, status: Status) -> None:
    relay = Relay()
    assert (await relay.ask(relay.host.connect(1), data)).status is status
    assert relay.policy.table_size == 0
    await relay.settled()


@pytest.mark.parametrize("data", [b"", b"\x05\x08"])
async def test_half_a_request_is_answered_as_malformed(data: bytes) -> None:
    relay = Relay()
    stream = relay.open(relay.host.connect(1))
    await stream.write(data)
    await stream.close_write()
    assert (await read_hop(stream)).status is Status.MALFORMED_MESSAGE


async def test_a_request_may_come_byte_by_byte() -> None:
    relay = Relay()
    stream = relay.open(relay.host.connect(1))
    for byte in encode(HopReserve()):
        await stream.write(bytes([byte]))
        await asyncio.sleep(0)
    assert (await read_hop(stream)).status is Status.OK


async def test_a_request_that_never_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pchat_relay.handlers.HOP_TIMEOUT", 0.01)
    relay = Relay()
    stream = relay.open(relay.host.connect(1))
    with pytest.raises(TimeoutError):
        await relay.tasks[0]
    assert stream.aborted


# --- circuits -----------------------------------------------------------------------------------------------


class Two:
    """A source and a target with a reservation, on one relay."""

    def __init__(self, answer: bytes | None = encode(StopStatus(Status.OK)), **options: Any) -> None:
        self.relay = Relay(**options)
        self.source = self.relay.host.connect(1)
        self.target = self.relay.host.connect(2)
        self.calls: list[FakeStream] = []
        self.target.on_stream = target_that(answer, self.calls)

    async def connect(self, surplus: bytes = b"") -> tuple[HopStatus, FakeStream]:
        await self.relay.reserve(self.target)
        stream = self.relay.open(self.source)
        await stream.write(encode(HopConnect(self.target.peer)) + surplus)
        return await read_hop(stream), stream


async def test_a_circuit_carries_both_ways_and_passes_the_end_on() -> None:
    two = Two(circuit_seconds=60, circuit_bytes=1000)
    status, stream = await two.connect()
    assert status == HopStatus(Status.OK, limit=Limit(60, 1000))
    (call,) = two.calls
    assert two.relay.policy.circuits == 1
    await stream.write(b"there")
    assert await call.read() == b"there"
    await call.write(b"back")
    assert await stream.read() == b"back"
    await stream.close_write()
    assert await call.read() == b""
    await call.close_write()
    assert await stream.read() == b""
    await two.relay.settled()


async def test_the_target_is_told_who_calls_and_the_limit() -> None:
    two = Two(circuit_seconds=60, circuit_bytes=1000)
    seen: list[object] = []

    async def on_stream(stream: FakeStream) -> None:
        seen.append(decode_stop(await read_message(stream)))
        stream.abort()

    two.target.on_stream = on_stream
    status, _ = await two.connect()
    assert status.status is Status.CONNECTION_FAILED
    assert seen == [StopConnect(two.source.peer, Limit(60, 1000))]


async def test_bytes_right_behind_the_messages_belong_to_the_circuit() -> None:
    two = Two(encode(StopStatus(Status.OK)) + b"from the target")
    _, stream = await two.connect(b"from the source")
    assert await stream.read_exactly(15) == b"from the target"
    assert await two.calls[0].read_exactly(15) == b"from the source"
    stream.abort()
    await two.relay.settled()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(encode(StopStatus(Status.PERMISSION_DENIED)), id="refused"),
        pytest.param(encode(StopStatus(Status.CONNECTION_FAILED)), id="failed"),
        pytest.param(encode(StopConnect(key(1).peer_id)), id="a request instead"),
        pytest.param(length_prefixed(b"\x08\x01"), id="no status"),
        pytest.param(b"\xff\xff\x7f", id="too long"),
        pytest.param(None, id="reset"),
    ],
)
async def test_a_target_that_does_not_take_it_is_connection_failed(answer: bytes | None) -> None:
    two = Two(answer)
    status, stream = await two.connect()
    assert status == HopStatus(Status.CONNECTION_FAILED)
    assert await stream.read() == b""
    assert two.calls[0].aborted
    await two.relay.settled()


async def test_a_target_without_stop_is_connection_failed() -> None:
    two = Two()
    two.target.on_stream = None
    assert (await two.connect())[0].status is Status.CONNECTION_FAILED
    await two.relay.settled()


async def test_a_target_that_does_not_answer_is_connection_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pchat_relay.handlers.STOP_TIMEOUT", 0.01)
    two = Two(b"")
    assert (await two.connect())[0].status is Status.CONNECTION_FAILED
    assert two.calls[0].aborted
    await two.relay.settled()


async def test_a_target_reachable_only_through_a_relay_is_not_called() -> None:
    two = Two()
    await two.relay.reserve(two.target)
    two.target.relayed = True
    stream = two.relay.open(two.source)
    await stream.write(encode(HopConnect(two.target.peer)))
    assert (await read_hop(stream)).status is Status.CONNECTION_FAILED
    assert not two.calls


async def test_no_reservation() -> None:
    two = Two()
    status = await two.relay.ask(two.source, encode(HopConnect(two.target.peer)))
    assert status == HopStatus(Status.NO_RESERVATION)
    await two.relay.reserve(two.target)
    two.relay.host.disconnect(two.target)
    status = await two.relay.ask(two.source, encode(HopConnect(two.target.peer)))
    assert status == HopStatus(Status.NO_RESERVATION)


async def test_too_many_circuits() -> None:
    two = Two(max_circuits_per_peer=1)
    _, stream = await two.connect()
    status, _ = await two.connect()
    assert status == HopStatus(Status.RESOURCE_LIMIT_EXCEEDED)
    stream.abort()
    await asyncio.gather(*two.relay.tasks, return_exceptions=True)
    status, stream = await two.connect()
    assert status.status is Status.OK
    stream.abort()
    await two.relay.settled()


async def test_the_byte_limit_cuts_the_circuit() -> None:
    two = Two(circuit_bytes=100)
    _, stream = await two.connect()
    await stream.write(bytes(101))
    await two.relay.settled()
    assert stream.aborted
    assert two.calls[0].aborted
    assert two.calls[0].received == len(encode(StopConnect(two.source.peer, Limit(1800, 100)))) + 100


async def test_the_time_limit_cuts_the_circuit_whatever_the_handshake_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The limit of the exchange must not end the circuit that comes of it.
    def scaled(source: Stream, target: Stream, *, seconds: float, **others: Any) -> Awaitable[SpliceResult]:
        assert seconds == 1
        return splice(source, target, seconds=0.1, **others)

    monkeypatch.setattr("p2pchat_relay.handlers.HOP_TIMEOUT", 0.05)
    monkeypatch.setattr("p2pchat_relay.handlers.splice", scaled)
    two = Two(circuit_seconds=1)
    _, stream = await two.connect()
    await two.relay.settled()
    assert stream.aborted


async def test_the_source_leaving_while_the_target_is_called_leaves_nothing() -> None:
    two = Two(b"")
    await two.relay.reserve(two.target)
    stream = two.relay.open(two.source)
    await stream.write(encode(HopConnect(two.target.peer)))
    await eventually(lambda: two.calls)
    assert two.relay.policy.circuits == 1
    two.relay.tasks[-1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await two.relay.tasks[-1]
    assert two.relay.policy.circuits == 0
    assert two.calls[0].aborted


async def test_hop_may_be_asked_over_circuits_so_that_it_is_refused_with_a_reason() -> None:
    relay = Relay()
    _, options = cast("tuple[object, dict[str, object]]", relay.host.handlers[HOP_PROTOCOL])
    assert options["on_limited"] is True


# --- access, trust, and who is told -------------------------------------------------------------------------


async def test_who_may_not_reserve_is_denied() -> None:
    relay = Relay(access=Access(reserve=AccessList(only=True, peers=frozenset({key(1).peer_id}))))
    assert (await relay.reserve(relay.host.connect(1))).status is Status.OK
    assert await relay.reserve(relay.host.connect(2)) == HopStatus(Status.PERMISSION_DENIED)
    assert relay.seen.events == [("reserved", False), ("reserve", "permission_denied", "access")]


async def test_who_may_not_connect_is_denied_by_network_in_any_form() -> None:
    network = parse_network("203.0.113.0/24", "k")
    relay = Relay(access=Access(connect=AccessList(networks=(network,))))
    target = relay.host.connect(2)
    await relay.reserve(target)
    for address in ("/ip4/203.0.113.9/tcp/1/ws", "/ip6/::ffff:203.0.113.9/tcp/1/ws"):
        refused = await relay.ask(relay.host.connect(1, address), encode(HopConnect(target.peer)))
        assert refused == HopStatus(Status.PERMISSION_DENIED)
    # The rule is about calling: such a peer may still be called.
    assert (await relay.reserve(relay.host.connect(3, "/ip4/203.0.113.9/tcp/1/ws"))).status is Status.OK


async def test_a_trusted_peer_has_circuits_without_limit_field() -> None:
    two = Two(
        trust=Trust(peers=frozenset({key(2).peer_id})),
        circuit_bytes=10,
        circuit_seconds=60,
        circuit_burst_bytes=1,
    )
    assert (await two.relay.reserve(two.target)).limit is None
    assert (await two.relay.reserve(two.source)).limit == Limit(60, 10)
    status, stream = await two.connect()
    assert status == HopStatus(Status.OK, limit=None)
    await stream.write(bytes(10_000))
    assert await two.calls[0].read_exactly(10_000) == bytes(10_000)
    assert ("opened", False) in two.relay.seen.events
    stream.abort()
    await two.relay.settled()


async def test_a_trusted_pair_has_them_between_themselves_only() -> None:
    pair = frozenset({key(1).peer_id, key(2).peer_id})
    two = Two(trust=Trust(pairs=frozenset({pair})), circuit_bytes=10, circuit_seconds=60)
    told: list[object] = []

    async def on_stream(stream: FakeStream) -> None:
        told.append(decode_stop(await read_message(stream)))
        await stream.write(encode(StopStatus(Status.OK)))

    two.target.on_stream = on_stream
    status, stream = await two.connect()
    assert status.limit is None
    two.source = two.relay.host.connect(3)
    limited, other = await two.connect()
    assert limited.limit == Limit(60, 10)
    assert told == [StopConnect(key(1).peer_id, None), StopConnect(key(3).peer_id, Limit(60, 10))]
    for end in (stream, other):
        end.abort()
    await two.relay.settled()


async def test_a_circuit_keeps_what_it_was_granted_when_limits_change() -> None:
    two = Two(circuit_bytes=1000)
    _, stream = await two.connect()
    two.relay.policy.configure(RelayLimits(circuit_bytes=1), Access(), Trust(), 0.0)
    await stream.write(bytes(1000))
    assert await two.calls[0].read_exactly(1000) == bytes(1000)
    again, other = await two.connect()
    assert again.limit == Limit(1800, 1)
    for end in (stream, other):
        end.abort()
    await two.relay.settled()


async def test_the_observer_is_told_everything_once() -> None:
    two = Two(circuit_bytes=100)
    relay = two.relay
    await relay.ask(two.source, length_prefixed(b"x"))
    await relay.ask(two.source, encode(HopStatus(Status.OK)))
    await relay.ask(two.source, encode(HopConnect(two.target.peer)))
    await relay.reserve(two.target)
    _, stream = await two.connect()
    await stream.write(bytes(101))
    await relay.settled()
    assert relay.seen.events == [
        ("unknown", "malformed_message", "malformed"),
        ("unknown", "unexpected_message", "unexpected"),
        ("connect", "no_reservation", "no_reservation"),
        ("reserved", False),
        ("reserved", True),
        ("opened", True),
        ("ended", "bytes"),
    ]
    assert relay.seen.bytes == 100


async def test_while_draining_nothing_new_is_granted() -> None:
    two = Two()
    _, stream = await two.connect()
    two.relay.policy.drain()
    assert (await two.relay.reserve(two.target)).status is Status.RESERVATION_REFUSED
    refused = await two.relay.ask(two.source, encode(HopConnect(two.target.peer)))
    assert refused.status is Status.RESOURCE_LIMIT_EXCEEDED
    await stream.write(b"still here")
    assert await two.calls[0].read() == b"still here"
    stream.abort()
    await two.relay.settled()

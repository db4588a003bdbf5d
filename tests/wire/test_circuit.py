"""HOP and STOP: messages, their bytes, and the four exchanges."""

from __future__ import annotations

from typing import Any

import pytest

from p2pchat_core.errors import LocalProtocolError, RemoteProtocolError
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.limits import (
    CIRCUIT_MAX_BYTES,
    CIRCUIT_MAX_SECONDS,
    PROTOBUF_MAX_MESSAGE,
    RESERVATION_MAX_ADDRESSES,
    UNIX_TIME_MAX,
)
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.multiformats.varint import length_prefixed
from p2pchat_core.pb import circuit_pb2
from p2pchat_core.wire.circuit import (
    HopClient,
    HopConnect,
    HopReserve,
    HopServerExchange,
    HopStatus,
    Limit,
    Reservation,
    Status,
    StopClient,
    StopConnect,
    StopServer,
    StopStatus,
    decode_hop,
    decode_stop,
    encode,
)
from tests.support.vectors import vectors

A = PeerId.parse("12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB")
B = PeerId.parse("12D3KooWCd3eX8r5ihRvzK7P1yPq5aakaBJhG5GNj18YTztPhoCa")
RELAY_ADDRESS = Multiaddr.parse(
    "/ip4/127.0.0.1/tcp/57708/ws/p2p/12D3KooWCKq9ZvccjmCqhBbPsrgpAKBHWQpgB61ruM19CyAvH1Cp"
)
EXPIRE = 1_700_003_600
LIMIT = Limit(120, 131072)


def _vector(group: str, name: str) -> bytes:
    return next(bytes.fromhex(entry["wire"]) for entry in vectors(group) if entry["name"] == name)


def _feed(machine: Any, data: bytes, chunk: int) -> bytes:
    """Feed until there is a result; return everything that was not consumed."""
    for start in range(0, len(data), chunk):
        machine.receive_data(data[start : start + chunk])
        if machine.result is not None:
            return bytes(machine.remaining()) + data[start + chunk :]
    return b""


def _voucher() -> bytes:
    message = circuit_pb2.HopMessage()
    wire = _vector("circuit-hop", "RESERVE ok, no limit")
    message.ParseFromString(wire[2:])
    return message.reservation.voucher


HOP: dict[str, HopReserve | HopConnect | HopStatus] = {
    "RESERVE request": HopReserve(),
    "RESERVE ok, as js server sends it (limit.duration in ms!: 120000)": HopStatus(
        Status.OK, Reservation(EXPIRE, (RELAY_ADDRESS,), _voucher()), Limit(120000, 131072)
    ),
    "RESERVE ok, correct limit (120 s, 128 KiB)": HopStatus(
        Status.OK, Reservation(EXPIRE, (RELAY_ADDRESS,), _voucher()), LIMIT
    ),
    "RESERVE ok, no limit": HopStatus(Status.OK, Reservation(EXPIRE, (RELAY_ADDRESS,), _voucher())),
    "CONNECT to A (js client: includes addrs=[/p2p/A])": HopConnect(A),
    "CONNECT to A (minimal, no addrs)": HopConnect(A),
    "CONNECT ok with limit 120 s / 128 KiB": HopStatus(Status.OK, limit=LIMIT),
    "CONNECT ok without limit": HopStatus(Status.OK),
    **{
        f"STATUS {status.name}": HopStatus(status)
        for status in Status
        if status not in (Status.OK, Status.UNUSED)
    },
}
STOP: dict[str, StopConnect | StopStatus] = {
    "CONNECT from B with limit 120 s / 128 KiB": StopConnect(B, LIMIT),
    "CONNECT from B without limit": StopConnect(B),
    "STATUS OK": StopStatus(Status.OK),
    "STATUS PERMISSION_DENIED": StopStatus(Status.PERMISSION_DENIED),
    "STATUS CONNECTION_FAILED": StopStatus(Status.CONNECTION_FAILED),
}


def test_vectors_are_all_covered() -> None:
    assert {entry["name"] for entry in vectors("circuit-hop")} == HOP.keys()
    assert {entry["name"] for entry in vectors("circuit-stop")} == STOP.keys()


@pytest.mark.parametrize("entry", vectors("circuit-hop"), ids=lambda entry: entry["name"])
def test_hop_vector(entry: dict[str, Any]) -> None:
    message = decode_hop(bytes.fromhex(entry["protobuf"]))
    expected = HOP[entry["name"]]
    assert message == expected
    if "js client" not in entry["name"]:  # we send no addresses
        assert encode(expected).hex() == entry["wire"]


@pytest.mark.parametrize("entry", vectors("circuit-stop"), ids=lambda entry: entry["name"])
def test_stop_vector(entry: dict[str, Any]) -> None:
    expected = STOP[entry["name"]]
    assert decode_stop(bytes.fromhex(entry["protobuf"])) == expected
    assert encode(expected).hex() == entry["wire"]


@pytest.mark.parametrize("chunk", [1, 3, 10_000])
@pytest.mark.parametrize("entry", vectors("circuit-hop"), ids=lambda entry: entry["name"])
def test_hop_machines_take_vectors_in_any_pieces_and_leave_the_rest(
    entry: dict[str, Any], chunk: int
) -> None:
    wire, expected = bytes.fromhex(entry["wire"]), HOP[entry["name"]]
    machine = HopClient.connect(A) if isinstance(expected, HopStatus) else HopServerExchange()
    assert _feed(machine, wire + b"\x13/multistream/1.0.0\n", chunk) == b"\x13/multistream/1.0.0\n"
    assert machine.result == expected


@pytest.mark.parametrize("chunk", [1, 3, 10_000])
@pytest.mark.parametrize("entry", vectors("circuit-stop"), ids=lambda entry: entry["name"])
def test_stop_machines_take_vectors_in_any_pieces_and_leave_the_rest(
    entry: dict[str, Any], chunk: int
) -> None:
    wire, expected = bytes.fromhex(entry["wire"]), STOP[entry["name"]]
    machine = StopClient(B) if isinstance(expected, StopStatus) else StopServer()
    assert _feed(machine, wire + b"\x13/multistream/1.0.0\n", chunk) == b"\x13/multistream/1.0.0\n"
    assert machine.result == expected


def test_reserve_conversation() -> None:
    client, relay = HopClient.reserve(), HopServerExchange()
    request = client.take_output()
    assert request == b"\x02\x08\x00"  # the zero type is written out
    assert client.take_output() == b""
    relay.receive_data(request)
    assert relay.result == HopReserve()
    answer = HopStatus(Status.OK, Reservation(EXPIRE, (RELAY_ADDRESS,)), LIMIT)
    relay.respond(answer)
    client.receive_data(relay.take_output())
    assert client.result == answer
    assert client.remaining() == b""


def test_connect_conversation_through_both_protocols() -> None:
    client, relay = HopClient.connect(A), HopServerExchange()
    relay.receive_data(client.take_output())
    assert relay.result == HopConnect(A)
    call, target = StopClient(B, LIMIT), StopServer()
    target.receive_data(call.take_output())
    assert target.result == StopConnect(B, LIMIT)
    target.respond(Status.OK)
    call.receive_data(target.take_output() + b"first bytes")
    assert call.result == StopStatus(Status.OK)
    assert call.remaining() == b"first bytes"
    assert call.remaining() == b""
    relay.respond(HopStatus(Status.OK, limit=LIMIT))
    client.receive_data(relay.take_output())
    assert client.result == HopStatus(Status.OK, limit=LIMIT)


def _hop(**fields: Any) -> bytes:
    return circuit_pb2.HopMessage(**fields).SerializeToString()


MALFORMED_HOP = {
    "empty": b"",
    "not protobuf": b"\xff\xff\xff",
    "missing type": bytes.fromhex("2864"),
    "unknown type": bytes.fromhex("08032864"),
    "unknown status": bytes.fromhex("08022807"),
    "no status": bytes.fromhex("0802"),
    "connect without peer": bytes.fromhex("0801"),
    "connect with an empty peer": bytes.fromhex("08011200"),
    "connect with a bad id": _hop(type=1, peer={"id": b"\x12\x20short"}),
    "too long": _hop(type=0, peer={"id": bytes(PROTOBUF_MAX_MESSAGE)}),
}


@pytest.mark.parametrize("data", MALFORMED_HOP.values(), ids=MALFORMED_HOP.keys())
def test_malformed_hop(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_hop(data)


@pytest.mark.parametrize(
    "data",
    [
        encode(StopConnect(A))[3:],  # all but the type
        b"",
        b"\xff",
        bytes.fromhex("2064"),
        bytes.fromhex("0802"),
        bytes.fromhex("0800"),
        bytes.fromhex("0801"),
    ],
)
def test_malformed_stop(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_stop(data)


@pytest.mark.parametrize("data", MALFORMED_HOP.values(), ids=MALFORMED_HOP.keys())
def test_server_can_answer_malformed_requests(data: bytes) -> None:
    exchange = HopServerExchange()
    with pytest.raises(RemoteProtocolError):
        exchange.receive_data(length_prefixed(data))
    assert exchange.failure is Status.MALFORMED_MESSAGE
    with pytest.raises(LocalProtocolError):
        exchange.respond(HopStatus(Status.OK))
    exchange.respond(HopStatus(exchange.failure))
    assert exchange.take_output() == _vector("circuit-hop", "STATUS MALFORMED_MESSAGE")
    with pytest.raises(LocalProtocolError):
        exchange.respond(HopStatus(Status.MALFORMED_MESSAGE))
    with pytest.raises(LocalProtocolError):
        exchange.receive_data(b"\x00")
    assert exchange.remaining() == b""


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        (HopServerExchange(), HopStatus(Status.OK)),
        (HopClient.reserve(), HopReserve()),
        (HopClient.connect(A), HopConnect(B)),
        (StopServer(), StopStatus(Status.OK)),
        (StopClient(A), StopConnect(B)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_message_of_the_other_side_is_unexpected(machine: Any, message: Any) -> None:
    with pytest.raises(RemoteProtocolError):
        machine.receive_data(encode(message))
    assert machine.failure is Status.UNEXPECTED_MESSAGE
    assert machine.result is None


def test_ok_to_reserve_needs_a_reservation() -> None:
    client = HopClient.reserve()
    with pytest.raises(RemoteProtocolError, match="no reservation"):
        client.receive_data(encode(HopStatus(Status.OK)))


@pytest.mark.parametrize(
    "machine",
    [HopServerExchange(), HopClient.reserve(), StopServer(), StopClient(A)],
    ids=lambda machine: type(machine).__name__,
)
def test_early_end(machine: Any) -> None:
    machine.receive_data(b"\x04")
    with pytest.raises(RemoteProtocolError):
        machine.receive_eof()
    machine.receive_eof()  # once is enough


def test_end_after_the_message_is_fine() -> None:
    client = HopClient.connect(A)
    client.receive_data(encode(HopStatus(Status.OK)))
    client.receive_eof()
    with pytest.raises(LocalProtocolError):
        client.receive_data(b"these bytes belong to the circuit")


def test_answer_before_the_request_is_our_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        StopServer().respond(Status.PERMISSION_DENIED)


def test_announced_length_above_the_limit_is_refused_before_it_arrives() -> None:
    exchange = HopServerExchange()
    exchange.receive_data(length_prefixed(bytes(PROTOBUF_MAX_MESSAGE))[:100])
    with pytest.raises(RemoteProtocolError):
        HopServerExchange().receive_data(length_prefixed(bytes(PROTOBUF_MAX_MESSAGE + 1))[:2])


def test_unparsable_and_surplus_addresses_of_a_reservation_are_left_out() -> None:
    many = [Multiaddr.parse(f"/ip4/10.0.0.{index}/tcp/1/ws").to_bytes() for index in range(100)]
    status = decode_hop(
        _hop(
            type=2,
            status=100,
            reservation={"expire": 5, "addrs": [b"", b"\xff\x7fnonsense", many[0], many[0], *many]},
        )
    )
    assert isinstance(status, HopStatus)
    assert status.reservation is not None
    assert [str(address) for address in status.reservation.addresses] == [
        f"/ip4/10.0.0.{index}/tcp/1/ws" for index in range(RESERVATION_MAX_ADDRESSES)
    ]


@pytest.mark.parametrize("absurd", [2**63, 2**64 - 1])
def test_absurd_numbers_are_clamped(absurd: int) -> None:
    status = decode_hop(
        _hop(
            type=2,
            status=100,
            reservation={"expire": absurd},
            limit={"duration": 2**32 - 1, "data": absurd},
        )
    )
    assert status == HopStatus(
        Status.OK, Reservation(UNIX_TIME_MAX), Limit(CIRCUIT_MAX_SECONDS, CIRCUIT_MAX_BYTES)
    )
    ours = HopStatus(Status.OK, Reservation(absurd), Limit(absurd, absurd))
    assert decode_hop(encode(ours)[1:]) == status
    assert decode_stop(encode(StopConnect(A, Limit(-5, absurd)))[1:]) == StopConnect(
        A, Limit(None, CIRCUIT_MAX_BYTES)
    )


def test_longest_message() -> None:
    padding = PROTOBUF_MAX_MESSAGE - 8
    data = _hop(type=0, peer={"id": bytes(padding)})
    assert len(data) == PROTOBUF_MAX_MESSAGE
    assert decode_hop(data) == HopReserve()
    exchange = HopServerExchange()
    exchange.receive_data(length_prefixed(data))
    assert exchange.result == HopReserve()


def test_statuses_are_those_of_the_protocol() -> None:
    assert {status.name: int(status) for status in Status} == dict(circuit_pb2.Status.items())


def test_limit_is_about_presence() -> None:
    """go takes a limit without values for a limited circuit, so it must survive both ways."""
    assert encode(HopStatus(Status.OK, limit=Limit())) == bytes.fromhex("06080222002864")
    assert decode_hop(bytes.fromhex("080222002864")) == HopStatus(Status.OK, limit=Limit())
    assert decode_hop(bytes.fromhex("080222040800100028") + b"\x64") == HopStatus(Status.OK, limit=Limit())
    assert encode(HopStatus(Status.OK)) == bytes.fromhex("0408022864")


def test_servers_have_nothing_to_say_first() -> None:
    assert HopServerExchange().take_output() == b""
    assert StopServer().take_output() == b""

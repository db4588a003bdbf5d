"""Any bytes either parse as HOP or STOP messages or raise RemoteProtocolError; pieces do not matter."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.limits import CIRCUIT_MAX_BYTES, CIRCUIT_MAX_SECONDS, PROTOBUF_MAX_MESSAGE, UNIX_TIME_MAX
from p2pchat_core.multiformats.multiaddr import Multiaddr
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

PEER = PeerId.parse("12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB")
_SETTINGS = settings(max_examples=100, deadline=None)
_WIRES = [
    bytes.fromhex(entry["wire"]) for group in ("circuit-hop", "circuit-stop") for entry in vectors(group)
]

peers = st.binary(min_size=32, max_size=32).map(lambda digest: PeerId.from_bytes(b"\x12\x20" + digest))
limits = st.builds(
    Limit,
    st.none() | st.integers(1, CIRCUIT_MAX_SECONDS),
    st.none() | st.integers(1, CIRCUIT_MAX_BYTES),
)
addresses = st.builds(
    lambda host, port: Multiaddr.parse(f"/ip4/{host}/tcp/{port}/ws"),
    st.ip_addresses(v=4),
    st.integers(1, 65535),
)
reservations = st.builds(
    Reservation,
    st.integers(0, UNIX_TIME_MAX),
    st.lists(addresses, max_size=16, unique=True).map(tuple),
    st.none() | st.binary(max_size=300),
)
statuses = st.sampled_from(Status)
hop_messages = st.one_of(
    st.just(HopReserve()),
    st.builds(HopConnect, peers),
    st.builds(HopStatus, statuses, st.none() | reservations, st.none() | limits),
)
stop_messages = st.one_of(
    st.builds(StopConnect, peers, st.none() | limits),
    st.builds(StopStatus, statuses, st.none() | limits),
)
mutated = st.builds(
    lambda wire, position, value, cut: (
        wire[: position % len(wire)] + bytes([value]) + wire[position % len(wire) + 1 :]
    )[: len(wire) - cut % 4],
    st.sampled_from(_WIRES),
    st.integers(0, 10_000),
    st.integers(0, 255),
    st.integers(0, 3),
)


@_SETTINGS
@given(st.binary(max_size=300) | mutated)
def test_decoders_raise_nothing_else(data: bytes) -> None:
    for decode in (decode_hop, decode_stop):
        try:
            message: Any = decode(data)
        except RemoteProtocolError:
            continue
        assert decode(encode(message)[_prefix(encode(message)) :]) == message


def _prefix(wire: bytes) -> int:
    return 1 if wire[0] < 0x80 else 2


@_SETTINGS
@given(hop_messages, stop_messages)
def test_round_trip(hop: Any, stop: Any) -> None:
    for message, decode in ((hop, decode_hop), (stop, decode_stop)):
        wire = encode(message)
        assert len(wire) <= PROTOBUF_MAX_MESSAGE
        assert decode(wire[_prefix(wire) :]) == message


def _run(machine: Any, pieces: list[bytes]) -> tuple[Any, Any, bytes, bool]:
    rest = b""
    raised = False
    for index, piece in enumerate(pieces):
        try:
            machine.receive_data(piece)
        except RemoteProtocolError:
            raised = True
            break
        if machine.result is not None:
            rest = machine.remaining() + b"".join(pieces[index + 1 :])
            break
    return machine.result, machine.failure, rest, raised


@_SETTINGS
@given(
    st.sampled_from([HopServerExchange, HopClient.reserve, StopServer, lambda: StopClient(PEER)]),
    st.one_of(mutated, hop_messages.map(encode), stop_messages.map(encode), st.binary(max_size=50)),
    st.binary(max_size=20),
)
def test_machines_do_not_care_about_pieces_and_never_read_too_far(
    make: Any, wire: bytes, surplus: bytes
) -> None:
    data = wire + surplus
    whole = _run(make(), [data])
    single = _run(make(), [data[index : index + 1] for index in range(len(data))])
    assert whole == single
    result, failure, rest, raised = whole
    assert raised == (failure is not None)
    if result is not None:
        assert data.endswith(rest)

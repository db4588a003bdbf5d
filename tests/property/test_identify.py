"""Any bytes either give an Identify within the limits or RemoteProtocolError; ours survive the trip."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.limits import (
    IDENTIFY_MAX_ADDRESSES,
    IDENTIFY_MAX_AGENT,
    IDENTIFY_MAX_PROTOCOLS,
    IDENTIFY_MAX_SENT,
)
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.multiformats.varint import length_prefixed
from p2pchat_core.wire.identify import Identify, IdentifyReader, encode, verify
from tests.support.vectors import vectors

_SETTINGS = settings(max_examples=100, deadline=None)
_PEER = PrivateKey.from_seed(bytes(range(32))).peer_id
_WIRES = [bytes.fromhex(entry["wire"]) for entry in vectors("identify")]

mutated = st.builds(
    lambda wire, edits: _edited(wire, edits),
    st.sampled_from(_WIRES),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4),
)
addresses = st.builds(
    lambda host, port: Multiaddr.parse(f"/ip4/{host}/tcp/{port}/ws"),
    st.ip_addresses(v=4),
    st.integers(1, 65535),
)
texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=IDENTIFY_MAX_AGENT)
identifies = st.builds(
    Identify,
    st.none() | st.binary(max_size=600),
    st.lists(addresses, max_size=IDENTIFY_MAX_ADDRESSES, unique=True).map(tuple),
    st.lists(texts.filter(bool), max_size=10, unique=True).map(tuple),
    st.none() | addresses,
    texts,
    texts,
    st.none() | st.binary(min_size=1, max_size=500),
)


def _edited(wire: bytes, edits: list[tuple[int, int]]) -> bytes:
    data = bytearray(wire)
    for position, value in edits:
        data[position % len(data)] = value
    return bytes(data)


def _read(pieces: list[bytes]) -> Identify | None:
    reader = IdentifyReader()
    try:
        for piece in pieces:
            reader.receive_data(piece)
        return reader.receive_eof()
    except RemoteProtocolError:
        return None


@_SETTINGS
@given(
    st.one_of(
        mutated,
        st.binary(max_size=200),
        st.lists(st.binary(max_size=40).map(length_prefixed), max_size=12).map(b"".join),
    )
)
def test_reader_raises_nothing_else_and_does_not_care_about_pieces(data: bytes) -> None:
    identify = _read([data])
    assert identify == _read([data[index : index + 1] for index in range(len(data))])
    if identify is None:
        return
    assert len(identify.listen_addresses) <= IDENTIFY_MAX_ADDRESSES
    assert len(identify.protocols) <= IDENTIFY_MAX_PROTOCOLS
    for text in (identify.agent_version, identify.protocol_version, *identify.protocols):
        assert text.isprintable()
    try:
        verify(identify, _PEER)
    except RemoteProtocolError:
        return


@_SETTINGS
@given(identifies)
def test_round_trip(identify: Identify) -> None:
    wire = encode(identify)
    assert len(wire) <= IDENTIFY_MAX_SENT + 2
    assert _read([wire]) == identify

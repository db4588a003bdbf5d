"""The messages that open a data channel."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.wire.dcep import ACK, ChannelOpen, parse_dcep
from tests.support.vectors import vectors


def test_vectors() -> None:
    wires = [bytes.fromhex(entry["hex"]) for entry in vectors("dcep")]
    assert wires == [ChannelOpen().encode(), ChannelOpen("init").encode(), ACK]
    assert [parse_dcep(wire) for wire in wires] == [ChannelOpen(), ChannelOpen("init"), None]


def test_only_type_zero_is_reliable_and_ordered() -> None:
    assert [
        kind for kind in (0, 1, 2, 0x80, 0x81, 0x82, 0x77) if ChannelOpen(kind=kind).reliable_ordered
    ] == [0]


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"\x03",
        b"\x04" * 12,
        ChannelOpen("label").encode()[:-1],
        ChannelOpen("x").encode()[:-1] + b"\xff",
    ],
)
def test_damage_is_reported(wire: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_dcep(wire)


@settings(max_examples=100)
@given(st.text(max_size=20), st.text(max_size=20), st.integers(0, 255))
def test_round_trip(label: str, protocol: str, kind: int) -> None:
    opening = ChannelOpen(label, protocol, kind)
    assert parse_dcep(opening.encode()) == opening

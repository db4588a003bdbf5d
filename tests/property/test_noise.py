"""Noise against any bytes: nothing that was changed is accepted, and what was not changed always arrives."""

from __future__ import annotations

import contextlib
import functools
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat_core.errors import IdentityError, RemoteProtocolError
from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.wire.noise import NoiseHandshake, NoiseSession
from p2pchat_core.wire.noise_payload import decode_payload

ALICE = PrivateKey.from_seed(bytes(range(32)))
BOB = PrivateKey.from_seed(bytes(range(32, 64)))
EXPECTED = (RemoteProtocolError, IdentityError)
places = st.lists(st.integers(min_value=0), max_size=5)


def make(initiator: bool) -> NoiseHandshake:
    identity, number = (ALICE, 1) if initiator else (BOB, 3)
    static, ephemeral = bytes([number]) * 32, bytes([number + 1]) * 32
    return NoiseHandshake(
        initiator=initiator, identity=identity, static_key=static, ephemeral_key=ephemeral, expected=None
    )


@functools.cache
def messages() -> tuple[bytes, bytes, bytes]:
    left, right = make(True), make(False)
    first = left.take_output()
    right.receive_data(first)
    second = right.take_output()
    left.receive_data(second)
    return first, second, left.take_output()


def sessions() -> tuple[NoiseSession, NoiseSession]:
    first, second, third = messages()
    left, right = make(True), make(False)
    left.receive_data(second)
    right.receive_data(first + third)
    return left.session(), right.session()


def cut(data: bytes, where: list[int]) -> list[bytes]:
    bounds = sorted({0, len(data), *(place % (len(data) + 1) for place in where)})
    return [data[start:end] for start, end in pairwise(bounds)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=3000), max_size=6), places)
def test_everything_arrives_in_order(texts: list[bytes], where: list[int]) -> None:
    sender, receiver = sessions()
    received = b""
    for piece in cut(b"".join(sender.encrypt(text) for text in texts), where):
        receiver.receive_data(piece)
        received += receiver.take_plaintext()
    assert received == b"".join(texts)
    assert not receiver.mid_frame


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=1, max_size=200), st.integers(min_value=0), st.integers(1, 255), places)
def test_no_changed_frame_is_accepted(text: bytes, index: int, mask: int, where: list[int]) -> None:
    sender, receiver = sessions()
    wire = bytearray(sender.encrypt(text))
    wire[index % len(wire)] ^= mask
    with contextlib.suppress(RemoteProtocolError):
        for piece in cut(bytes(wire), where):
            receiver.receive_data(piece)
    assert receiver.take_plaintext() == b""


@settings(max_examples=50, deadline=None)
@given(st.booleans(), st.integers(min_value=0), st.integers(1, 255), places)
def test_no_changed_handshake_is_completed(initiator: bool, index: int, mask: int, where: list[int]) -> None:
    machine = make(initiator)
    first, second, third = messages()
    script = bytearray(second if initiator else first + third)
    script[index % len(script)] ^= mask
    with contextlib.suppress(*EXPECTED):
        for piece in cut(bytes(script), where):
            machine.receive_data(piece)
    assert not machine.complete


@settings(max_examples=100, deadline=None)
@given(
    st.booleans(), st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda b: b"\x00\xd8" + b))
)
def test_any_bytes_are_refused_or_waited_on(initiator: bool, data: bytes) -> None:
    machine = make(initiator)
    with contextlib.suppress(*EXPECTED):
        machine.receive_data(data)
    assert not machine.complete


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_frame_is_refused_or_waited_on(data: bytes) -> None:
    _, receiver = sessions()
    with contextlib.suppress(RemoteProtocolError):
        receiver.receive_data(data)
    assert receiver.take_plaintext() == b""


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(st.binary(max_size=300), st.binary(max_size=60).map(lambda b: b"\x0a\x24\x08\x01\x12\x20" + b))
)
def test_any_payload_is_refused(data: bytes) -> None:
    try:
        decode_payload(data, bytes(32))
    except EXPECTED:
        return
    raise AssertionError("nobody signed this")

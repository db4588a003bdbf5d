"""Whatever a peer sends, signalling answers with events within the limits or RemoteProtocolError."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.limits import SIGNALING_MAX_CANDIDATES
from p2pchat_core.multiformats.varint import length_prefixed
from p2pchat_core.pb import signaling_pb2
from p2pchat_core.wire.ice_candidate import BadCandidateError, normalise_candidate, parse_candidate_json
from p2pchat_core.wire.signaling import (
    CandidateReceived,
    IceCandidate,
    SignalingDialer,
    SignalingEvent,
    SignalingListener,
    State,
)
from tests.support.vectors import vectors

_SETTINGS = settings(max_examples=100, deadline=None)
_DATA = [entry["data"] for entry in vectors("webrtc-signaling") if "data" in entry]

candidate_lines = st.builds(
    lambda *fields: " ".join(fields),
    st.sampled_from(["candidate:1", "a=candidate:x", "1", "candidate:", "a=candidate:\x1b"]),
    st.sampled_from(["1", "2", ""]),
    st.sampled_from(["udp", "UDP", "tcp"]),
    st.integers(-1, 2**33).map(str),
    st.one_of(st.ip_addresses().map(str), st.sampled_from(["a.local", "a.example", ""])),
    st.integers(-1, 70_000).map(str),
    st.just("typ"),
    st.sampled_from(["host", "srflx", "prflx", "relay", "x"]),
    st.sampled_from(["", "generation 0", "raddr 10.0.0.1 rport 5", "raddr \x00 rport 9"]),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | candidate_lines,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.just("candidate") | st.text(max_size=5), inner)
    ),
    max_leaves=5,
)
candidate_data = st.one_of(
    json_values.map(json.dumps),
    candidate_lines.map(lambda line: json.dumps({"candidate": line})),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.sampled_from(_DATA),
)
messages = st.builds(
    lambda kind, data: length_prefixed(signaling_pb2.Message(type=kind, data=data).SerializeToString()),
    st.sampled_from(["SDP_OFFER", "SDP_ANSWER", "ICE_CANDIDATE", "ICE_CANDIDATE", "ICE_CANDIDATE", None]),
    candidate_data,
)
conversations = st.lists(messages | st.binary(max_size=6), max_size=12).map(b"".join)


def _machine(state: str) -> Any:
    if state == "listener":
        return SignalingListener()
    dialer = SignalingDialer()
    dialer.offer("v=0")
    if state == "answered":
        dialer.receive_data(
            length_prefixed(signaling_pb2.Message(type="SDP_ANSWER", data="v=0").SerializeToString())
        )
        dialer.take_events()
    return dialer


def _run(state: str, pieces: list[bytes]) -> tuple[list[SignalingEvent], bool, State]:
    machine = _machine(state)
    raised = False
    for piece in pieces:
        try:
            machine.receive_data(piece)
        except RemoteProtocolError:
            assert not raised, "it failed twice"
            raised = True
    return machine.take_events(), raised, machine.state


@_SETTINGS
@given(st.sampled_from(["listener", "dialer", "answered"]), conversations)
def test_machines_raise_nothing_else_and_do_not_care_about_pieces(state: str, data: bytes) -> None:
    whole = _run(state, [data])
    assert whole == _run(state, [data[index : index + 1] for index in range(len(data))])
    events, raised, final = whole
    assert raised == (final is State.FAILED)
    assert len(events) <= SIGNALING_MAX_CANDIDATES + 4
    for event in events:
        if isinstance(event, CandidateReceived):
            assert event.candidate_text.startswith("candidate:")
            assert event.candidate_text.isprintable()


@_SETTINGS
@given(candidate_data)
def test_what_passes_is_normal_and_travels(data: str) -> None:
    try:
        parsed = parse_candidate_json(data)
    except BadCandidateError as exc:
        assert str(exc).isascii()
        return
    if parsed is None:
        return
    assert normalise_candidate(parsed.text) == parsed
    assert parse_candidate_json(IceCandidate(parsed.text).to_json()) == parsed


@_SETTINGS
@given(st.text(max_size=120) | candidate_lines)
def test_any_line(line: str) -> None:
    try:
        parsed = normalise_candidate(line)
    except BadCandidateError:
        return
    fields = parsed.text.split(" ")
    assert fields[1:3] == ["1", "udp"]
    assert 1 <= int(fields[5]) <= 65535

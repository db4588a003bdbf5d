"""The SDP and candidate exchange: order, limits, both dialects of candidates, hostile peers."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from p2pchat_core.errors import LocalProtocolError, RemoteProtocolError
from p2pchat_core.limits import (
    SIGNALING_MAX_CANDIDATES,
    SIGNALING_MAX_MDNS,
    SIGNALING_MAX_MESSAGE,
    SIGNALING_MAX_TOTAL,
)
from p2pchat_core.multiformats.varint import length_prefixed
from p2pchat_core.pb import signaling_pb2
from p2pchat_core.wire.signaling import (
    DIALER_TRANSITIONS,
    LISTENER_TRANSITIONS,
    Action,
    AnswerReceived,
    CandidateReceived,
    CandidateSkipped,
    EndOfCandidates,
    IceCandidate,
    OfferReceived,
    RemoteEnded,
    SignalingDialer,
    SignalingListener,
    State,
)
from tests.support.vectors import vectors

SDP = "v=0\r\no=rtc 1 0 IN IP4 127.0.0.1\r\ns=-\r\n"
CANDIDATE = "candidate:1 1 udp 2113937151 192.0.2.2 48342 typ host"
OFFER, ANSWER, ICE = 0, 1, 2


def _wire(kind: int | None, data: str | None = None) -> bytes:
    message = signaling_pb2.Message()
    if kind is not None:
        message.type = signaling_pb2.Message.Type.Name(kind)  # type: ignore[assignment]
    if data is not None:
        message.data = data
    return length_prefixed(message.SerializeToString())


def _ice(candidate: Any, **fields: Any) -> bytes:
    return _wire(ICE, json.dumps({"candidate": candidate, **fields}))


def _dialer(state: State) -> SignalingDialer:
    """Bring a dialer into `state`, if it can get there."""
    dialer = SignalingDialer()
    if state is State.FAILED:
        with pytest.raises(RemoteProtocolError):
            dialer.receive_data(_wire(ICE, "null"))
    if state in (State.OFFERED, State.ANSWERED, State.ENDED):
        dialer.offer(SDP)
    if state in (State.ANSWERED, State.ENDED):
        dialer.receive_data(_wire(ANSWER, SDP))
    if state is State.ENDED:
        dialer.receive_eof()
    dialer.take_events()
    dialer.take_output()
    return dialer


def _listener(state: State) -> SignalingListener:
    """Bring a listener into `state`."""
    listener = SignalingListener()
    if state is State.FAILED:
        with pytest.raises(RemoteProtocolError):
            listener.receive_data(_wire(ICE, "null"))
    elif state is not State.START:
        listener.receive_data(_wire(OFFER, SDP))
    if state in (State.ANSWERED, State.ENDED):
        listener.answer(SDP)
    if state in (State.OFFERED_ENDED, State.ENDED):
        listener.receive_eof()
    listener.take_events()
    listener.take_output()
    return listener


def _answered() -> SignalingDialer:
    return _dialer(State.ANSWERED)


def _do(machine: SignalingDialer | SignalingListener, action: Action) -> None:
    match action:
        case Action.SEND_OFFER:
            assert isinstance(machine, SignalingDialer)
            machine.offer(SDP)
        case Action.SEND_ANSWER:
            assert isinstance(machine, SignalingListener)
            machine.answer(SDP)
        case Action.SEND_CANDIDATE:
            machine.candidate(IceCandidate(CANDIDATE))
        case Action.RECEIVE_OFFER:
            machine.receive_data(_wire(OFFER, SDP))
        case Action.RECEIVE_ANSWER:
            machine.receive_data(_wire(ANSWER, SDP))
        case Action.RECEIVE_CANDIDATE:
            machine.receive_data(_ice(CANDIDATE))
        case Action.RECEIVE_UNKNOWN:
            machine.receive_data(length_prefixed(b"\x08\x03"))
        case Action.RECEIVE_END:
            machine.receive_eof()


_DIALER_STATES = [state for state in State if state is not State.OFFERED_ENDED]


@pytest.mark.parametrize(
    ("state", "action"),
    [
        *itertools.product(_DIALER_STATES, [action for action in Action if action is not Action.SEND_ANSWER]),
    ],
)
def test_every_pair_of_the_dialer(state: State, action: Action) -> None:
    _check_pair(_dialer(state), DIALER_TRANSITIONS, state, action)


@pytest.mark.parametrize(
    ("state", "action"),
    [*itertools.product(State, [action for action in Action if action is not Action.SEND_OFFER])],
)
def test_every_pair_of_the_listener(state: State, action: Action) -> None:
    _check_pair(_listener(state), LISTENER_TRANSITIONS, state, action)


def _check_pair(
    machine: SignalingDialer | SignalingListener,
    table: dict[tuple[State, Action], State],
    state: State,
    action: Action,
) -> None:
    assert machine.state is state
    target = table.get((state, action))
    if target is not None:
        _do(machine, action)
        assert machine.state is target
    elif action.value.startswith("receive"):
        with pytest.raises(RemoteProtocolError):
            _do(machine, action)
        assert machine.state is State.FAILED
        assert machine.take_events() == []
    else:
        with pytest.raises(LocalProtocolError):
            _do(machine, action)
        assert machine.state is state
        assert machine.take_output() == b""


def test_tables_say_what_the_protocol_says() -> None:
    """The pairs that decide whether js can talk to us, spelled out once more (sections 9.3 and 9.4)."""
    assert (State.OFFERED, Action.RECEIVE_CANDIDATE) not in DIALER_TRANSITIONS
    assert (State.START, Action.RECEIVE_CANDIDATE) not in LISTENER_TRANSITIONS
    assert (State.START, Action.SEND_CANDIDATE) not in DIALER_TRANSITIONS
    assert (State.OFFERED, Action.SEND_CANDIDATE) not in LISTENER_TRANSITIONS
    assert DIALER_TRANSITIONS[State.OFFERED, Action.SEND_CANDIDATE] is State.OFFERED
    assert LISTENER_TRANSITIONS[State.OFFERED, Action.RECEIVE_CANDIDATE] is State.OFFERED
    assert (State.OFFERED, Action.RECEIVE_END) not in DIALER_TRANSITIONS
    assert DIALER_TRANSITIONS[State.ANSWERED, Action.RECEIVE_END] is State.ENDED
    assert LISTENER_TRANSITIONS[State.OFFERED_ENDED, Action.SEND_ANSWER] is State.ENDED


def test_both_sides() -> None:
    dialer, listener = SignalingDialer(), SignalingListener()
    dialer.offer("offer")
    dialer.candidate(IceCandidate(CANDIDATE, "abcd"))
    listener.receive_data(dialer.take_output())
    assert listener.take_events() == [OfferReceived("offer"), CandidateReceived(CANDIDATE)]
    listener.answer("answer")
    listener.candidate(IceCandidate("a=" + CANDIDATE))
    dialer.receive_data(listener.take_output())
    assert dialer.take_events() == [AnswerReceived("answer"), CandidateReceived(CANDIDATE)]
    dialer.receive_eof()
    assert dialer.take_events() == [RemoteEnded()]
    dialer.receive_data(b"\xff" * 100)
    dialer.receive_eof()
    assert dialer.take_events() == []
    dialer.candidate(IceCandidate(CANDIDATE))
    listener.receive_data(dialer.take_output())
    assert listener.take_events() == [CandidateReceived(CANDIDATE)]


EVENTS = {
    "SDP_OFFER": OfferReceived(SDP),
    "SDP_ANSWER": AnswerReceived(SDP),
    "ICE_CANDIDATE browser style": CandidateReceived(CANDIDATE),
    "ICE_CANDIDATE node-datachannel style": CandidateReceived(
        "candidate:1 1 udp 2114977791 192.0.2.2 48342 typ host"
    ),
    "ICE_CANDIDATE null (end of candidates, older peers)": EndOfCandidates(),
    "ICE_CANDIDATE empty string (end of generation)": EndOfCandidates(),
}


@pytest.mark.parametrize("chunk", [1, 5, 10_000])
@pytest.mark.parametrize("entry", vectors("webrtc-signaling"), ids=lambda entry: entry["name"])
def test_vectors(entry: dict[str, Any], chunk: int) -> None:
    name: str = entry["name"]
    wire = length_prefixed(bytes.fromhex(entry["protobuf"]))
    machine = {
        "SDP_OFFER": SignalingListener(),
        "SDP_ANSWER": _dialer(State.OFFERED),
    }.get(name) or _answered()
    if name.startswith("NEGATIVE"):
        machine = SignalingListener()
        with pytest.raises(RemoteProtocolError, match="without a known type"):
            machine.receive_data(wire)
        return
    assert wire.hex() == entry["wire"]
    for start in range(0, len(wire), chunk):
        assert machine.take_events() == []
        machine.receive_data(wire[start : start + chunk])
    assert machine.take_events() == [EVENTS[name]]


def test_sent_bytes_are_those_of_the_vectors() -> None:
    by_name = {entry["name"]: entry for entry in vectors("webrtc-signaling")}
    dialer, listener = SignalingDialer(), _listener(State.OFFERED)
    dialer.offer(SDP)
    assert dialer.take_output().hex() == by_name["SDP_OFFER"]["wire"]
    listener.answer(SDP)
    assert listener.take_output().hex() == by_name["SDP_ANSWER"]["wire"]
    browser = json.loads(by_name["ICE_CANDIDATE browser style"]["data"])
    dialer.candidate(IceCandidate(browser["candidate"], "rSF6"))
    assert dialer.take_output().hex() == by_name["ICE_CANDIDATE browser style"]["wire"]


@pytest.mark.parametrize(
    "data",
    [
        '{"candidate":""}',
        '{"candidate":null,"sdpMid":"0"}',
        "{}",
        "null",
        '""',
        None,
    ],
)
def test_end_markers_are_reported_once_and_reading_goes_on(data: str | None) -> None:
    dialer = _answered()
    dialer.receive_data(_wire(ICE, data) * 3 + _ice(CANDIDATE))
    assert dialer.take_events() == [EndOfCandidates(), CandidateReceived(CANDIDATE)]


@pytest.mark.parametrize("sdp", ["", None])
def test_empty_description(sdp: str | None) -> None:
    with pytest.raises(RemoteProtocolError, match="empty or too long"):
        SignalingListener().receive_data(_wire(OFFER, sdp))


def test_description_that_is_not_utf8() -> None:
    with pytest.raises(RemoteProtocolError, match="UTF-8"):
        SignalingListener().receive_data(length_prefixed(b"\x08\x00\x12\x02\xff\xfe"))


def test_candidate_that_is_not_utf8_is_skipped() -> None:
    dialer = _answered()
    dialer.receive_data(length_prefixed(b"\x08\x02\x12\x02\xff\xfe"))
    assert dialer.take_events() == [CandidateSkipped("not valid JSON")]


def test_unknown_type_in_place_of_the_offer_and_among_candidates() -> None:
    """py-libp2p marks the end with a type of its own; before the SDP it is an error."""
    unknown = length_prefixed(b"\x08\x03")
    with pytest.raises(RemoteProtocolError):
        SignalingListener().receive_data(unknown)
    dialer = _answered()
    dialer.receive_data(unknown + _ice(CANDIDATE))
    assert dialer.take_events() == [CandidateReceived(CANDIDATE)]


def test_damaged_message_fails_after_what_came_before_it() -> None:
    dialer = _answered()
    with pytest.raises(RemoteProtocolError, match="damaged"):
        dialer.receive_data(_ice(CANDIDATE) + b"\x02\xff\xff" + _ice(CANDIDATE))
    assert dialer.take_events() == [CandidateReceived(CANDIDATE)]
    dialer.receive_data(_ice(CANDIDATE))
    dialer.receive_eof()
    assert dialer.take_events() == []
    assert dialer.state is State.FAILED


def test_message_limit_is_enforced_from_the_prefix() -> None:
    with pytest.raises(RemoteProtocolError):
        SignalingListener().receive_data(length_prefixed(bytes(SIGNALING_MAX_MESSAGE + 1))[:3])


def test_total_limit() -> None:
    dialer = _answered()
    message = _ice(CANDIDATE, padding="x" * 8000)
    with pytest.raises(RemoteProtocolError, match="more than"):
        for _ in range(SIGNALING_MAX_TOTAL // len(message) + 1):
            dialer.receive_data(message)


def test_exactly_the_total_limit() -> None:
    dialer = SignalingDialer()
    dialer.offer(SDP)
    answer = _wire(ANSWER, SDP)
    dialer.receive_data(answer)
    marker = _wire(ICE, "null")
    count, rest = divmod(SIGNALING_MAX_TOTAL - len(answer), len(marker))
    dialer.receive_data(marker * count + marker[:rest])
    with pytest.raises(RemoteProtocolError, match="more than"):
        dialer.receive_data(b"x")


def test_longest_description() -> None:
    sdp = "x" * (SIGNALING_MAX_MESSAGE - 6)
    dialer, listener = SignalingDialer(), SignalingListener()
    dialer.offer(sdp)
    listener.receive_data(dialer.take_output())
    assert listener.take_events() == [OfferReceived(sdp)]


@pytest.mark.parametrize("count", [SIGNALING_MAX_CANDIDATES + 1, 100])
def test_candidates_are_limited_and_the_rest_is_mentioned_once(count: int) -> None:
    dialer = _answered()
    for port in range(2000, 2000 + count):
        dialer.receive_data(_ice(f"candidate:1 1 udp 5 192.0.2.2 {port} typ host"))
    events = dialer.take_events()
    assert len(events) == SIGNALING_MAX_CANDIDATES + 1
    assert events[-1] == CandidateSkipped(f"more than {SIGNALING_MAX_CANDIDATES} candidates")
    assert all(isinstance(event, CandidateReceived) for event in events[:-1])


def test_bad_candidates_count_too() -> None:
    dialer = _answered()
    for _ in range(1000):
        dialer.receive_data(_wire(ICE, "1"))
    assert len(dialer.take_events()) == SIGNALING_MAX_CANDIDATES + 1


def test_mdns_names_are_limited() -> None:
    dialer = _answered()
    for index in range(SIGNALING_MAX_MDNS + 2):
        dialer.receive_data(_ice(f"candidate:1 1 udp 5 name-{index}.local 5000 typ host"))
    dialer.receive_data(_ice(CANDIDATE))
    skipped = CandidateSkipped(f"more than {SIGNALING_MAX_MDNS} .local names")
    events = dialer.take_events()
    assert all(isinstance(event, CandidateReceived) for event in events[:SIGNALING_MAX_MDNS])
    assert events[SIGNALING_MAX_MDNS:] == [skipped, skipped, CandidateReceived(CANDIDATE)]


def test_description_too_long_to_send() -> None:
    with pytest.raises(LocalProtocolError, match="too long to send"):
        SignalingDialer().offer("x" * (SIGNALING_MAX_MESSAGE + 1))

"""Properties of the yamux session: any bytes are survived, and two sessions carry exactly what was written."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)

from p2pchat_core import limits
from p2pchat_core.wire.yamux import SessionEnded, StreamEnded, StreamOpened, StreamReset, YamuxSession
from p2pchat_core.wire.yamux_frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    FrameDecoder,
    FrameHeader,
    encode_header,
)

FRAME = st.builds(
    lambda type_, flags, stream_id, length, payload: (
        encode_header(type_, flags, stream_id, length if type_ != DATA else len(payload))
        + (payload if type_ == DATA else b"")
    ),
    st.sampled_from([DATA, WINDOW_UPDATE, WINDOW_UPDATE, PING, GO_AWAY]),
    st.sampled_from([0, SYN, ACK, FIN, RST, SYN | FIN, SYN | ACK, 0xFFFF]),
    st.integers(0, 7),
    st.sampled_from([0, 1, 5, 2**18, 2**32 - 1]),
    st.binary(max_size=20),
)
PATTERN = bytes(range(251)) * 2000
"""Anything lost, doubled or out of order shows."""
HOSTILE = st.lists(st.one_of(FRAME, FRAME, st.binary(max_size=30)), max_size=40).map(b"".join)


def cut(data: bytes, steps: list[int]) -> list[bytes]:
    """Cut `data` into pieces whose sizes follow `steps`, over and over."""
    pieces: list[bytes] = []
    while data:
        step = steps[len(pieces) % len(steps)]
        pieces.append(data[:step])
        data = data[step:]
    return pieces


def run(pieces: list[bytes], client: bool) -> tuple[list[object], bytes]:
    session = YamuxSession(client=client, now=0.0)
    if client:
        session.open_stream(0.0)
        session.open_stream(0.0)
    for piece in pieces:
        session.receive_data(piece, 0.0)
    read = b"".join(
        session.read_data(stream_id, 1 << 20, 0.0) or b"" for stream_id in sorted(session._core.streams)
    )
    # `StreamReadable` says how often to look, which the pieces change.
    events: list[object] = [
        event
        for event in session.take_events()
        if isinstance(event, (StreamOpened, StreamReset, StreamEnded, SessionEnded))
    ]
    output = b""
    while data := session.take_output(65519):
        output += data
    if session.ended is not None:
        assert session.deadline() is None
    assert session.unread_bytes == 0
    return events, output + read


@given(HOSTILE, st.lists(st.integers(1, 40), min_size=1, max_size=5), st.booleans())
@settings(max_examples=100)
def test_any_bytes_in_any_pieces_mean_the_same(data: bytes, steps: list[int], client: bool) -> None:
    assert run(cut(data, steps), client) == run([data], client)


@given(st.integers(0, 3), st.integers(0, 0xFFFF), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
@settings(max_examples=100)
def test_headers_round_trip(type_: int, flags: int, stream_id: int, length: int) -> None:
    raw = encode_header(type_, flags, stream_id, length)
    assert list(FrameDecoder().feed(raw)) == [FrameHeader(type_, flags, stream_id, length)]


class Side:
    """A session with what its application has written and read."""

    def __init__(self, *, client: bool) -> None:
        self.session = YamuxSession(client=client, now=0.0)
        self.wire = b""
        self.written: defaultdict[int, bytearray] = defaultdict(bytearray)
        self.read: defaultdict[int, bytearray] = defaultdict(bytearray)
        self.write_ended: set[int] = set()
        self.given_up: set[int] = set()
        self.open: set[int] = set()

    def events(self) -> None:
        for event in self.session.take_events():
            match event:
                case StreamOpened(stream_id):
                    self.session.accept(stream_id)
                    self.open.add(stream_id)
                case StreamReset(stream_id, _):
                    self.open.discard(stream_id)
                    self.given_up.add(stream_id)
                case StreamEnded(stream_id):
                    self.open.discard(stream_id)
                case SessionEnded(reason):
                    raise AssertionError(reason)


class TwoSessions(RuleBasedStateMachine):
    """Random commands on two sessions whose bytes travel in random pieces, at random times."""

    streams = Bundle("streams")

    def __init__(self) -> None:
        super().__init__()
        self.sides = (Side(client=True), Side(client=False))
        self.now = 0.0

    @rule(target=streams, side=st.integers(0, 1))
    def open_stream(self, side: int) -> object:
        here = self.sides[side]
        if here.session.ack_backlog_full:
            return multiple()
        stream_id = here.session.open_stream(self.now)
        here.open.add(stream_id)
        return stream_id

    @rule(stream=streams, side=st.integers(0, 1), size=st.sampled_from([0, 1, 100, 70_000, 400_000]))
    def write(self, stream: int, side: int, size: int) -> None:
        here = self.sides[side]
        if stream in here.open and stream not in here.write_ended:
            data = PATTERN[len(here.written[stream]) % 251 :][:size]
            taken = here.session.send_data(stream, memoryview(data))
            here.written[stream] += data[:taken]

    @rule(stream=streams, side=st.integers(0, 1), size=st.sampled_from([1, 1000, 1 << 20]))
    def read(self, stream: int, side: int, size: int) -> None:
        here = self.sides[side]
        if stream in here.open and stream not in here.given_up:
            data = here.session.read_data(stream, size, self.now)
            here.read[stream] += data or b""
            here.events()

    @rule(stream=streams, side=st.integers(0, 1))
    def end_write(self, stream: int, side: int) -> None:
        here = self.sides[side]
        if stream in here.open:
            here.session.end_write(stream)
            here.write_ended.add(stream)

    @rule(stream=consumes(streams), side=st.integers(0, 1))
    def close(self, stream: int, side: int) -> None:
        here = self.sides[side]
        if stream in here.open:
            here.session.close_stream(stream, self.now)
            here.write_ended.add(stream)
            here.given_up.add(stream)
            here.events()

    @rule(stream=consumes(streams), side=st.integers(0, 1))
    def reset(self, stream: int, side: int) -> None:
        here = self.sides[side]
        if stream in here.open:
            here.session.reset_stream(stream)
            here.open.discard(stream)
            here.given_up.add(stream)

    @rule(side=st.integers(0, 1), size=st.sampled_from([13, 200, 65519]), times=st.integers(1, 8))
    def send(self, side: int, size: int, times: int) -> None:
        here = self.sides[side]
        for _ in range(times):
            data = here.session.take_output(size)
            assert len(data) <= size
            here.wire += data
        here.events()

    @rule(side=st.integers(0, 1), size=st.sampled_from([1, 11, 1000, 1 << 20]))
    def deliver(self, side: int, size: int) -> None:
        here, there = self.sides[side], self.sides[1 - side]
        there.session.receive_data(here.wire[:size], self.now)
        here.wire = here.wire[size:]
        there.events()

    @rule(seconds=st.sampled_from([0.001, 0.1, 3.0]))
    def pass_time(self, seconds: float) -> None:
        self.settle()
        self.now += seconds
        for side in self.sides:
            side.session.handle_timer(self.now)
            side.events()

    @invariant()
    def windows_hold(self) -> None:
        for side in self.sides:
            core = side.session._core
            for stream in core.streams.values():
                pending = core.payload_left if core.receiving is stream else 0
                assert stream.receive_credit >= 0
                assert stream.unread + pending + stream.receive_credit <= stream.receive_window
                assert limits.YAMUX_INITIAL_WINDOW <= stream.receive_window <= limits.YAMUX_MAX_WINDOW
                assert stream.send_credit >= 0
                assert 0 <= stream.queued <= limits.YAMUX_STREAM_SEND_BUFFER
            assert core.unread == sum(stream.unread for stream in core.streams.values())
            assert core._windows == sum(stream.receive_window for stream in core.streams.values())
            assert core.inbound + core.outbound == len(core.streams)
            assert core.unacknowledged == sum(not stream.acknowledged for stream in core.streams.values())

    @invariant()
    def nothing_is_invented(self) -> None:
        for here, there in (self.sides, self.sides[::-1]):
            for stream, data in here.read.items():
                assert there.written[stream].startswith(data)

    @precondition(lambda self: self.sides[0].wire or self.sides[1].wire)
    @rule()
    def settle(self) -> None:
        while any(side.wire or side.session.has_output for side in self.sides):
            for number in (0, 1):
                self.send(number, 65519, 8)
                self.deliver(number, 1 << 20)

    def teardown(self) -> None:
        """End everything in order: what was not given up arrives whole, and no stream is left."""
        while True:
            self.settle()
            before = [len(data) for side in self.sides for data in side.read.values()]
            for side in self.sides:
                for stream in sorted(side.open):
                    self.read(stream, self.sides.index(side), 1 << 20)
            if before == [len(data) for side in self.sides for data in side.read.values()]:
                break
        for side in self.sides:
            for stream in sorted(side.open - side.given_up):
                side.session.end_write(stream)
        self.settle()
        for number, side in enumerate(self.sides):
            for stream in sorted(side.open):
                self.read(stream, number, 1 << 20)
        self.settle()
        here, there = self.sides
        for stream in (here.written.keys() | there.written.keys()) - here.given_up - there.given_up:
            assert here.read[stream] == there.written[stream]
            assert there.read[stream] == here.written[stream]
        for side in self.sides:
            assert side.session.stream_count == 0
            assert side.session.unread_bytes == 0


TestTwoSessions = pytest.mark.filterwarnings("default")(TwoSessions.TestCase)
TestTwoSessions.settings = settings(
    max_examples=100, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

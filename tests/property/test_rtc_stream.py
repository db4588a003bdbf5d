"""Properties of the data channel stream machine."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.wire.rtc_stream import ReadState, RtcStream, WriteState

FLAGS = st.sampled_from([bytes.fromhex(text) for text in ("020800", "020801", "020802", "020803", "00")])


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=200), max_size=10))
def test_any_bytes_are_handled(messages: list[bytes]) -> None:
    stream = RtcStream()
    with contextlib.suppress(RemoteProtocolError):
        for message in messages:
            stream.receive_message(message)
    stream.take_data()
    stream.abort()
    stream.channel_closed()
    assert stream.finished


@settings(max_examples=100)
@given(st.lists(FLAGS, max_size=12), st.data())
def test_pieces_make_no_difference(messages: list[bytes], data: st.DataObject) -> None:
    wire = b"".join(messages)
    whole, cut = RtcStream(), RtcStream()
    whole.receive_message(wire)
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        cut.receive_message(wire[:size])
        wire = wire[size:]
    assert cut.take_output() == whole.take_output()
    assert (cut.read_state, cut.write_state) == (whole.read_state, whole.write_state)


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from(["send", "fin", "stop", "abort", "deliver a", "deliver b"]), max_size=30),
    st.booleans(),
)
def test_two_ends_agree_when_everything_is_delivered(actions: list[str], swap: bool) -> None:
    left, right = RtcStream(), RtcStream()
    sent, received = b"", b""

    def deliver(source: RtcStream, target: RtcStream) -> None:
        for message in source.take_output():
            target.receive_message(message)

    for index, action in enumerate(actions):
        acting = right if swap and index % 2 else left
        if action == "send" and left.write_state is WriteState.OPEN:
            left.send_data(b"%d" % index)
            sent += b"%d" % index
        elif action == "fin":
            acting.close_write()
        elif action == "stop":
            left.close_read()
        elif action == "abort" and index % 5 == 0:
            acting.abort()
        elif action == "deliver a":
            deliver(left, right)
        elif action == "deliver b":
            deliver(right, left)
        received += b"".join(right.take_data())
    left.close_write()
    right.close_write()
    for _ in range(4):
        deliver(left, right)
        deliver(right, left)
    received += b"".join(right.take_data())
    assert left.finished
    assert right.finished
    assert sent.startswith(received)
    if right.read_state is ReadState.EOF and not left.is_reset:
        assert received == sent

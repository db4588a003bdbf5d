"""The machine of one stream over a data channel (docs/wire.md sections 10.2 and 10.3)."""

from __future__ import annotations

import itertools

import pytest

from p2pchat_core.errors import LocalProtocolError, RemoteProtocolError
from p2pchat_core.limits import RTC_MAX_FRAME, RTC_MAX_MESSAGE, RTC_MAX_PAYLOAD
from p2pchat_core.multiformats.varint import length_prefixed
from p2pchat_core.wire.rtc_stream import (
    READ_TABLE,
    WRITE_TABLE,
    Flag,
    Input,
    ReadState,
    RtcStream,
    WriteState,
)
from tests.support.vectors import vectors

FIN = bytes.fromhex("020800")
STOP_SENDING = bytes.fromhex("020801")
RESET = bytes.fromhex("020802")
FIN_ACK = bytes.fromhex("020803")
HELLO = bytes.fromhex("07120568656c6c6f")

WRITE_INPUTS = (
    Input.CLOSE_WRITE,
    Input.STOP_SENDING,
    Input.FIN_ACK,
    Input.ABORT,
    Input.RESET,
    Input.CHANNEL_CLOSED,
)
READ_INPUTS = (Input.DATA, Input.FIN, Input.CLOSE_READ, Input.ABORT, Input.RESET, Input.CHANNEL_CLOSED)


def test_the_tables_cover_every_state_and_input() -> None:
    assert set(WRITE_TABLE) == set(itertools.product(WriteState, WRITE_INPUTS))
    assert set(READ_TABLE) == set(itertools.product(ReadState, READ_INPUTS))


def test_reset_is_final() -> None:
    assert {target for (state, _), target in WRITE_TABLE.items() if state is WriteState.RESET} == {
        (WriteState.RESET, None)
    }
    assert {target for (state, _), target in READ_TABLE.items() if state is ReadState.RESET} == {
        (ReadState.RESET, None)
    }


def test_every_fin_is_confirmed_before_a_reset() -> None:
    for state in (ReadState.OPEN, ReadState.STOPPED, ReadState.EOF):
        assert READ_TABLE[state, Input.FIN] == (ReadState.EOF, Flag.FIN_ACK)


def _wires() -> list[tuple[str, bytes]]:
    return [
        (entry["name"], bytes.fromhex(entry["wire"])) for entry in vectors("webrtc-stream") if "wire" in entry
    ]


@pytest.mark.parametrize(("name", "wire"), _wires())
def test_vectors_are_understood_whole_and_byte_by_byte(name: str, wire: bytes) -> None:
    whole, pieces = RtcStream(), RtcStream()
    whole.receive_message(wire)
    for value in wire:
        pieces.receive_message(bytes([value]))
    assert whole.take_data() == pieces.take_data()
    assert whole.take_output() == pieces.take_output()
    assert (whole.read_state, whole.write_state) == (pieces.read_state, pieces.write_state)
    assert whole.buffered == 0


def test_vectors_for_what_is_sent() -> None:
    by_name = {
        entry["name"]: bytes.fromhex(entry["wire"]) for entry in vectors("webrtc-stream") if "wire" in entry
    }
    stream = RtcStream()
    stream.send_data(b"hello")
    stream.receive_message(FIN)
    stream.close_write()
    assert stream.take_output() == [by_name['data "hello"'], by_name["FIN_ACK"], by_name["FIN"]]
    other = RtcStream()
    other.close_read()
    other.abort()
    assert other.take_output() == [by_name["STOP_SENDING"], by_name["RESET"]]


def test_the_largest_message_is_the_one_js_sends() -> None:
    entry = next(entry for entry in vectors("webrtc-stream") if "payload_bytes" in entry)
    stream = RtcStream()
    stream.send_data(bytes(entry["payload_bytes"]))
    (message,) = stream.take_output()
    assert len(message) == entry["wire_bytes"]
    assert message.startswith(bytes.fromhex(entry["wire_prefix"]))


def test_captured_ping() -> None:
    entry = next(entry for entry in vectors("webrtc-stream") if "messages" in entry)
    responder = RtcStream()
    data = b""
    for side, message in entry["messages"]:
        if side == "initiator":
            responder.receive_message(bytes.fromhex(message))
            data += b"".join(responder.take_data())
        elif message == FIN.hex():
            responder.close_write()
    assert responder.take_output() == [FIN_ACK, FIN]
    assert len(data) == 38 + 32
    assert responder.finished


def test_large_writes_are_cut_into_frames() -> None:
    stream = RtcStream()
    data = bytes(range(256)) * 200
    stream.send_data(data)
    messages = stream.take_output()
    assert len(messages) == -(-len(data) // RTC_MAX_PAYLOAD)
    assert max(map(len, messages)) <= RTC_MAX_MESSAGE
    remote = RtcStream()
    for message in messages:
        remote.receive_message(message)
    assert b"".join(remote.take_data()) == data


def test_fin_is_confirmed_although_nobody_reads() -> None:
    stream = RtcStream()
    stream.close_read()
    stream.take_output()
    stream.receive_message(HELLO + FIN)
    assert stream.take_data() == []
    assert stream.take_output() == [FIN_ACK]


def test_a_repeated_fin_is_confirmed_again() -> None:
    stream = RtcStream()
    stream.receive_message(FIN)
    stream.receive_message(FIN)
    assert stream.take_output() == [FIN_ACK, FIN_ACK]


def test_data_comes_before_the_flag_of_its_message() -> None:
    stream = RtcStream()
    stream.receive_message(bytes.fromhex("0708001203627965"))
    assert stream.take_data() == [b"bye"]
    assert stream.read_state is ReadState.EOF


def test_half_close() -> None:
    stream = RtcStream()
    stream.close_write()
    stream.receive_message(HELLO)
    assert stream.take_data() == [b"hello"]
    stream.receive_message(FIN_ACK)
    assert stream.write_state is WriteState.CLOSED
    assert not stream.finished
    stream.receive_message(FIN)
    assert stream.finished


def test_closing_waits_for_both_ends() -> None:
    stream = RtcStream()
    stream.receive_message(FIN)
    stream.close_write()
    assert not stream.finished  # the remote has not confirmed that it has everything
    stream.receive_message(FIN_ACK)
    assert stream.finished


def test_stop_sending_ends_writing_but_the_end_is_still_said() -> None:
    stream = RtcStream()
    stream.receive_message(STOP_SENDING)
    with pytest.raises(LocalProtocolError):
        stream.send_data(b"x")
    stream.close_write()
    assert stream.take_output() == [FIN]


def test_stop_sending_is_no_confirmation() -> None:
    stream = RtcStream()
    stream.close_write()
    stream.receive_message(STOP_SENDING)
    assert stream.write_state is WriteState.FIN_SENT


def test_reset_by_the_remote() -> None:
    stream = RtcStream()
    stream.receive_message(HELLO + RESET)
    assert stream.is_reset
    assert stream.finished
    assert stream.take_output() == []


def test_abort_says_reset_once() -> None:
    stream = RtcStream()
    stream.abort()
    stream.abort()
    assert stream.take_output() == [RESET]
    assert stream.is_reset


def test_abort_after_our_end_still_tells_the_remote() -> None:
    stream = RtcStream()
    stream.close_write()
    stream.receive_message(FIN_ACK)
    stream.take_output()
    stream.abort()
    assert stream.take_output() == [RESET]


def test_a_channel_closed_without_fin_is_the_end() -> None:
    stream = RtcStream()
    stream.receive_message(HELLO)
    stream.channel_closed()
    assert stream.take_data() == [b"hello"]
    assert stream.read_state is ReadState.EOF
    assert stream.write_state is WriteState.RESET


def test_a_channel_closed_inside_a_frame_is_a_reset() -> None:
    stream = RtcStream()
    stream.receive_message(HELLO[:4])
    stream.channel_closed()
    assert stream.is_reset


def test_closed_before_our_fin_was_confirmed() -> None:
    stream = RtcStream()
    stream.close_write()
    stream.receive_message(FIN)
    stream.channel_closed()
    assert stream.finished
    assert stream.take_output() == []


def test_unknown_fields_and_flags_are_left_alone() -> None:
    stream = RtcStream()
    stream.receive_message(
        length_prefixed(bytes.fromhex("1805") + bytes.fromhex("120161"))
    )  # errorCode 5, data
    stream.receive_message(length_prefixed(bytes.fromhex("0807")))  # a flag that does not exist
    assert stream.take_data() == [b"a"]
    assert stream.take_output() == []


@pytest.mark.parametrize("wire", [length_prefixed(b"\x12\x05a"), b"\xff" * 10, b"\x80\x00"])
def test_damage_is_reported(wire: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        RtcStream().receive_message(wire)


def test_frames_are_bounded_by_their_announcement() -> None:
    prefix = length_prefixed(bytes(RTC_MAX_FRAME + 1))[:3]
    with pytest.raises(RemoteProtocolError, match="at most"):
        RtcStream().receive_message(prefix)

"""multistream-select: the vectors of js-libp2p, both roles, every way of cutting the bytes, and hostile peers."""

from __future__ import annotations

import pytest

from p2pchat_core import limits
from p2pchat_core.errors import LocalProtocolError, RemoteProtocolError
from p2pchat_core.multiformats.varint import encode_uvarint, length_prefixed
from p2pchat_core.wire.multistream import MULTISTREAM, MultistreamDialer, MultistreamListener, encode_token
from tests.support.vectors import vectors

PING = "/ipfs/ping/1.0.0"
IDENTIFY = "/ipfs/id/1.0.0"
HEADER = encode_token(MULTISTREAM)
TOKENS = [entry for entry in vectors("multistream") if "text" in entry]


def vector(start: str) -> bytes:
    (found,) = [entry for entry in vectors("multistream") if entry["name"].startswith(start)]
    return bytes.fromhex(found["hex"])


def listener(*protocols: str) -> MultistreamListener:
    return MultistreamListener(protocols.__contains__, lambda: protocols)


def feed(machine: MultistreamDialer | MultistreamListener, data: bytes, step: int) -> bytes:
    """Feed `data` in pieces of `step` bytes and return all output."""
    output = bytearray(machine.take_output())
    for start in range(0, len(data), step):
        machine.receive_data(data[start : start + step])
        output += machine.take_output()
    return bytes(output)


cuts = pytest.mark.parametrize("step", [1, 2, 1000], ids=["byte at a time", "two bytes", "all at once"])


@pytest.mark.parametrize("entry", TOKENS, ids=lambda entry: entry["text"])
def test_tokens(entry: dict[str, str]) -> None:
    assert encode_token(entry["text"].removesuffix("\\n")).hex() == entry["hex"]


def test_first_flight_of_the_dialer() -> None:
    assert MultistreamDialer([PING]).take_output() == vector("js dialer first flight")


def test_output_is_handed_out_once() -> None:
    machine = MultistreamDialer([PING])
    machine.take_output()
    assert machine.take_output() == b""


@cuts
def test_listener_answers_the_js_dialer(step: int) -> None:
    machine = listener(PING)
    assert feed(machine, vector("js dialer first flight"), step) == HEADER + encode_token(PING)
    assert machine.selected == PING
    assert machine.remaining() == b""


@cuts
def test_bytes_after_the_agreement_are_kept(step: int) -> None:
    machine = listener(PING)
    feed(machine, vector("go lazy dialer"), step)
    assert machine.selected == PING
    assert machine.remaining() == bytes(32)
    assert machine.remaining() == b""


@cuts
def test_list(step: int) -> None:
    machine = listener(IDENTIFY, PING)
    assert feed(machine, HEADER + encode_token("ls"), step) == HEADER + vector("js ls response")
    assert not machine.done


@cuts
def test_dialer_tries_one_after_the_other(step: int) -> None:
    machine = MultistreamDialer(["/a", "/b", "/c"])
    answers = HEADER + encode_token("na") + encode_token("na") + encode_token("/c") + b"payload"
    expected = HEADER + encode_token("/a") + encode_token("/b") + encode_token("/c")
    assert feed(machine, answers, step) == expected
    assert machine.selected == "/c"
    assert not machine.refused
    assert machine.remaining() == b"payload"


@cuts
def test_dialer_is_refused(step: int) -> None:
    machine = MultistreamDialer(["/a", "/b"])
    feed(machine, HEADER + encode_token("na") * 2, step)
    assert machine.refused
    assert machine.selected is None


def test_dialer_says_nothing_before_the_answer() -> None:
    machine = MultistreamDialer(["/a", "/b"])
    machine.take_output()
    machine.receive_data(HEADER)
    assert machine.take_output() == b""
    assert not machine.done


@cuts
def test_listener_refuses_and_goes_on(step: int) -> None:
    machine = listener("/noise")
    answer = feed(machine, HEADER + encode_token("/tls/1.0.0") + encode_token("/noise"), step)
    assert answer == HEADER + encode_token("na") + encode_token("/noise")
    assert machine.selected == "/noise"


def test_listener_echoes_a_repeated_header() -> None:
    assert feed(listener("/a"), HEADER * 2, 1000) == HEADER * 2


def test_na_is_never_a_protocol() -> None:
    machine = MultistreamListener(lambda _name: True, lambda: [])
    feed(machine, HEADER + encode_token("na"), 1000)
    assert machine.selected is None


def test_listener_is_patient_up_to_its_limit() -> None:
    machine = listener("/a")
    feed(machine, HEADER + encode_token("/x") * limits.MULTISTREAM_MAX_PROPOSALS, 1000)
    with pytest.raises(RemoteProtocolError, match="more than"):
        machine.receive_data(encode_token("/x"))


HOSTILE = {
    "no header": encode_token(PING),
    "other version": encode_token("/multistream/2.0.0"),
    "no line break": length_prefixed(MULTISTREAM.encode()),
    "empty message": b"\x00",
    "not UTF-8": length_prefixed(b"\xff\xfe\n"),
    "too long, by its prefix alone": encode_uvarint(limits.MULTISTREAM_MAX_MESSAGE + 1),
    "length not minimal": b"\x93\x00" + HEADER[1:],
    "endless length": b"\xff" * 10,
    "HTTP": b"GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: curl/8.0\r\nAccept: */*\r\n\r\n",
}


@cuts
@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bytes(data: bytes, step: int) -> None:
    for machine in (MultistreamDialer([PING]), listener(PING)):
        with pytest.raises(RemoteProtocolError):
            feed(machine, data, step)


def test_a_name_without_its_line_break_is_no_name() -> None:
    machine = listener("/a")
    with pytest.raises(RemoteProtocolError, match="line break"):
        feed(machine, HEADER + length_prefixed(b"/ab"), 1000)
    assert machine.selected is None


@pytest.mark.parametrize("answer", [IDENTIFY, PING + " ", "ls"])
def test_dialer_refuses_an_answer_to_another_question(answer: str) -> None:
    with pytest.raises(RemoteProtocolError, match="answered"):
        feed(MultistreamDialer([PING]), HEADER + encode_token(answer), 1000)


@pytest.mark.parametrize("name", ["", "/a\nb", "/" + "a" * limits.MULTISTREAM_MAX_MESSAGE])
def test_names_that_cannot_be_proposed(name: str) -> None:
    with pytest.raises(LocalProtocolError):
        MultistreamDialer([name])


@pytest.mark.parametrize("count", [0, limits.MULTISTREAM_MAX_PROPOSALS + 1])
def test_number_of_proposals(count: int) -> None:
    with pytest.raises(LocalProtocolError):
        MultistreamDialer(["/a"] * count)


def test_the_longest_name_that_a_peer_reads() -> None:
    name = "/" + "a" * (limits.MULTISTREAM_MAX_MESSAGE - 2)
    machine = listener(name)
    feed(machine, MultistreamDialer([name]).take_output(), 1)
    assert machine.selected == name

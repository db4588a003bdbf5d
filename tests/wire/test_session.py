"""The session's machines: what each side may say when, limits, and what is refused."""

from __future__ import annotations

import pytest

from p2pchat_core import limits
from p2pchat_core.errors import LocalProtocolError, RemoteProtocolError
from p2pchat_core.multiformats.varint import length_prefixed
from p2pchat_core.pb import session_pb2 as pb
from p2pchat_core.wire.session import (
    FAREWELL,
    MAX_SEQUENCE,
    Acknowledged,
    Farewell,
    Hello,
    Listener,
    Message,
    Position,
    Speaker,
    Welcome,
    resume_at,
)

LOG = bytes(range(16))
ID = b"i" * 16


def message(sequence: int, text: str | None = "hello ☃") -> Message:
    return Message(sequence, sequence.to_bytes(16, "big"), 1_700_000_000_000, text)


def frame(**fields: object) -> bytes:
    return length_prefixed(pb.Frame(**fields).SerializeToString())  # type: ignore[arg-type]


def pair(held: int = 0, *, window: int = limits.SESSION_WINDOW) -> tuple[Speaker, Listener]:
    """Return both sides of a stream on which the listener has welcomed the speaker."""
    speaker, listener = Speaker(LOG, 1), Listener()
    listener.receive_data(speaker.take_output())
    listener.welcome(Position(LOG, held, ID if held else None), window)
    speaker.receive_data(listener.take_output(), 0.0)
    return speaker, listener


# --- a good conversation ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_conversation_in_pieces_and_at_once(step: int) -> None:
    speaker, listener = Speaker(LOG, 41, ["reactions", "files"]), Listener(["files", "calls"])
    received: list[Message] = []
    answered: list[Welcome | Acknowledged] = []

    def exchange() -> None:
        data = speaker.take_output()
        for start in range(0, len(data), step):
            received.extend(listener.receive_data(data[start : start + step]))
        if listener.hello is not None and not answered:
            listener.welcome(Position(LOG, 42, ID))
        if received:
            listener.acknowledge(listener.received)
        data = listener.take_output()
        for start in range(0, len(data), step):
            answered.extend(speaker.receive_data(data[start : start + step], 1.0))

    assert speaker.room == 0
    exchange()
    assert listener.hello == Hello(1, frozenset({"reactions", "files"}), LOG, 41)
    assert answered == [Welcome(1, frozenset({"files"}), 42, ID, limits.SESSION_WINDOW)]
    assert speaker.next == 43
    said = [message(43), message(44, None), message(45, "x" * limits.CHAT_MAX_TEXT)]
    speaker.say(said, 0.5)
    assert speaker.outstanding == 3
    exchange()
    assert received == said
    assert answered[1:] == [Acknowledged(45, limits.SESSION_WINDOW)]
    assert speaker.outstanding == 0
    listener.receive_eof()


def test_acknowledgements_in_one_piece_become_the_last() -> None:
    speaker, listener = pair()
    speaker.say([message(1), message(2)], 0.0)
    listener.receive_data(speaker.take_output())
    listener.acknowledge(1)
    listener.acknowledge(2)
    assert speaker.receive_data(listener.take_output(), 0.0) == [Acknowledged(2, limits.SESSION_WINDOW)]


def test_unknown_frames_are_ignored() -> None:
    speaker, listener = pair()
    unknown = length_prefixed(bytes([0x7A, 3]) + b"new")  # field 15
    assert listener.receive_data(unknown + length_prefixed(b"")) == []
    assert speaker.receive_data(unknown, 0.0) == []


def test_a_later_version_is_welcomed_with_ours() -> None:
    listener = Listener()
    listener.receive_data(frame(hello=pb.Hello(version=7, log=LOG, first=1)))
    listener.welcome(Position(LOG, 0, None))
    (found,) = Speaker(LOG, 1).receive_data(listener.take_output(), 0.0)
    assert isinstance(found, Welcome)
    assert found.version == 1


# --- the window -------------------------------------------------------------------------------------------------------


def test_the_window_of_the_listener_is_kept() -> None:
    speaker, listener = pair(held=10, window=3)
    assert speaker.room == 3
    with pytest.raises(LocalProtocolError):
        speaker.say([message(n) for n in range(11, 15)], 0.0)
    speaker.say([message(n) for n in range(11, 14)], 0.0)
    assert speaker.room == 0
    listener.receive_data(speaker.take_output())
    listener.acknowledge(12, window=0)
    speaker.receive_data(listener.take_output(), 0.0)
    assert (speaker.room, speaker.outstanding) == (0, 1)
    listener.acknowledge(13, window=5)
    speaker.receive_data(listener.take_output(), 0.0)
    assert (speaker.room, speaker.outstanding) == (5, 0)


def test_a_window_without_end_is_cut_to_ours() -> None:
    speaker, _listener = pair(window=2**32 - 1)
    assert speaker.room == limits.SESSION_WINDOW


def test_bytes_count_too() -> None:
    speaker, listener = pair()
    big = "x" * limits.CHAT_MAX_TEXT
    while speaker.room:
        speaker.say([message(speaker.next, big)], 0.0)
    assert speaker.outstanding == limits.SESSION_WINDOW_BYTES // limits.CHAT_MAX_TEXT
    listener.receive_data(speaker.take_output())
    listener.acknowledge(listener.received)
    speaker.receive_data(listener.take_output(), 0.0)
    assert speaker.room == limits.SESSION_WINDOW


def test_more_than_the_window_is_refused() -> None:
    _speaker, listener = pair()
    for sequence in range(1, limits.SESSION_WINDOW + 1):
        listener.receive_data(frame(message=pb.Message(sequence=sequence, id=ID)))
    with pytest.raises(RemoteProtocolError, match="window"):
        listener.receive_data(frame(message=pb.Message(sequence=limits.SESSION_WINDOW + 1, id=ID)))


# --- time -------------------------------------------------------------------------------------------------------------


def test_silence_after_something_was_said_is_noticed() -> None:
    speaker, listener = pair()
    assert speaker.owed_since is None
    speaker.say([message(1), message(2)], 100.0)
    assert speaker.owed_since == 100.0
    speaker.say([message(3)], 105.0)
    assert speaker.owed_since == 100.0
    listener.receive_data(speaker.take_output())
    listener.acknowledge(0, window=0)  # a sign of life
    speaker.receive_data(listener.take_output(), 107.0)
    assert (speaker.owed_since, speaker.put_off) == (107.0, True)
    speaker.excuse(1000.0)
    assert speaker.owed_since == 1000.0
    listener.acknowledge(3)
    speaker.receive_data(listener.take_output(), 1001.0)
    assert (speaker.owed_since, speaker.put_off) == (None, False)


# --- where to go on ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "first", "expected"),
    [
        pytest.param(None, 1, Position(LOG, 0, None), id="a stranger"),
        pytest.param(None, 41, Position(LOG, 40, None), id="our history is lost"),
        pytest.param(Position(LOG, 42, ID), 41, Position(LOG, 42, ID), id="acknowledgements were lost"),
        pytest.param(Position(LOG, 42, ID), 43, Position(LOG, 42, ID), id="nothing was lost"),
        pytest.param(Position(LOG, 42, ID), 51, Position(LOG, 50, None), id="our history is older"),
        pytest.param(Position(b"x" * 16, 42, ID), 1, Position(LOG, 0, None), id="another log"),
    ],
)
def test_where_a_listener_goes_on(before: Position | None, first: int, expected: Position) -> None:
    assert resume_at(before, LOG, first) == expected


# --- what is refused --------------------------------------------------------------------------------------------------

GOOD_HELLO = {"version": 1, "log": LOG, "first": 1}


@pytest.mark.parametrize(
    "hello",
    [
        GOOD_HELLO | {"version": 0},
        GOOD_HELLO | {"log": b"short"},
        GOOD_HELLO | {"first": 0},
        GOOD_HELLO | {"first": MAX_SEQUENCE + 1},
        GOOD_HELLO | {"features": [f"{n}" for n in range(limits.SESSION_MAX_FEATURES + 1)]},
        GOOD_HELLO | {"features": ["x" * (limits.SESSION_MAX_FEATURE + 1)]},
        {},
    ],
)
def test_a_bad_hello(hello: dict[str, object]) -> None:
    with pytest.raises(RemoteProtocolError):
        Listener().receive_data(frame(hello=pb.Hello(**hello)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad",
    [
        frame(hello=pb.Hello(version=1, log=LOG, first=1)),
        frame(welcome=pb.Welcome(version=1)),
        frame(acknowledgement=pb.Acknowledgement(held=0)),
        frame(message=pb.Message(sequence=0, id=ID)),
        frame(message=pb.Message(sequence=2, id=ID)),
        frame(message=pb.Message(sequence=1, id=b"short")),
        frame(message=pb.Message(sequence=1, id=ID, text="x" * (limits.CHAT_MAX_TEXT + 1))),
        frame(message=pb.Message(sequence=1, id=ID, text="☃" * (limits.CHAT_MAX_TEXT // 3 + 1))),
        length_prefixed(b"\xff"),
        length_prefixed(bytes([0x1A, 4, 0x22, 2, 0xC3, 0x28])),  # text that is not UTF-8
        length_prefixed(bytes(limits.SESSION_MAX_FRAME + 1)),
        b"\x80" * 12,
    ],
)
def test_what_a_speaker_must_not_say(bad: bytes) -> None:
    _speaker, listener = pair()
    with pytest.raises(RemoteProtocolError):
        listener.receive_data(bad)


@pytest.mark.parametrize(
    "bad",
    [
        frame(welcome=pb.Welcome(version=1, held=1)),
        frame(hello=pb.Hello(version=1)),
        frame(message=pb.Message(sequence=1, id=ID)),
        frame(acknowledgement=pb.Acknowledgement(held=4)),
        frame(acknowledgement=pb.Acknowledgement(held=2**64 - 1)),
        frame(acknowledgement=pb.Acknowledgement(held=2)) + frame(acknowledgement=pb.Acknowledgement(held=1)),
        length_prefixed(b"\xff"),
    ],
)
def test_what_a_listener_must_not_answer(bad: bytes) -> None:
    speaker, _listener = pair()
    speaker.say([message(n) for n in (1, 2, 3)], 0.0)
    with pytest.raises(RemoteProtocolError):
        speaker.receive_data(bad, 0.0)


@pytest.mark.parametrize(
    "welcome",
    [
        {"version": 0, "held": 40},
        {"version": 2, "held": 40},
        {"version": 1, "held": 39},
        {"version": 1, "held": MAX_SEQUENCE + 1},
        {"version": 1, "held": 41, "held_id": b""},
    ],
)
def test_a_bad_welcome(welcome: dict[str, object]) -> None:
    with pytest.raises(RemoteProtocolError):
        Speaker(LOG, 41).receive_data(frame(welcome=pb.Welcome(**welcome)), 0.0)  # type: ignore[arg-type]


def test_nothing_is_acknowledged_or_said_before_the_welcome() -> None:
    with pytest.raises(RemoteProtocolError):
        Speaker(LOG, 1).receive_data(frame(acknowledgement=pb.Acknowledgement(held=0)), 0.0)
    listener = Listener()
    listener.receive_data(frame(hello=pb.Hello(**GOOD_HELLO)))  # type: ignore[arg-type]
    with pytest.raises(RemoteProtocolError):
        listener.receive_data(frame(message=pb.Message(sequence=1, id=ID)))


def test_an_end_in_the_middle_of_a_frame() -> None:
    speaker, listener = pair()
    speaker.say([message(1)], 0.0)
    listener.receive_data(speaker.take_output()[:-1])
    with pytest.raises(RemoteProtocolError):
        listener.receive_eof()


def test_our_own_mistakes() -> None:
    speaker, listener = pair()
    with pytest.raises(LocalProtocolError):
        speaker.say([message(2)], 0.0)
    with pytest.raises(LocalProtocolError):
        listener.welcome(Position(LOG, 0, None))
    with pytest.raises(LocalProtocolError):
        listener.acknowledge(1)
    with pytest.raises(LocalProtocolError):
        Listener().welcome(Position(LOG, 0, None))
    with pytest.raises(LocalProtocolError):
        Listener().acknowledge(0)
    with pytest.raises(LocalProtocolError):
        Speaker(LOG, 1).say([message(1)], 0.0)


# --- good-bye ---------------------------------------------------------------------------------------------------------


def parting_pair(*, speaker_knows: bool = True, listener_knows: bool = True) -> tuple[Speaker, Listener]:
    speaker = Speaker(LOG, 1, [FAREWELL] if speaker_knows else [])
    listener = Listener([FAREWELL] if listener_knows else [])
    listener.receive_data(speaker.take_output())
    listener.welcome(Position(LOG, 0, None))
    speaker.receive_data(listener.take_output(), 0.0)
    return speaker, listener


def test_a_speaker_says_good_bye_behind_its_messages() -> None:
    speaker, listener = parting_pair()
    speaker.say([message(1)], 0.0)
    assert speaker.say_farewell(Farewell.HUNG_UP)
    assert speaker.say_farewell(Farewell.HUNG_UP), "once is enough"
    assert speaker.room == 0
    found = listener.receive_data(speaker.take_output())
    assert ([one.sequence for one in found], listener.farewell) == ([1], Farewell.HUNG_UP)
    with pytest.raises(RemoteProtocolError, match="good-bye"):
        listener.receive_data(frame(message=pb.Message(sequence=2, id=ID)))


def test_a_listener_says_good_bye() -> None:
    speaker, listener = parting_pair()
    assert listener.say_farewell(Farewell.STOPPED)
    assert speaker.receive_data(listener.take_output(), 1.0) == []
    assert speaker.farewell is Farewell.STOPPED


@pytest.mark.parametrize(("speaker_knows", "listener_knows"), [(True, False), (False, True), (False, False)])
def test_who_does_not_know_it_is_told_nothing(speaker_knows: bool, listener_knows: bool) -> None:
    speaker, listener = parting_pair(speaker_knows=speaker_knows, listener_knows=listener_knows)
    assert not speaker.say_farewell(Farewell.HUNG_UP)
    assert not listener.say_farewell(Farewell.HUNG_UP)
    assert speaker.take_output() == listener.take_output() == b""
    assert speaker.room > 0
    with pytest.raises(RemoteProtocolError, match="agreed"):
        speaker.receive_data(frame(farewell=pb.Farewell(reason=1)), 0.0)
    with pytest.raises(RemoteProtocolError, match="agreed"):
        listener.receive_data(frame(farewell=pb.Farewell(reason=1)))


def test_good_bye_before_the_welcome_is_refused() -> None:
    speaker, listener = Speaker(LOG, 1, [FAREWELL]), Listener([FAREWELL])
    assert not speaker.say_farewell(Farewell.HUNG_UP)
    assert not listener.say_farewell(Farewell.HUNG_UP)
    with pytest.raises(RemoteProtocolError):
        speaker.receive_data(frame(farewell=pb.Farewell(reason=1)), 0.0)
    with pytest.raises(RemoteProtocolError):
        listener.receive_data(frame(farewell=pb.Farewell(reason=1)))


def test_a_reason_of_a_later_version_is_a_good_bye_all_the_same() -> None:
    speaker, _listener = parting_pair()
    speaker.receive_data(frame(farewell=pb.Farewell(reason=77)), 0.0)
    assert speaker.farewell is Farewell.UNKNOWN

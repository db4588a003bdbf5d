"""Properties of the SDP parser."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.wire.candidate import CandidatePolicy, parse_candidate
from p2pchat_core.wire.sdp import SessionDescription, Setup, parse_sdp

ICE_CHARS = "abcXYZ019+/"
DESCRIPTIONS = st.builds(
    SessionDescription,
    ufrag=st.text(ICE_CHARS, min_size=4, max_size=40),
    password=st.text(ICE_CHARS, min_size=22, max_size=40),
    fingerprint=st.binary(min_size=32, max_size=32),
    setup=st.sampled_from(Setup),
    mid=st.text("ab0", min_size=1, max_size=3),
    sctp_port=st.integers(1, 65535),
    max_message_size=st.integers(0, 2**32 - 1),
)


@settings(max_examples=100)
@given(DESCRIPTIONS, st.integers(0, 2**62 - 1))
def test_round_trip(description: SessionDescription, session_id: int) -> None:
    assert parse_sdp(description.to_text(session_id)) == description


@settings(max_examples=100)
@given(st.text(max_size=300))
def test_any_text_is_handled(text: str) -> None:
    with contextlib.suppress(RemoteProtocolError):
        parse_sdp(text)
    with contextlib.suppress(RemoteProtocolError):
        parse_sdp("v=0\n" + text)
    with contextlib.suppress(RemoteProtocolError):
        parse_candidate(text)
    CandidatePolicy().refusal(text, 5000)


@settings(max_examples=100)
@given(DESCRIPTIONS, st.data())
def test_damaged_descriptions_are_handled(description: SessionDescription, data: st.DataObject) -> None:
    lines = description.to_text(1).split("\r\n")
    index = data.draw(st.integers(0, len(lines) - 1))
    change = data.draw(st.sampled_from(["drop", "double", "cut", "replace"]))
    if change == "drop":
        del lines[index]
    elif change == "double":
        lines.insert(index, lines[index])
    elif change == "cut":
        lines[index] = lines[index][: data.draw(st.integers(0, 20))]
    else:
        lines[index] = data.draw(st.text(max_size=60))
    with contextlib.suppress(RemoteProtocolError):
        parse_sdp("\r\n".join(lines))

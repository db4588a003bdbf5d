"""multistream-select against any bytes, any names and any way of cutting them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat_core import limits
from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.multiformats.varint import length_prefixed
from p2pchat_core.wire.multistream import MULTISTREAM, MultistreamDialer, MultistreamListener, encode_token

names = st.text(
    st.characters(blacklist_characters="\n", blacklist_categories=["Cs"]), min_size=1, max_size=40
).filter(lambda name: name not in ("na", "ls", MULTISTREAM))
name_lists = st.lists(names, min_size=1, max_size=8, unique=True)
pieces = st.lists(
    st.one_of(
        st.sampled_from([MULTISTREAM, "na", "ls", "/a", "/b"]).map(encode_token),
        st.binary(max_size=30).map(length_prefixed),
        st.binary(max_size=30),
    ),
    max_size=12,
).map(b"".join)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(bounds)]


@settings(max_examples=100, deadline=None)
@given(name_lists, name_lists, st.lists(st.integers(min_value=0), max_size=5), st.binary(max_size=20))
def test_the_first_common_name_wins(
    ours: list[str], theirs: list[str], places: list[int], after: bytes
) -> None:
    dialer = MultistreamDialer(ours)
    listener = MultistreamListener(theirs.__contains__, lambda: theirs)
    while not dialer.done:
        for piece in cut(dialer.take_output(), places):
            listener.receive_data(piece)
        answer = listener.take_output()
        for piece in cut(answer + after if listener.done else answer, places):
            dialer.receive_data(piece)
    expected = next((name for name in ours if name in theirs), None)
    assert dialer.selected == listener.selected == expected
    assert dialer.refused == (expected is None)
    assert dialer.remaining() == (after if expected else b"")


@settings(max_examples=100, deadline=None)
@given(pieces, st.lists(st.integers(min_value=0), max_size=5), st.booleans())
def test_any_bytes_are_answered_or_refused(data: bytes, places: list[int], dialer: bool) -> None:
    def run(parts: list[bytes]) -> tuple[str | None, bool, bytes, bytes]:
        machine: MultistreamDialer | MultistreamListener
        machine = (
            MultistreamDialer(["/a", "/c"]) if dialer else MultistreamListener("/a".__eq__, lambda: ["/a"])
        )
        output = bytearray(machine.take_output())
        try:
            for part in parts:
                machine.receive_data(part)
                output += machine.take_output()
        except RemoteProtocolError:
            return None, False, b"", b"refused"
        assert len(output) <= (limits.MULTISTREAM_MAX_PROPOSALS + 1) * limits.MULTISTREAM_MAX_MESSAGE
        return machine.selected, machine.refused, bytes(output), machine.remaining()

    assert run(cut(data, places)) == run([data])


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_never_select_anything(data: bytes) -> None:
    for machine in (MultistreamDialer(["/a"]), MultistreamListener(lambda _name: True, lambda: [])):
        try:
            machine.receive_data(data)
        except RemoteProtocolError:
            continue
        assert machine.selected is None

"""Whatever a peer says, what is drawn holds nothing that a terminal obeys or that hides."""

from __future__ import annotations

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from p2pchat_core import limits
from p2pchat_tui.safe_text import Kind, clean_input, safe_text, visible

_ZWJ, _ZWNJ = "\u200d", "\u200c"
_NASTY = (
    "\x00\x07\x08\t\n\r\x1b\x7f\x80\x85\x9b\x9d[]/@()\u00ad\u061c\u0301\u034f\u0627\u0915\u094d\u115f\u180e"
    "\u200b\u200c\u200d\u200e\u202e\u2028\u2066\u2069\u20e3\u2800\ufe0f\ufeff\ud800\udfff\uffff\ufdd0"
    "\U0001f468\U0001f3fd\U000e0041\U0010ffff"
)
# `st.text()` leaves surrogates out unless asked for them by category.
_ANY = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)
_HOSTILE = st.text(st.one_of(st.sampled_from(_NASTY), st.characters(exclude_categories=())), max_size=60)
_TEXT = st.one_of(_ANY, _HOSTILE)


@settings(max_examples=100)
@given(_TEXT, st.sampled_from(Kind))
def test_nothing_shown_is_obeyed_or_hidden(text: str, kind: Kind) -> None:
    shown = visible(text, kind)
    marks = 0
    for char in shown:
        category = unicodedata.category(char)
        assert category not in ("Cs", "Zl", "Zp")
        assert category != "Cc" or (char == "\n" and kind is Kind.MESSAGE)
        assert category != "Cf" or char in (_ZWJ, _ZWNJ)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        assert marks <= 4
    assert not shown or unicodedata.category(shown[0]) not in ("Mn", "Me", "Cf")
    assert _ZWJ * 2 not in shown
    shown.encode()  # no lone surrogate is left
    assert str(safe_text(text, kind)) == shown


@settings(max_examples=100)
@given(_TEXT)
def test_names_and_addresses_are_one_bounded_line(text: str) -> None:
    assert cell_len(visible(text, Kind.NAME)) <= limits.SCREEN_NAME_CELLS
    for kind in (Kind.NAME, Kind.ADDRESS, Kind.SENTENCE):
        assert len(visible(text, kind).splitlines()) <= 1


@settings(max_examples=100)
@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_plain_ascii_is_unchanged(text: str) -> None:
    assert visible(text, Kind.MESSAGE) == text


@settings(max_examples=100)
@given(_TEXT, st.booleans())
def test_cleaned_input_can_be_typed_and_stays_clean(text: str, lines: bool) -> None:
    cleaned = clean_input(text, lines=lines)
    assert clean_input(cleaned, lines=lines) == cleaned
    assert all(unicodedata.category(c) not in ("Cc", "Cs") or (c == "\n" and lines) for c in cleaned)
    assert lines or not any(c.isspace() for c in cleaned)

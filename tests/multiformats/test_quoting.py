from __future__ import annotations

import pytest

from p2pchat_core.multiformats.quoting import quoted, unprintable_character


def test_quoted_escapes_what_a_terminal_would_obey() -> None:
    assert quoted("plain") == "'plain'"
    assert quoted("\x1b[2J\u202e\n") == r"'\x1b[2J\u202e\n'"
    assert quoted("\ud800") == r"'\ud800'"


def test_quoted_is_bounded() -> None:
    assert quoted("a" * 1_000_000) == "'" + "a" * 48 + "…'"
    assert len(quoted("\U000e0001" * 1_000_000)) < 600


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/ip4/1.2.3.4", None),
        ("/dns4/münchen.example", None),
        ("", None),
        ("a b", "a blank (U+0020) at position 2"),
        ("a\tb", "a blank (U+0009) at position 2"),
        ("\xa0", "a blank (U+00A0) at position 1"),
        ("a\x00", "an invisible or control character (U+0000) at position 2"),
        ("\x9b", "an invisible or control character (U+009B) at position 1"),
        ("ab\u202e", "an invisible or control character (U+202E) at position 3"),
        ("\ufeff", "an invisible or control character (U+FEFF) at position 1"),
        ("\ud800", "an invisible or control character (U+D800) at position 1"),
    ],
)
def test_unprintable_character(text: str, expected: str | None) -> None:
    assert unprintable_character(text) == expected

"""What a text does to the lines and columns around it, in a terminal emulator.

Each row is drawn as Textual draws it: the cursor is put at its beginning, it is filled up to its width as Rich counts
cells, what stands to the right of it follows at once, and long lines are not wrapped by the terminal.
"""

from __future__ import annotations

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from p2pchat_tui.safe_text import Kind, safe_text

WIDTH = 34
ROWS = 12
ABOVE, BELOW = "what stands above", "what stands below"

NASTY = (
    "\x00\x07\x08\t\n\r\x0b\x0c\x0e\x1b\x7f\x84\x85\x8d\x90\x9b\x9d[]ABCDHJKhl;?0123456789\u00ad\u061c\u0301\u034f\u0627"
    "\u0591\u0915\u094d\u0e33\u1100\u1161\u11a8\u115f\u180e\u200b\u200c\u200d\u200e\u202a\u202e\u2028\u2066\u2069\u20e3"
    "\u2800\u3000\u302a\u30fb\ufe0e\ufe0f\ufeff\uff9e\ufdfd\U00012031\U0001f1e9\U0001f1ea\U0001f468\U0001f3fd"
    "\U0001f1ae\U00018e00\U000e0041\U0010ffff\ud800\udfff\uffff"
)
TEXTS = st.text(
    st.one_of(st.sampled_from(NASTY), st.characters(codec=None, exclude_categories=())), max_size=80
)
JOINING = {"\u200d", "\ufe0e", "\ufe0f", "\u20e3"} | {
    chr(code) for code in (*range(0x1F1E6, 0x1F200), *range(0x1F3FB, 0x1F400))
}
"""What makes one picture of several characters. Terminals do not agree how wide it is, and no program can know; so
those are the only texts that may move what stands to the right of them, in their own line and for as long as they are
in view."""


class Screen(pyte.Screen):
    """Takes text one character at a time: pyte drops what follows a character that takes no room."""

    def draw(self, data: str) -> None:
        for char in data:
            super().draw(char)


def check(text: str, kind: Kind) -> None:
    """Draw `text` in a box between two lines, and look at everything but the text."""
    screen = Screen(WIDTH + 20, ROWS + 2)
    stream = pyte.Stream(screen)
    stream.feed("\x1b[?7l")  # so does Textual
    stream.feed(f"\x1b[1;1H{ABOVE}\x1b[{ROWS + 2};1H{BELOW}")
    lines = [line.plain for line in safe_text(text, kind).wrap(WIDTH)][:ROWS]
    for row, line in enumerate(lines, 2):
        stream.feed(f"\x1b[{row};1H│{line}{' ' * (WIDTH - cell_len(line))}│to the right")
    assert screen.title == ""
    assert screen.display[0].rstrip() == ABOVE
    assert screen.display[-1].rstrip() == BELOW
    for row in range(1, ROWS + 1):
        if row > len(lines):
            assert not screen.display[row].strip()
            continue
        assert screen.buffer[row][0].data == "│"
        if not JOINING & set(text):
            assert screen.buffer[row][WIDTH + 1].data == "│", ascii(text)
            assert screen.display[row].rstrip().endswith("│to the right")


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.sampled_from(Kind))
def test_any_text_stays_in_its_place(text: str, kind: Kind) -> None:
    check(text, kind)


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[2J\x1b[H" * 5,
        "\x1b]0;title\x07\x1b]52;c;aGk=\x07",
        "\x9b2J\x90dcs\x9c",
        "a" * 33 + "\u0301" * 60,
        "\u202e" * 40 + "abc",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 60,
        "\U0001f1e9\U0001f1ea" * 60,
        "\U0001f44d\U0001f3fd" * 60,
        "日" * 200,
        "\U0001f1ae" * 60,
        "\ufdfd\U00012031" * 40,
        "\n" * 100,
        "\u2028\u2029\x85\x0b\x0c" * 20,
        "\ud800\udfff" * 30,
    ],
    ids=lambda text: ascii(text[:4]),
)
@pytest.mark.parametrize("kind", Kind)
def test_a_known_trick_changes_no_other_line(text: str, kind: Kind) -> None:
    check(text, kind)

"""The one door through which a peer's text reaches the screen.

A terminal obeys escape sequences, Textual parses square brackets as markup, and Unicode has characters that reorder
or hide what stands next to them. `safe_text` turns any string, lone surrogates included, into a `Content` in which
every such character is visible and inert. Nothing that a peer, a relay or an error sentence said may reach a widget
in any other way.
"""

from __future__ import annotations

import enum
import unicodedata
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from textual.content import Content

from p2pchat_core import limits

if TYPE_CHECKING:
    from textual.style import Style

__all__ = ["Kind", "clean_input", "safe_text", "visible"]


class Kind(enum.Enum):
    """What a text is, which decides how much of it may be shown and on how many lines."""

    NAME = "name"
    """One line of at most 32 cells, compatibility forms folded."""
    ADDRESS = "address"
    """One line; every invisible character is written out."""
    SENTENCE = "sentence"
    """One line of our own words that may quote remote text."""
    MESSAGE = "message"
    """What a peer said: lines are kept, up to a limit."""


_REPLACEMENT: Final = "�"
_DOTTED_CIRCLE: Final = "◌"
_TAB: Final = "    "
_MAX_MARKS: Final = 4
_MAX_JOINED: Final = 8
_ZWNJ, _ZWJ = "\u200c", "\u200d"
_INVISIBLE: Final = frozenset("\u00ad\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060\u2800\u3164\ufeff\uffa0")
"""Characters that take no room or look like a space, whatever their category says."""
_NEWLINES: Final = str.maketrans({"\u2028": "\n", "\u2029": "\n"})
_LIMIT: Final = {
    Kind.NAME: limits.SCREEN_NAME_CELLS * 8,
    Kind.ADDRESS: limits.MAX_MULTIADDR_TEXT,
    Kind.SENTENCE: limits.SCREEN_SENTENCE_CHARS,
    Kind.MESSAGE: limits.SCREEN_MESSAGE_CHARS,
}


def safe_text(text: str, kind: Kind, style: str | Style = "") -> Content:
    """Return `text` as content that a terminal and Textual show and never obey.

    Args:
        text: anything, of any length.
        style: drawn in this style as a whole.
    """
    shown = visible(text, kind)
    return Content.styled(shown, style) if style else Content(shown)


def visible(text: str, kind: Kind) -> str:
    """Return `text` with everything invisible or dangerous written out, cut to what `kind` may show.

    The result has no control characters except, for messages, newlines; no surrogates; and no format characters
    except joiners where the script needs them. It is *not* safe as a `str` argument of a widget (square brackets
    are kept), only inside a `Content`.
    """
    cut, more = text[: _LIMIT[kind]], max(0, len(text) - _LIMIT[kind])
    if kind is Kind.MESSAGE:
        cut = cut.replace("\r\n", "\n").translate(_NEWLINES)
        lines = cut.split("\n")
        if len(lines) > limits.SCREEN_MESSAGE_LINES:
            kept = "\n".join(lines[: limits.SCREEN_MESSAGE_LINES])
            cut, more = kept, more + len(cut) - len(kept)
    elif kind is Kind.NAME:
        # NFKC can make one character into eighteen and into a space.
        cut = unicodedata.normalize("NFKC", cut)[: _LIMIT[kind]].strip()
    shown = cut if cut.isascii() and cut.isprintable() else _Writer(kind).write(cut)
    if kind is Kind.NAME:
        return _fit(shown, limits.SCREEN_NAME_CELLS)
    if more:
        shown += f"… {more:,} more characters".replace(",", " ")
    return shown


def clean_input(text: str, *, lines: bool) -> str:
    """Return pasted `text` without what must never be typed: controls, surrogates, invisible characters.

    Args:
        lines: keep newlines; otherwise all white space and the frames drawn around text by terminal programs are
            removed, because an address copied from a screen arrives in pieces.
    """
    text = text[: limits.SCREEN_PASTE].replace("\r\n", "\n").replace("\r", "\n")
    if not lines:
        return "".join(c for c in text if _typed(c) and not _between_pieces(c))
    return "".join(c for c in text.expandtabs(4) if c == "\n" or _typed(c))


def _typed(char: str) -> bool:
    if char in (_ZWNJ, _ZWJ):
        return True  # part of emoji and of several scripts
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") and char not in _INVISIBLE


def _between_pieces(char: str) -> bool:
    """Tell whether `char` is no part of any address: blanks, frames, joiners."""
    return char.isspace() or "\u2500" <= char <= "\u259f" or char in (_ZWNJ, _ZWJ)


def _fit(text: str, cells: int) -> str:
    if cell_len(text) <= cells:
        return text
    fitted = ""
    for char in text:
        if cell_len(fitted + char) > cells - 1:
            break
        fitted += char
    return fitted + "…"


class _Writer:
    """Writes one text, character by character, remembering what a character may attach itself to."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._out: list[str] = []
        self._base = ""  # the character that marks attach to; "" at the start of a line
        self._marks = 0  # marks on that character
        self._skipped = 0  # marks beyond the limit, or invisible characters, not written
        self._joined = 0  # code points in the present emoji sequence

    def write(self, text: str) -> str:
        """Return the visible form of `text`."""
        for index, char in enumerate(text):
            category = unicodedata.category(char)
            if category in ("Mn", "Me"):
                self._mark(char)
            elif char in (_ZWJ, _ZWNJ) and self._may_join(char, text, index):
                self._joined += 1
                self._out.append(char)
            elif char in _INVISIBLE or category == "Cf":
                self._hidden(char)
            else:
                self._plain(char, category)
        self._flush()
        return "".join(self._out)

    def _plain(self, char: str, category: str) -> None:
        self._flush()
        if char == "\n" and self._kind is Kind.MESSAGE:
            self._append(char, base="")
        elif char == "\t" and self._kind is Kind.MESSAGE:
            self._append(_TAB, base="")
        elif category == "Cc":
            code = ord(char)
            # C0 and DEL have pictures of their own in Unicode; C1 has none.
            picture = chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else f"<\\x{code:02x}>"
            self._append(picture)
        elif category == "Cs" or ord(char) & 0xFFFE == 0xFFFE or "\ufdd0" <= char <= "\ufdef":
            self._append(_REPLACEMENT)
        elif category in ("Zl", "Zp") or (category == "Cn" and cell_len(char) == 1):
            # Characters newer than our tables: the terminal's may know that they are wider, or take no room.
            self._append(f"<U+{ord(char):04X}>")
        elif category == "Zs":
            self._append(" ", base="")
        else:
            self._append(char, base=char)

    def _mark(self, char: str) -> None:
        if not self._base:
            # Without this it would sit on whatever we draw before the text.
            self._append(_DOTTED_CIRCLE, base=_DOTTED_CIRCLE)
        self._marks += 1
        if self._marks > _MAX_MARKS:
            self._skipped += 1
        else:
            self._out.append(char)

    def _hidden(self, char: str) -> None:
        if self._kind is Kind.MESSAGE and (char in _INVISIBLE or "\U000e0000" <= char <= "\U000e007f"):
            # A run of these is noise, not text: one mark says that something was there.
            if not self._out or self._out[-1] != "<hidden>":
                self._flush()
                self._append("<hidden>")
            return
        self._flush()
        self._append(f"<U+{ord(char):04X}>")

    def _may_join(self, char: str, text: str, index: int) -> bool:
        following = text[index + 1 : index + 2]
        if not following or not self._base or self._out[-1] in (_ZWJ, _ZWNJ) or self._skipped:
            return False
        if char == _ZWJ and _is_emoji(self._base) and _is_emoji(following):
            return self._joined < _MAX_JOINED - 1
        return _needs_joiners(self._base) and _needs_joiners(following)

    def _append(self, text: str, base: str = "") -> None:
        joined = bool(self._out) and self._out[-1] == _ZWJ
        self._joined = self._joined + 1 if joined else 0
        self._out.append(text)
        self._base, self._marks = base, 0

    def _flush(self) -> None:
        if self._skipped:
            self._out.append(f"<+{self._skipped} marks>")
            self._skipped = 0
            self._base = ""


def _is_emoji(char: str) -> bool:
    return unicodedata.category(char) in ("So", "Sk") and char >= "\u2190"


def _needs_joiners(char: str) -> bool:
    """Tell whether `char` is a letter of Arabic, Syriac, an Indic or South-East Asian script, or Mongolian."""
    return unicodedata.category(char) in ("Lo", "Lm", "Mc") and (
        "\u0600" <= char <= "\u109f" or "\u1780" <= char <= "\u18af"
    )

"""What counts as a word, for searching: one rule for the index, for the query and for marking what was found.

Case, accents and width do not matter. Scripts that are written without spaces (Chinese, Japanese, Korean, Thai and
their neighbours) and symbols such as emoji count each character as a word, so a part of such a text is found as well.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from p2pchat_core.limits import SEARCH_EXCERPT, SEARCH_MAX_SPANS, SEARCH_MAX_TEXT, SEARCH_MAX_WORD

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Query", "excerpt", "index_text"]

_ALONE: Final = (
    range(0x0E00, 0x0F00),  # Thai, Lao
    range(0x1000, 0x10A0),  # Myanmar
    range(0x1100, 0x1200),  # Hangul, taken apart
    range(0x1780, 0x1800),  # Khmer
    range(0x2E80, 0x3000),  # radicals
    range(0x3040, 0x3100),  # Hiragana, Katakana
    range(0x31F0, 0x3200),
    range(0x3400, 0xA000),  # Han
    range(0xF900, 0xFB00),
    range(0x1B000, 0x1B170),
    range(0x20000, 0x33480),
)
_REMEMBERED: Final = 8192
_Group = tuple[str, ...]


class _Folding(dict[int, str]):
    """From each character to what is compared of it, with spaces around what stands alone; made as it is needed."""

    def __missing__(self, code: int) -> str:
        folded = "".join(map(_fold, unicodedata.normalize("NFKD", chr(code)).casefold()))
        if len(self) < _REMEMBERED:  # peers choose the characters
            self[code] = folded
        return folded


def _fold(char: str) -> str:
    category = unicodedata.category(char)
    if unicodedata.combining(char) or category == "Cf" or "\ufe00" <= char <= "\ufe0f":
        return ""
    if category[0] == "S" and char > "\x7f" and category != "Sk":
        return f" {char} "
    if category[0] not in "LNM" or category == "Cs":
        return " "
    return f" {char} " if any(ord(char) in block for block in _ALONE) else char


_FOLDING: Final = _Folding()


def _words(text: str) -> list[str]:
    return [word[:SEARCH_MAX_WORD] for word in text.translate(_FOLDING).split()]


def index_text(text: str) -> str:
    """Return the words of `text` with one space between: what the index is given."""
    return " ".join(_words(text))


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for: every group must occur, its words next to one another; the last word may go on.

    A group is what the user wrote without a space.
    """

    groups: tuple[_Group, ...]

    @classmethod
    def parse(cls, text: str) -> Query:
        """Read what the user typed. Nothing in it has a special meaning, and nothing is wrong."""
        groups = (tuple(_words(part)) for part in text[:SEARCH_MAX_TEXT].split())
        return cls(tuple(group for group in groups if group))

    def match_expression(self) -> str:
        """Return it in the language of FTS5. Words have neither spaces nor quotes in them."""
        return " AND ".join(f'"{" ".join(group)}"' for group in self.groups) + "*"

    def matches(self, text: str) -> bool:
        """Whether `text` has every group in it."""
        words = _words(text)
        return bool(self.groups) and all(
            next(self._places(words, number), None) is not None for number in range(len(self.groups))
        )

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return from where to where in `text` the groups are, in order and apart from each other."""
        words, where = _located(text)
        found: list[tuple[int, int]] = []
        for number, group in enumerate(self.groups):
            for place in self._places(words, number):
                last = where[place + len(group) - 1]
                length = min(len(group[-1]), len(last))
                found.append((where[place][0][0], last[length - 1][1]))
                if len(found) >= 4 * SEARCH_MAX_SPANS:
                    break
        return _merged(found)[:SEARCH_MAX_SPANS]

    def _places(self, words: list[str], number: int) -> Iterator[int]:
        group = self.groups[number]
        whole = number < len(self.groups) - 1
        *head, last = group
        for place in range(len(words) - len(group) + 1):
            end = place + len(group) - 1
            if words[place:end] == head and (words[end] == last if whole else words[end].startswith(last)):
                yield place


def _located(text: str) -> tuple[list[str], list[list[tuple[int, int]]]]:
    """Return the words of `text`, and for each character of each word from where to where it is in `text`."""
    words: list[str] = []
    where: list[list[tuple[int, int]]] = []
    inside = False
    for index, char in enumerate(text):
        for folded in _FOLDING[ord(char)]:
            if folded == " ":
                inside = False
            elif inside:
                words[-1] += folded
                where[-1].append((index, index + 1))
            else:
                words.append(folded)
                where.append([(index, index + 1)])
                inside = True
    return [word[:SEARCH_MAX_WORD] for word in words], where


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def excerpt(text: str, query: Query) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return the part of `text` around the first thing found, at most `SEARCH_EXCERPT` long, and the spans in it."""
    spans = query.spans(text)
    first = spans[0][0] if spans else 0
    start = max(0, min(first - SEARCH_EXCERPT // 4, len(text) - SEARCH_EXCERPT))
    end = start + SEARCH_EXCERPT
    inside = tuple((a - start, min(b, end) - start) for a, b in spans if a >= start and a < end)
    return text[start:end], inside

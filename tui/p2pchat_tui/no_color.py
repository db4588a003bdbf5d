"""What `NO_COLOR` asks for: no colour at all, and what only a colour would have shown, in reverse."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NoColor", "wants_no_color"]

_STANDS_OUT: Final = 0.15
"""Difference in brightness to the ground from which on a background means something: a cursor, a selection."""


def wants_no_color(environment: Mapping[str, str]) -> bool:
    """Tell whether the user wants no colours: the variable is there and not empty (no-color.org)."""
    return bool(environment.get("NO_COLOR"))


class NoColor(LineFilter):
    """Takes the colours away. Bold, dim, underlined and reverse stay."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return `segments` without colours; `background` is the ground of the widget they belong to."""
        return [
            Segment(text, _plain(style, background) if style is not None else None, control)
            for text, style, control in segments
        ]


@lru_cache(2048)
def _plain(style: Style, ground: Color) -> Style:
    reverse = bool(style.reverse)
    if style.bgcolor is not None and not style.bgcolor.is_default:
        brightness = Color.from_rich_color(style.bgcolor).brightness
        reverse = reverse or abs(brightness - ground.brightness) > _STANDS_OUT
    plain = Style(
        bold=style.bold, dim=style.dim, italic=style.italic, underline=style.underline, strike=style.strike
    )
    plain += Style(reverse=True) if reverse else Style()
    return plain + Style.from_meta(style.meta) if style._meta is not None else plain

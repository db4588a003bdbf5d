"""The log: time, sign, words, wrapped under themselves, selectable, and quick with thousands of lines."""

from __future__ import annotations

import bisect
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.content import Content
from textual.geometry import Offset, Size
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions

from p2pchat_tui.log_lines import LineKind, LogLine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from textual.css.styles import RulesMap

__all__ = ["LogView", "shifted", "with_base"]

_WRAP: RulesMap = {"text_wrap": "wrap", "text_overflow": "fold"}
_GUTTER = 8  # "12:01 › "
_NEAR_END = 2
_FOLDED = frozenset({LineKind.DIALING, LineKind.LISTENING, LineKind.CONNECTED, LineKind.ROUND_TRIP})
"""Lines with an address in them: it has no blanks to break at, so these are broken where the pane ends."""
_STYLES: dict[LineKind, str] = {
    LineKind.NOTE: "$text-muted",
    LineKind.DIALING: "$text-accent",
    LineKind.LISTENING: "$text-accent",
    LineKind.CONNECTED: "$text-success",
    LineKind.ROUND_TRIP: "$text-muted",
    LineKind.SENT: "$text-muted",
    LineKind.RECEIVED: "$text-peer",
    LineKind.FAILED: "$text-error",
}


@dataclass(slots=True)
class _Entry:
    """A line wrapped to the present width. `line` is None for a change of day."""

    line: LogLine | None
    body: Content
    strips: list[Strip]
    logical: int
    """How many lines the text has of itself, before wrapping; selections count in these."""


class LogView(ScrollView, can_focus=True):
    """Shows the lines it is given; keeps none of its own."""

    DEFAULT_CLASSES = "pane"
    ALLOW_SELECT: ClassVar[bool] = True

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: Sequence[LogLine] = ()
        self._entries: list[_Entry] = []
        self._tops: list[int] = []
        self._bases: list[int] = []
        self._wrapped_at = 0
        self._following = True
        self._wrapped: dict[object, _Entry] = {}

    @property
    def text(self) -> str:
        """Everything shown, without times; what selecting all copies."""
        return "\n".join(entry.body.plain for entry in self._entries)

    def show(self, lines: Sequence[LogLine], *, to_end: bool = False) -> None:
        """Show exactly `lines`.

        Args:
            to_end: scroll to the end even if the reader has scrolled up.
        """
        if lines != self._lines:
            self._lines = lines
            self._lay_out()
            self.refresh()
        elif not to_end:
            return
        if self._following or to_end:
            self.scroll_end(animate=False, immediate=False)

    def on_resize(self) -> None:
        """Wrap anew; a reader at the end stays at the end."""
        self._lay_out()
        if self._following:
            self.scroll_end(animate=False, immediate=False)

    def _fit(self) -> None:
        """Wrap anew if the width has changed without a resize, as when a scroll bar comes or goes."""
        if self._wrapped_at != self.scrollable_content_region.width:
            self.on_resize()
            self.refresh()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Notice whether the reader is at the end and wants to stay there."""
        super().watch_scroll_y(old_value, new_value)
        self._following = new_value >= self.max_scroll_y - _NEAR_END

    def notify_style_update(self) -> None:
        """Colours changed, so what was drawn before is of no use."""
        super().notify_style_update()
        self._wrapped.clear()
        if self._lines:
            self._lay_out()

    def _lay_out(self) -> None:
        width = self.scrollable_content_region.width
        if width <= 0:
            return
        if width != self._wrapped_at:
            self._wrapped_at = width
            self._wrapped.clear()
        before, self._wrapped = self._wrapped, {}
        self._entries, self._tops, self._bases = [], [], []
        rows = logical = 0
        for key, line, label in _with_days(self._lines):
            entry = before.get(key) or self._wrap(line, label, width)
            self._wrapped[key] = entry
            self._entries.append(entry)
            self._tops.append(rows)
            self._bases.append(logical)
            rows, logical = rows + len(entry.strips), logical + entry.logical
        self.virtual_size = Size(width, rows)

    def _wrap(
        self, line: LogLine | None, label: str, width: int, selection: Selection | None = None
    ) -> _Entry:
        if line is None:
            gutter, body, indent = Content(""), Content.styled(f"── {label} ──", "$text-muted"), 0
        else:
            gutter = Content.assemble((label, "$text-muted"), " ", (line.kind.value, _STYLES[line.kind]), " ")
            body, indent = line.body, _GUTTER
        if width < _GUTTER * 3:
            indent = 0  # no room for a column of times
        room = max(2, width - indent)
        parts = (
            body.divide(range(room, len(body), room)) if line is not None and line.kind in _FOLDED else [body]
        )
        strips: list[Strip] = []
        for number, part in enumerate(parts):
            drawn = part.render_strips(
                room, None, self._base_style, self._options(shifted(selection, number * room))
            )
            strips += [strip.apply_offsets(number * room, 0) for strip in drawn] if number else drawn
        if indent:
            first = gutter.render_strips(indent, 1, self._base_style, self._options(None))[0]
            blank = Strip.blank(indent, self._base_style.rich_style)
            strips = [Strip.join([blank if row else first, strip]) for row, strip in enumerate(strips)]
        return _Entry(line, body, strips, body.plain.count("\n") + 1)

    @property
    def _base_style(self) -> Style:
        return self.visual_style

    def _options(self, selection: Selection | None) -> RenderOptions:
        chosen = None
        if selection is not None:
            chosen = Style.from_styles(self.screen.get_component_styles("screen--selection"))
        return RenderOptions(self._get_style, _WRAP, selection, chosen)

    def render_line(self, y: int) -> Strip:
        """Draw row `y` of the visible part."""
        width = self.scrollable_content_region.width
        if width != self._wrapped_at:
            self.call_after_refresh(self._fit)
        blank = self._base_style.rich_style
        row = y + self.scroll_offset.y
        index = bisect.bisect_right(self._tops, row) - 1
        if index < 0:
            return Strip.blank(width, blank)
        entry, base = self._entries[index], self._bases[index]
        selected = self._selection_in(entry, base)
        if selected is not None and entry.line is not None:
            label = time.strftime("%H:%M", time.localtime(entry.line.at))
            entry = self._wrap(entry.line, label, self._wrapped_at, selected)
        within = row - self._tops[index]
        if within >= len(entry.strips):
            return Strip.blank(width, blank)
        return with_base(entry.strips[within], base).extend_cell_length(width, blank).crop(0, width)

    # --- selecting with the mouse: offsets are (character, line of the text), counted over the whole log -----------

    def _selection_in(self, entry: _Entry, base: int) -> Selection | None:
        selection = self.text_selection
        if selection is None:
            return None
        start, end = selection
        if (start is not None and start.y >= base + entry.logical) or (end is not None and end.y < base):
            return None
        inner_start = None if start is None or start.y < base else Offset(start.x, start.y - base)
        inner_end = None if end is None or end.y >= base + entry.logical else Offset(end.x, end.y - base)
        return Selection(inner_start, inner_end)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the selected words, for Ctrl+C."""
        return selection.extract(self.text), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Draw the selection as it grows."""
        self.refresh()


def _with_days(lines: Sequence[LogLine]) -> Iterator[tuple[object, LogLine | None, str]]:
    """Give each line a key and its time, and None where a day begins."""
    day = ""
    for line in lines:
        moment = time.localtime(line.at)
        today = f"{time.strftime('%A', moment)} {moment.tm_mday} {time.strftime('%B', moment)}"
        if day not in ("", today):
            yield (today, line.serial), None, today
        day = today
        yield line.serial, line, time.strftime("%H:%M", moment)


def shifted(selection: Selection | None, columns: int) -> Selection | None:
    """Return `selection` as a part sees it that begins `columns` characters into its line."""
    if selection is None or not columns:
        return selection
    start, end = selection
    return Selection(
        None if start is None else Offset(max(0, start.x - columns), start.y),
        None if end is None else Offset(max(0, end.x - columns), end.y),
    )


def with_base(strip: Strip, base: int) -> Strip:
    """Return `strip` with the selection offsets, which count within one entry, counted over the whole log."""
    if not base:
        return strip
    segments = []
    for segment in strip:
        style = segment.style
        offset = style.meta.get("offset") if style is not None and style._meta is not None else None
        if style is not None and offset is not None:
            style = style + RichStyle.from_meta({"offset": (offset[0], offset[1] + base)})
        segments.append(Segment(segment.text, style))
    return Strip(segments, strip.cell_length)

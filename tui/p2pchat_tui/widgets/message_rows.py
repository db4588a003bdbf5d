"""Draws one message: the day it begins, the sender it changes to, its words, its time and its state.

Our own messages and the peer's differ by the name above them and by the state behind ours, never by colour alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from textual.content import Content
from textual.strip import Strip
from textual.visual import RenderOptions

from p2pchat_tui.links import LINK
from p2pchat_tui.safe_text import Kind, visible
from p2pchat_tui.widgets.log_view import with_base

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.css.styles import RulesMap
    from textual.selection import Selection
    from textual.style import Style

    from p2pchat_tui.conversation import Message

__all__ = ["GROUP_SECONDS", "LINES_PER_MESSAGE", "Painter", "day_of"]

GROUP_SECONDS: Final = 15 * 60
"""A pause longer than this begins a new group of the same sender."""
LINES_PER_MESSAGE: Final = 1024
"""Selections name a line by the message's serial times this, plus the line within it."""

_WRAP: RulesMap = {"text_wrap": "wrap", "text_overflow": "fold"}
_RULE: Final = "▎ "
_MARK: Final = "▶ "
_TIME: Final = 9  # " 12:01 ✓✓"
_ROOM_FOR_TIME: Final = 40
_WIDEST: Final = 100  # cells; longer lines are hard to read


@dataclass(frozen=True, slots=True)
class Painter:
    """Draws messages for one pane.

    Attributes:
        width: cells, all of which are filled.
        now: Unix seconds, to say `today`.
        selection_style: what the user has selected looks like this.
    """

    width: int
    us: str
    them: str
    now: float
    base: Style
    get_style: Callable[[str | Style], Style]
    selection_style: Style | None = None
    times: str = "%H:%M"

    def draw(
        self,
        message: Message,
        before: Message | None,
        serial: int,
        selection: Selection | None = None,
        *,
        marked: bool = False,
    ) -> list[Strip]:
        """Return the rows of `message`, which comes after `before`; `marked` is the one that was looked for."""
        rows: list[Strip] = []
        new_day = before is None or day_of(before.at) != day_of(message.at)
        if new_day:
            if before is not None:
                rows.append(Strip.blank(self.width, self.base.rich_style))
            rows.append(self._day(message.at))
        style = "$text-accent" if message.outgoing else "$text-peer"
        group = new_day or before is None or before.outgoing != message.outgoing
        if group or (before is not None and message.at - before.at > GROUP_SECONDS):
            if not new_day:
                rows.append(Strip.blank(self.width, self.base.rich_style))
            rows.append(
                self._line(Content.styled(self.us if message.outgoing else self.them, f"bold {style}"))
            )
        return rows + self._body(message, serial, style, selection, marked)

    def _body(
        self, message: Message, serial: int, style: str, selection: Selection | None, marked: bool
    ) -> list[Strip]:
        text = Content.styled(visible(message.text, Kind.MESSAGE), "$foreground")
        text = text.highlight_regex(LINK, style="underline") if ":" in message.text else text
        text = text.stylize("bold") if marked else text
        aside = self._aside(message)
        room = max(2, min(_WIDEST, self.width - len(_RULE) - aside.cell_length))
        sign = Content.styled(_MARK, "bold $text-warning") if marked else Content.styled(_RULE, style)
        rule = self._strips(sign, len(_RULE))[0]
        options = RenderOptions(self.get_style, _WRAP, selection, self.selection_style)
        rows = []
        for number, words in enumerate(text.render_strips(room, None, self.base, options)):
            words = with_base(words, serial * LINES_PER_MESSAGE)
            parts = [rule, words.adjust_cell_length(room, self.base.rich_style)]
            if number == 0 and aside:
                parts += self._strips(aside, aside.cell_length)
            rows.append(Strip.join(parts).adjust_cell_length(self.width, self.base.rich_style).simplify())
        return rows

    def _aside(self, message: Message) -> Content:
        state = message.state
        sign = (
            Content(" " * 3)
            if state is None
            else Content.assemble(
                " ", (f"{state.value:<2}", "$text-success" if state.value == "✓✓" else "$text-muted")
            )
        )
        if self.width < _ROOM_FOR_TIME or not self.times:
            return sign
        return (
            Content.styled(time.strftime(f" {self.times}", time.localtime(message.at)), "$text-muted") + sign
        )

    def _day(self, at: float) -> Strip:
        day = day_of(at)
        if day == day_of(self.now):
            words = f"Today, {day}"
        elif day == day_of(self.now - 86400):
            words = f"Yesterday, {day}"
        else:
            words = day
            if time.localtime(at).tm_year != time.localtime(self.now).tm_year:
                words += f" {time.localtime(at).tm_year}"
        width = min(self.width, len(_RULE) + _WIDEST + _TIME)
        left = max(0, width - len(words) - 2) // 2
        right = max(0, width - len(words) - 2 - left)
        return self._line(
            Content.assemble(("─" * left, "$line"), (f" {words} ", "$text-muted"), ("─" * right, "$line"))
        )

    def _line(self, content: Content) -> Strip:
        return self._strips(content, self.width)[0]

    def _strips(self, content: Content, width: int) -> list[Strip]:
        return content.render_strips(width, 1, self.base, RenderOptions(self.get_style, _WRAP))


def day_of(at: float) -> str:
    """Return the local day of a moment as people write it."""
    moment = time.localtime(at)
    return f"{time.strftime('%A', moment)} {moment.tm_mday} {time.strftime('%B', moment)}"

"""The open conversation: rows of messages, of which only those around the view are ever drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from textual.content import Content
from textual.geometry import Offset, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions

from p2pchat_tui.keys import keys_of
from p2pchat_tui.preferences import preferences_of
from p2pchat_tui.roster import badges
from p2pchat_tui.safe_text import Kind, visible
from p2pchat_tui.widgets.message_blocks import Anchor, MessageBlocks
from p2pchat_tui.widgets.message_rows import LINES_PER_MESSAGE, Painter

if TYPE_CHECKING:
    from textual import events

    from p2pchat_tui.conversation import Conversation

__all__ = ["MessageView"]

_NEAR_TOP: Final = 150
"""Messages above the view, below which older ones are wanted."""


class MessageView(ScrollView, can_focus=True):
    """Shows one conversation; keeps nothing of it but what is drawn."""

    @dataclass
    class NearTop(Message):
        """The reader comes near the oldest message that is loaded."""

        peer: str

    @dataclass
    class TitleClicked(Message):
        """The name of the peer was clicked."""

        peer: str

    DEFAULT_CLASSES = "pane"
    ALLOW_SELECT: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__(id="messages")
        self._us = "You"
        self._now = 0.0
        self._conversation: Conversation | None = None
        self._them = ""
        self._seen = 0
        self._missed = 0
        self._following = True
        self._width = 0
        self._blocks: MessageBlocks | None = None
        self._settling = False
        self._marked: int | None = None

    # --- what the screen tells -------------------------------------------------------------------------------------

    def show(self, conversation: Conversation | None, us: str, now: float, *, to_end: bool = False) -> None:
        """Show `conversation` as it is now.

        Args:
            us: what to call ourselves, safe to draw.
            now: Unix seconds.
            to_end: go to the newest message even if the reader has scrolled up.
        """
        self._us, self._now = us, now
        if conversation is not self._conversation:
            self._conversation, self._following, self._missed = conversation, True, 0
            self._marked = None
            self._seen = conversation.end if conversation else 0
            self._blocks = MessageBlocks(conversation) if conversation else None
            self.refresh()
        if conversation is None:
            self.border_title = Content("")
            return
        if conversation.name != self._them:
            self._them = conversation.name
            self._forget_rows()
        self._following |= to_end
        if not self._following:
            fresh = (conversation.message(serial) for serial in range(self._seen, conversation.end))
            self._missed += sum(1 for message in fresh if message is not None and not message.outgoing)
        self._seen = conversation.end
        self._settle()
        self._title()

    @property
    def missed(self) -> int:
        """How many messages came while the reader was further up."""
        return self._missed

    @property
    def text(self) -> str:
        """The words of what is in view, for tests and screen readers."""
        return "\n".join(self.render_line(y).text.rstrip() for y in range(self.size.height))

    def to_end(self) -> None:
        """Go to the newest message."""
        self._following = True
        self._settle()
        self._title()

    def go_to(self, serial: int) -> None:
        """Show one message, marked, with what was said around it."""
        if self._blocks is None:
            return
        self._following, self._marked = False, serial
        self._settle(Anchor(max(self._blocks.conversation.first, serial - 3), 0))
        self._title()

    @property
    def marked(self) -> int | None:
        """The serial of the message that was gone to."""
        return self._marked

    def _title(self) -> None:
        conversation = self._conversation
        if conversation is not None:
            self.border_title = _title(conversation)
        key = keys_of(self.app).shown("log_end")
        if self._following:
            self._missed = 0
            self.border_subtitle = Content("")
        elif self._missed:
            self.border_subtitle = Content.styled(f"↓ {self._missed} new below · {key}", "bold $text-accent")
        else:
            self.border_subtitle = Content.styled(f"↓ reading back · {key}", "$text-muted")

    # --- drawing ---------------------------------------------------------------------------------------------------

    def _forget_rows(self) -> None:
        if self._blocks is not None:
            anchor = self._blocks.anchor(self.scroll_offset.y)
            self._blocks.forget()
            self._settle(anchor)

    def _painter(self) -> Painter:
        chosen = Style.from_styles(self.screen.get_component_styles("screen--selection"))
        return Painter(
            self._width,
            self._us,
            self._them,
            self._now,
            self.visual_style,
            self._get_style,
            chosen,
            preferences_of(self.app).clock_format,
        )

    def _settle(self, anchor: Anchor | None = None) -> None:
        """Draw what is in view, and stay where the reader is: at `anchor`, at the end, or where they were."""
        blocks, region = self._blocks, self.scrollable_content_region
        if blocks is None or self._settling or region.width <= 0 or region.height <= 0:
            return
        self._settling = True
        try:
            if anchor is None:
                anchor = blocks.anchor(self.scroll_offset.y)
            if self._width != region.width:
                self._width = region.width
                blocks.forget()
            top = blocks.look(self._painter(), None if self._following else anchor, region.height)
            self.virtual_size = Size(self._width, blocks.height)
            self.scroll_target_y = self.scroll_y = top
            self.refresh()
        finally:
            self._settling = False
        talk = blocks.conversation
        if not self._following and blocks.anchor(top).serial - talk.first < _NEAR_TOP and not talk.complete:
            self.post_message(self.NearTop(talk.peer))

    # --- what Textual tells -------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        """Wrap anew; the reader stays with the message that was on top, or at the end."""
        self._settle()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """The reader moved: draw what came into view, notice whether this is the end."""
        super().watch_scroll_y(old_value, new_value)
        if not self._settling and round(old_value) != round(new_value):
            self._following = new_value >= self.max_scroll_y - 1
            self._settle()
            self._title()

    def scroll_to(
        self, x: float | None = None, y: float | None = None, *, animate: bool = True, **options: object
    ) -> None:
        """Scroll at once: an animation would go on to a place that drawing has just moved."""
        super().scroll_to(x, y, animate=False, **options)  # type: ignore[arg-type]

    def notify_style_update(self) -> None:
        """Colours changed, so what was drawn before is of no use."""
        super().notify_style_update()
        self._forget_rows()

    def on_click(self, event: events.Click) -> None:
        """A click on the name opens the card; one on the lower edge, where it says how many came, goes there."""
        if self._conversation is not None and event.screen_y == self.region.y:
            event.stop()
            self.post_message(self.TitleClicked(self._conversation.peer))
        elif not self._following and event.screen_y == self.region.bottom - 1:
            event.stop()
            self.to_end()

    def render_line(self, y: int) -> Strip:
        """Draw row `y` of the visible part."""
        width, blank = self.scrollable_content_region.width, self.visual_style.rich_style
        if width != self._width:
            self.call_after_refresh(self._settle)
        if self._conversation is None or not self._conversation.messages:
            return self._hint(y, width)
        found = self._blocks.strips(y + self.scroll_offset.y) if self._blocks is not None else None
        if found is None:
            return Strip.blank(width, blank)
        (serial, row), strips = found
        selection, message = self._selection_in(serial), self._conversation.message(serial)
        marked = serial == self._marked
        if (selection is not None or marked) and message is not None:
            before = self._conversation.message(serial - 1)
            strips = self._painter().draw(message, before, serial, selection, marked=marked)
        return (
            strips[row].adjust_cell_length(width, blank) if row < len(strips) else Strip.blank(width, blank)
        )

    def _hint(self, y: int, width: int) -> Strip:
        """Say what can be done where there is nothing to show."""
        keys = keys_of(self.app)
        words = (
            f"Choose a conversation: {keys.shown('next_conversation')}, {keys.shown('find')} or the mouse."
            if self._conversation is None
            else "Nothing has been said yet. Write below; Enter sends."
        )
        if y != 1:
            return Strip.blank(width, self.visual_style.rich_style)
        content = Content.styled(words, "$text-muted")
        options = RenderOptions(self._get_style, {"text_wrap": "nowrap", "text_overflow": "ellipsis"})
        return content.render_strips(width, 1, self.visual_style, options)[0].adjust_cell_length(
            width, self.visual_style.rich_style
        )

    # --- selecting with the mouse: offsets are (character, serial and line in one number) ------------------------

    def _selection_in(self, serial: int) -> Selection | None:
        selection, base = self.text_selection, serial * LINES_PER_MESSAGE
        if selection is None:
            return None
        start, end = selection
        if (start is not None and start.y >= base + LINES_PER_MESSAGE) or (end is not None and end.y < base):
            return None
        return Selection(
            None if start is None or start.y < base else Offset(start.x, start.y - base),
            None if end is None or end.y >= base + LINES_PER_MESSAGE else Offset(end.x, end.y - base),
        )

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the selected words, without times and names, for copying."""
        conversation = self._conversation
        if conversation is None:
            return None
        start, end = selection
        first = conversation.first if start is None else start.y // LINES_PER_MESSAGE
        last = conversation.end - 1 if end is None else end.y // LINES_PER_MESSAGE
        parts = []
        for serial in range(max(first, conversation.first), min(last, conversation.end - 1) + 1):
            message, inner = conversation.message(serial), self._selection_in(serial)
            if message is not None and inner is not None:
                parts.append(inner.extract(visible(message.text, Kind.MESSAGE)))
        return "\n".join(parts), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Draw the selection as it grows."""
        self.refresh()


def _title(conversation: Conversation) -> Content:
    title = Content(conversation.name)
    for words, style in badges(conversation.contact):
        title = title.append("  ").append(Content.styled(words, style))
    return title

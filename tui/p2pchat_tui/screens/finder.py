"""Finds a conversation by a few of its letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.fuzzy import Matcher
from textual.screen import ModalScreen
from textual.style import Style
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from p2pchat_tui.safe_text import clean_input
from p2pchat_tui.widgets.conversations import path_sign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events
    from textual.app import ComposeResult

    from p2pchat_tui.conversation import Conversation

__all__ = ["FinderScreen"]

_SHOWN = 50


class FinderScreen(ModalScreen["str | None"]):
    """A field over a list; answers with the peer id of the chosen conversation."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Close", show=False),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("pagedown", "move(8)", show=False, priority=True),
        Binding("pageup", "move(-8)", show=False, priority=True),
    ]

    def __init__(self, conversations: Sequence[Conversation]) -> None:
        super().__init__()
        # Those with something unread, then those one can talk to now; the newest of each first.
        self._conversations = sorted(
            conversations, key=lambda c: (not c.unread, not c.connected, -_last_at(c))
        )

    def compose(self) -> ComposeResult:
        """Make the field and the list."""
        page = Vertical(id="finder", classes="pane")
        page.border_title = Content("Find a conversation")
        page.border_subtitle = Content("↑↓ choose · Enter opens · Esc closes")
        with page:
            yield Input(placeholder="part of a name or peer id", id="finder-input", compact=True)
            yield OptionList(id="finder-list", compact=True, markup=False)

    def on_mount(self) -> None:
        """Show everything until something is typed."""
        self._search("")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show what matches, best first."""
        self._search(clean_input(event.value, lines=False))

    def on_input_submitted(self) -> None:
        """Open the chosen one."""
        if (option := self._list.highlighted_option) is not None and option.id is not None:
            self.dismiss(option.id)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Open the one that was clicked."""
        if event.option_id is not None:
            self.dismiss(event.option_id)

    def on_click(self, event: events.Click) -> None:
        """A click beside the page closes it."""
        if self.get_widget_at(event.screen_x, event.screen_y)[0] is self:
            self.dismiss(None)

    def action_move(self, rows: int) -> None:
        """Choose another one, from inside the field."""
        count = self._list.option_count
        if count:
            self._list.highlighted = min(count - 1, max(0, (self._list.highlighted or 0) + rows))

    @property
    def _list(self) -> OptionList:
        return self.query_one(OptionList)

    def _search(self, query: str) -> None:
        matcher = Matcher(query, match_style=Style(bold=True, underline=True))
        found: list[tuple[float, Conversation, bool]] = []
        for conversation in self._conversations:
            by_name = matcher.match(conversation.name) if query else 1.0
            score = max(by_name, matcher.match(conversation.peer) / 2 if query else 0.0)
            if score > 0:
                found.append((score, conversation, by_name > 0))
        if query:
            found.sort(key=lambda hit: -hit[0])
        options = [
            Option(
                _entry(conversation, matcher.highlight(conversation.name) if query and named else None),
                conversation.peer,
            )
            for _, conversation, named in found[:_SHOWN]
        ]
        self._list.clear_options()
        self._list.add_options(options or [Option(Content("Nobody of that name"), disabled=True)])
        self._list.highlighted = 0 if found else None


def _entry(conversation: Conversation, name: Content | None) -> Content:
    sign, style = path_sign(conversation.path)
    unread = (f"  {min(conversation.unread, 999)} new", "bold $text-accent") if conversation.unread else ""
    words = Content(conversation.name) if name is None else name
    return Content.assemble((sign, style), " ", words, unread)


def _last_at(conversation: Conversation) -> float:
    return conversation.messages[-1].at if conversation.messages else 0.0

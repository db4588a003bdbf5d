"""A field over a list: type to narrow the list down, Enter takes what is chosen. Finder, people and search are such."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from p2pchat_tui.widgets.clean_field import CleanField

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events
    from textual.app import ComposeResult

__all__ = ["Chooser"]


class Chooser(ModalScreen["str | None"]):
    """A page over the main screen; answers with the id of the chosen option.

    Attributes:
        TITLE_TEXT: stands in the border; HINT below it, PLACEHOLDER in the field, NOTHING in an empty list.
    """

    TITLE_TEXT: ClassVar[str] = ""
    HINT: ClassVar[str] = "↑↓ choose · Enter opens · Esc closes"
    PLACEHOLDER: ClassVar[str] = ""
    NOTHING: ClassVar[str] = ""
    WIDE: ClassVar[bool] = False

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Close", show=False),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("pagedown", "move(8)", show=False, priority=True),
        Binding("pageup", "move(-8)", show=False, priority=True),
    ]

    def compose(self) -> ComposeResult:
        """Make the field and the list."""
        page = Vertical(id="chooser", classes="pane -wide-page" if self.WIDE else "pane")
        page.border_title = Content(self.TITLE_TEXT)
        page.border_subtitle = Content(self.HINT)
        with page:
            yield CleanField(placeholder=self.PLACEHOLDER, id="chooser-input", compact=True)
            yield OptionList(id="chooser-list", compact=True, markup=False)

    def on_mount(self) -> None:
        """Show everything until something is typed."""
        self.typed("")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show what matches, best first."""
        self.typed(event.value)

    def on_input_submitted(self) -> None:
        """Open the chosen one."""
        if (option := self.list.highlighted_option) is not None and option.id is not None:
            self.chosen(option.id)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Open the one that was clicked."""
        if event.option_id is not None:
            self.chosen(event.option_id)

    def on_click(self, event: events.Click) -> None:
        """A click beside the page closes it."""
        if self.get_widget_at(event.screen_x, event.screen_y)[0] is self:
            self.dismiss(None)

    def action_move(self, rows: int) -> None:
        """Choose another one, from inside the field; what cannot be chosen is passed over."""
        options = self.list.options
        places = [at for at, option in enumerate(options) if not option.disabled]
        if not places:
            return
        now = self.list.highlighted
        at = places.index(now) if now in places else -1
        self.list.highlighted = places[min(len(places) - 1, max(0, at + rows))]

    def typed(self, query: str) -> None:
        """List what `query` finds. Subclasses do it."""
        raise NotImplementedError

    def chosen(self, option_id: str) -> None:
        """Answer with what was chosen."""
        self.dismiss(option_id)

    @property
    def list(self) -> OptionList:
        """What can be chosen."""
        return self.query_one(OptionList)

    def offer(self, options: Sequence[Option], nothing: str = "") -> None:
        """List `options`, or say that there are none."""
        self.list.clear_options()
        words = Content.styled(nothing or self.NOTHING, "$text-muted")
        self.list.add_options(options or [Option(words, disabled=True)])
        first = next((at for at, option in enumerate(options) if not option.disabled), None)
        self.list.highlighted = first

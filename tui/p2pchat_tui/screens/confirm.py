"""Asks before something is done that cannot be undone."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

if TYPE_CHECKING:
    from textual.app import ComposeResult

__all__ = ["ConfirmScreen"]


class ConfirmScreen(ModalScreen[bool]):
    """A question with two buttons; the harmless one has the focus.

    Args:
        question: one sentence.
        about: what will happen.
        yes: what the button that does it says.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "answer(False)", "No", show=False),
        Binding("y", "answer(True)", "Yes", show=False),
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
    ]

    def __init__(self, question: str, about: str, yes: str) -> None:
        super().__init__()
        self._question, self._about, self._yes = question, about, yes

    def compose(self) -> ComposeResult:
        """Make the question and its answers."""
        page = Vertical(id="confirm", classes="pane")
        page.border_title = Content("Are you sure?")
        page.border_subtitle = Content("y yes · n or Esc no")
        with page:
            yield Static(Content.styled(self._question, "bold $foreground"))
            yield Static(Content.styled(self._about, "$text-muted"), id="confirm-about")
            with Horizontal(id="confirm-buttons"):
                yield Button(Content("No, leave it"), id="no", compact=True)
                yield Button(Content(self._yes), id="yes", compact=True, variant="error")

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        event.stop()
        self.dismiss(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        """Answer."""
        self.dismiss(yes)

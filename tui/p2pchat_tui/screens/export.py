"""Asks where to write a conversation, and says what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from p2pchat_core.chat.model import ExportFormat
from p2pchat_tui.safe_text import Kind, safe_text
from p2pchat_tui.widgets.clean_field import CleanField

if TYPE_CHECKING:
    from textual.app import ComposeResult

__all__ = ["ExportScreen", "format_of"]

_SUFFIXES: Final = {".txt": ExportFormat.TEXT, ".jsonl": ExportFormat.JSON_LINES}


def format_of(path: Path) -> ExportFormat | None:
    """Return what the suffix of a path asks for, or None if it asks for nothing we know."""
    return _SUFFIXES.get(path.suffix.lower())


class ExportScreen(ModalScreen[None]):
    """A page over the main screen; it stays until the file is written.

    Args:
        path: what the field begins with.
        name: of the conversation that is open, or "" if none is.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Close", show=False)]

    @dataclass
    class Wanted(Message):
        """The user wants a file; of this conversation or of all."""

        path: Path
        format: ExportFormat
        everything: bool

    def __init__(self, path: Path, name: str) -> None:
        super().__init__()
        self._path = path
        self._name = name
        self._everything = not name

    def compose(self) -> ComposeResult:
        """Make the field."""
        page = Vertical(id="export-page", classes="pane")
        page.border_title = Content("Export")
        page.border_subtitle = Content("Enter writes · Tab · Esc closes")
        with page:
            yield CleanField(str(self._path), id="export-path", compact=True)
            yield Button(Content(""), id="export-all", compact=True)
            yield Static(id="export-note")

    def on_mount(self) -> None:
        """Put the cursor before the suffix, where a name is changed."""
        self._say_what()
        field = self.query_one(Input)
        field.cursor_position = len(field.value)
        self._explain()

    def on_button_pressed(self) -> None:
        """Choose between this conversation and all."""
        self._everything = not self._everything or not self._name
        self._say_what()

    def _say_what(self) -> None:
        words = "All conversations" if self._everything else f"The conversation with {self._name}"
        self.query_one(Button).label = Content(f"{words} ▸" if self._name else words)

    def on_input_changed(self) -> None:
        """Say what the suffix means."""
        self._explain()

    def on_input_submitted(self) -> None:
        """Write it."""
        path = self._wanted
        if path is not None and (wanted := format_of(path)) is not None:
            self._note(Content.styled("… writing", "$text-warning"))
            self.app.screen_stack[0].post_message(self.Wanted(path, wanted, self._everything))
        else:
            self._note(Content.styled("✗ The name must end with .txt or .jsonl.", "$text-error"))

    def failed(self, sentence: str) -> None:
        """Say why nothing was written; the path stays, to be mended."""
        self._note(Content.assemble(("✗ ", "$text-error"), safe_text(sentence, Kind.SENTENCE, "$text-error")))

    @property
    def _wanted(self) -> Path | None:
        text = self.query_one(Input).value.strip()
        try:
            return Path(text).expanduser().absolute() if text else None
        except (OSError, RuntimeError, ValueError):  # no such user's home
            return None

    def _explain(self) -> None:
        path = self._wanted
        wanted = format_of(path) if path is not None else None
        words = {
            ExportFormat.TEXT: "Text to read: a line for each message, with day, time and name.",
            ExportFormat.JSON_LINES: "JSON lines for programs: one object for each message.",
            None: "End the name with .txt for text, or .jsonl for JSON lines.",
        }[wanted]
        self._note(Content.styled(f"{words} An existing file is never overwritten.", "$text-muted"))

    def _note(self, content: Content) -> None:
        self.query_one("#export-note", Static).update(content)

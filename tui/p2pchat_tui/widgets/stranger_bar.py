"""Asks the user about a peer that has called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Button, Static

from p2pchat_tui.keys import keys_of
from p2pchat_tui.safe_text import Kind, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from p2pchat_tui.conversation import Conversation

__all__ = ["StrangerBar"]

_ANSWERS: Final[tuple[tuple[str, str, Literal["default", "success", "error"]], ...]] = (
    ("accept", "Accept", "success"),
    ("decline", "Decline", "default"),
    ("block", "Block", "error"),
)
"""Action, words, and the kind of button."""


class StrangerBar(Horizontal):
    """One line with three buttons, there only while somebody waits; it never takes the focus."""

    @dataclass
    class Decided(Message):
        """The user pressed a button, or the question itself: accept, decline, block or card."""

        answer: str
        peer: str

    def __init__(self) -> None:
        super().__init__(id="stranger-bar")
        self.display = False
        self._peer = ""

    def compose(self) -> ComposeResult:
        """Make the question and its answers."""
        yield Static(id="stranger-text")
        keys = keys_of(self.app)
        for name, label, variant in _ANSWERS:
            # There is hardly room for the question beside them, and this one asks first anyway.
            key = "" if name == "block" else keys.shown(name)
            yield Button(Content(f"{label} {key}".rstrip()), id=name, compact=True, variant=variant)

    def show(self, strangers: Sequence[Conversation]) -> None:
        """Ask about the first of `strangers`."""
        self.display = bool(strangers)
        if not strangers:
            return
        first = strangers[0]
        self._peer = first.peer
        count = len(first.held) + first.held_lost
        held = f" ({count} message{'s' if count != 1 else ''} held)" if count else ""
        others = f" (+{len(strangers) - 1})" if len(strangers) > 1 else ""
        claimed = first.contact.impersonates if first.contact is not None else ""
        self.set_class(bool(claimed), "-loud")
        if claimed:
            known = visible(claimed, Kind.NAME)
            words = Content.assemble(
                ("⚠ ", "bold $text-error"),
                (f"{first.name} wants to talk, but is NOT the {known} you know.", "bold $text-error"),
                (f"{held}{others}", "$foreground"),
            )
        else:
            words = Content.assemble(
                ("? ", "bold $text-warning"),
                (first.name, "bold $foreground"),
                (f" wants to talk{held}{others}", "$foreground"),
            )
        self.query_one("#stranger-text", Static).update(words)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Pass the decision on."""
        event.stop()
        self.post_message(self.Decided(event.button.id or "", self._peer))

    def on_click(self) -> None:
        """A click on the question opens the card."""
        self.post_message(self.Decided("card", self._peer))

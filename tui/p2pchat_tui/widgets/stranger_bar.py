"""Asks the user about a peer that has called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Button, Static

from p2pchat_tui.keys import keys_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from p2pchat_tui.conversation import Conversation

__all__ = ["StrangerBar"]


class StrangerBar(Horizontal):
    """One line with two buttons, there only while somebody waits."""

    @dataclass
    class Decided(Message):
        """The user pressed one of the buttons."""

        accepted: bool

    def __init__(self) -> None:
        super().__init__(id="stranger-bar")
        self.display = False

    def compose(self) -> ComposeResult:
        """Make the question and its answers."""
        yield Static(id="stranger-text")
        yield Button(
            Content(f"Accept {keys_of(self.app).shown('accept')}"),
            id="accept",
            compact=True,
            variant="success",
        )
        yield Button(
            Content(f"Decline {keys_of(self.app).shown('decline')}"),
            id="decline",
            compact=True,
            variant="error",
        )

    def show(self, strangers: Sequence[Conversation]) -> None:
        """Ask about the first of `strangers`."""
        self.display = bool(strangers)
        if not strangers:
            return
        first = strangers[0]
        count = len(first.held) + first.held_lost
        held = f" {count} message{'s' if count != 1 else ''} held." if count else ""
        others = f" (+{len(strangers) - 1})" if len(strangers) > 1 else ""
        self.query_one("#stranger-text", Static).update(
            Content.assemble(
                ("? ", "bold $text-warning"),
                (first.name, "bold $foreground"),
                (f" wants to talk.{held}{others}", "$foreground"),
            )
        )

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Pass the decision on."""
        event.stop()
        self.post_message(self.Decided(event.button.id == "accept"))

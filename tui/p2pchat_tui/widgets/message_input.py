"""Where a message is written: Enter sends, pasting never does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.emoji import Emoji
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.strip import Strip
from textual.widgets import TextArea

from p2pchat_core import limits
from p2pchat_tui.bindings import ACTIONS
from p2pchat_tui.keys import keys_of
from p2pchat_tui.safe_text import clean_input

if TYPE_CHECKING:
    from textual import events

    from p2pchat_tui.conversation import Conversation

__all__ = ["MessageInput"]


_NEW_LINE = frozenset({"ctrl+j", "alt+enter", "shift+enter"})
_EMOJI = re.compile(r":([a-z0-9_+-]{1,40})$")
_TAKEN = frozenset(action.key for action in ACTIONS)


class MessageInput(TextArea, inherit_bindings=False):
    """A field of one to four lines. The text stays until it is known to be stored.

    The arrow keys leave it at its edges: up from the first line brings what was sent before, down from the last one
    goes back to what was being written. A short name between colons becomes its emoji when the second colon is typed.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *(b for b in TextArea.BINDINGS if isinstance(b, Binding) and not _TAKEN & set(b.key.split(","))),
    ]

    @dataclass
    class Submitted(Message):
        """The user wants `text` sent to `peer`."""

        peer: str
        text: str

    def __init__(self) -> None:
        super().__init__(id="message-input", compact=True, soft_wrap=True, tab_behavior="focus")
        self.add_class("pane")
        self.highlight_cursor_line = False
        self._peer: str | None = None
        self._drafts: dict[str, str] = {}
        self._in_flight: set[str] = set()
        self._conversation: Conversation | None = None
        self._past: list[str] = []
        self._at = -1
        """Which of `_past` is shown; -1 is what is being written."""
        self._written = ""

    def show(self, conversation: Conversation | None) -> None:
        """Be ready to write to a peer, or say why not. What was being written to another peer waits there."""
        self._conversation = conversation
        peer = conversation.peer if conversation is not None else None
        self.disabled = conversation is None
        if peer != self._peer:
            if self._peer is not None:
                self._drafts[self._peer] = self.text
            self._peer, self._at = peer, -1
            self.text = self._drafts.pop(peer, "") if peer is not None else ""
            self.move_cursor(self.document.end)
        if conversation is None:
            self.border_title = Content("Message")
            self.placeholder = Content(f"Connect to somebody first: {keys_of(self.app).shown('connect')}")
        else:
            self.border_title = Content(f"Message to {conversation.name}")
            self.placeholder = (
                Content("Write a message")
                if conversation.connected
                else Content("Not connected: it will be sent when you are")
            )

    def sent(self, peer: str, text: str) -> None:
        """`text` is stored: the field may forget it."""
        self._in_flight.discard(peer)
        if peer == self._peer and self.text == text:
            self.clear()
        elif self._drafts.get(peer) == text:
            del self._drafts[peer]

    def failed(self, peer: str) -> None:
        """The text could not be sent and stays."""
        self._in_flight.discard(peer)

    def on_text_area_changed(self) -> None:
        """Show how much is written once it matters."""
        size = len(self.text.encode("utf-8", "replace"))
        over = size > limits.CHAT_MAX_TEXT
        if size * 4 < limits.CHAT_MAX_TEXT * 3:
            self.border_subtitle = Content("")
        else:
            style = "bold $text-error" if over else "$text-warning"
            words = f"{size:,} of {limits.CHAT_MAX_TEXT:,} bytes".replace(",", " ")
            self.border_subtitle = Content.styled(("✗ too long: " if over else "") + words, style)

    def action_send(self) -> None:
        """Send what is written, unless that is under way already or is nothing."""
        if self._peer is not None and self._peer not in self._in_flight and self.text.strip():
            self._in_flight.add(self._peer)
            self._at = -1
            self.post_message(self.Submitted(self._peer, self.text))

    def action_new_line(self) -> None:
        """Begin another line of the same message."""
        self.insert("\n")

    def render_line(self, y: int) -> Strip:
        """Draw row `y`; where there is no room at all, nothing (the placeholder cannot be wrapped to no width)."""
        if self.content_size.width < 1:
            return Strip.blank(self.size.width)
        return super().render_line(y)

    async def _on_key(self, event: events.Key) -> None:
        # Not bindings: those that go before the field's own keys also overtake characters that are still on their
        # way to it, and a message would be sent without its end.
        if event.key == "enter":
            self.action_send()
        elif event.key in _NEW_LINE:
            self.action_new_line()
        elif not (
            (event.key == "up" and self._earlier())
            or (event.key == "down" and self._later())
            or (event.character == ":" and self._emoji())
        ):
            return
        event.stop()
        event.prevent_default()

    def _earlier(self) -> bool:
        if not self.navigator.is_first_wrapped_line(self.cursor_location) or self._conversation is None:
            return False
        if self._at < 0:
            self._past, self._written = self._conversation.said_by_us(), self.text
        return self._recall(self._at + 1)

    def _later(self) -> bool:
        last = self.navigator.is_last_wrapped_line(self.cursor_location)
        return last and self._at >= 0 and self._recall(self._at - 1)

    def _recall(self, at: int) -> bool:
        if at >= len(self._past):
            return False
        self._at = at
        self.text = self._written if at < 0 else self._past[at]
        self.move_cursor(self.document.end)
        return True

    def _emoji(self) -> bool:
        """Replace the short name before the cursor; say whether there was one."""
        row, column = self.cursor_location
        found = _EMOJI.search(self.document.get_line(row)[:column])
        if found is None or not self.selection.is_empty:
            return False
        name = f"{found[0]}:"
        if (sign := Emoji.replace(name)) == name:
            return False
        self.replace(sign, (row, found.start()), (row, column), maintain_selection_offset=False)
        return True

    async def _on_paste(self, event: events.Paste) -> None:
        event.text = clean_input(event.text, lines=True)
        await super()._on_paste(event)
        event.prevent_default()
        event.stop()

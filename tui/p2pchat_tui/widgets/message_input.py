"""Where a message is written: Enter sends, pasting never does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.strip import Strip
from textual.widgets import TextArea

from p2pchat_core import limits
from p2pchat_tui.bindings import ACTIONS
from p2pchat_tui.log_lines import short_peer
from p2pchat_tui.safe_text import clean_input

if TYPE_CHECKING:
    from textual import events

__all__ = ["MessageInput"]


_NEW_LINE = frozenset({"ctrl+j", "alt+enter", "shift+enter"})
_TAKEN = frozenset(action.key for action in ACTIONS)


class MessageInput(TextArea, inherit_bindings=False):
    """A field of one to four lines. The text stays until it is known to be stored."""

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

    def show(self, peer: str | None, connected: bool) -> None:
        """Be ready to write to `peer`, or say why not. What was being written to another peer waits there."""
        self.disabled = peer is None
        if peer != self._peer:
            if self._peer is not None:
                self._drafts[self._peer] = self.text
            self._peer = peer
            self.text = self._drafts.pop(peer, "") if peer is not None else ""
            self.move_cursor(self.document.end)
        if peer is None:
            self.border_title = Content("Message")
            self.placeholder = Content("Connect to somebody first: ^O")
        else:
            self.border_title = Content(f"Message to {short_peer(peer)}")
            self.placeholder = (
                Content("Write a message") if connected else Content("Not connected at the moment")
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
        action = {"enter": self.action_send}.get(event.key) or (
            self.action_new_line if event.key in _NEW_LINE else None
        )
        if action is not None:
            event.stop()
            event.prevent_default()
            action()

    async def _on_paste(self, event: events.Paste) -> None:
        event.text = clean_input(event.text, lines=True)
        await super()._on_paste(event)
        event.prevent_default()
        event.stop()

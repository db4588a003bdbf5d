"""How we are connected: the eight steps with their times, the path and why, and our relays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from p2pchat_core.chat.events import PathKind
from p2pchat_tui.log_lines import short_peer
from p2pchat_tui.widgets.path_text import path_text, relays_text
from p2pchat_tui.widgets.timeline import Timeline

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from p2pchat_tui.model import ChatModel

__all__ = ["ConnectionPane"]


class ConnectionPane(VerticalScroll, can_focus=False):
    """The state of the selected connection and of our relays."""

    def __init__(self) -> None:
        super().__init__(id="connection", classes="pane")
        self.border_title = Content("Connection")
        self._drawn: dict[str, Content] = {}

    def compose(self) -> ComposeResult:
        """Make the parts."""
        yield Timeline()
        yield Static(id="path")
        yield Static(id="relays")

    def show(self, model: ChatModel) -> None:
        """Show the connection of interest, if there is one, and our relays."""
        peer, dialing = model.watched, model.dialing is not None
        conversation = model.conversations.get(peer or "")
        if peer is None:
            self.border_title = Content("Connection")
        else:
            name = conversation.name if conversation else short_peer(peer)
            self.border_title = Content("Connection to ").append(Content(name))
        steps = dict(conversation.steps) if conversation else {}
        if model.reservation is not None:
            steps.setdefault(1, model.reservation)
        busy = dialing or (conversation is not None and conversation.path is PathKind.RELAYED)
        self.query_one(Timeline).show(steps, busy)
        self.count(model)

    def count(self, model: ChatModel) -> None:
        """Let the times go on that are counted on the screen."""
        conversation = model.conversations.get(model.watched or "")
        width = self.scrollable_content_region.width or 28
        precise = self.app.animation_level != "none"
        dialing = model.dialing is not None
        self._draw("path", path_text(conversation, dialing, model.clock.monotonic(), width))
        self._draw("relays", relays_text(model.relays.values(), model.clock.time(), precise=precise))

    def toggle_details(self) -> None:
        """Explain every step, or none."""
        self.query_one(Timeline).toggle_all()

    def _draw(self, part: str, content: Content) -> None:
        before = self._drawn.get(part)
        if before is None or (before.plain, before.spans) != (content.plain, content.spans):
            self._drawn[part] = content
            self.query_one(f"#{part}", Static).update(content)

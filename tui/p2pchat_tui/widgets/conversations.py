"""The list of conversations: a column where there is room, otherwise one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.containers import ScrollableContainer
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from p2pchat_core.chat.events import PathKind
from p2pchat_tui.log_lines import short_peer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events
    from textual.app import ComposeResult

    from p2pchat_tui.model import Conversation

__all__ = ["ConversationItem", "ConversationList", "path_sign"]


def path_sign(path: PathKind | None) -> tuple[str, str]:
    """Return the sign and style of a path: full for direct, half for relayed, empty for none."""
    if path is PathKind.DIRECT:
        return "●", "$text-success"
    return ("◐", "$text-warning") if path is PathKind.RELAYED else ("○", "$text-muted")


class ConversationItem(Static):
    """One conversation."""

    @dataclass
    class Chosen(Message):
        """The user wants to see the conversation with `peer`."""

        peer: str

    ALLOW_SELECT = False

    def __init__(self, peer: str) -> None:
        super().__init__()
        self.peer = peer

    def show(self, conversation: Conversation, selected: bool) -> None:
        """Show the path, the name and how much is unread."""
        sign, style = path_sign(conversation.path)
        name = (short_peer(conversation.peer), "bold $foreground" if selected else "$foreground 80%")
        unread = min(conversation.unread, 999)
        count = Content.styled(f" {unread} new", "bold $text-accent") if unread else Content("")
        self.update(Content.assemble((sign, style), " ", name, count))
        self.set_class(selected, "-selected")

    def on_click(self, event: events.Click) -> None:
        """Select this conversation."""
        event.stop()
        self.post_message(self.Chosen(self.peer))


class ConversationList(ScrollableContainer, can_focus=False):
    """All conversations, in the order they began."""

    def __init__(self) -> None:
        super().__init__(id="conversations", classes="pane")
        self.border_title = Content("Conversations")
        self._peers: list[str] = []

    def compose(self) -> ComposeResult:
        """Start with a word instead of a conversation."""
        yield Static(Content.styled("Nobody yet", "$text-muted"), id="nobody")

    def show(self, conversations: Sequence[Conversation], selected: str | None) -> None:
        """Show exactly these."""
        peers = [conversation.peer for conversation in conversations]
        self.set_class(not peers, "-empty")
        self.query_one("#nobody").display = not peers
        if peers[: len(self._peers)] != self._peers:
            self.query(ConversationItem).remove()
            self._peers = []
        if new := peers[len(self._peers) :]:
            self.mount_all(ConversationItem(peer) for peer in new)
            self._peers = peers
        by_peer = {conversation.peer: conversation for conversation in conversations}
        for item in self.query(ConversationItem):
            if item.peer in by_peer:
                item.show(by_peer[item.peer], item.peer == selected)
                if item.peer == selected:
                    item.scroll_visible(animate=False)

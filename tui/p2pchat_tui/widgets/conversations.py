"""The list of conversations: a column of two lines each where there is room, otherwise one line of names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual.containers import ScrollableContainer
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from p2pchat_core.chat.events import PathKind
from p2pchat_tui.keys import keys_of
from p2pchat_tui.safe_text import Kind, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events
    from textual.app import ComposeResult

    from p2pchat_tui.conversation import Conversation

__all__ = ["ConversationItem", "ConversationList", "path_sign"]

_COLUMN = 25
_LAST_CHARS = 80


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
        self._drawn: Content | None = None

    def show(self, conversation: Conversation, selected: bool, column: bool) -> None:
        """Show the path, the name, how much is unread and, in a column, what was said last."""
        content = _entry(conversation, selected, (self.size.width or _COLUMN) if column else 0)
        before = self._drawn
        if before is None or (before.plain, before.spans) != (content.plain, content.spans):
            self._drawn = content
            self.update(content)
        self.set_class(selected, "-selected")

    def on_click(self, event: events.Click) -> None:
        """Select this conversation."""
        event.stop()
        self.post_message(self.Chosen(self.peer))


def _entry(conversation: Conversation, selected: bool, width: int) -> Content:
    sign, style = path_sign(conversation.path)
    bold = selected or conversation.unread
    name = (conversation.name, "bold $foreground" if bold else "$foreground 80%")
    count = f"{min(conversation.unread, 999)} new" if conversation.unread else ""
    if not width:
        unread = (f" {count}", "bold $text-accent") if count else ""
        return Content.assemble((sign, style), " ", name, unread)
    room = width - 2 - cell_len(conversation.name) - cell_len(count)
    first = Content.assemble((sign, style), " ", name, " " * max(1, room), (count, "bold $text-accent"))
    badge = {PathKind.DIRECT: "direct", PathKind.RELAYED: "relayed"}.get(conversation.path or PathKind.DIRECT)
    words = badge if conversation.path is not None and badge else "away"
    if conversation.contact is not None and conversation.contact.impersonates:
        words = f"⚠ not who you know · {words}"
    return Content.assemble(first, "\n  ", (words, style), (_last_words(conversation), "$text-muted"))


def _last_words(conversation: Conversation) -> str:
    if not conversation.messages:
        return ""
    last = conversation.messages[-1]
    words = visible(" ".join(last.text[:_LAST_CHARS].split()), Kind.SENTENCE)
    return f" · you: {words}" if last.outgoing else f" · {words}"


class ConversationList(ScrollableContainer, can_focus=False):
    """All conversations, in the order they began."""

    def __init__(self) -> None:
        super().__init__(id="conversations", classes="pane")
        self.border_title = Content("Conversations")
        self._peers: list[str] = []
        self._last: tuple[Sequence[Conversation], str | None] = ((), None)

    def on_mount(self) -> None:
        """Say how to find one of many."""
        self.border_subtitle = Content.styled(f"{keys_of(self.app).shown('find')} find", "$text-muted")

    def compose(self) -> ComposeResult:
        """Start with a word instead of a conversation."""
        yield Static(Content.styled("Nobody yet", "$text-muted"), id="nobody")

    def show(self, conversations: Sequence[Conversation], selected: str | None) -> None:
        """Show exactly these."""
        self._last = conversations, selected
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
        column = self.screen.has_class("-wide")
        for item in self.query(ConversationItem):
            if item.peer in by_peer:
                chosen = item.peer == selected
                if chosen and not item.has_class("-selected"):
                    self.call_after_refresh(item.scroll_visible, animate=False)
                item.show(by_peer[item.peer], chosen, column)

    def on_resize(self) -> None:
        """Fill the new width, in the form that goes with it."""
        self.call_after_refresh(lambda: self.show(*self._last))

"""Finds a conversation by a few of its letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.fuzzy import Matcher
from textual.style import Style
from textual.widgets.option_list import Option

from p2pchat_tui.screens.chooser import Chooser
from p2pchat_tui.widgets.conversations import path_sign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from p2pchat_tui.conversation import Conversation

__all__ = ["FinderScreen"]

_SHOWN = 50


class FinderScreen(Chooser):
    """Answers with the peer id of the chosen conversation."""

    TITLE_TEXT = "Find a conversation"
    PLACEHOLDER = "part of a name or peer id"
    NOTHING = "Nobody of that name"

    def __init__(self, conversations: Sequence[Conversation]) -> None:
        super().__init__()
        # Those with something unread, then those one can talk to now; the newest of each first.
        self._conversations = sorted(
            conversations, key=lambda c: (not c.unread, not c.connected, -_last_at(c))
        )

    def typed(self, query: str) -> None:
        """List the conversations whose names match, best first."""
        matcher = Matcher(query, match_style=Style(bold=True, underline=True))
        found: list[tuple[float, Conversation, bool]] = []
        for conversation in self._conversations:
            by_name = matcher.match(conversation.name) if query else 1.0
            score = max(by_name, matcher.match(conversation.peer) / 2 if query else 0.0)
            if score > 0:
                found.append((score, conversation, by_name > 0))
        if query:
            found.sort(key=lambda hit: -hit[0])
        self.offer(
            [
                Option(
                    _entry(conversation, matcher.highlight(conversation.name) if query and named else None),
                    conversation.peer,
                )
                for _, conversation, named in found[:_SHOWN]
            ]
        )


def _entry(conversation: Conversation, name: Content | None) -> Content:
    sign, style = path_sign(conversation.path)
    unread = (f"  {min(conversation.unread, 999)} new", "bold $text-accent") if conversation.unread else ""
    words = Content(conversation.name) if name is None else name
    return Content.assemble((sign, style), " ", words, unread)


def _last_at(conversation: Conversation) -> float:
    return conversation.messages[-1].at if conversation.messages else 0.0

"""Everybody the service knows: contacts, strangers that have called, and who is blocked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from textual.content import Content
from textual.fuzzy import Matcher
from textual.style import Style
from textual.widgets.option_list import Option

from p2pchat_core.chat.model import Standing
from p2pchat_tui.roster import badges, name_of
from p2pchat_tui.screens.chooser import Chooser
from p2pchat_tui.widgets.conversations import path_sign

if TYPE_CHECKING:
    from collections.abc import Mapping

    from p2pchat_core.chat.events import PathKind
    from p2pchat_core.chat.model import Contact
    from p2pchat_tui.roster import Roster

__all__ = ["PeopleScreen"]

_SECTIONS: Final = {
    Standing.STRANGER: "Waiting for your answer",
    Standing.CONTACT: "Contacts",
    Standing.BLOCKED: "Blocked",
}


class PeopleScreen(Chooser):
    """Answers with the peer id whose card is to be opened.

    Args:
        paths: how those who are connected are, by peer id.
        waiting: strangers about whom there is something to decide.
    """

    TITLE_TEXT = "People"
    HINT = "↑↓ choose · Enter opens the card · Esc closes"
    PLACEHOLDER = "part of a name, a note or a peer id"
    NOTHING = "Nobody here"
    WIDE = True

    def __init__(self, roster: Roster, paths: Mapping[str, PathKind | None], waiting: set[str]) -> None:
        super().__init__()
        self._roster = roster
        self._paths = paths
        self._waiting = waiting

    def typed(self, query: str) -> None:
        """List whoever matches, by section."""
        matcher = Matcher(query, match_style=Style(bold=True, underline=True))
        options: list[Option] = []
        for standing, title in _SECTIONS.items():
            people = [c for c in self._roster.with_standing(standing) if self._matches(c, query, matcher)]
            if standing is Standing.STRANGER:
                people = [contact for contact in people if contact.peer in self._waiting]
            if people:
                heading = Content.styled(f"{title} ({len(people)})", "bold $primary")
                options.append(Option(heading, disabled=True))
                options += [Option(self._entry(contact), contact.peer) for contact in people]
        self.offer(options)

    def _matches(self, contact: Contact, query: str, matcher: Matcher) -> bool:
        if not query:
            return True
        fields = (contact.name, contact.calls_itself, contact.notes, contact.peer)
        return any(field and matcher.match(field) > 0 for field in fields)

    def _entry(self, contact: Contact) -> Content:
        sign, style = path_sign(self._paths.get(contact.peer))
        parts: list[Content | str | tuple[str, str]] = ["  ", (sign, style), " ", name_of(contact)]
        for words, look in badges(contact):
            parts += ["  ", (words, look)]
        return Content.assemble(*parts)

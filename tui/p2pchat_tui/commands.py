"""The command palette: every action of the table, and every conversation."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from p2pchat_tui.bindings import ACTIONS
from p2pchat_tui.keys import keys_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Commands"]


class Commands(Provider):
    """Offers what the main screen can do at the moment."""

    async def discover(self) -> Hits:
        """List everything, before anything is typed."""
        for title, about, run in self._entries():
            yield DiscoveryHit(Content(title), run, text=title, help=about)

    async def search(self, query: str) -> Hits:
        """List what matches `query`, best first."""
        matcher = self.matcher(query)
        for title, about, run in self._entries():
            score = matcher.match(title)
            if score > 0:
                yield Hit(score, matcher.highlight(title), run, text=title, help=about)

    def _entries(self) -> Iterator[tuple[str, str, Callable[[], object]]]:
        from p2pchat_tui.screens.main import (
            MainScreen,  # the screen knows the app, which knows these commands
        )

        screen = self.screen
        if not isinstance(screen, MainScreen):
            return
        keys = keys_of(self.app)
        for action in ACTIONS:
            if screen.check_action(action.name, ()):
                key = keys.shown(action.name)
                title = f"{action.label}  ({key})" if key else action.label
                yield title, action.about, self._runner(action.name)
        for conversation in screen.model.accepted:
            peer = conversation.peer
            yield f"Talk to {conversation.name}", "Show this conversation.", partial(screen.show_peer, peer)

    def _runner(self, name: str) -> Callable[[], object]:
        action = f"app.{name}" if name == "quit" else f"screen.{name}"
        return lambda: self.app.call_later(self.app.run_action, action)

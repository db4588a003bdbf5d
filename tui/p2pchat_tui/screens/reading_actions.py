"""What the main screen does about what was said: reading back, searching, links, exporting."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_tui.links import links_in, open_link, opener
from p2pchat_tui.safe_text import Kind, visible
from p2pchat_tui.screens.base import BaseScreen
from p2pchat_tui.screens.export import ExportScreen
from p2pchat_tui.screens.links import LinksScreen
from p2pchat_tui.screens.search import SearchScreen
from p2pchat_tui.widgets.log_view import LogView
from p2pchat_tui.widgets.message_view import MessageView

if TYPE_CHECKING:
    from p2pchat_tui import answers
    from p2pchat_tui.links import Link

__all__ = ["ReadingActions", "default_export"]


def default_export(name: str, now: float) -> Path:
    """Return where to export the conversation with `name` to, or all if it is "", that does not exist yet."""
    words = re.sub(r"[^\w-]+", "-", name).strip("-") or "all"
    stem = f"p2pchat-{words}-{time.strftime('%Y-%m-%d', time.localtime(now))}"
    for number in range(1, 100):
        path = Path.home() / f"{stem}{'' if number == 1 else f'-{number}'}.txt"
        if not path.exists():
            break
    return path


class ReadingActions(BaseScreen):
    """Everything that looks at messages."""

    # --- reading back -------------------------------------------------------------------------------------------------

    def on_history_loaded(self, message: answers.HistoryLoaded) -> None:
        """Show what was said before."""
        self.model.history(message.peer, message.messages, complete=message.complete)
        self._changed()

    def on_message_view_near_top(self, message: MessageView.NearTop) -> None:
        """The reader comes near the oldest message that is loaded: load older ones."""
        before = self.model.wants_older(message.peer)
        if before is not None:
            self.run_worker(self.bridge.load_history(message.peer, before=before), group="history")

    @property
    def _reading(self) -> MessageView | LogView:
        return self.query_one(LogView) if self.model.current is None else self.query_one(MessageView)

    def action_log_up(self) -> None:
        """Read what was said before."""
        self._reading.scroll_page_up(animate=False)

    def action_log_down(self) -> None:
        """Read on."""
        self._reading.scroll_page_down(animate=False)

    def action_log_end(self) -> None:
        """Go to what was said last."""
        self.query_one(MessageView).to_end()
        self.query_one(LogView).scroll_end(animate=False)

    # --- searching ----------------------------------------------------------------------------------------------------

    def action_search(self) -> None:
        """Search as one types."""
        screen = SearchScreen(self._search, self.model.roster.name_of)

        def chosen(message_id: str | None) -> None:
            if message_id is not None:
                self.go_to(screen.hits[message_id].message.peer, message_id)

        self.app.push_screen(screen, chosen)

    def _search(self, text: str) -> None:
        self.run_worker(self.bridge.search(text), group="search", exclusive=True)

    def on_found(self, message: answers.Found) -> None:
        """List what was found."""
        if isinstance(screen := self.app.screen, SearchScreen):
            screen.show(message.text, message.hits)

    def go_to(self, peer: str, message_id: str) -> None:
        """Show one message in its conversation; what is not loaded of the history is read first."""
        self.show_peer(peer)
        talk = self.model.current
        if talk is None or talk.peer != peer:
            return
        self._read_history(peer)
        if talk.knows(message_id):
            self._show_message(peer, message_id)
            return
        first = talk.messages[0].message_id if talk.messages else None
        room = limits.SCREEN_MESSAGES - len(talk.messages)
        talk.loading = True
        self.run_worker(self.bridge.load_back_to(peer, message_id, first, room), group="history")

    def on_message_reached(self, message: answers.MessageReached) -> None:
        """The history is loaded back to the message that was wanted."""
        if (talk := self.model.conversations.get(message.peer)) is not None:
            talk.loading = False
        if message.found:
            self._show_message(message.peer, message.message_id)
        else:
            self.model.fail(
                "That message is older than what can be shown here; export the conversation to read it."
            )
            self._changed()

    def _show_message(self, peer: str, message_id: str) -> None:
        talk = self.model.conversations.get(peer)
        serial = talk.serial_of(message_id) if talk is not None else None
        if serial is not None and self.model.selected == peer:
            self._changed()
            self.call_after_refresh(self.query_one(MessageView).go_to, serial)

    # --- links --------------------------------------------------------------------------------------------------------

    def action_links(self) -> None:
        """List the links of the selected conversation."""
        if (talk := self.model.current) is not None:
            links = links_in(message.text for message in reversed(talk.messages))
            self.app.push_screen(LinksScreen(links, can_open=bool(opener(os.environ))))

    def on_links_screen_open(self, message: LinksScreen.Open) -> None:
        """Open a link that the user has seen whole."""
        self.run_worker(self._open(message.link), group="link", exclusive=True)

    async def _open(self, link: Link) -> None:
        if await open_link(link, os.environ):
            words = visible(f"Opened {link.place}.", Kind.SENTENCE)
            self.notify(words, title="Link", markup=False)
        else:
            words = "No program could open it. Copy it with y instead."
            self.notify(words, title="Link", severity="warning", markup=False)

    def on_links_screen_copy(self, message: LinksScreen.Copy) -> None:
        """Copy a link."""
        self.run_worker(self._copy(message.link.target, "Link"), group="copy", exclusive=True)

    # --- exporting ----------------------------------------------------------------------------------------------------

    def action_export(self) -> None:
        """Ask where to write the conversation."""
        name = self.model.current.name if self.model.current is not None else ""
        self.app.push_screen(ExportScreen(default_export(name, self.model.clock.time()), name))

    def on_export_screen_wanted(self, message: ExportScreen.Wanted) -> None:
        """Write it."""
        peer = None if message.everything else self.model.selected
        self.run_worker(
            self.bridge.export(message.path, message.format, peer), group="export", exclusive=True
        )

    def on_exported(self, message: answers.Exported) -> None:
        """Say how much was written."""
        if isinstance(screen := self.app.screen, ExportScreen):
            screen.dismiss()
        count = f"{message.count} message{'s' if message.count != 1 else ''}"
        self.model.say(f"{count} written to {message.path}.")
        words = visible(f"{count} written to {message.path}", Kind.SENTENCE)
        self.notify(words, title="Exported", markup=False, timeout=8)
        self._changed()

    def on_command_failed(self, message: answers.CommandFailed) -> None:
        """Say it where the user looks."""
        screen = self.app.screen
        asker = {"search": SearchScreen, "export": ExportScreen}.get(message.command)
        if (
            asker is not None
            and isinstance(screen, SearchScreen | ExportScreen)
            and isinstance(screen, asker)
        ):
            screen.failed(message.sentence)
            message.prevent_default()
        elif screen is not self:
            words = visible(message.sentence, Kind.SENTENCE)
            self.notify(words, title="That did not work", severity="error", markup=False)

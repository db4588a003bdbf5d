"""The one screen of the program, with everything that can be done on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from p2pchat_tui.bindings import bindings
from p2pchat_tui.safe_text import Kind, visible
from p2pchat_tui.screens.addresses import AddressesScreen
from p2pchat_tui.screens.finder import FinderScreen
from p2pchat_tui.screens.help import HelpScreen
from p2pchat_tui.screens.people_actions import PeopleActions
from p2pchat_tui.screens.reading_actions import ReadingActions
from p2pchat_tui.themes import THEMES
from p2pchat_tui.widgets.connection_pane import ConnectionPane
from p2pchat_tui.widgets.invite import AddressCard, AddressLine, ConnectField

if TYPE_CHECKING:
    from textual.binding import BindingType

__all__ = ["MainScreen"]

_ABOUT_STRANGERS = frozenset({"accept", "decline", "block"})
_ABOUT_CURRENT = frozenset(
    {"contact", "links", "rename", "notes", "verify", "retention", "block_contact", "forget"}
)
_ABOUT_CONVERSATIONS = frozenset({"next_conversation", "previous_conversation", "find", "search", "export"})


class MainScreen(PeopleActions, ReadingActions):
    """The screen of `p2pchat_tui.screens.base.BaseScreen` and its actions (`p2pchat_tui.bindings`)."""

    BINDINGS: ClassVar[list[BindingType]] = list(bindings())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tell which actions make sense now."""
        if action in _ABOUT_STRANGERS:
            return bool(self.model.strangers)
        if action in _ABOUT_CURRENT:
            return self.model.current is not None
        if action == "disconnect":
            return self.model.current is not None and self.model.current.connected
        if action in _ABOUT_CONVERSATIONS:
            return bool(self.model.accepted)
        if action == "people":
            return bool(self.model.roster.contacts)
        return True

    # --- addresses ----------------------------------------------------------------------------------------------------

    def on_addresses_screen_copy(self, message: AddressesScreen.Copy) -> None:
        """An address was chosen on its page."""
        self._copy_ours(message.address)

    def on_address_line_clicked(self, message: AddressLine.Clicked) -> None:
        """An address was double-clicked."""
        self._copy_ours(message.address)

    def _copy_ours(self, address: str) -> None:
        self.run_worker(self._copy_and_say(address), group="copy", exclusive=True)

    async def _copy_and_say(self, address: str) -> None:
        copied = await self._copy(visible(address, Kind.ADDRESS), "Your address")
        self.query_one(AddressCard).copied(copied.how)

    def action_copy_address(self) -> None:
        """Copy the first address."""
        if self.model.addresses:
            self._copy_ours(self.model.addresses[0])
        else:
            self.model.fail("There is no address to copy yet: no relay has given us a slot.")
            self._changed()

    def action_addresses(self) -> None:
        """List our addresses."""
        self.app.push_screen(AddressesScreen(self.model.addresses))

    # --- connections --------------------------------------------------------------------------------------------------

    def action_connect(self) -> None:
        """Go to the address field."""
        self._invited = True
        self._changed()
        self.call_after_refresh(self.query_one(ConnectField).input.focus)

    def action_disconnect(self) -> None:
        """Close the selected connection."""
        if self.model.current is not None:
            self.run_worker(self.bridge.disconnect(self.model.current.peer), group="disconnect")

    def action_toggle_connection(self) -> None:
        """Show or hide the connection pane."""
        hidden = self.has_class("-narrow") != self.has_class("pane-toggled")
        self.toggle_class("pane-toggled")
        if hidden:
            self.query_one(ConnectionPane).scroll_home(animate=False)

    def action_toggle_details(self) -> None:
        """Explain the steps."""
        self.query_one(ConnectionPane).toggle_details()

    # --- conversations ------------------------------------------------------------------------------------------------

    def action_next_conversation(self) -> None:
        """Go down the list."""
        self._step(1)

    def action_previous_conversation(self) -> None:
        """Go up the list."""
        self._step(-1)

    def _step(self, step: int) -> None:
        self.model.select_next(step)
        self._changed(to_end=True)

    def action_find(self) -> None:
        """Find a conversation by its name."""
        self.app.push_screen(FinderScreen(self.model.accepted), self._found)

    def _found(self, peer: str | None) -> None:
        if peer is not None:
            self.show_peer(peer)

    # --- the screen itself --------------------------------------------------------------------------------------------

    def action_help(self) -> None:
        """Explain."""
        self.app.push_screen(HelpScreen())

    def action_toggle_log(self) -> None:
        """Make the log larger, or small again."""
        self.toggle_class("log-large")
        self._changed()

    def action_toggle_theme(self) -> None:
        """Go to the next of our themes."""
        names = [theme.name for theme in THEMES]
        at = names.index(self.app.theme) if self.app.theme in names else -1
        self.app.theme = names[(at + 1) % len(names)]

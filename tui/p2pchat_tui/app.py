"""The terminal program: an app around one screen, and the call that runs it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.filter import Monochrome
from textual.widgets import Input, TextArea

from p2pchat_core.chat.events import ConnectionEvent, MessageEvent
from p2pchat_core.clock import Clock, SystemClock
from p2pchat_core.errors import ConfigError
from p2pchat_tui.bindings import PALETTE
from p2pchat_tui.clipboard import Copied, fill_clipboard, osc52
from p2pchat_tui.commands import Commands
from p2pchat_tui.keys import Keys, key_label
from p2pchat_tui.no_color import NoColor, wants_no_color
from p2pchat_tui.notifications import Notifier
from p2pchat_tui.preferences import Preferences
from p2pchat_tui.safe_text import Kind, visible
from p2pchat_tui.screens.main import MainScreen
from p2pchat_tui.startup import service_factory
from p2pchat_tui.themes import CONTRAST, DARK, LIGHT, THEMES, system_theme

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.command import Provider
    from textual.events import DescendantFocus
    from textual.filter import LineFilter
    from textual.screen import Screen
    from textual.worker import Worker

    from p2pchat_tui.answers import EventsArrived
    from p2pchat_tui.options import Options
    from p2pchat_tui.services import ServiceFactory

__all__ = ["P2PChatApp", "run"]

_OURS = {"dark": DARK.name, "light": LIGHT.name, "high-contrast": CONTRAST.name}
"""What the settings call our themes."""


class P2PChatApp(App[None], inherit_bindings=False):
    """p2pchat in a terminal.

    Args:
        factory: makes the chat service; called after the first frame.
        name: what the user calls themselves.
        connect: an address to dial at once, or "".
        ephemeral: nothing of what is said is kept.
        preferences: what the settings say about the screen.

    Attributes:
        keys: which key does what; what a widget says about a key, it reads here.
    """

    # In place of Textual's own, so that the settings can give the way out another key too.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True, id="quit"),
        Binding("ctrl+c", "help_quit", show=False, system=True),
    ]

    TITLE = "p2pchat"
    CSS_PATH = "p2pchat.tcss"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Commands}

    def __init__(
        self,
        factory: ServiceFactory,
        *,
        name: str = "",
        connect: str = "",
        ephemeral: bool = False,
        clock: Clock | None = None,
        preferences: Preferences | None = None,
    ) -> None:
        self.preferences = preferences or Preferences()
        self.keys = Keys(self.preferences.keys)
        # Both are read while the base class is made; the footer looks the key up later.
        self.COMMAND_PALETTE_BINDING = self.keys.key(PALETTE.name)  # type: ignore[misc]
        self.COMMAND_PALETTE_DISPLAY = self.keys.shown(PALETTE.name)  # type: ignore[misc]
        super().__init__()
        self._filling: Worker[str]
        self.set_keymap(self.keys.keymap())
        clock = clock or SystemClock()
        self.main = MainScreen(factory, clock, name=name, connect=connect, ephemeral=ephemeral)
        for theme in THEMES:
            self.register_theme(theme)
        self._theme_trouble = ""
        self.theme = self._theme_of(self.preferences.theme)
        self._notifier = Notifier(self.preferences, self._write, clock, os.environ)
        if self.preferences.reduced_motion:
            self.animation_level = "none"

    def get_key_display(self, binding: Binding) -> str:
        """Return a key as our own table writes it; Textual forgets how when it applies the settings."""
        return binding.key_display or key_label(binding.key)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return what our style sheet needs and Textual's own themes, which the settings may name, do not have."""
        return dict((DARK if self.current_theme.dark else LIGHT).variables)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Return the filters of every line; in place of Textual's greys for `NO_COLOR`, no colour at all."""
        filters = [one for one in super().get_line_filters() if not isinstance(one, Monochrome)]
        return [*filters, NoColor()] if wants_no_color(os.environ) else filters

    def copy_to_clipboard(self, text: str) -> None:
        """Copy `text` by OSC 52, also from inside tmux, and by a program of the system if there is one."""
        self._clipboard = text
        self._write(osc52(text, os.environ))
        self._filling = self.run_worker(fill_clipboard(text, os.environ), group="clipboard")

    async def copy(self, text: str) -> Copied:
        """Copy `text` and return how it was done."""
        self.copy_to_clipboard(text)
        return Copied(await self._filling.wait())

    def on_events_arrived(self, message: EventsArrived) -> None:
        """Tell of what is not on the screen. The screen has taken the events into account already."""
        model = self.main.model
        for event in message.events:
            if not isinstance(event, MessageEvent | ConnectionEvent):
                continue
            conversation = model.conversations.get(event.peer)
            if conversation is None or conversation.declined or conversation.blocked:
                continue
            if conversation.waiting:
                self._notifier.stranger()
            elif isinstance(event, MessageEvent) and not (self.app_focus and model.selected == event.peer):
                self._notifier.message(conversation.name, event.text)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Keep the cursor still for those who want nothing to move."""
        if self.preferences.reduced_motion and isinstance(event.widget, Input | TextArea):
            event.widget.cursor_blink = False

    def on_mount(self) -> None:
        """Say what of the settings could not be done."""
        if self._theme_trouble:
            self.notify(self._theme_trouble, title="Theme", severity="warning", markup=False)

    def _theme_of(self, wanted: str) -> str:
        """Return the name of the theme that a setting means."""
        if wanted in _OURS:
            return _OURS[wanted]
        if wanted != "system" and wanted not in self.available_themes:
            from p2pchat_tui.user_themes import load_theme

            try:
                self.register_theme(load_theme(self.preferences.themes, wanted))
            except ConfigError as error:
                self._theme_trouble = visible(str(error), Kind.SENTENCE)
                wanted = "system"
        return system_theme(os.environ).name if wanted == "system" else wanted

    def _write(self, sequence: str) -> None:
        """Send a control sequence to the terminal, if there is one."""
        if self._driver is not None:
            self._driver.write(sequence)

    def get_default_screen(self) -> Screen[None]:
        """Return the main screen."""
        return self.main


def run(options: Options) -> int:
    """Run the terminal program until the user leaves it.

    Args:
        options: as `p2pchat_tui.options` parses them.

    Returns:
        The exit status.
    """
    app = P2PChatApp(
        service_factory(options),
        name=options.name,
        connect=options.connect or "",
        ephemeral=options.ephemeral,
        preferences=options.preferences,
    )

    async def main() -> None:
        try:
            await app.run_async()
        finally:
            await app.main.bridge.stop()

    asyncio.run(main())
    return app.return_code or 0

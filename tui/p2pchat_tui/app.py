"""The terminal program: an app around one screen, and the call that runs it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from textual.app import App

from p2pchat_core.clock import Clock, SystemClock
from p2pchat_tui.commands import Commands
from p2pchat_tui.screens.main import MainScreen
from p2pchat_tui.startup import service_factory
from p2pchat_tui.themes import DARK, LIGHT

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.command import Provider
    from textual.screen import Screen

    from p2pchat_tui.bridge import ServiceFactory
    from p2pchat_tui.options import Options

__all__ = ["P2PChatApp", "run"]


class P2PChatApp(App[None]):
    """p2pchat in a terminal.

    Args:
        factory: makes the chat service; called after the first frame.
        name: what the user calls themselves.
        connect: an address to dial at once, or "".
    """

    TITLE = "p2pchat"
    COMMAND_PALETTE_DISPLAY = "^P"
    CSS_PATH = "p2pchat.tcss"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Commands}

    def __init__(
        self, factory: ServiceFactory, *, name: str = "", connect: str = "", clock: Clock | None = None
    ) -> None:
        super().__init__()
        self.main = MainScreen(factory, clock or SystemClock(), name=name, connect=connect)
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = DARK.name

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
    app = P2PChatApp(service_factory(options), name=options.name, connect=options.connect or "")

    async def main() -> None:
        try:
            await app.run_async()
        finally:
            await app.main.bridge.stop()

    asyncio.run(main())
    return app.return_code or 0

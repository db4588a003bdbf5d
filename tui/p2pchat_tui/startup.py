"""From the options to a chat service, without the first frame waiting for any of it."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from p2pchat_core.chat.service import ChatService
    from p2pchat_tui.bridge import ServiceFactory
    from p2pchat_tui.embedded_relay import EmbeddedRelay
    from p2pchat_tui.options import Options

__all__ = ["Startup"]


class Startup:
    """Makes the service and, if no relay is configured, the relay inside this program that it reserves on."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._relay: EmbeddedRelay | None = None

    @property
    def factory(self) -> ServiceFactory:
        """What the screen calls once it has been drawn."""
        return self._make

    async def _make(self) -> ChatService:
        # The modules take a few hundred milliseconds to load; in a thread, the screen goes on answering keys.
        await asyncio.to_thread(importlib.import_module, "p2pchat_core.chat.service")
        from dataclasses import replace

        from p2pchat_core.chat.service import ChatService

        config = self._options.service_config()
        if self._options.embedded_relay and not config.relays:
            await asyncio.to_thread(importlib.import_module, "p2pchat_tui.embedded_relay")
            from p2pchat_tui.embedded_relay import EmbeddedRelay

            self._relay = await EmbeddedRelay.start(self._options.data_dir, lan=self._options.lan)
            config = replace(config, relays=(self._relay.address,))
        return ChatService(config)

    async def stop(self) -> None:
        """Stop the embedded relay, after the service."""
        if self._relay is not None:
            await self._relay.stop()

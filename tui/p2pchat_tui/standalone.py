"""The chat service as the command line asks for it, which brings its own relay when it was given none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p2pchat_core.chat.service import ChatService
from p2pchat_core.errors import P2PChatError
from p2pchat_tui.embedded_relay import EmbeddedRelay

if TYPE_CHECKING:
    from p2pchat_tui.options import Options

__all__ = ["StandaloneService"]


class StandaloneService(ChatService):
    """A `ChatService` that others can reach with nothing configured."""

    def __init__(self, options: Options) -> None:
        super().__init__(options.service_config())
        self._wants_relay = options.embedded_relay and not options.relays
        self._lan = options.lan
        self._relay: EmbeddedRelay | None = None

    async def start(self) -> None:
        """Start, and reserve on our own relay. Without it we can still connect to others, so failing is an event.

        Raises:
            ConfigError, IdentityError, StoreError: see `ChatService.start`.
        """
        await super().start()
        if not self._wants_relay:
            return
        try:
            self._relay = await EmbeddedRelay.start(self.config.data_dir, lan=self._lan)
            await self.add_relay(self._relay.address)
        except P2PChatError as error:
            self.report(error)

    async def stop(self) -> None:
        """Stop the service, then the relay under it. Never raises; calling it again does nothing."""
        await super().stop()
        relay, self._relay = self._relay, None
        if relay is not None:
            await relay.stop()

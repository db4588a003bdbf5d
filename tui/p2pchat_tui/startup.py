"""From the options to a chat service, without the first frame waiting for any of it."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from p2pchat_tui.options import Options
    from p2pchat_tui.services import Service, ServiceFactory

__all__ = ["service_factory"]


def service_factory(options: Options) -> ServiceFactory:
    """Return what the screen calls, once it has been drawn, to make the service that `options` ask for."""

    async def make() -> Service:
        # Textual starts tasks eagerly from Python 3.12 on. The network is written, and tested, for ordinary tasks, and
        # asyncio itself is not sound with eager ones before 3.12.8 and 3.13.1 (happy eyeballs in create_connection).
        asyncio.get_running_loop().set_task_factory(None)
        # The modules take a few hundred milliseconds to load; in a thread, the screen goes on answering keys.
        await asyncio.to_thread(importlib.import_module, "p2pchat_tui.standalone")
        from p2pchat_tui.standalone import StandaloneService

        return StandaloneService(options)

    return make

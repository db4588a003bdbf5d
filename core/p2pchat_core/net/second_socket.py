"""Another connection to a relay as soon as the one there is seems dead, instead of waiting for TCP.

TCP repeats what was lost after ever longer pauses: a path that was dead for six seconds is often not used for six more.
A fresh connection finds out at once that it works again. So when a ping of a relay that a conversation needs is late,
another connection is dialled beside it, and the first of the two that answers is kept.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from p2pchat_core.errors import P2PChatError
from p2pchat_core.net.connection import Direction

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.host import Host
    from p2pchat_core.net.liveness import Liveness

__all__ = ["SecondSocket"]

logger = logging.getLogger(__name__)


class SecondSocket:
    """Replaces the plain connections of a host that are in use and do not answer."""

    def __init__(
        self, host: Host, liveness: Liveness, move: Callable[[Connection, Connection], Awaitable[None]]
    ) -> None:
        """Watch from now on; `move` has everything that needs a connection go over to another one."""
        self._host = host
        self._move = move
        self._racing: set[Connection] = set()
        liveness.on_doubt.append(self._doubted)
        liveness.on_change.append(self._answered)
        self._news = asyncio.Event()

    def _doubted(self, connection: Connection) -> None:
        ours = connection.plain and connection.direction is Direction.OUTBOUND
        if ours and connection not in self._racing:
            self._racing.add(connection)
            self._host.spawn(self._race(connection), f"another connection to {connection.peer.short()}")

    def _answered(self, connection: Connection) -> None:
        if connection in self._racing:
            self._news.set()
            self._news = asyncio.Event()

    async def _race(self, old: Connection) -> None:
        asked = self._host.clock.monotonic()
        try:
            new = await self._dial(old, asked)
            if new is None:
                return
            if old.heard_at >= asked and not old.closed:
                await new.close()
                return
            logger.info("%s does not answer, another connection to it does", old)
            await self._move(old, new)
            old.abort("It did not answer, but another connection did.")
        finally:
            self._racing.discard(old)

    async def _dial(self, old: Connection, asked: float) -> Connection | None:
        """Dial until that works or `old` answers."""
        dialling: asyncio.Future[Connection] | None = None
        try:
            while old.heard_at < asked:
                if dialling is None:
                    dialling = asyncio.ensure_future(self._host.dial(old.remote_address, beside=old))
                heard = asyncio.ensure_future(self._news.wait())
                try:
                    await asyncio.wait((dialling, heard), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    heard.cancel()
                if dialling.done():
                    return dialling.result()
        except P2PChatError as error:
            logger.debug("no other connection to %s: %s", old.peer.short(), error)
        finally:
            if dialling is not None and not dialling.done():
                dialling.cancel()
                await asyncio.wait((dialling,))
        return None

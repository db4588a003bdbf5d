"""Notices a path that is dead although its transport still looks alive, and measures the round trip.

Every connection is pinged, and those that a conversation uses more often. A program that stood still itself (stopped,
asleep) blames nobody for the silence of that time: it looks at every path anew, at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.errors import ConnectionLostError, NoAnswerError, P2PChatError
from p2pchat_core.net.ping import ping

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.host import Host

__all__ = ["Liveness", "LivenessConfig"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LivenessConfig:
    """How often a connection is pinged, and how long the answer may take; seconds.

    Attributes:
        busy_interval: between pings of a connection that a conversation uses.
        busy_timeout: for the answers there.
    """

    interval: float = limits.LIVENESS_INTERVAL
    timeout: float = limits.LIVENESS_TIMEOUT
    busy_interval: float = limits.LIVENESS_BUSY_INTERVAL
    busy_timeout: float = limits.LIVENESS_BUSY_TIMEOUT


class Liveness:
    """Watches every connection of a host from now on, and aborts those that do not answer.

    Attributes:
        busy: says of a connection whether a conversation uses it.
    """

    def __init__(self, host: Host, config: LivenessConfig | None = None) -> None:
        self.busy: Callable[[Connection], bool] = lambda _connection: False
        self._host = host
        self._config = config if config is not None else LivenessConfig()
        self._doubts: dict[Connection, asyncio.Event] = {}
        host.on_connection.append(self._connected)
        host.on_disconnect.append(self._disconnected)

    def check_now(self) -> None:
        """Ping every connection now: there is reason to believe that some are dead."""
        for doubt in self._doubts.values():
            doubt.set()

    def _connected(self, connection: Connection) -> None:
        self._doubts[connection] = asyncio.Event()
        self._host.spawn(self._watch(connection), f"liveness of {connection.peer.short()}")

    def _disconnected(self, connection: Connection, _reason: str) -> None:
        doubt = self._doubts.pop(connection, None)
        if doubt is not None:
            doubt.set()

    async def _watch(self, connection: Connection) -> None:
        doubt, config = self._doubts[connection], self._config
        clock = self._host.clock
        while not connection.closed:
            # A ping costs some 400 bytes each way; on a circuit that carries 128 KiB in all, the usual pace must do.
            busy = self.busy(connection) and not connection.limited
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(config.busy_interval if busy else config.interval):
                    await doubt.wait()
            if connection.closed:
                return
            timeout = config.busy_timeout if busy or doubt.is_set() else config.timeout
            doubt.clear()
            asked = clock.monotonic()
            try:
                async with asyncio.timeout(timeout):
                    await ping(connection, clock)
            except (TimeoutError, NoAnswerError):
                now = clock.monotonic()
                if now - asked > timeout + limits.LIVENESS_STALL or connection.heard_at >= asked:
                    doubt.set()  # we stood still ourselves, or something else came through: ask again
                    continue
                logger.info("%s has not answered for %g s", connection, timeout)
                connection.abort("The peer stopped answering.")
                return
            except ConnectionLostError:
                return
            except P2PChatError as error:
                # Whatever it was ("I do not speak ping", a reset), it came from a peer that is there.
                logger.debug("ping of %s: %s", connection, error)

"""Notices a peer that is gone although its transport still looks alive, and measures the round trip."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.errors import ConnectionLostError, NoAnswerError, P2PChatError
from p2pchat_core.net.ping import ping

if TYPE_CHECKING:
    from p2pchat_core.clock import Clock
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.host import Host

__all__ = ["LivenessConfig", "watch_liveness"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LivenessConfig:
    """How often a connection is pinged, and how long the answer may take; seconds."""

    interval: float = limits.LIVENESS_INTERVAL
    timeout: float = limits.LIVENESS_TIMEOUT


def watch_liveness(host: Host, config: LivenessConfig | None = None) -> None:
    """Ping every connection of `host` from now on and abort those that do not answer."""
    chosen = config if config is not None else LivenessConfig()

    def on_connection(connection: Connection) -> None:
        host.spawn(_watch(connection, host.clock, chosen), f"liveness of {connection.peer.short()}")

    host.on_connection.append(on_connection)


async def _watch(connection: Connection, clock: Clock, config: LivenessConfig) -> None:
    while not connection.closed:
        await asyncio.sleep(config.interval)
        if connection.closed:
            return
        try:
            async with asyncio.timeout(config.timeout):
                await ping(connection, clock)
        except (TimeoutError, NoAnswerError):
            logger.info("%s has not answered for %g s", connection, config.timeout)
            connection.abort("The peer stopped answering.")
            return
        except ConnectionLostError:
            return
        except P2PChatError as error:
            # Whatever it was ("I do not speak ping", a reset), it came from a peer that is there.
            logger.debug("ping of %s: %s", connection, error)

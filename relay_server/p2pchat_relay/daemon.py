"""The life of the relay as a process: start, signals, end.

SIGHUP reads the configuration again, SIGUSR1 drains and then ends, SIGTERM and SIGINT end within
`limits.STOP_DEADLINE` seconds, and a second one of those at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import faulthandler
import logging
import os
import resource
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from p2pchat_core.errors import ConfigError
from p2pchat_core.net.tasks import TaskOwner
from p2pchat_relay import limits
from p2pchat_relay.event_loop import loop_name
from p2pchat_relay.loop_lag import measure_loop_lag
from p2pchat_relay.server import RelayServer
from p2pchat_relay.status import StatusServer, load_metrics, parse_status_address
from p2pchat_relay.systemd import feed_watchdog, notify, watchdog_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from p2pchat_relay.config import RelayConfig
    from p2pchat_relay.config_sources import ConfigSources
    from p2pchat_relay.metrics import RelayMetrics

__all__ = ["Daemon"]

logger = logging.getLogger(__name__)

_KILLED: Final = 128
"""Added to the number of the signal that ended a process at once, as shells do."""


class _Wish(enum.Enum):
    """What a signal asks for."""

    RELOAD = signal.SIGHUP
    DRAIN = signal.SIGUSR1
    STOP = signal.SIGTERM
    INTERRUPT = signal.SIGINT


class Daemon:
    """One relay, from its start to the end of the process."""

    def __init__(
        self,
        sources: ConfigSources,
        config: RelayConfig,
        *,
        on_config: Callable[[RelayConfig], None] = lambda _config: None,
    ) -> None:
        """Run with `config`, which came from `sources`.

        Args:
            sources: read again on a reload.
            config: what they gave at the start.
            on_config: called with each configuration that comes into force after the first.
        """
        self._sources = sources
        self._config = config
        self._on_config = on_config
        self._wishes: asyncio.Queue[_Wish] = asyncio.Queue()
        self._stopping = False

    async def run(self) -> None:
        """Start, serve until told otherwise, and end.

        Raises:
            ConfigError, RelayStartError, IdentityError: it could not start; nothing is left running.
        """
        loop = asyncio.get_running_loop()
        # From the beginning: without a handler most of them would kill us while we start.
        for wish in _Wish:
            loop.add_signal_handler(wish.value, self._on_signal, wish)
        allow_open_files(self._config.limits.max_connections)
        metrics = load_metrics() if self._config.metrics.listen else None
        async with contextlib.AsyncExitStack() as stack:
            server = await RelayServer.start(self._config, observer=metrics)
            stack.push_async_callback(self._stop, server)
            if self._config.metrics.listen:
                await self._show(metrics, server, stack)
            tasks = TaskOwner("daemon")
            stack.push_async_callback(tasks.close)
            if metrics is not None:
                tasks.spawn(measure_loop_lag(metrics.loop_lag), "event loop lag")
            if (interval := watchdog_interval()) is not None:
                tasks.spawn(feed_watchdog(interval), "watchdog")
            print_addresses(server)
            notify("READY=1")
            logger.info("running as %s on %s", server.peer_id, loop_name(loop))
            await self._serve(server)
            notify("STOPPING=1")

    async def _show(
        self, metrics: RelayMetrics | None, server: RelayServer, stack: contextlib.AsyncExitStack
    ) -> None:
        if metrics is not None:
            metrics.watch_levels(server.levels)
            metrics.watch_draining(lambda: server.draining)
            if server.certificate_expires is not None:
                metrics.watch_certificate(lambda: server.certificate_expires or 0.0)
        host, port = parse_status_address(self._config.metrics.listen)
        status = await StatusServer.open(
            host, port, metrics=metrics, not_ready=lambda: "draining" if server.draining else None
        )
        stack.push_async_callback(status.close)
        what = "health is" if metrics is None else "metrics and health are"
        logger.info("%s served at %s port %d", what, host, status.port)

    async def _stop(self, server: RelayServer) -> None:
        self._stopping = True
        logger.info("stopping")
        with _deadline(limits.STOP_DEADLINE):
            await server.stop()

    async def _serve(self, server: RelayServer) -> None:
        draining: asyncio.Task[None] | None = None
        try:
            while True:
                wish = await self._next_wish(draining)
                if wish is None or wish in (_Wish.STOP, _Wish.INTERRUPT):
                    return
                if wish is _Wish.RELOAD:
                    self._reload(server)
                elif draining is None:
                    notify("STATUS=draining")
                    draining = asyncio.ensure_future(server.drain())
        finally:
            if draining is not None:
                draining.cancel()
                await asyncio.wait([draining])

    async def _next_wish(self, draining: asyncio.Task[None] | None) -> _Wish | None:
        """Return the next one, or ``None`` once `draining` is done."""
        if draining is None:
            return await self._wishes.get()
        getting = asyncio.ensure_future(self._wishes.get())
        await asyncio.wait([getting, draining], return_when=asyncio.FIRST_COMPLETED)
        if getting.done():
            return getting.result()
        getting.cancel()
        draining.result()
        logger.info("drained")
        return None

    def _reload(self, server: RelayServer) -> None:
        notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            self._load_again(server)
        finally:
            notify("READY=1")

    def _load_again(self, server: RelayServer) -> None:
        try:
            config = self._sources.load()
            restart = server.apply(config)
        except ConfigError as error:
            logger.error("the configuration was not reloaded, the old one stays in force: %s", error)
            return
        self._on_config(config)
        logger.info("the configuration was reloaded")
        for key in restart:
            logger.warning("%s has changed, which takes a restart", key)

    def _on_signal(self, wish: _Wish) -> None:
        if wish in (_Wish.STOP, _Wish.INTERRUPT):
            if self._stopping:
                # Somebody is in a hurry. The system closes everything, and no file of ours is ever half-written.
                os._exit(_KILLED + wish.value)
            self._stopping = True
        self._wishes.put_nowait(wish)


def allow_open_files(connections: int) -> None:
    """Raise the soft limit of open files as far as `connections` need it and the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + limits.OPEN_FILES_SPARE
    wanted = max(needed, limits.OPEN_FILES)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft != resource.RLIM_INFINITY and soft < needed:
        logger.warning(
            "only %d files may be open, too few for limits.max_connections = %d: raise the limit (ulimit -n)",
            soft,
            connections,
        )


def print_addresses(server: RelayServer) -> None:
    """Write where the relay can be reached to standard output, one address a line."""
    try:
        for address in server.addresses:
            print(address)  # noqa: T201
        sys.stdout.flush()
    except OSError as error:
        # Whoever started us does not want to know (any more); that is no reason not to serve.
        logger.warning("the addresses could not be printed: %s", error.strerror)
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """End the process if this takes longer, even if the event loop hangs, and say where it hung."""
    try:
        faulthandler.dump_traceback_later(seconds, exit=True)
    except (OSError, ValueError, AttributeError, RuntimeError):
        yield  # standard error is no file
        return
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()

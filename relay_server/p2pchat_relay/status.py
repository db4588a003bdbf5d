"""The operator's address: ``/metrics``, ``/healthz`` and ``/readyz`` over HTTP, apart from where clients connect.

As little of HTTP as Prometheus, load balancers and curl need: GET and HEAD, one request a connection, a head of at
most `limits.STATUS_MAX_HEAD` bytes within `limits.STATUS_TIMEOUT` seconds. There is no authentication, so that it
belongs on loopback or on a network of the operator's own.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from p2pchat_core.errors import ConfigError
from p2pchat_core.net.socket_errors import listen_failure
from p2pchat_core.net.tasks import TaskOwner
from p2pchat_relay import limits
from p2pchat_relay.errors import RelayStartError

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2pchat_relay.metrics import RelayMetrics

__all__ = ["StatusServer", "load_metrics", "parse_status_address"]

logger = logging.getLogger(__name__)

_TEXT: Final = "text/plain; charset=utf-8"
_INDEX: Final = "p2pchat-relay: /metrics /healthz /readyz\n"


_NO_METRICS: Final = "they need the package prometheus-client (p2pchat[metrics])"


class MetricsSource(Protocol):
    """What ``/metrics`` shows."""

    content_type: str

    def render(self) -> bytes:
        """Return the page."""


class _Page(NamedTuple):
    status: HTTPStatus
    body: bytes
    content_type: str = _TEXT


def load_metrics() -> RelayMetrics | None:
    """Return metrics that have counted nothing yet, or ``None`` without the library; only now is it imported."""
    try:
        from p2pchat_relay.metrics import RelayMetrics
    except ModuleNotFoundError:
        logger.warning("there are no metrics, only health: %s", _NO_METRICS)
        return None
    return RelayMetrics()


def parse_status_address(text: str) -> tuple[str, int]:
    """Return IP address and port of ``127.0.0.1:9464``, ``[::1]:9464`` or ``:9464`` (which is loopback).

    Raises:
        ConfigError: it is something else.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    try:
        address = ipaddress.ip_address(host or "127.0.0.1")
        number = int(port) if colon and port.isascii() and port.isdigit() and len(port) <= 5 else -1
    except ValueError:
        number = -1
    if not 0 <= number <= 65535:
        raise ConfigError(f"{text!r} is not an IP address and port such as 127.0.0.1:9464.")
    return str(address), number


class StatusServer:
    """The listener; made by `open`."""

    def __init__(self, metrics: MetricsSource | None, not_ready: Callable[[], str | None]) -> None:
        """Not called directly: see `open`."""
        self._metrics = metrics
        self._not_ready = not_ready
        self._tasks = TaskOwner("status")
        self._open = 0
        self._server: asyncio.Server

    @classmethod
    async def open(
        cls,
        host: str,
        port: int,
        *,
        metrics: MetricsSource | None = None,
        not_ready: Callable[[], str | None] = lambda: None,
    ) -> StatusServer:
        """Listen.

        Args:
            host: IP address.
            port: TCP port; 0 takes a free one.
            metrics: what ``/metrics`` shows; without, it answers 501.
            not_ready: returns why the relay takes no clients at the moment, or ``None`` if it does.

        Raises:
            RelayStartError: the port cannot be had.
        """
        self = cls(metrics, not_ready)
        try:
            self._server = await asyncio.start_server(self._accept, host, port, limit=limits.STATUS_MAX_HEAD)
        except OSError as error:
            raise RelayStartError(listen_failure(host, port, error)) from error
        if not ipaddress.ip_address(host).is_loopback:
            logger.warning(
                "metrics and health are served at %s without a password, to whoever can reach it", host
            )
        return self

    @property
    def port(self) -> int:
        """The bound port."""
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and cut what is left."""
        self._server.close()
        await self._tasks.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= limits.STATUS_CONNECTIONS:
            writer.transport.abort()
            return
        self._open += 1
        if self._tasks.spawn(self._serve(reader, writer), "request") is None:
            self._open -= 1
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(limits.STATUS_TIMEOUT):
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                except asyncio.LimitOverrunError:
                    page, send_body = _error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE), True
                else:
                    page, send_body = self._answer(head)
                writer.write(_head(page) + (page.body if send_body else b""))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            logger.debug("a request for status was not completed: %s", error)
        finally:
            self._open -= 1
            writer.transport.abort()

    def _answer(self, head: bytes) -> tuple[_Page, bool]:
        """Return the page for a request, and whether its body is wanted."""
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _error(HTTPStatus.BAD_REQUEST), True
        method, target, _ = words
        if method not in (b"GET", b"HEAD"):
            return _error(HTTPStatus.METHOD_NOT_ALLOWED), True
        return self._page(target.partition(b"?")[0]), method == b"GET"

    def _page(self, path: bytes) -> _Page:
        if path == b"/metrics":
            if self._metrics is None:
                return _Page(HTTPStatus.NOT_IMPLEMENTED, f"There are no metrics: {_NO_METRICS}.\n".encode())
            return _Page(HTTPStatus.OK, self._metrics.render(), self._metrics.content_type)
        if path == b"/healthz":
            # That this runs is the proof: the event loop takes turns.
            return _Page(HTTPStatus.OK, b"ok\n")
        if path == b"/readyz":
            reason = self._not_ready()
            if reason is not None:
                return _Page(HTTPStatus.SERVICE_UNAVAILABLE, f"{reason}\n".encode())
            return _Page(HTTPStatus.OK, b"ready\n")
        if path == b"/":
            return _Page(HTTPStatus.OK, _INDEX.encode())
        return _error(HTTPStatus.NOT_FOUND)


def _error(status: HTTPStatus) -> _Page:
    return _Page(status, f"{status.value} {status.phrase}\n".encode())


def _head(page: _Page) -> bytes:
    lines = [
        f"HTTP/1.1 {page.status.value} {page.status.phrase}",
        f"Content-Type: {page.content_type}",
        f"Content-Length: {len(page.body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    ]
    if page.status is HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: GET, HEAD")
    return "\r\n".join([*lines, "", ""]).encode()

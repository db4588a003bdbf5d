"""Tells at once when an interface, an address or a default route comes or goes, where the kernel says so (Linux)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from typing import TYPE_CHECKING, Protocol

from p2pchat_core import limits
from p2pchat_core.wire.netlink import GROUPS, NetworkState, dump_request

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NetworkWatch", "open_netlink"]

logger = logging.getLogger(__name__)


class _Socket(Protocol):
    def fileno(self) -> int: ...
    def recv(self, size: int, /) -> bytes: ...
    def send(self, data: bytes, /) -> int: ...
    def close(self) -> None: ...


def open_netlink() -> socket.socket | None:
    """Return a socket on which the kernel tells of changes; ``None`` where there is no such thing."""
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        return None
    sock = None
    try:
        sock = socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 0)
        sock.bind((0, GROUPS))
        sock.connect((0, 0))  # the kernel, and nobody else
    except OSError as error:
        logger.info("the kernel does not tell of network changes: %s", error)
        if sock is not None:
            sock.close()
        return None
    return sock


class NetworkWatch:
    """Calls `changed` when the network changed and then settled for `limits.NETWORK_SETTLE`."""

    def __init__(self, sock: _Socket, changed: Callable[[], None]) -> None:
        """Begin to listen on `sock`, which is closed with this."""
        self._socket = sock
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0  # the first change that was not told yet
        self._state = NetworkState()
        self._dumps: list[bytes] = []
        self._loop.add_reader(sock.fileno(), self._readable)
        self._begin()

    def close(self) -> None:
        """Stop listening."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _begin(self) -> None:
        """Ask for what there is, so that only what differs from it counts as a change."""
        self._state = NetworkState()
        self._dumps = dump_request(1)
        self._ask()

    def _ask(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.send(self._dumps[0])

    def _readable(self) -> None:
        try:
            datagram = self._socket.recv(limits.NETLINK_READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            if error.errno == errno.ENOBUFS:  # more happened than was kept for us
                self._begin()
                self._note()
                return
            logger.info("the kernel does not tell of network changes any more: %s", error)
            self._loop.remove_reader(self._socket.fileno())
            return
        if self._state.receive(datagram) and not self._dumps:
            self._note()
        if self._dumps and self._state.dumped:
            self._state.dumped = 0
            self._dumps.pop(0)
            if self._dumps:
                self._ask()

    def _note(self) -> None:
        now = self._loop.time()
        if self._timer is None:
            self._since = now
        else:
            self._timer.cancel()
        at = min(now + limits.NETWORK_SETTLE, self._since + limits.NETWORK_SETTLE_MAX)
        self._timer = self._loop.call_at(at, self._tell)

    def _tell(self) -> None:
        self._timer = None
        self._changed()

"""A UDP socket for one ICE connection that reads and writes many datagrams at a time.

asyncio's own transport reads one datagram for each turn of the event loop and sends one for each system call, which
costs more than everything SCTP does with it. Where Linux can, datagrams of one size leave in a single call
(``UDP_SEGMENT``) and arrive in one (``UDP_GRO``).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

from p2pchat_core.limits import UDP_BACKLOG, UDP_BATCH

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BatchProtocol", "UdpSocket"]

logger = logging.getLogger(__name__)

_DATAGRAM: Final = 65535
_SOL_UDP: Final = 17
_UDP_SEGMENT: Final = 103
_UDP_GRO: Final = 104
_SEGMENTS: Final = 64
_SENDABLE: Final = 65_000
"""Datagrams and bytes that leave in one call; the kernel's limits are 64 and 65,507."""
_SIZE: Final = struct.Struct("=H")
_GRO_SIZE: Final = struct.Struct("=i")
_BUFFER: Final = 1024 * 1024
_ANCILLARY: Final = socket.CMSG_SPACE(_GRO_SIZE.size) if hasattr(socket, "CMSG_SPACE") else 0


class BatchProtocol(Protocol):
    """Who hears what arrives."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""

    def datagrams_received(self, datagrams: list[tuple[bytes, tuple[Any, ...]]]) -> None:
        """These arrived together, in this order."""

    def error_received(self, exc: Exception) -> None:
        """A datagram could not be sent or was refused."""


class UdpSocket(asyncio.DatagramTransport):
    """An open socket; a `DatagramTransport` like asyncio's, with `send_all` besides."""

    def __init__(self, address: str, protocol: BatchProtocol) -> None:
        """Open a socket on any port of `address`.

        Raises:
            OSError: it cannot be opened.
        """
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
            sock.bind((address, 0))
        except OSError:
            sock.close()
            raise
        super().__init__({"socket": sock, "sockname": sock.getsockname()})
        self._socket = sock
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._backlog: deque[tuple[bytes, tuple[Any, ...]]] = deque()
        self._closing = False
        self._segments = self._receives_many = False
        if sys.platform == "linux":
            self._segments = True
            try:
                sock.setsockopt(_SOL_UDP, _UDP_GRO, 1)
                self._receives_many = True
            except OSError:
                logger.debug("this kernel does not hand out several datagrams at once")
        protocol.connection_made(self)
        self._loop.add_reader(sock.fileno(), self._readable)

    # --- sending ------------------------------------------------------------------------------------------------

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send one datagram; it waits, or is dropped, if the socket takes no more."""
        if self._closing or addr is None:
            return
        if self._backlog:
            self._wait(data, addr)
            return
        try:
            self._socket.sendto(data, addr)
        except BlockingIOError:
            self._wait(data, addr)
        except OSError as exc:
            self._protocol.error_received(exc)

    def send_all(self, datagrams: Sequence[bytes], addr: tuple[Any, ...]) -> None:
        """Send datagrams in order, with as few calls as possible."""
        at, count = 0, len(datagrams)
        while at < count:
            size = len(datagrams[at])
            end, most = at + 1, min(_SEGMENTS, _SENDABLE // max(1, size))
            while end < count and end - at < most and len(datagrams[end]) == size:
                end += 1
            if end < count and end - at < most and len(datagrams[end]) < size:
                end += 1  # the last one may be shorter
            if (
                end - at == 1
                or not self._segments
                or self._backlog
                or not self._send_segments(datagrams[at:end], size, addr)
            ):
                for datagram in datagrams[at:end]:
                    self.sendto(datagram, addr)
            at = end

    def _send_segments(self, datagrams: Sequence[bytes], size: int, addr: tuple[Any, ...]) -> bool:
        if self._closing:
            return True
        try:
            self._socket.sendmsg(datagrams, [(_SOL_UDP, _UDP_SEGMENT, _SIZE.pack(size))], 0, addr)
        except BlockingIOError:
            return False
        except OSError as exc:
            # Not on this kernel or with this network card.
            logger.debug("datagrams are sent one by one: %r", exc)
            self._segments = False
            return False
        return True

    def _wait(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if not self._backlog:
            self._loop.add_writer(self._socket.fileno(), self._writable)
        if len(self._backlog) < UDP_BACKLOG:
            self._backlog.append((bytes(data), addr))

    def _writable(self) -> None:
        while self._backlog:
            data, addr = self._backlog[0]
            try:
                self._socket.sendto(data, addr)
            except BlockingIOError:
                return
            except OSError as exc:
                self._protocol.error_received(exc)
            self._backlog.popleft()
        self._loop.remove_writer(self._socket.fileno())
        if self._closing:
            self._close_now(None)

    # --- receiving ----------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        received: list[tuple[bytes, tuple[Any, ...]]] = []
        while len(received) < UDP_BATCH:
            try:
                if self._receives_many:
                    data, extra, _, addr = self._socket.recvmsg(_DATAGRAM, _ANCILLARY)
                else:
                    data, addr = self._socket.recvfrom(_DATAGRAM)
                    extra = []
            except (BlockingIOError, InterruptedError):
                break
            except OSError as exc:
                self._protocol.error_received(exc)
                break
            if extra:
                (size,) = _GRO_SIZE.unpack_from(extra[0][2])
                received += [(data[at : at + size], addr) for at in range(0, len(data), max(1, size))]
            else:
                received.append((data, addr))
        if received:
            self._protocol.datagrams_received(received)

    # --- closing ------------------------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        """Whether `close` or `abort` was called."""
        return self._closing

    def close(self) -> None:
        """Close once everything is sent."""
        if self._closing:
            return
        self._closing = True
        self._loop.remove_reader(self._socket.fileno())
        if not self._backlog:
            self._loop.call_soon(self._close_now, None)

    def abort(self) -> None:
        """Close at once."""
        if self._socket.fileno() < 0:
            return
        if not self._closing:
            self._closing = True
            self._loop.remove_reader(self._socket.fileno())
        if self._backlog:
            self._loop.remove_writer(self._socket.fileno())
            self._backlog.clear()
        self._loop.call_soon(self._close_now, None)

    def _close_now(self, exc: Exception | None) -> None:
        if self._socket.fileno() >= 0:
            self._socket.close()
            self._protocol.connection_lost(exc)

"""aiortc's DTLS transport with a short way for the packets of a connection that is up.

aiortc 1.16 awaits a queue for every datagram, and pyOpenSSL allocates a buffer for every call. After the handshake,
which is the library's, datagrams come here straight from the socket, many at a time, and go to OpenSSL through one
buffer that is kept. What OpenSSL does is the same, record by record. The tests in
``tests/net/webrtc/test_dtls.py`` hold in place what is used of the two libraries (`FAST_PYOPENSSL`).
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiortc import RTCDtlsTransport
from OpenSSL import SSL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiortc import RTCCertificate, RTCIceTransport

    from p2pchat_core.net.webrtc.ice_guard import GuardedIce

__all__ = ["FAST_PYOPENSSL", "FastDtls"]

logger = logging.getLogger(__name__)

FAST_PYOPENSSL: Final = "26."
_RECORD: Final = 16 * 1024 + 512
"""The largest record with its header and what encryption adds."""
_APPLICATION_DATA: Final = 23
_HEADER: Final = 13

# pyOpenSSL's way into OpenSSL; everything used of it is behind `Connection.send`, `recv`, `bio_read`, `bio_write`.
_lib: Any = SSL._lib  # type: ignore[attr-defined]
_ffi: Any = SSL._ffi  # type: ignore[attr-defined]


_buffer: Any = _ffi.new("char[]", _RECORD)
"""Of all connections: nothing stays in it from one call to the next, and they share one thread."""


class PacketReceiver(Protocol):
    """SCTP, as far as packets that arrive together are concerned."""

    def receive(self, packets: Iterable[bytes]) -> None:
        """Take decrypted packets."""


class FastDtls(RTCDtlsTransport):
    """A DTLS transport on a `GuardedIce` for one `PacketReceiver`."""

    def __init__(
        self, transport: RTCIceTransport, certificates: list[RTCCertificate], ice: GuardedIce
    ) -> None:
        super().__init__(transport, certificates)
        self._ice = ice
        self._raw: Any = None

    def send_packets(self, packets: Sequence[bytes]) -> None:
        """Encrypt and send packets, one in each datagram.

        Raises:
            ConnectionError: DTLS is not connected.
        """
        if self._raw is None:
            self._begin()
        ssl, out, buffer = self._raw._ssl, self._raw._from_ssl, _buffer
        write, read, view = _lib.SSL_write, _lib.BIO_read, _ffi.buffer
        datagrams = []
        for packet in packets:
            if write(ssl, packet, len(packet)) <= 0:
                raise ConnectionError("The connection below takes no data.")
            datagrams.append(view(buffer, read(out, buffer, _RECORD))[:])
        self._ice.send_all(datagrams)

    async def _recv_next(self) -> None:
        if self.state == "connected" and self._ice.to_dtls is None and self._settled():
            self._begin()
            self._ice.to_dtls = self._receive
        await super()._recv_next()

    def _begin(self) -> None:
        if self.state != "connected":
            raise ConnectionError("The connection below is not up.")
        self._raw = self._ssl

    def _settled(self) -> bool:
        """Whether nothing of the handshake may have to be sent again."""
        return self._ssl is not None and self._ssl.DTLSv1_get_timeout() is None

    def _receive(self, datagrams: Iterable[bytes]) -> None:
        """Decrypt datagrams that arrived together and hand on what is in them."""
        if self.state != "connected":
            return
        ssl, into, buffer = self._raw._ssl, self._raw._into_ssl, _buffer
        write, read, view = _lib.BIO_write, _lib.SSL_read, _ffi.buffer
        packets = []
        for datagram in datagrams:
            write(into, datagram, len(datagram))
            size = read(ssl, buffer, _RECORD)
            if size > 0:
                packets.append(view(buffer, size)[:])
                if len(datagram) == _HEADER + int.from_bytes(datagram[11:_HEADER], "big"):
                    continue  # there was one record in it
            if not self._receive_rest(size, packets):
                break
        receiver: PacketReceiver | None = self._data_receiver  # type: ignore[assignment]
        if packets and receiver is not None:
            receiver.receive(packets)

    def _receive_rest(self, size: int, packets: list[bytes]) -> bool:
        """Take what else is in a datagram, or what is no data at all. Returns whether more may come."""
        open_ = True
        try:
            if size <= 0:
                self._raw._raise_ssl_error(self._raw._ssl, size)
            while True:
                packets.append(self._raw.recv(_RECORD))
        except SSL.ZeroReturnError:
            open_ = False
        except SSL.Error:
            pass  # nothing more, or not a record of this connection
        # An answer of OpenSSL's own: to a repeated handshake message, or to the end.
        with contextlib.suppress(SSL.Error, ConnectionError):
            self._ice.send_all([self._raw.bio_read(_RECORD)])
        if not open_:
            self._ice.end_of_data()
        return open_

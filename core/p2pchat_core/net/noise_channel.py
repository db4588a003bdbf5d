"""A byte stream encrypted with Noise, over any other byte stream (wire/noise.py)."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from p2pchat_core import limits
from p2pchat_core.errors import (
    ConnectionLostError,
    NoAnswerError,
    ProtocolError,
    RemoteProtocolError,
)
from p2pchat_core.limits import READ_CHUNK
from p2pchat_core.net.buffered import BufferedStream
from p2pchat_core.wire.noise import NoiseHandshake

if TYPE_CHECKING:
    from p2pchat_core.identity.keys import PrivateKey, PublicKey
    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.net.stream import ByteStream
    from p2pchat_core.wire.noise import NoiseResult, NoiseSession

__all__ = ["NoiseChannel", "secure_inbound", "secure_outbound"]


_READ: Final = 4 * READ_CHUNK
"""Taken from the transport at once: as much as it gives, so that frames are seldom cut in two."""


class NoiseChannel(BufferedStream):
    """What is written to it reaches only the peer that the handshake proved.

    Noise has no end mark of its own: when the transport below ends between two frames, that is the end.

    Attributes:
        raw: the transport below.
        remote_peer: who is there.
        remote_key: the identity key that proves it.
        muxer: the muxer agreed on in the handshake, or ``None``: then it is still to be chosen.
    """

    def __init__(self, raw: ByteStream, result: NoiseResult, session: NoiseSession) -> None:
        super().__init__()
        self.raw = raw
        self.remote_peer: PeerId = result.remote_peer
        self.remote_key: PublicKey = result.remote_key
        self.muxer = result.muxer
        self._session = session
        self._pending.append(session.take_plaintext())
        raw.on_readable = self.notify_readable
        raw.on_writable = self.notify_writable

    @property
    def buffered(self) -> int:
        """See `ByteStream.buffered`."""
        return super().buffered + self._session.buffered + self.raw.buffered

    def can_send(self) -> bool:
        """See `ByteStream.can_send`."""
        self._check_open()
        return self.raw.can_send()

    def send(self, data: bytes | memoryview) -> None:
        """Encrypt and send; see `ByteStream.send`."""
        self._check_open()
        try:
            self.raw.send(self._session.encrypt(data))
        except ProtocolError as error:
            self.abort()
            raise ConnectionLostError(str(error)) from error

    async def close(self) -> None:
        """End both directions and the transport below."""
        if not (self._closed or self._aborted):
            self._end(aborted=False)
            await self.raw.close()

    def abort(self) -> None:
        """Drop everything and the transport below, at once."""
        if not self._aborted:
            self.raw.abort()
            self._end(aborted=True)

    def _refill(self) -> bool:
        data = self.raw.read_nowait(_READ)
        if data is None:
            return False
        if not data:
            if self._session.mid_frame:
                self.abort()
                raise ConnectionLostError("The connection ended in the middle of a message.")
            self._ended = True
            return True
        try:
            self._session.receive_data(data)
        except RemoteProtocolError as error:
            self.abort()
            raise ConnectionLostError(f"The connection was ended: {error}") from error
        self._pending.append(self._session.take_plaintext())
        return True


async def secure_outbound(raw: ByteStream, identity: PrivateKey, expected: PeerId | None) -> NoiseChannel:
    """Make the handshake as the side that opened the connection.

    Args:
        raw: the transport; aborted when the handshake fails.
        identity: who we are.
        expected: who has to be there, or ``None`` for whoever it is.

    Raises:
        IdentityError: it is not the expected peer, or it cannot prove who it is.
        RemoteProtocolError: it does not keep to the protocol.
        NoAnswerError: it did not complete the handshake within `limits.NEGOTIATION_TIMEOUT`.
        StreamError, ConnectionLostError: the transport broke.
    """
    return await _secure(raw, identity, expected, initiator=True)


async def secure_inbound(
    raw: ByteStream, identity: PrivateKey, expected: PeerId | None = None
) -> NoiseChannel:
    """Make the handshake as the side that was called. Arguments and errors as in `secure_outbound`."""
    return await _secure(raw, identity, expected, initiator=False)


async def _secure(
    raw: ByteStream, identity: PrivateKey, expected: PeerId | None, *, initiator: bool
) -> NoiseChannel:
    handshake = NoiseHandshake(
        initiator=initiator,
        identity=identity,
        static_key=os.urandom(32),
        ephemeral_key=os.urandom(32),
        expected=expected,
    )
    try:
        async with asyncio.timeout(limits.NEGOTIATION_TIMEOUT):
            await _exchange(raw, handshake)
        return NoiseChannel(raw, handshake.result, handshake.session())
    except TimeoutError:
        raw.abort()
        raise NoAnswerError("The peer did not complete the encryption handshake in time.") from None
    except BaseException:
        raw.abort()
        raise


async def _exchange(raw: ByteStream, handshake: NoiseHandshake) -> None:
    while True:
        if output := handshake.take_output():
            await raw.write(output)
        if handshake.complete:
            return
        data = await raw.read()
        if not data:
            raise RemoteProtocolError("The peer ended the connection during the encryption handshake.")
        handshake.receive_data(data)

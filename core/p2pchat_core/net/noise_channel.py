"""A byte stream encrypted with Noise, over any other byte stream (wire/noise.py)."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.errors import (
    ConnectionLostError,
    NoAnswerError,
    ProtocolError,
    RemoteProtocolError,
    StreamClosedError,
    StreamResetError,
)
from p2pchat_core.limits import READ_CHUNK
from p2pchat_core.net.byte_queue import ByteQueue
from p2pchat_core.net.stream import ByteStream
from p2pchat_core.wire.noise import NoiseHandshake

if TYPE_CHECKING:
    from p2pchat_core.identity.keys import PrivateKey, PublicKey
    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.wire.noise import NoiseResult, NoiseSession

__all__ = ["NoiseChannel", "secure_inbound", "secure_outbound"]


class NoiseChannel(ByteStream):
    """What is written to it reaches only the peer that the handshake proved.

    Noise has no end mark of its own: when the transport below ends between two frames, that is the end.

    Attributes:
        raw: the transport below.
        remote_peer: who is there.
        remote_key: the identity key that proves it.
        muxer: the muxer agreed on in the handshake, or ``None``: then it is still to be chosen.
    """

    def __init__(self, raw: ByteStream, result: NoiseResult, session: NoiseSession) -> None:
        self.raw = raw
        self.remote_peer: PeerId = result.remote_peer
        self.remote_key: PublicKey = result.remote_key
        self.muxer = result.muxer
        self._session = session
        self._pending = ByteQueue()
        self._pending.append(session.take_plaintext())
        self._ended = self._closed = self._aborted = False

    @property
    def buffered(self) -> int:
        """See `ByteStream.buffered`; less what is part of a frame, which is never more than one."""
        return len(self._pending) + self.raw.buffered

    async def read(self, max_bytes: int = READ_CHUNK) -> bytes:
        """Return decrypted bytes; see `ByteStream.read`. What is not authentic ends the connection."""
        while True:
            self._check_open()
            if len(self._pending):
                return self._pending.take(max_bytes)
            if self._ended:
                return b""
            await self._read_more()

    def unread(self, data: bytes) -> None:
        """Push bytes back; the next `read` returns them first."""
        self._pending.push_front(data)

    async def write(self, data: bytes) -> None:
        """Encrypt and send; see `ByteStream.write`.

        Cancelling a write ends the connection: a frame of which only a part was sent could never be repaired.
        """
        self._check_open()
        with memoryview(data) as view:
            for start in range(0, len(view), limits.NOISE_MAX_PLAINTEXT):
                await self._write_frame(view[start : start + limits.NOISE_MAX_PLAINTEXT])

    async def close(self) -> None:
        """End both directions and the transport below."""
        if self._closed or self._aborted:
            return
        self._closed = True
        self._pending.clear()
        await self.raw.close()

    def abort(self) -> None:
        """Drop everything and the transport below, at once."""
        self._aborted = True
        self._pending.clear()
        self.raw.abort()

    async def _read_more(self) -> None:
        data = await self.raw.read(READ_CHUNK)
        if not data:
            if self._session.mid_frame:
                self.abort()
                raise ConnectionLostError("The connection ended in the middle of a message.")
            self._ended = True
            return
        try:
            self._session.receive_data(data)
        except RemoteProtocolError as error:
            self.abort()
            raise ConnectionLostError(f"The connection was ended: {error}") from error
        self._pending.append(self._session.take_plaintext())

    async def _write_frame(self, plaintext: memoryview) -> None:
        try:
            await self.raw.write(self._session.encrypt(plaintext))
        except ProtocolError as error:
            self.abort()
            raise ConnectionLostError(str(error)) from error
        except asyncio.CancelledError:
            self.abort()
            raise

    def _check_open(self) -> None:
        if self._closed:
            raise StreamClosedError("The connection was closed on this side.")
        if self._aborted:
            raise StreamResetError("The connection was given up.")


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

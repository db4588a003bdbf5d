"""Noise XX as libp2p uses it: who is there, and encryption from then on (docs/wire.md section 5).

`NoiseHandshake` exchanges three messages, each a two-byte length and a body::

    initiator                                     responder
    -> e                                          32 bytes in the clear
    <- e, ee, s, es, payload                      identity key, signature of the static key, muxers
    -> s, se, payload                             the same of the initiator

`NoiseSession` carries what follows. Keys and randomness are arguments; nothing here blocks or reads a clock.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from p2pchat_core import limits
from p2pchat_core.errors import IdentityError, LocalProtocolError, RemoteProtocolError
from p2pchat_core.wire.noise_payload import decode_payload, encode_payload
from p2pchat_core.wire.noise_xx import OVERHEAD, XXHandshake

if TYPE_CHECKING:
    from p2pchat_core.identity.keys import PrivateKey, PublicKey
    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.wire.noise_cipher import Cipher

__all__ = ["NOISE", "YAMUX", "NoiseHandshake", "NoiseResult", "NoiseSession"]

NOISE: Final = "/noise"
YAMUX: Final = "/yamux/1.0.0"

_TAG: Final = 16
_LENGTH: Final = 2


@dataclass(frozen=True, slots=True)
class NoiseResult:
    """What a completed handshake has proved.

    Attributes:
        remote_key: the peer's identity key.
        remote_peer: the PeerId that this key makes.
        muxer: the muxer both sides named in the handshake; ``None`` when it is left to multistream-select.
        handshake_hash: 32 bytes that are the same on both sides of this one handshake and on no other.
    """

    remote_key: PublicKey
    remote_peer: PeerId
    muxer: str | None
    handshake_hash: bytes


class _Step(enum.Enum):
    """What the machine waits for. Values: the message it reads next, or the end."""

    READ_1 = 1
    READ_2 = 2
    READ_3 = 3
    DONE = 4
    FAILED = 5


# Shortest and longest body of each message: keys and a payload of 8 KiB at most.
_BODY: Final = {
    step: (overhead, overhead + limits.NOISE_MAX_PAYLOAD)
    for step, overhead in zip((_Step.READ_1, _Step.READ_2, _Step.READ_3), OVERHEAD, strict=True)
}


class NoiseHandshake:
    """The three messages. Feed it with `receive_data`, send what `take_output` returns, until `complete`.

    Then `result` says who is there and `session` continues with the same bytes.
    """

    def __init__(
        self,
        *,
        initiator: bool,
        identity: PrivateKey,
        static_key: bytes,
        ephemeral_key: bytes,
        expected: PeerId | None,
        muxers: tuple[str, ...] | None = (YAMUX,),
        prologue: bytes = b"",
    ) -> None:
        """Prepare a handshake.

        Args:
            initiator: whether we opened the connection.
            identity: our long-term key; it signs the static key.
            static_key, ephemeral_key: 32 random bytes each, never used for another handshake.
            expected: who has to be at the other end, or ``None`` for whoever it is.
            muxers: what to offer, best first; ``None`` sends no extensions, an empty tuple sends empty ones.
            prologue: bytes that both sides must agree on.
        """
        self._initiator = initiator
        self._identity = identity
        self._expected = expected
        self._muxers = muxers
        self._noise = XXHandshake(
            initiator=initiator, static_key=static_key, ephemeral_key=ephemeral_key, prologue=prologue
        )
        self._buffer = bytearray()
        self._output = bytearray()
        self._remote: tuple[PublicKey, PeerId, str | None] | None = None
        self._ciphers: tuple[Cipher, Cipher] | None = None
        self._step = _Step.READ_1
        if initiator:
            self._step = _Step.READ_2
            self._send(b"")

    @property
    def complete(self) -> bool:
        """Whether the peer is proved; our last message may still be in `take_output`."""
        return self._step is _Step.DONE

    @property
    def result(self) -> NoiseResult:
        """Who is there.

        Raises:
            LocalProtocolError: the handshake is not complete.
        """
        if self._remote is None or not self.complete:
            raise LocalProtocolError("The handshake has no result before it is complete.")
        key, peer, muxer = self._remote
        return NoiseResult(key, peer, muxer, self._noise.hash)

    def take_output(self) -> bytes:
        """Return what must be sent now; the next call returns what was added since."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer. After `complete` they are kept for the session.

        Raises:
            RemoteProtocolError: a message is malformed, too large or not authentic.
            IdentityError: the peer is not who was expected, or cannot prove who it is.
        """
        if self._step is _Step.FAILED:
            raise RemoteProtocolError("This handshake has failed before.")
        self._buffer += data
        try:
            while self._step in _BODY and (body := self._next_body()) is not None:
                self._receive_message(body)
        except (RemoteProtocolError, IdentityError):
            self._step = _Step.FAILED
            raise

    def session(self) -> NoiseSession:
        """Return the encrypted session, once; it continues with what was received after the handshake.

        Raises:
            LocalProtocolError: the handshake is not complete, or the session was taken already.
            RemoteProtocolError: what the peer has already sent in it is not authentic.
        """
        if self._ciphers is None or not self.complete:
            raise LocalProtocolError("There is one session, and only after the handshake.")
        session, self._ciphers = NoiseSession(*self._ciphers), None
        session.receive_data(bytes(self._buffer))
        self._buffer.clear()
        return session

    def _next_body(self) -> bytes | None:
        if len(self._buffer) < _LENGTH:
            return None
        length = int.from_bytes(self._buffer[:_LENGTH], "big")
        shortest, longest = _BODY[self._step]
        if not shortest <= length <= longest:
            raise RemoteProtocolError(f"A handshake message of {length} bytes cannot be right.")
        if len(self._buffer) < _LENGTH + length:
            return None
        body = bytes(self._buffer[_LENGTH : _LENGTH + length])
        del self._buffer[: _LENGTH + length]
        return body

    def _receive_message(self, body: bytes) -> None:
        payload = self._noise.read(body)
        if self._step is _Step.READ_1:
            # In the clear; peers send nothing in it, and nothing in it is believed.
            self._send(self._payload())
            self._step = _Step.READ_3
            return
        self._read_payload(payload)
        if self._step is _Step.READ_2:
            self._send(self._payload())
        self._ciphers = self._noise.split()
        self._step = _Step.DONE

    def _send(self, payload: bytes) -> None:
        body = self._noise.write(payload)
        self._output += len(body).to_bytes(_LENGTH, "big") + body

    def _payload(self) -> bytes:
        return encode_payload(self._identity, self._noise.static_public, self._muxers)

    def _read_payload(self, data: bytes) -> None:
        payload = decode_payload(data, self._noise.remote_static)
        peer = payload.key.peer_id
        if self._expected is not None and peer != self._expected:
            raise IdentityError(
                f"{peer.short()} answered where {self._expected.short()} was expected: "
                "the address is out of date, or someone is in between."
            )
        ours, theirs = self._muxers or (), payload.muxers
        wanted, had = (ours, theirs) if self._initiator else (theirs, ours)
        # Specification: the first of the initiator's list that the responder has too.
        muxer = next((name for name in wanted if name in had), None)
        self._remote = (payload.key, peer, muxer)


class NoiseSession:
    """Encrypted frames in both directions: a length and at most `limits.NOISE_MAX_FRAME` bytes."""

    def __init__(self, sending: Cipher, receiving: Cipher) -> None:
        self._sending = sending
        self._receiving = receiving
        self._buffer = bytearray()
        self._plaintext: list[bytes] = []
        self._failed = False

    @property
    def buffered(self) -> int:
        """Bytes of a frame that the peer has begun and not ended."""
        return len(self._buffer)

    @property
    def mid_frame(self) -> bool:
        """Whether there is such a frame: were this the end, something would be missing."""
        return bool(self._buffer)

    def encrypt(self, plaintext: bytes | memoryview) -> bytes:
        """Return `plaintext` as frames ready for the wire; nothing for no bytes.

        Raises:
            LocalProtocolError: `limits.NOISE_MAX_MESSAGES` frames have been sent.
        """
        parts: list[bytes] = []
        with memoryview(plaintext) as view:
            for start in range(0, len(view), limits.NOISE_MAX_PLAINTEXT):
                body = self._sending.encrypt(view[start : start + limits.NOISE_MAX_PLAINTEXT])
                parts += (len(body).to_bytes(_LENGTH, "big"), body)
        return b"".join(parts)

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer; every complete frame is decrypted at once.

        Raises:
            RemoteProtocolError: a frame is not authentic, or too short to be one. The connection must end.
        """
        if self._failed:
            raise RemoteProtocolError("This session has failed before.")
        # Whole frames, the usual case, need not be copied first.
        held = bool(self._buffer)
        if held:
            self._buffer += data
        try:
            consumed = self._decrypt_frames(self._buffer if held else data)
        except RemoteProtocolError:
            self._failed = True
            raise
        if held:
            del self._buffer[:consumed]
        elif consumed < len(data):
            self._buffer += memoryview(data)[consumed:]

    def take_plaintext(self) -> bytes:
        """Return what has been decrypted since the last call."""
        plaintext = self._plaintext[0] if len(self._plaintext) == 1 else b"".join(self._plaintext)
        self._plaintext.clear()
        return plaintext

    def _decrypt_frames(self, data: bytes | bytearray) -> int:
        start, available = 0, len(data)
        with memoryview(data) as view:
            while available - start >= _LENGTH:
                length = int.from_bytes(view[start : start + _LENGTH], "big")
                if length < _TAG:
                    raise RemoteProtocolError("The peer sent an encrypted frame that is too short to be one.")
                end = start + _LENGTH + length
                if end > available:
                    break
                with view[start + _LENGTH : end] as frame:
                    # A frame without content is legal and means nothing.
                    if plaintext := self._receiving.decrypt(frame):
                        self._plaintext.append(plaintext)
                start = end
        return start

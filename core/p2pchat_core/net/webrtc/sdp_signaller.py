"""The asyncio shell around the signalling machines: runs one of them on a stream."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from p2pchat_core.errors import (
    ConnectionLostError,
    P2PChatError,
    RemoteProtocolError,
    SignalingError,
    StreamError,
)
from p2pchat_core.wire.ice_candidate import IceCandidate
from p2pchat_core.wire.signaling import (
    AnswerReceived,
    CandidateReceived,
    OfferReceived,
    RemoteEnded,
    SignalingDialer,
    SignalingListener,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2pchat_core.net.stream import ByteStream
    from p2pchat_core.wire.signaling import SignalingEvent

__all__ = ["SdpSignaller"]


class SdpSignaller:
    """One SDP exchange on one stream.

    The dialer calls `offer`, then `read_description`; the listener `read_description`, then `answer`. Both then hand
    the peer's candidates on with `read_candidates`, while `send_candidate` sends ours.
    """

    def __init__(self, stream: ByteStream, *, dialer: bool) -> None:
        """Run on `stream`; the caller closes or aborts it."""
        self._stream = stream
        self._machine: SignalingDialer | SignalingListener = (
            SignalingDialer() if dialer else SignalingListener()
        )
        self._writing = asyncio.Lock()
        self._events: list[SignalingEvent] = []

    async def offer(self, sdp: str) -> None:
        """Send the offer.

        Raises:
            SignalingError: the stream is gone.
        """
        assert isinstance(self._machine, SignalingDialer)
        self._machine.offer(sdp)
        await self._write("offer")

    async def answer(self, sdp: str) -> None:
        """Send the answer.

        Raises:
            SignalingError: the stream is gone.
        """
        assert isinstance(self._machine, SignalingListener)
        self._machine.answer(sdp)
        await self._write("answer")

    async def send_candidate(self, text: str, ufrag: str) -> None:
        """Send one of our candidates. If the stream is gone it is dropped: the peer may be connected already."""
        with contextlib.suppress(P2PChatError):
            self._machine.candidate(IceCandidate(text, ufrag))
            await self._write("candidates")

    async def read_description(self) -> str:
        """Return the peer's offer or answer.

        Raises:
            SignalingError: the stream ended, or something else came.
        """
        stage = "answer" if isinstance(self._machine, SignalingDialer) else "offer"
        try:
            while True:
                while self._events:
                    event = self._events.pop(0)
                    if isinstance(event, OfferReceived | AnswerReceived):
                        return event.sdp
                    if isinstance(event, RemoteEnded):
                        raise SignalingError(f"The peer ended the SDP exchange before its {stage}.", stage)
                await self._receive()
        except (StreamError, ConnectionLostError) as exc:
            raise SignalingError(
                f"The SDP exchange broke off while waiting for the {stage}: {exc}", stage
            ) from exc
        except RemoteProtocolError as exc:
            raise SignalingError(str(exc), stage) from exc

    async def read_candidates(self, found: Callable[[str], None]) -> bool:
        """Report the peer's candidates until it ends its side; return whether that was in good order."""
        try:
            while True:
                while self._events:
                    event = self._events.pop(0)
                    if isinstance(event, CandidateReceived):
                        found(event.candidate_text)
                    elif isinstance(event, RemoteEnded):
                        return True
                await self._receive()
        except P2PChatError:
            # js goes on trying what it has in this case (docs/wire.md section 9.3), and so do we.
            return False

    async def _receive(self) -> None:
        data = await self._stream.read()
        try:
            if data:
                self._machine.receive_data(data)
            else:
                self._machine.receive_eof()
        finally:
            self._events += self._machine.take_events()

    async def _write(self, stage: str) -> None:
        # The output is taken inside the lock, so messages keep their order whoever writes.
        async with self._writing:
            if output := self._machine.take_output():
                try:
                    await self._stream.write(output)
                except (StreamError, ConnectionLostError) as exc:
                    raise SignalingError(f"The SDP exchange broke off: {exc}", stage) from exc

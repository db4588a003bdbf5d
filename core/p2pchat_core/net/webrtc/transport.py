"""Direct connections: `dial_direct` and `accept_direct` (docs/wire.md section 9).

Both exchange session descriptions and candidates over a signalling stream and return a multiplexer. Whatever goes
wrong, or when they are cancelled, nothing is left behind: no socket, no task, and the stream is reset.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2pchat_core.errors import (
    ConnectionLostError,
    IceFailedError,
    P2PChatError,
    RemoteProtocolError,
    SignalingError,
)
from p2pchat_core.limits import DIRECT_TIMEOUT, SIGNALING_ORPHAN_TIMEOUT, SIGNALING_TIMEOUT
from p2pchat_core.net.steps import Step
from p2pchat_core.net.tasks import TaskOwner
from p2pchat_core.net.webrtc.muxer import DataChannelMuxer
from p2pchat_core.net.webrtc.peer_connection import PeerConnection
from p2pchat_core.net.webrtc.sdp_signaller import SdpSignaller
from p2pchat_core.net.webrtc.transcript import Transcript
from p2pchat_core.wire.sdp import Setup, parse_sdp

if TYPE_CHECKING:
    from p2pchat_core.clock import Clock
    from p2pchat_core.net.steps import StepTimer
    from p2pchat_core.net.stream import ByteStream
    from p2pchat_core.net.webrtc.config import CandidateInfo, IceConfig

__all__ = ["DirectConnection", "accept_direct", "dial_direct"]


@dataclass(frozen=True, slots=True)
class DirectConnection:
    """A direct connection.

    Attributes:
        muxer: its streams; not started.
        local, remote: the addresses that it runs between.
    """

    muxer: DataChannelMuxer
    local: CandidateInfo
    remote: CandidateInfo


async def dial_direct(
    signaling: ByteStream, config: IceConfig, *, timer: StepTimer | None = None, clock: Clock | None = None
) -> DirectConnection:
    """Offer a direct connection on a signalling stream that we opened, and close the stream when it is made.

    Raises:
        SignalingError: the exchange broke, or DTLS failed.
        IceFailedError: no pair of addresses worked within `limits.DIRECT_TIMEOUT`.
    """
    return await _Attempt(signaling, config, timer, dialer=True).run()


async def accept_direct(
    signaling: ByteStream, config: IceConfig, *, timer: StepTimer | None = None, clock: Clock | None = None
) -> DirectConnection:
    """Answer an offer on a signalling stream that the peer opened; otherwise as `dial_direct`."""
    return await _Attempt(signaling, config, timer, dialer=False).run()


class _Attempt:
    """One exchange and what comes of it."""

    def __init__(
        self, stream: ByteStream, config: IceConfig, timer: StepTimer | None, *, dialer: bool
    ) -> None:
        self._stream = stream
        self._timer = timer
        self._dialer = dialer
        self._signaller = SdpSignaller(stream, dialer=dialer)
        self._muxer = DataChannelMuxer()
        self._peer = PeerConnection(offerer=dialer, config=config, listener=self._muxer)
        self._muxer.attach(self._peer)
        self._tasks = TaskOwner("direct connection")
        self._transcript = Transcript(dialer=dialer)

    async def run(self) -> DirectConnection:
        try:
            connection = await self._connect()
        except BaseException:
            self._stream.abort()
            self._muxer.abort("The direct connection was not made.")
            await self._tasks.close()
            await self._peer.wait_released()
            raise
        await self._tasks.close()
        await self._stream.close()
        return connection

    async def _connect(self) -> DirectConnection:
        await self._peer.gather()
        try:
            async with asyncio.timeout(SIGNALING_TIMEOUT):
                await self._exchange()
        except TimeoutError as exc:
            stage = "answer" if self._dialer else "offer"
            raise SignalingError(
                f"The peer did not send its {stage} in {SIGNALING_TIMEOUT:.0f} seconds.", stage
            ) from exc
        self._step(Step.EXCHANGE, self._transcript.exchange())
        self._tasks.spawn(self._read_candidates(), "candidates of the peer")
        try:
            async with asyncio.timeout(DIRECT_TIMEOUT):
                local, remote = await self._peer.wait_connected()
            if self._dialer:
                await self._muxer.run_init_channel()
        except TimeoutError as exc:
            raise self._failure() from exc
        except ConnectionLostError as exc:
            raise SignalingError(
                f"The direct connection broke off while it was made: {exc}", "connect"
            ) from exc
        self._step(Step.DIRECT, self._transcript.direct(local, remote, self._peer.pairs))
        return DirectConnection(self._muxer, local, remote)

    async def _exchange(self) -> None:
        """Exchange descriptions. Ours is written first and has no candidates; they follow at once (trickle ICE)."""
        if self._dialer:
            await self._signaller.offer(self._describe(Setup.ACTPASS))
            self._trickle()
            await self._start()
        else:
            await self._start()
            await self._signaller.answer(self._describe(self._peer.answer_setup))
            self._trickle()

    async def _start(self) -> None:
        """Wait for the peer's description and begin to connect."""
        text = await self._signaller.read_description()
        self._transcript.their_description(text)
        try:
            self._peer.start(parse_sdp(text))
        except RemoteProtocolError as exc:
            raise SignalingError(str(exc), "answer" if self._dialer else "offer") from exc

    def _describe(self, setup: Setup) -> str:
        text = self._peer.description(setup).to_text(secrets.randbits(62))
        self._transcript.our_description(text)
        return text

    def _trickle(self) -> None:
        for text in self._peer.host_candidates:
            self._send(text)
        self._peer.ask_servers(self._send)

    def _send(self, text: str) -> None:
        self._transcript.our_candidate(text)
        self._tasks.spawn(self._signaller.send_candidate(text, self._peer.ufrag), "our candidate")

    async def _read_candidates(self) -> None:
        in_order = await self._signaller.read_candidates(self._their_candidate)
        if not in_order:
            # The peer, or the relay, gave the exchange up. What both know by now may still do.
            await asyncio.sleep(SIGNALING_ORPHAN_TIMEOUT)
            self._peer.give_up(self._failure())

    def _their_candidate(self, text: str) -> None:
        self._transcript.their_candidate(text)
        self._peer.add_candidate(text)

    def _failure(self) -> P2PChatError:
        if self._peer.reached:
            return SignalingError(
                "The peer was reached, but the encrypted connection did not come up.", "connect"
            )
        pairs = self._peer.pairs
        return IceFailedError(
            f"No direct connection: none of the {pairs} pairs of addresses let UDP through."
            if pairs
            else "No direct connection: the peer named no address that can be used.",
            pairs,
        )

    def _step(self, step: Step, detail: str = "") -> None:
        if self._timer is not None:
            self._timer.done(step, detail)

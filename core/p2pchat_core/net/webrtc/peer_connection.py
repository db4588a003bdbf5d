"""One WebRTC connection made of aiortc's ORTC objects: ICE, DTLS, SCTP, one after the other.

aiortc's own RTCPeerConnection gathers candidates in one blocking step, five seconds long when a STUN server is down,
so it is not used. This package imports aiortc and aioice only here and in the guards next to this file, and importing
``p2pchat_core.net.webrtc`` loads none of them: they cost 0.4 s and 130 MB.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from aioice.candidate import Candidate
from aiortc import (
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCIceGatherer,
    RTCIceParameters,
    RTCIceTransport,
    RTCSctpCapabilities,
)

from p2pchat_core.errors import ConnectionLostError, IceFailedError, RemoteProtocolError, SignalingError
from p2pchat_core.limits import CLOSE_TIMEOUT, RTC_BUFFERED_LOW, SIGNALING_MAX_CANDIDATES, SIGNALING_MAX_MDNS
from p2pchat_core.net.tasks import TaskOwner
from p2pchat_core.net.webrtc.channel import Association, Channel
from p2pchat_core.net.webrtc.config import CandidateInfo, IceConfig
from p2pchat_core.net.webrtc.dtls import FastDtls
from p2pchat_core.net.webrtc.gathering import find_addresses, gather_from_servers, policy_for
from p2pchat_core.net.webrtc.ice_guard import GuardedIce
from p2pchat_core.net.webrtc.sctp_channels import GuardedSctp, SctpChannel
from p2pchat_core.wire.candidate import RemoteCandidate, format_candidate, parse_candidate
from p2pchat_core.wire.sdp import SessionDescription, Setup

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2pchat_core.net.webrtc.channel import AssociationListener, ChannelListener

__all__ = ["PeerConnection"]

logger = logging.getLogger(__name__)

_SCTP_PORT: Final = 5000


class _Gatherer(RTCIceGatherer):
    """A gatherer whose ICE connection is the guarded one."""

    def __init__(self, connection: GuardedIce) -> None:
        super().__init__(iceServers=[])
        self._connection = connection


class PeerConnection(Association):
    """One attempt at a direct connection and, once connected, the association with the peer.

    Call `gather`, exchange `description` and candidates, `start` with the peer's description, `wait_connected`.
    """

    def __init__(self, *, offerer: bool, config: IceConfig, listener: AssociationListener) -> None:
        """Prepare; `listener` hears of incoming channels and of the end."""
        self._offerer = offerer
        self._config = config
        self._listener = listener
        self._tasks = TaskOwner("webrtc")
        addresses = find_addresses(config)
        self._ice = GuardedIce(controlling=offerer, addresses=addresses, policy=policy_for(config, addresses))
        self._transport = RTCIceTransport(_Gatherer(self._ice))
        self._certificate = RTCCertificate.generateCertificate()
        self._dtls = FastDtls(self._transport, [self._certificate], self._ice)
        self._dtls.on("statechange", self._dtls_changed)
        self._sctp = GuardedSctp(
            self._dtls,
            port=_SCTP_PORT,
            on_established=self._established,
            on_channel=self._incoming,
            on_lost=self._lost,
            spawn=self._tasks.spawn,
        )
        self._connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connected.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._release: asyncio.Task[None] | None = None
        self._lost_reason: str | None = None
        self._candidates = 0
        self._names = 0

    # --- before it is connected ---------------------------------------------------------------------------------

    async def gather(self) -> None:
        """Open the sockets; afterwards `description` and `host_candidates` are known.

        Raises:
            IceFailedError: no socket can be opened.
        """
        try:
            await self._ice.gather_candidates()
        except ConnectionError as exc:
            raise IceFailedError(f"A direct connection is not possible: {exc}") from exc

    def description(self, setup: Setup) -> SessionDescription:
        """Return our side of the offer or answer."""
        prints = self._certificate.getFingerprints()
        digest = next(entry.value for entry in prints if entry.algorithm == "sha-256")
        return SessionDescription(
            ufrag=self._ice.local_username,
            password=self._ice.local_password,
            fingerprint=bytes.fromhex(digest.replace(":", "")),
            setup=setup,
            sctp_port=_SCTP_PORT,
        )

    @property
    def host_candidates(self) -> list[str]:
        """The candidates known at once."""
        return [self._line(candidate) for candidate in self._ice.local_candidates if candidate.type == "host"]

    def ask_servers(self, found: Callable[[str], None]) -> None:
        """Ask the STUN and TURN servers, and report each candidate that comes of it."""
        if self._config.stun or self._config.turn:
            asking = gather_from_servers(
                self._ice, self._config, lambda candidate: found(self._line(candidate))
            )
            self._tasks.spawn(asking, "ask STUN and TURN servers")

    def start(self, remote: SessionDescription) -> None:
        """Connect, with the peer's description; candidates may follow.

        Raises:
            RemoteProtocolError: the roles of the DTLS handshake contradict each other.
        """
        role = self._dtls_role(remote.setup)
        self._dtls._set_role(role)
        self._tasks.spawn(self._connect(remote), "connect")
        for text in remote.candidates:
            self.add_candidate(text)

    def add_candidate(self, text: str) -> None:
        """Use an address of the peer. One that cannot be used is left out, as are more than anybody needs."""
        self._candidates += 1
        if self._candidates > SIGNALING_MAX_CANDIDATES:
            return
        try:
            remote = parse_candidate(text)
        except RemoteProtocolError as exc:
            logger.debug("candidate left out: %s", exc)
            return
        if remote.mdns:
            self._names += 1
            if self._names > SIGNALING_MAX_MDNS:
                return
        self._tasks.spawn(self._add(remote), "add candidate")

    async def wait_connected(self) -> tuple[CandidateInfo, CandidateInfo]:
        """Wait until channels can be opened, and return both ends of the pair in use: ours, the peer's.

        Raises:
            SignalingError, ConnectionLostError: it failed.
        """
        await asyncio.shield(self._connected)
        pair = self._ice.nominated
        if pair is None:
            raise ConnectionLostError("The direct connection was lost while it was made.")
        return _info(pair.local_candidate), _info(pair.remote_candidate)

    def give_up(self, error: Exception) -> None:
        """End an attempt that is not connected yet."""
        if not self._connected.done():
            self._fail(error)

    @property
    def ufrag(self) -> str:
        """Our ICE user name fragment."""
        return self._ice.local_username

    @property
    def reached(self) -> bool:
        """Whether a pair of addresses worked, whatever came after."""
        return self._ice.nominated is not None

    @property
    def pairs(self) -> int:
        """How many candidate pairs have been tried."""
        return self._ice.pairs

    # --- association --------------------------------------------------------------------------------------------

    def open_channel(self, label: str = "") -> Channel:
        """Open a channel; see `Association.open_channel`."""
        if self._lost_reason is not None or self._release is not None:
            raise ConnectionLostError(self._lost_reason or "The connection was closed on this side.")
        return _Channel(self._sctp, self._sctp.open_channel(label))

    async def close(self, *, flush: bool) -> None:
        """Say good-bye (SCTP ABORT, DTLS close_notify) and release everything; see `Association.close`."""
        if flush and self._lost_reason is None and self._release is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT / 2):
                    await self._sctp.drained()
        self.abort()
        await self.wait_released()

    def abort(self) -> None:
        """Release everything; see `Association.abort`."""
        if self._release is None:
            self._lost("The connection was closed on this side.")
            self._release = asyncio.get_running_loop().create_task(
                self._release_all(), name="webrtc: release"
            )

    async def wait_released(self) -> None:
        """Wait for the end of `abort`; see `Association.wait_released`."""
        if self._release is not None:
            await asyncio.shield(self._release)

    # --- inside -------------------------------------------------------------------------------------------------

    def _dtls_role(self, remote: Setup) -> str:
        """Return which side of the DTLS handshake is ours (RFC 8842): an answerer is active, as in js."""
        if self._offerer:
            if remote is Setup.ACTPASS:
                raise RemoteProtocolError("The peer's answer leaves open who begins the DTLS handshake.")
            return "server" if remote is Setup.ACTIVE else "client"
        return "server" if remote is Setup.ACTIVE else "client"

    @property
    def answer_setup(self) -> Setup:
        """What our answer has to say, known after `start`."""
        return Setup.PASSIVE if self._dtls._role == "server" else Setup.ACTIVE

    async def _connect(self, remote: SessionDescription) -> None:
        try:
            await self._transport.start(
                RTCIceParameters(usernameFragment=remote.ufrag, password=remote.password, iceLite=False)
            )
            if self._transport.state != "completed":
                raise ConnectionLostError("The direct connection was given up.")
            digest = ":".join(f"{byte:02X}" for byte in remote.fingerprint)
            await self._dtls.start(RTCDtlsParameters([RTCDtlsFingerprint("sha-256", digest)]))
            self._ice.flight_answered()
            if self._dtls.state != "connected":
                raise SignalingError(
                    "The DTLS handshake failed: the peer does not have the certificate it announced, or was cut off.",
                    stage="connect",
                )
            await self._sctp.start(
                RTCSctpCapabilities(maxMessageSize=remote.max_message_size), remote.sctp_port
            )
        except (ConnectionLostError, SignalingError) as exc:
            self._fail(exc)
        except Exception as exc:
            logger.debug("the attempt failed", exc_info=True)
            self._fail(
                ConnectionLostError(f"The direct connection could not be made ({type(exc).__name__}).")
            )

    async def _add(self, remote: RemoteCandidate) -> None:
        candidate = Candidate(
            remote.foundation, 1, "udp", remote.priority, remote.host, remote.port, remote.kind
        )
        try:
            await self._ice.add_remote_candidate(candidate)
        except (OSError, ValueError) as exc:  # mDNS needs a socket of its own
            logger.debug("candidate left out: %r", exc)

    def _established(self) -> None:
        if not self._connected.done():
            self._connected.set_result(None)

    def _incoming(self, channel: SctpChannel) -> None:
        self._listener.incoming_channel(_Channel(self._sctp, channel))

    def _dtls_changed(self) -> None:
        if self._dtls.state == "closed":
            # The peer closed DTLS, or ICE lost the peer's consent (30 s without an answer).
            self._lost("The direct connection was closed by the peer, or the peer can no longer be reached.")

    def _fail(self, error: Exception) -> None:
        if not self._connected.done():
            self._connected.set_exception(error)
        self._lost(str(error))

    def _lost(self, reason: str) -> None:
        if self._lost_reason is not None:
            return
        self._lost_reason = reason
        if not self._connected.done():
            self._connected.set_exception(ConnectionLostError(reason))
        self._listener.association_lost(reason)

    async def _release_all(self) -> None:
        """Close from the top down, each part bounded; a part that fails must not keep the others open."""
        pump = self._dtls._task
        for part in (self._sctp.stop, self._dtls.stop, self._tasks.close, self._transport.stop):
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await part()
            except Exception as exc:
                logger.debug("closing: %r", exc)
        if pump is not None:
            await asyncio.wait([pump])
            if not pump.cancelled():
                pump.exception()
        if not self._ice.released:
            self._ice.force_close()

    def _line(self, candidate: Candidate) -> str:
        related = None
        if candidate.related_address is not None and candidate.related_port is not None:
            related = candidate.related_address, candidate.related_port
        remote = RemoteCandidate(
            candidate.foundation, candidate.priority, candidate.host, candidate.port, candidate.type
        )
        return format_candidate(remote, related, self._ice.local_username)


class _Channel(Channel):
    """The muxer's view of an `SctpChannel`."""

    def __init__(self, sctp: GuardedSctp, channel: SctpChannel) -> None:
        self._sctp = sctp
        self._channel = channel

    @property
    def channel_id(self) -> int:
        return -1 if self._channel.id is None else self._channel.id

    @property
    def label(self) -> str:
        return self._channel.label

    @property
    def buffered(self) -> int:
        return self._channel.bufferedAmount

    def listen(self, listener: ChannelListener) -> None:
        channel = self._channel
        channel.on_open = listener.channel_opened
        channel.on_message = listener.channel_message
        channel.on_drained = listener.channel_drained
        channel.on_close = listener.channel_closed
        channel.bufferedAmountLowThreshold = RTC_BUFFERED_LOW

    def send(self, message: bytes) -> None:
        self._channel.send(message)

    def consumed(self, count: int) -> None:
        self._sctp.consumed(count)

    def discard(self) -> None:
        self._sctp.discard(self._channel)

    def close(self) -> None:
        self._channel.close()


def _info(candidate: Candidate) -> CandidateInfo:
    return CandidateInfo(candidate.type, candidate.host, candidate.port)

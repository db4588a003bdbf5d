"""From a raw byte stream to an authenticated, multiplexed connection (docs/wire.md sections 3 and 5).

multistream-select agrees on Noise, Noise proves both sides and usually names the muxer; where it does not,
multistream-select agrees on yamux inside the encrypted channel.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from p2pchat_core import limits
from p2pchat_core.clock import SystemClock
from p2pchat_core.errors import NoAnswerError
from p2pchat_core.net.negotiation import answer, select_one
from p2pchat_core.net.noise_channel import secure_inbound, secure_outbound
from p2pchat_core.net.yamux import YamuxMuxer
from p2pchat_core.wire.noise import NOISE, YAMUX

if TYPE_CHECKING:
    from p2pchat_core.clock import Clock
    from p2pchat_core.identity.keys import PrivateKey, PublicKey
    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.net.muxer import Muxer
    from p2pchat_core.net.noise_channel import NoiseChannel
    from p2pchat_core.net.stream import ByteStream

__all__ = ["Upgraded", "upgrade_inbound", "upgrade_outbound"]

_SECURITY: Final = (NOISE,)
_MUXERS: Final = (YAMUX,)


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A connection whose peer is proved.

    Attributes:
        peer: who is there.
        key: the identity key that proves it.
        muxer: carries the streams; not started yet.
    """

    peer: PeerId
    key: PublicKey
    muxer: Muxer


async def upgrade_outbound(
    raw: ByteStream, identity: PrivateKey, expected: PeerId | None, *, clock: Clock | None = None
) -> Upgraded:
    """Upgrade a connection that we opened; `raw` is aborted when that fails.

    Raises:
        IdentityError: not the `expected` peer, or it cannot prove who it is.
        UnsupportedProtocolError: it speaks neither Noise nor yamux.
        NoAnswerError: it did not do its part within `limits.UPGRADE_TIMEOUT`.
        RemoteProtocolError: it broke a protocol.
        StreamError, ConnectionLostError: the transport broke.
    """
    try:
        async with asyncio.timeout(limits.UPGRADE_TIMEOUT):
            await select_one(raw, _SECURITY)
            channel = await secure_outbound(raw, identity, expected)
            if channel.muxer is None:
                await select_one(channel, _MUXERS)
    except TimeoutError:
        raw.abort()
        raise NoAnswerError("The peer did not complete the handshake in time.") from None
    except BaseException:
        raw.abort()
        raise
    return _upgraded(channel, clock, client=True)


async def upgrade_inbound(
    raw: ByteStream,
    identity: PrivateKey,
    expected: PeerId | None = None,
    *,
    clock: Clock | None = None,
    timeout: float | None = None,
) -> Upgraded:
    """Upgrade a connection that the peer opened; `raw` is aborted when that fails.

    Args:
        raw: what was accepted.
        identity: ours.
        expected: who must be there, if that is known.
        clock: for the muxer.
        timeout: seconds for the whole of it; `limits.UPGRADE_TIMEOUT` by default.

    Raises:
        NoAnswerError: the peer did not do its part in time.
        RemoteProtocolError: the peer broke a protocol.
        IdentityError, DialError, StreamError, ConnectionLostError: as in `upgrade_outbound`.
    """
    try:
        async with asyncio.timeout(limits.UPGRADE_TIMEOUT if timeout is None else timeout):
            await answer(raw, _SECURITY.__contains__, lambda: _SECURITY)
            channel = await secure_inbound(raw, identity, expected)
            if channel.muxer is None:
                await answer(channel, _MUXERS.__contains__, lambda: _MUXERS)
    except TimeoutError:
        raw.abort()
        raise NoAnswerError("The peer did not complete the handshake in time.") from None
    except BaseException:
        raw.abort()
        raise
    return _upgraded(channel, clock, client=False)


def _upgraded(channel: NoiseChannel, clock: Clock | None, *, client: bool) -> Upgraded:
    muxer = YamuxMuxer(channel, client=client, clock=clock if clock is not None else SystemClock())
    return Upgraded(channel.remote_peer, channel.remote_key, muxer)

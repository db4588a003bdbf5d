"""From raw bytes to a multiplexed connection, in both roles and along both ways to the muxer."""

from __future__ import annotations

import asyncio
import functools

import pytest

from p2pchat_core import limits
from p2pchat_core.errors import (
    DialError,
    IdentityError,
    StreamResetError,
    UnsupportedProtocolError,
)
from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.net import noise_channel
from p2pchat_core.net.memory import memory_pair
from p2pchat_core.net.negotiation import answer
from p2pchat_core.net.upgrader import upgrade_inbound, upgrade_outbound
from p2pchat_core.wire.multistream import MULTISTREAM, encode_token
from p2pchat_core.wire.noise import NoiseHandshake

ALICE = PrivateKey.from_seed(bytes(range(32)))
BOB = PrivateKey.from_seed(bytes(range(32, 64)))


@pytest.mark.parametrize("early_muxer", [True, False], ids=["muxer in the handshake", "muxer after it"])
@pytest.mark.parametrize("max_read", [1, None])
async def test_upgrade(early_muxer: bool, max_read: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if not early_muxer:
        monkeypatch.setattr(noise_channel, "NoiseHandshake", functools.partial(NoiseHandshake, muxers=None))
    left, right = memory_pair(capacity=1 << 20, max_read=max_read)
    dialled, accepted = await asyncio.gather(
        upgrade_outbound(left, ALICE, BOB.peer_id), upgrade_inbound(right, BOB)
    )
    assert dialled.peer == BOB.peer_id
    assert accepted.peer == ALICE.peer_id
    assert accepted.key.to_protobuf() == ALICE.public_key.to_protobuf()
    dialled.muxer.start()
    accepted.muxer.start()
    stream = await dialled.muxer.open_stream()
    await stream.write(b"hello")
    other = await accepted.muxer.accept_stream()
    assert await other.read_exactly(5) == b"hello"
    await dialled.muxer.close()
    await accepted.muxer.close()
    await dialled.muxer.wait_closed()
    await accepted.muxer.wait_closed()


async def test_wrong_peer() -> None:
    left, right = memory_pair()
    inbound = asyncio.create_task(upgrade_inbound(right, BOB))
    with pytest.raises(IdentityError, match="expected"):
        await upgrade_outbound(left, ALICE, ALICE.peer_id)
    with pytest.raises(StreamResetError):
        await inbound


async def test_a_peer_without_noise() -> None:
    left, right = memory_pair()
    answering = asyncio.create_task(answer(right, {"/tls/1.0.0"}.__contains__, lambda: ["/tls/1.0.0"]))
    with pytest.raises(UnsupportedProtocolError, match="/noise"):
        await upgrade_outbound(left, ALICE, None)
    with pytest.raises(StreamResetError):
        await answering


async def test_a_peer_that_prefers_tls() -> None:
    left, right = memory_pair()
    inbound = asyncio.create_task(upgrade_inbound(right, BOB))
    await left.write(encode_token(MULTISTREAM) + encode_token("/tls/1.0.0"))
    assert await left.read() == encode_token(MULTISTREAM) + encode_token("na")
    await left.write(encode_token("/noise"))
    assert await left.read() == encode_token("/noise")
    left.abort()
    with pytest.raises(StreamResetError):
        await inbound


async def test_a_silent_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UPGRADE_TIMEOUT", 0.01)
    left, right = memory_pair()
    with pytest.raises(DialError, match="in time"):
        await upgrade_outbound(left, ALICE, None)
    with pytest.raises(StreamResetError):
        await right.read()
    left, right = memory_pair()
    with pytest.raises(DialError, match="in time"):
        await upgrade_inbound(right, BOB)
    with pytest.raises(StreamResetError):
        await left.read()


async def test_cancelling_leaves_nothing_open() -> None:
    left, right = memory_pair()
    upgrading = asyncio.create_task(upgrade_outbound(left, ALICE, None))
    await right.read()
    upgrading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upgrading
    with pytest.raises(StreamResetError):
        await right.read()

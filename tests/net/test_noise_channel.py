"""An encrypted channel over the in-memory transport: who is there, what arrives, and how it ends."""

from __future__ import annotations

import asyncio

import pytest

from p2pchat_core import limits
from p2pchat_core.errors import (
    ConnectionLostError,
    DialError,
    IdentityError,
    RemoteProtocolError,
    StreamClosedError,
    StreamResetError,
)
from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.net.memory import MemoryStream, memory_pair
from p2pchat_core.net.noise_channel import NoiseChannel, secure_inbound, secure_outbound
from p2pchat_core.wire.noise import YAMUX, NoiseHandshake

ALICE = PrivateKey.from_seed(bytes(range(32)))
BOB = PrivateKey.from_seed(bytes(range(32, 64)))


async def channels(
    *, capacity: int = 1 << 20, max_read: int | None = None
) -> tuple[NoiseChannel, NoiseChannel, MemoryStream, MemoryStream]:
    left, right = memory_pair(capacity=capacity, max_read=max_read)
    dialled, accepted = await asyncio.gather(
        secure_outbound(left, ALICE, BOB.peer_id), secure_inbound(right, BOB, ALICE.peer_id)
    )
    return dialled, accepted, left, right


@pytest.mark.parametrize("max_read", [1, 50, None])
async def test_both_are_proved_and_talk(max_read: int | None) -> None:
    dialled, accepted, _, _ = await channels(max_read=max_read)
    assert dialled.remote_peer == BOB.peer_id
    assert accepted.remote_peer == ALICE.peer_id
    assert accepted.remote_key.to_protobuf() == ALICE.public_key.to_protobuf()
    assert dialled.muxer == accepted.muxer == YAMUX
    await dialled.write(b"ping")
    await accepted.write(b"pong")
    assert await accepted.read_exactly(4) == b"ping"
    assert await dialled.read_exactly(4) == b"pong"


async def test_nothing_readable_travels() -> None:
    dialled, _, _, right = await channels()
    await dialled.write(b"secret words")
    wire = await right.read()
    assert b"secret" not in wire
    assert len(wire) == 2 + 12 + 16


async def test_much_at_once_under_backpressure() -> None:
    dialled, accepted, _, _ = await channels(capacity=1000)
    data = bytes(range(256)) * 2048
    writing = asyncio.create_task(dialled.write(data))
    assert await accepted.read_exactly(len(data)) == data
    await writing


async def test_reading_in_portions() -> None:
    dialled, accepted, _, _ = await channels()
    await dialled.write(b"")
    await dialled.write(b"hello")
    assert await accepted.read(2) == b"he"
    accepted.unread(b"he")
    assert await accepted.read() == b"hello"


async def test_every_connection_has_its_own_keys() -> None:
    wires = []
    for _ in range(2):
        dialled, _, _, right = await channels()
        await dialled.write(b"the same")
        wires.append(await right.read())
    assert wires[0] != wires[1]


async def test_data_right_behind_the_handshake_is_not_lost() -> None:
    left, right = memory_pair()
    inbound = asyncio.create_task(secure_inbound(right, BOB))
    handshake = NoiseHandshake(
        initiator=True,
        identity=ALICE,
        static_key=bytes([1] * 32),
        ephemeral_key=bytes([2] * 32),
        expected=None,
    )
    await left.write(handshake.take_output())
    handshake.receive_data(await left.read())
    last = handshake.take_output()
    await left.write(last + handshake.session().encrypt(b"eager"))
    assert await (await inbound).read() == b"eager"


async def test_wrong_peer() -> None:
    left, right = memory_pair()
    inbound = asyncio.create_task(secure_inbound(right, BOB))
    with pytest.raises(IdentityError, match="expected"):
        await secure_outbound(left, ALICE, PrivateKey.from_seed(bytes(32)).peer_id)
    with pytest.raises(StreamResetError):
        await inbound
    with pytest.raises(StreamResetError):
        await left.read()


async def test_the_peer_leaves_during_the_handshake() -> None:
    left, right = memory_pair()
    await right.close()
    with pytest.raises(RemoteProtocolError, match="ended"):
        await secure_inbound(left, ALICE)


async def test_a_silent_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "NEGOTIATION_TIMEOUT", 0.01)
    left, right = memory_pair()
    with pytest.raises(DialError, match="in time"):
        await secure_outbound(left, ALICE, None)
    with pytest.raises(StreamResetError):
        await right.read()


async def test_close() -> None:
    dialled, accepted, _, _ = await channels()
    await dialled.write(b"bye")
    await dialled.close()
    await dialled.close()
    assert await accepted.read() == b"bye"
    assert await accepted.read() == b""
    with pytest.raises(StreamClosedError):
        await dialled.write(b"?")
    with pytest.raises(StreamClosedError):
        await dialled.read()


async def test_abort() -> None:
    dialled, accepted, _, _ = await channels()
    dialled.abort()
    for use in (dialled.read(), dialled.write(b"?"), accepted.read(), accepted.write(b"?")):
        with pytest.raises(StreamResetError):
            await use


async def test_an_end_inside_a_frame_is_no_end() -> None:
    dialled, accepted, left, _ = await channels()
    await dialled.write(b"whole")
    await left.write(b"\x00\x20half")
    await left.close()
    assert await accepted.read() == b"whole"
    with pytest.raises(ConnectionLostError, match="middle"):
        await accepted.read()


async def test_forged_data_ends_the_connection() -> None:
    _, accepted, left, _ = await channels()
    await left.write(b"\x00\x20" + bytes(32))
    with pytest.raises(ConnectionLostError, match="forged"):
        await accepted.read()
    with pytest.raises(StreamResetError):
        await left.read()


async def test_keys_that_are_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    dialled, _, left, _ = await channels()
    monkeypatch.setattr(limits, "NOISE_MAX_MESSAGES", 0)
    with pytest.raises(ConnectionLostError, match="anew"):
        await dialled.write(b"one more")
    with pytest.raises(StreamResetError):
        await left.read()


async def test_a_cancelled_write_is_sent_whole() -> None:
    dialled, accepted, _, _ = await channels(capacity=10)
    writing = asyncio.create_task(dialled.write(bytes(1000)))
    await asyncio.sleep(0)
    assert not writing.done()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await accepted.read_exactly(1000) == bytes(1000)
    await asyncio.gather(dialled.write(b"next"), reading := asyncio.ensure_future(accepted.read()))
    assert reading.result() == b"next"

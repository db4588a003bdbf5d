"""The short way through DTLS, and what it relies on in aiortc and pyOpenSSL."""

from __future__ import annotations

import asyncio
import importlib.metadata
from typing import Any

from aiortc import RTCDtlsTransport
from OpenSSL import SSL

from p2pchat_core.net.memory import memory_pair
from p2pchat_core.net.webrtc.config import IceConfig
from p2pchat_core.net.webrtc.dtls import FAST_PYOPENSSL
from p2pchat_core.net.webrtc.transport import DirectConnection, accept_direct, dial_direct

LOOPBACK = IceConfig(addresses=("127.0.0.1",))


async def connected() -> tuple[DirectConnection, DirectConnection]:
    """Two connected peers with one stream used, so that everything is up."""
    near, far = memory_pair()
    left, right = await asyncio.gather(dial_direct(near, LOOPBACK), accept_direct(far, LOOPBACK))
    left.muxer.start()
    right.muxer.start()
    stream = await left.muxer.open_stream()
    await stream.write(b"up")
    other = await right.muxer.accept_stream()
    assert await other.read_exactly(2) == b"up"
    return left, right


def dtls_of(direct: DirectConnection) -> Any:
    """The DTLS transport below a connection."""
    association: Any = direct.muxer._association
    return association._dtls


async def say(left: DirectConnection, right: DirectConnection, data: bytes) -> None:
    """Send something over a new stream."""
    stream = await left.muxer.open_stream()
    await stream.write(data)
    other = await right.muxer.accept_stream()
    assert await other.read_exactly(len(data)) == data


def test_it_was_made_for_this_version() -> None:
    assert importlib.metadata.version("pyopenssl").startswith(FAST_PYOPENSSL)
    assert {"SSL_write", "SSL_read", "BIO_read", "BIO_write"} <= set(dir(SSL._lib))  # type: ignore[attr-defined]
    assert hasattr(RTCDtlsTransport, "_recv_next")


async def test_datagrams_skip_the_queue() -> None:
    left, right = await connected()
    dtls = dtls_of(right)
    queued: list[object] = []
    real = dtls._ice._queue.put_nowait
    dtls._ice._queue.put_nowait = queued.append
    await say(left, right, bytes(10_000))
    dtls._ice._queue.put_nowait = real
    assert queued == []
    await asyncio.gather(left.muxer.close(), right.muxer.close())


async def test_records_that_share_a_datagram_are_all_read() -> None:
    left, right = await connected()
    sender, receiver = dtls_of(left), dtls_of(right)
    sent: list[bytes] = []
    heard: list[bytes] = []
    sender._ice.send_all, real = sent.extend, sender._ice.send_all
    sender.send_packets([b"one", b"two", b"three"])
    sender._ice.send_all = real
    real = receiver._data_receiver.receive
    receiver._data_receiver.receive = heard.extend
    receiver._receive([b"".join(sent)])
    receiver._data_receiver.receive = real
    assert heard == [b"one", b"two", b"three"]
    await asyncio.gather(left.muxer.close(), right.muxer.close())


async def test_damaged_records_change_nothing() -> None:
    left, right = await connected()
    dtls = dtls_of(right)
    header = b"\x17\xfe\xfd\x00\x01\x00\x00\x00\x00\x00\x09"
    for record in (
        b"\x17",
        header,
        header + b"\x00\x04abcd",
        header + b"\xff\xffab",
        b"\x16" * 200,
        bytes([20]) * 1500,
    ):
        dtls._receive([record])
        dtls._receive([record, record])
    await say(left, right, b"still here")
    await say(right, left, b"and back")
    await asyncio.gather(left.muxer.close(), right.muxer.close())


async def test_the_end_said_by_the_peer_is_heard() -> None:
    left, right = await connected()
    await dtls_of(left).stop()
    async with asyncio.timeout(5):
        reason = await right.muxer.wait_closed()
    assert "closed by the peer" in reason
    await left.muxer.close()

"""Addresses hidden behind a `.local` name, as browsers do: they are looked up by multicast on this machine."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest
from aioice import mdns

from p2pchat_core.net.memory import memory_pair
from p2pchat_core.net.webrtc.config import IceConfig
from p2pchat_core.net.webrtc.peer_connection import PeerConnection
from p2pchat_core.net.webrtc.transport import accept_direct, dial_direct

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOOPBACK = IceConfig(addresses=("127.0.0.1",))


@pytest.fixture
async def name() -> AsyncIterator[str]:
    """A name that is published for 127.0.0.1."""
    try:
        publisher = await mdns.create_mdns_protocol()
    except OSError as error:
        pytest.skip(f"no multicast here: {error}")
    hidden = mdns.create_mdns_hostname()
    await publisher.publish(hidden, "127.0.0.1")
    yield hidden
    await publisher.close()


async def test_a_hidden_address_is_looked_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither side tells the other an address; without the look-up nobody would know where to send a check."""
    shown: list[str] = []
    original = PeerConnection.host_candidates.fget
    assert original is not None

    def hidden(self: PeerConnection) -> list[str]:
        candidates = [re.sub(r" 127\.0\.0\.1 ", f" {name} ", text) for text in original(self)]
        shown.extend(candidates)
        return candidates

    monkeypatch.setattr(PeerConnection, "host_candidates", property(hidden))
    near, far = memory_pair()
    async with asyncio.timeout(15):
        dialed, accepted = await asyncio.gather(dial_direct(near, LOOPBACK), accept_direct(far, LOOPBACK))
    assert len(shown) == 2
    assert all(name in text and "127.0.0.1" not in text for text in shown)
    for connection in (dialed, accepted):
        connection.muxer.start()
        assert connection.remote.host == name
    stream = await dialed.muxer.open_stream()
    await stream.write(b"hidden")
    assert await (await accepted.muxer.accept_stream()).read_exactly(6) == b"hidden"
    await dialed.muxer.close()
    await accepted.muxer.wait_closed()

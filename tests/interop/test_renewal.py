"""A direct connection with js-libp2p is renewed by signalling over itself, when no relay is left."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_core.chat.events import ListeningEvent, MessageEvent
from p2pchat_core.chat.model import ServiceConfig
from p2pchat_core.chat.service import ChatService
from p2pchat_core.identity.peer_id import PeerId
from tests.chat.services import heard, host_of
from tests.interop.peers import js_listening, js_peer, our_relay

if TYPE_CHECKING:
    from pathlib import Path

    from p2pchat_core.chat.event_hub import EventStream
    from tests.support.program import Program

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]


async def chat_both_ways(we: ChatService, events: EventStream, js: Program, mark: str) -> None:
    await we.send(js.peer, f"from us {mark}")
    await js.event("message", lambda e: e["text"] == f"from us {mark}")
    await js.call("send", peer=we.peer_id, text=f"from js {mark}")
    assert (await heard(events, MessageEvent)).text == f"from js {mark}"


@pytest.mark.parametrize("dialer", ["ours", "js"])
async def test_js_answers_on_the_direct_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dialer: str
) -> None:
    monkeypatch.setattr(limits, "SUCCESSION_LINGER", 0.5)
    we = ChatService(ServiceConfig(tmp_path / "ours"))
    events = we.subscribe()
    await we.start()
    try:
        async with our_relay(tmp_path / "relay") as relay, js_peer() as js:
            if dialer == "ours":
                await we.connect(await js_listening(js, relay.address))
            else:
                await we.connect(relay.address)
                await js.call("connect", address=(await heard(events, ListeningEvent)).addresses[0])
            peer = PeerId.parse(js.peer)
            await relay.kill()
            await chat_both_ways(we, events, js, "before")
            for number in range(3):
                old = host_of(we).connections(peer)[0]
                assert old.direct
                fresh = await we._node.renew(old)
                assert host_of(we).connections(peer)[0] is fresh
                await chat_both_ways(we, events, js, f"after {number}")
                async with asyncio.timeout(20):
                    await old.wait_closed()
                await chat_both_ways(we, events, js, f"on {number}")
            open_ones = [c for c in (await js.call("connections"))["connections"] if c["direct"]]
            assert len(open_ones) == 1
    finally:
        await we.stop()

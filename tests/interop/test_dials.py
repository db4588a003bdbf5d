"""Many dials in a row in both directions, and dials while the STUN server is dead."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.interop.peers import Relay, js_listening, js_peer, our_relay, ours

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.support.program import Program

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

DIALS = 50
PACE = 0.25
"""Seconds between dials: js closes a sixth inbound connection from one address within a second."""
PAGE_PATIENCE = 5.0


@pytest.fixture
def silent_stun() -> Iterator[str]:
    """A UDP socket that is there and never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"stun:127.0.0.1:{sock.getsockname()[1]}"


@asynccontextmanager
async def on_our_relay(
    tmp_path: Path, stun: str | None = None
) -> AsyncIterator[tuple[Program, Program, Relay]]:
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(our_relay(tmp_path / "relay"))
        stun_options = ["--no-stun"] if stun is None else ["--stun", stun]
        we = await stack.enter_async_context(ours(tmp_path / "ours", "--no-embedded-relay", *stun_options))
        js = await stack.enter_async_context(js_peer(stun=[] if stun is None else [stun]))
        yield we, js, relay


async def our_address(we: Program, relay: Relay) -> str:
    await we.call("connect", address=relay.address)
    listening = await we.event("listening", lambda e: bool(e["addresses"]))
    return str(listening["addresses"][0])


async def hang_up(we: Program, js: Program) -> None:
    await we.call("disconnect", peer=js.peer)
    # Now and then js misses the good-bye and learns of it by its heartbeat, within 15 seconds.
    async with asyncio.timeout(20):
        while [c for c in (await js.call("connections"))["connections"] if c["peer"] == we.peer]:
            await asyncio.sleep(0.02)
    we.events.clear()


async def test_we_dial_js_again_and_again(tmp_path: Path) -> None:
    async with on_our_relay(tmp_path) as (we, js, relay):
        address = await js_listening(js, relay.address)
        for number in range(DIALS):
            await we.call("connect", address=address)
            await we.event("connection", lambda e: e["peer"] == js.peer and e["path"] == "direct", timeout=1)
            await we.call("send", peer=js.peer, text=f"dial {number}")
            await js.event("message", lambda e, n=number: e["text"] == f"dial {n}")
            await hang_up(we, js)
            await asyncio.sleep(PACE)


async def test_js_dials_us_again_and_again(tmp_path: Path) -> None:
    async with on_our_relay(tmp_path) as (we, js, relay):
        address = await our_address(we, relay)
        for _ in range(DIALS):
            await js.call("connect", address=address)
            await we.event("connection", lambda e: e["peer"] == js.peer and e["path"] == "direct")
            await hang_up(we, js)
            await asyncio.sleep(PACE)


async def test_a_dead_stun_server_delays_nobody(tmp_path: Path, silent_stun: str) -> None:
    """A page gives up after five seconds, which is also how long a STUN query waits."""
    async with on_our_relay(tmp_path, silent_stun) as (we, js, relay):
        address = await js_listening(js, relay.address)
        async with asyncio.timeout(PAGE_PATIENCE):
            await we.call("connect", address=address)
        await we.event("connection", lambda e: e["peer"] == js.peer and e["path"] == "direct", timeout=1)
        await hang_up(we, js)
        # js itself stops the dial after five seconds.
        await js.call("connect", address=await our_address(we, relay), timeout=int(PAGE_PATIENCE * 1000))
        await we.event("connection", lambda e: e["peer"] == js.peer and e["path"] == "direct")


async def test_both_address_forms(tmp_path: Path) -> None:
    async with on_our_relay(tmp_path) as (we, js, relay):
        new_form = await js_listening(js, relay.address)
        old_form = new_form.replace("/p2p-circuit/webrtc", f"/p2p-circuit/p2p/{js.peer}/p2p-circuit/webrtc")
        assert old_form.count("p2p-circuit") == 2
        for address in (new_form, old_form):
            await we.call("connect", address=address)
            await we.event("connection", lambda e: e["peer"] == js.peer and e["path"] == "direct", timeout=1)
            await hang_up(we, js)
            await asyncio.sleep(PACE)

"""Our program and js-libp2p in Node 24: who dials, and whose relay, in every combination."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.interop.peers import Relay, js_listening, js_peer, js_relay, our_relay, ours

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.program import Program

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

WHO = pytest.mark.parametrize("dialer", ["ours", "js"])
WHOSE = pytest.mark.parametrize("relay_kind", ["our relay", "js relay"])


@asynccontextmanager
async def run_relay(kind: str, data_dir: Path) -> AsyncIterator[Relay]:
    async with our_relay(data_dir) if kind == "our relay" else js_relay() as relay:
        yield relay


async def meet(we: Program, js: Program, relay: Relay, dialer: str) -> None:
    """Connect the two directly, `dialer` dialling the other's listening address."""
    if dialer == "ours":
        address = await js_listening(js, relay.address)
        await we.call("connect", address=address)
    else:
        await we.call("connect", address=relay.address)
        listening = await we.event("listening", lambda e: bool(e["addresses"]))
        await js.call("connect", address=listening["addresses"][0])
    opened = await we.event("connection", lambda e: e["peer"] == js.peer and e["path"] == "direct")
    assert opened["state"] == "open"


@asynccontextmanager
async def pair(tmp_path: Path, relay_kind: str, dialer: str) -> AsyncIterator[tuple[Program, Program, Relay]]:
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(run_relay(relay_kind, tmp_path / "relay"))
        we = await stack.enter_async_context(ours(tmp_path / "ours", "--no-embedded-relay", "--no-stun"))
        js = await stack.enter_async_context(js_peer())
        await meet(we, js, relay, dialer)
        yield we, js, relay


async def chat_both_ways(we: Program, js: Program, mark: str) -> None:
    await js.call("send", peer=we.peer, text=f"from js {mark}")
    received = await we.event("message", lambda e: e["text"] == f"from js {mark}")
    assert received["peer"] == js.peer
    reply = await we.call("send", peer=js.peer, text=f"from us {mark} ✓")
    await js.event("message", lambda e: e["text"] == f"from us {mark} ✓")
    await we.event("sent", lambda e: e["message_id"] == reply["message_id"])


@WHO
@WHOSE
async def test_chat_goes_on_without_the_relay(tmp_path: Path, relay_kind: str, dialer: str) -> None:
    async with pair(tmp_path, relay_kind, dialer) as (we, js, relay):
        assert (await we.call("ping", peer=js.peer))["rtt_ms"] > 0
        assert (await js.call("ping", peer=we.peer))["rtt"] >= 0
        await chat_both_ways(we, js, "with the relay")
        await relay.kill()
        await chat_both_ways(we, js, "without the relay")
        await chat_both_ways(we, js, "again")
        assert (await we.call("ping", peer=js.peer))["rtt_ms"] > 0


@WHO
@WHOSE
async def test_identify(tmp_path: Path, relay_kind: str, dialer: str) -> None:
    async with pair(tmp_path, relay_kind, dialer) as (we, js, _relay):
        async with asyncio.timeout(10):
            while True:
                known = await js.call("identified", peer=we.peer)
                if "/libp2p/examples/chat/1.0.0" in known["protocols"]:
                    break
                await asyncio.sleep(0.05)
        assert known["agent"].startswith("p2pchat/")
        assert {"/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0", "/echo/1.0.0"} <= set(
            known["protocols"]
        )


@WHO
@WHOSE
async def test_streams_of_js(tmp_path: Path, relay_kind: str, dialer: str) -> None:
    async with pair(tmp_path, relay_kind, dialer) as (we, js, _relay):
        await js.call("streams", peer=we.peer, count=100)
        result = await js.call("echo", peer=we.peer, size=1 << 20)
        assert result["received"] == 1 << 20
        assert result["sent"] == result["back"]
        assert (await we.call("echo", peer=js.peer, text="über ✓"))["text"] == "über ✓"
        await chat_both_ways(we, js, "after all that")


async def test_a_minute_of_silence(tmp_path: Path) -> None:
    """js pings every ten seconds and aborts a connection that does not answer rightly; so do we."""

    async def sit_still(relay_kind: str, dialer: str) -> None:
        async with pair(tmp_path / dialer, relay_kind, dialer) as (we, js, relay):
            await chat_both_ways(we, js, "before")
            await relay.kill()
            await asyncio.sleep(60)
            await chat_both_ways(we, js, "after")
            assert not [e for e in we.events if e["event"] == "connection" and e["path"] == "direct"]

    async with asyncio.TaskGroup() as group:
        group.create_task(sit_still("our relay", "js"))
        group.create_task(sit_still("js relay", "ours"))

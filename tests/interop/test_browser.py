"""Our program and a page in Chromium that does what the page of the js example does."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.interop.peers import Relay, browser_page, our_relay, ours
from tests.interop.test_js import run_relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.program import Program

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@asynccontextmanager
async def with_page(tmp_path: Path, relay_kind: str) -> AsyncIterator[tuple[Program, Program, Relay]]:
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(run_relay(relay_kind, tmp_path / "relay"))
        we = await stack.enter_async_context(ours(tmp_path / "ours", "--no-embedded-relay", "--no-stun"))
        page = await stack.enter_async_context(browser_page())
        yield we, page, relay


async def chat_both_ways(we: Program, page: Program, mark: str) -> None:
    await page.call("send", text=f"from the page {mark}")
    received = await we.event("message", lambda e: e["text"] == f"from the page {mark}")
    assert received["peer"] == page.peer
    await we.call("send", peer=page.peer, text=f"from us {mark}")
    await page.call("expect", line=f"Received message 'from us {mark}'")


@pytest.mark.parametrize("relay_kind", ["our relay", "js relay"])
async def test_the_page_dials_us(tmp_path: Path, relay_kind: str) -> None:
    async with with_page(tmp_path, relay_kind) as (we, page, relay):
        await we.call("connect", address=relay.address)
        address = (await we.event("listening", lambda e: bool(e["addresses"])))["addresses"][0]
        said = (await page.call("connect", address=address))["said"]
        assert f"Connected to '{address}'" in said
        await chat_both_ways(we, page, "with the relay")
        await relay.kill()
        await chat_both_ways(we, page, "without the relay")


@pytest.mark.parametrize("relay_kind", ["our relay", "js relay"])
async def test_we_dial_the_page(tmp_path: Path, relay_kind: str) -> None:
    async with with_page(tmp_path, relay_kind) as (we, page, relay):
        said = (await page.call("connect", address=relay.address))["said"]
        assert "Connected to relay" in said
        address = (await page.call("addresses"))["addresses"][0]
        await we.call("connect", address=address)
        opened = await we.event("connection", lambda e: e["peer"] == page.peer and e["path"] == "direct")
        assert opened["state"] == "open"
        await we.call("send", peer=page.peer, text="hello page")
        await page.call("expect", line="Received message 'hello page'")
        await chat_both_ways(we, page, "with the relay")
        await relay.kill()
        await chat_both_ways(we, page, "without the relay")


async def test_the_page_hears_us_again_after_our_restart(tmp_path: Path) -> None:
    """The page keeps a dead stream and only an inbound one repairs it: we open it."""
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(our_relay(tmp_path / "relay"))
        page = await stack.enter_async_context(browser_page())
        await page.call("connect", address=relay.address)
        address = (await page.call("addresses"))["addresses"][0]
        for run in range(2):
            async with ours(tmp_path / "ours", "--no-embedded-relay", "--no-stun") as we:
                await we.call("connect", address=address)
                await we.event("connection", lambda e: e["peer"] == page.peer and e["path"] == "direct")
                await we.call("send", peer=page.peer, text=f"run {run}")
                await page.call("expect", line=f"Received message 'run {run}'")
                await page.call("send", text=f"answer {run}")
                await we.event("message", lambda e, n=run: e["text"] == f"answer {n}")

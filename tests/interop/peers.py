"""The programs of the interop suite: js-libp2p peers and relay, a page in Chromium, and our own commands."""

from __future__ import annotations

import json
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.program import Program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["JS", "NODE", "Relay", "browser_page", "js_listening", "js_peer", "js_relay", "our_relay", "ours"]

JS = Path(__file__).parent / "js"
NODE = JS / "node_modules" / ".bin" / "node"


@dataclass
class Relay:
    """A running relay: its complete addresses and its process."""

    addresses: list[str]
    process: Program

    async def kill(self) -> None:
        """End it at once."""
        await self.process.kill()

    @property
    def address(self) -> str:
        """The first address, on loopback."""
        return self.addresses[0]


@asynccontextmanager
async def js_peer(**options: Any) -> AsyncIterator[Program]:
    """Run a js-libp2p peer in Node; its `ready` event says who it is (`peer`)."""
    argv = [NODE, "peer.mjs", json.dumps(options)]
    async with await Program.start("js", argv, cwd=JS) as program:
        program.peer = (await program.event("ready"))["peer"]
        yield program


async def js_listening(program: Program, relay: str) -> str:
    """Let a js peer reserve on `relay` and return the address it can be dialled at."""
    await program.call("dial", address=relay)
    event = await program.event("listening", lambda e: bool(e["addresses"]))
    return str(event["addresses"][0])


@asynccontextmanager
async def js_relay() -> AsyncIterator[Relay]:
    """Run js-libp2p's relay server."""
    async with await Program.start("js relay", [NODE, "relay.mjs"], cwd=JS) as program:
        yield Relay((await program.event("ready"))["addresses"], program)


@asynccontextmanager
async def our_relay(data_dir: Path, *arguments: str) -> AsyncIterator[Relay]:
    """Run `p2pchat-relay` on a free port."""
    argv = [sys.executable, "-m", "p2pchat_relay", "--listen", "/ip4/127.0.0.1/tcp/0/ws"]
    program = await Program.start("relay", [*argv, "--data-dir", data_dir, *arguments])
    async with program:
        yield Relay([await program.line()], program)
        if program.process.returncode is None:
            program.process.terminate()


@asynccontextmanager
async def ours(data_dir: Path, *arguments: str, name: str = "ours") -> AsyncIterator[Program]:
    """Run `p2pchat headless` and wait until it is ready; `peer` is who it is."""
    argv = [sys.executable, "-m", "p2pchat_tui", "headless", "--data-dir", data_dir, *arguments]
    async with await Program.start(name, argv) as program:
        program.peer = (await program.event("ready"))["peer_id"]
        yield program


@asynccontextmanager
async def browser_page() -> AsyncIterator[Program]:
    """Open the page in headless Chromium."""
    async with await Program.start("page", [NODE, "browser.mjs"], cwd=JS) as program:
        program.peer = (await program.event("ready", timeout=60))["peer"]
        yield program

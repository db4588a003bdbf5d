"""Our programs and those of others, each in a namespace of the laboratory."""

from __future__ import annotations

import json
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.interop.peers import JS, NODE
from tests.netlab.clocks import with_clock
from tests.netlab.lab import PUBLIC
from tests.support.program import Program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.netlab.lab import Lab
    from tests.netlab.namespaces import Namespace

__all__ = ["RELAY_PORT", "Relay", "World", "disk_of", "start_ours", "world"]

RELAY_PORT: Final = 9001


@dataclass
class Relay:
    """``p2pchat-relay`` on the internet, which can be killed and started again.

    Attributes:
        address: where it listens, complete.
    """

    net: Namespace
    data_dir: Path
    host: str = PUBLIC
    arguments: tuple[str, ...] = ()
    address: str = ""
    process: Program | None = field(default=None, repr=False)

    async def start(self) -> None:
        """Run it, with the key it had before, if any."""
        listen = f"/ip4/{self.host}/tcp/{RELAY_PORT}/ws"
        argv = [sys.executable, "-m", "p2pchat_relay", "--listen", listen, "--data-dir", self.data_dir]
        self.process = await Program.start("relay", self.net.argv(*argv, *self.arguments))
        self.address = await self.process.line()

    async def kill(self) -> None:
        """End it without a good-bye."""
        if self.process is not None:
            await self.process.kill()


async def start_ours(
    namespace: Namespace, data_dir: Path, *arguments: str, disk: str = "", clock: Path | None = None
) -> Program:
    """Run ``p2pchat headless`` inside until it is ready; `peer` is who it is.

    Args:
        disk: put its data on a disk of its own of this size, which ends with it; see `disk_of`.
        clock: let it go by the clock in this file; see `set_clock`.
    """
    argv: list[str | Path] = [
        sys.executable,
        "-m",
        "p2pchat_tui",
        "headless",
        "--data-dir",
        data_dir,
        "--no-embedded-relay",
    ]
    if clock is not None:
        argv = with_clock(argv, clock)
    if disk:
        data_dir.mkdir(parents=True, exist_ok=True)
        # `ip netns exec` gives every program its own view of the mounts, so this one is seen by nobody else.
        shell = f'mount -t tmpfs -o size={disk},mode=700 lab "{data_dir}" && exec "$@"'
        argv = ["sh", "-c", shell, "sh", *argv]
    program = await Program.start(namespace.label, namespace.argv(*argv, *arguments))
    try:
        program.peer = (await program.event("ready", timeout=30))["peer_id"]
    except BaseException:
        await program.kill()
        raise
    return program


def disk_of(program: Program, data_dir: Path) -> Path:
    """Return where we can see the disk of a program that has its own."""
    return Path(f"/proc/{program.process.pid}/root{data_dir}")


async def _start_js(namespace: Namespace, *stun: str) -> Program:
    """Run a js-libp2p peer inside, with these STUN servers."""
    argv = namespace.argv(NODE, "peer.mjs", json.dumps({"stun": stun}))
    program = await Program.start("js", argv, cwd=JS)
    try:
        program.peer = (await program.event("ready", timeout=30))["peer"]
    except BaseException:
        await program.kill()
        raise
    return program


@dataclass
class World:
    """A relay and two peers behind their NATs.

    Attributes:
        who: dialler and listener, each ``ours`` or ``js``.
        disk: give our programs disks of this size.
        clocks: give our programs clocks of their own.
        reserves: whether the dialler can be reached through the relay too.
        peers: the dialler and the listener.
        address: where the listener can be dialled.
        more_relays: to be killed at the end too.
    """

    lab: Lab
    relay: Relay
    tmp_path: Path
    who: tuple[str, str] = ("ours", "ours")
    disk: str = ""
    clocks: bool = False
    reserves: bool = True
    peers: list[Program] = field(default_factory=list)
    address: str = ""
    more_relays: list[Relay] = field(default_factory=list)

    @property
    def a(self) -> Program:
        """The dialler."""
        return self.peers[0]

    @property
    def b(self) -> Program:
        """The listener."""
        return self.peers[1]

    def data_dir(self, side: int) -> Path:
        """Return where the first (0) or the second (1) peer keeps its data."""
        return self.tmp_path / f"peer{side}"

    def clock(self, side: int) -> Path:
        """Return the file with the clock of the first (0) or the second (1) peer; see `set_clock`."""
        return self.tmp_path / f"clock{side}"

    async def start_peer(self, side: int) -> Program:
        """Start a peer; ours keep their identity and history from one time to the next."""
        namespace = self.lab.sites[side].host
        if self.who[side] == "js":
            return await _start_js(namespace, f"stun:{PUBLIC}:{RELAY_PORT}")
        directory = self.data_dir(side)
        relay = ("--relay", self.relay.address) if side == 1 or self.reserves else ()
        clock = self.clock(side) if self.clocks else None
        return await start_ours(namespace, directory, *relay, disk=self.disk, clock=clock)

    async def restart_peer(self, side: int) -> Program:
        """Start a peer again that was killed."""
        self.peers[side] = await self.start_peer(side)
        return self.peers[side]

    async def listening(self, side: int) -> str:
        """Wait until a peer can be dialled through the relay, and return its address."""
        program, relay = self.peers[side], self.relay.address
        if self.who[side] == "js":
            await program.call("dial", address=relay, timeout=10_000)
        event = await program.event("listening", lambda e: any(a.startswith(relay) for a in e["addresses"]))
        return next(str(a) for a in event["addresses"] if a.startswith(relay))

    async def connect(self) -> dict[str, Any]:
        """Let `a` dial `b`; return the reply."""
        # js gives up after five seconds if nobody says otherwise, which is short on a busy machine.
        patience = {"timeout": 20_000} if self.who[0] == "js" else {}
        return await self.a.call("connect", address=self.address, **patience)

    async def close(self) -> None:
        """Kill everything."""
        for program in self.peers:
            await program.kill()
        for relay in (self.relay, *self.more_relays):
            await relay.kill()


@asynccontextmanager
async def world(
    lab: Lab,
    tmp_path: Path,
    *,
    who: str = "ours/ours",
    limits: tuple[str, ...] = (),
    disk: str = "",
    clocks: bool = False,
    reserves: bool = True,
) -> AsyncIterator[World]:
    """Run a relay, a peer on each of the first two sites, and let them reserve.

    Args:
        who: dialler and listener, as ``ours/js``.
        limits: further arguments of the relay.
        disk: give our programs disks of this size.
        clocks: give our programs clocks of their own.
        reserves: whether the dialler reserves too.
    """
    dialler, _, listener = who.partition("/")
    relay = Relay(lab.net, tmp_path / "relay", arguments=limits)
    there = World(lab, relay, tmp_path, (dialler, listener), disk, clocks, reserves)
    try:
        await relay.start()
        for side in (0, 1):
            there.peers.append(await there.start_peer(side))
        if dialler == "ours" and reserves:
            await there.listening(0)
        there.address = await there.listening(1)
        yield there
    finally:
        await there.close()

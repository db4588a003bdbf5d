"""One face for the peers of every implementation: reserve on a relay, dial through it, be dialled, carry data."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.circuit import CircuitTransport
from p2pchat_core.net.host import Host
from p2pchat_core.net.identify import IdentifyService
from p2pchat_core.net.ping import ping, serve_ping
from p2pchat_core.net.relay_client import RelayClient
from p2pchat_core.net.steps import StepTimer
from tests.interop.peers import JS, NODE, js_listening, js_peer
from tests.support.program import Program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from p2pchat_core.net.stream import Stream

__all__ = ["GO", "KINDS", "UNLIMITED", "CircuitPeer", "circuit_address", "circuit_peer"]

GO = Path(__file__).parent / "go"
PY = Path(__file__).parent / "py"
KINDS = ("ours", "js", "go", "py")
UNLIMITED = (
    "--circuit-seconds=0",
    "--circuit-bytes=0",
    "--set=limits.max_connections=4096",
    "--set=limits.circuit_bytes_per_second=0",
    "--set=limits.peer_bytes_per_second=0",
    "--set=limits.total_bytes_per_second=0",
)
"""Options of our relay that let everybody do as they please."""

ECHO = "/echo/1.0.0"
START_TIMEOUT = 30.0


class CircuitPeer(Protocol):
    """A peer of some implementation; failures are exceptions."""

    peer: str

    async def reserve(self, relay: str) -> dict[str, Any]:
        """Get a reservation; where the implementation tells, ``expires`` (Unix seconds) and ``voucher``."""

    async def connect(self, address: str) -> dict[str, Any]:
        """Dial a circuit address and ping what answers there."""

    async def ping(self, peer: str) -> dict[str, Any]:
        """Ping a connected peer."""

    async def echo(self, peer: str, size: int) -> dict[str, Any]:
        """Send `size` bytes to the peer's echo: ``received`` of them came back, and whether all the ``same``."""


def circuit_address(relay: str, peer: str) -> str:
    """Return the address of `peer` behind `relay`."""
    return f"{relay}/p2p-circuit/p2p/{peer}"


@asynccontextmanager
async def circuit_peer(kind: str) -> AsyncIterator[CircuitPeer]:
    """Run a peer of one of `KINDS`; the test is skipped when what it needs is not there."""
    if kind == "ours":
        ours = _OurPeer()
        try:
            yield ours
        finally:
            await ours.stop()
    elif kind == "js":
        if not NODE.exists():
            pytest.skip(f"js-libp2p is not installed in {JS.name}; run: make interop")
        async with js_peer() as program:
            yield _JsPeer(program)
    else:
        async with await Program.start(kind, _command(kind)) as program:
            program.peer = (await program.event("ready", timeout=START_TIMEOUT))["peer"]
            yield _CommandedPeer(program)


def _command(kind: str) -> list[str | Path]:
    if kind == "go":
        if not (GO / "peer").exists():
            why = "run: make interop" if shutil.which("go") else "the go command is not installed"
            pytest.skip(f"the go-libp2p peer is not built: {why}")
        return [GO / "peer"]
    python = PY / ".venv" / "bin" / "python"
    if not python.exists():
        pytest.skip("py-libp2p is not installed in its own environment; run: make interop")
    return [python, PY / "peer.py"]


class _CommandedPeer:
    """A program that knows our commands."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.peer = program.peer

    async def reserve(self, relay: str) -> dict[str, Any]:
        return await self._program.call("reserve", address=relay)

    async def connect(self, address: str) -> dict[str, Any]:
        return await self._program.call("connect", address=address)

    async def ping(self, peer: str) -> dict[str, Any]:
        return await self._program.call("ping", peer=peer)

    async def echo(self, peer: str, size: int) -> dict[str, Any]:
        return await self._program.call("echo", peer=peer, size=size)


class _JsPeer(_CommandedPeer):
    """A js peer, which reserves by itself on a relay it is connected to."""

    async def reserve(self, relay: str) -> dict[str, Any]:
        return {"listening": await js_listening(self._program, relay)}

    async def echo(self, peer: str, size: int) -> dict[str, Any]:
        reply = await self._program.call("echo", peer=peer, size=size, relayed=True)
        return {"received": reply["received"], "same": reply["sent"] == reply["back"]}


class _OurPeer:
    """Our own host, without WebRTC, so that the circuit itself is what carries the data."""

    def __init__(self) -> None:
        self._host = Host(PrivateKey.generate())
        self.peer = str(self._host.peer)
        self._relays = RelayClient(self._host)
        self._circuits = CircuitTransport(self._host, self._relays.holds, None)
        IdentifyService(self._host, "p2pchat-interop", list)
        serve_ping(self._host)
        self._host.handle(ECHO, _echo, on_limited=True)

    async def reserve(self, relay: str) -> dict[str, Any]:
        self._relays.add(Multiaddr.parse(relay))
        async with asyncio.timeout(10):
            while not self._relays.addresses():
                await asyncio.sleep(0.01)
        return {"expires": self._relays.relays()[0].expires}

    async def connect(self, address: str) -> dict[str, Any]:
        whole = Multiaddr.parse(address)
        relay = await self._host.dial(whole.before("p2p-circuit"))
        target = PeerId.of(whole)
        assert target is not None
        timer = StepTimer(target, self._host.clock, None)
        connection = await self._circuits.dial(relay, target, timer)
        await ping(connection, self._host.clock)
        return {"limited": connection.limited}

    async def ping(self, peer: str) -> dict[str, Any]:
        connection = self._host.connections(PeerId.parse(peer))[0]
        return {"rtt": await ping(connection, self._host.clock) * 1000}

    async def echo(self, peer: str, size: int) -> dict[str, Any]:
        sent = bytes(i * 31 >> 3 & 255 for i in range(size))
        async with (
            asyncio.timeout(30),
            await self._host.open_stream(PeerId.parse(peer), [ECHO], allow_limited=True) as stream,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(stream.write(sent))
            back = await stream.read_exactly(size)
        return {"received": len(back), "same": back == sent}

    async def stop(self) -> None:
        await self._relays.close()
        await self._host.close()


async def _echo(stream: Stream) -> None:
    while data := await stream.read():
        await stream.write(data)

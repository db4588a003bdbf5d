"""The Python side of bench/direct.py: our streams, or bare data channels of aiortc. Driven by JSON lines."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ECHO = "/bench/echo/1.0.0"
SINK = "/bench/sink/1.0.0"
MESSAGE = 16 * 1024
HIGH = 1024 * 1024
LOW = 256 * 1024


def emit(value: dict[str, Any]) -> None:
    """Print one event or reply."""
    print(json.dumps(value), flush=True)


async def serve(commands: Any) -> None:
    """Run commands until the input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        number, name = command.pop("id"), command.pop("cmd")
        try:
            emit({"id": number, "ok": True, **await getattr(commands, name)(**command)})
        except Exception as error:
            emit({"id": number, "ok": False, "error": f"{type(error).__name__}: {error}"})


class Streams:
    """A node of ours."""

    def __init__(self, stun: tuple[str, ...]) -> None:
        from p2pchat_core.identity.keys import PrivateKey
        from p2pchat_core.net.node import Node, NodeConfig, NodeListener
        from p2pchat_core.net.webrtc.config import IceConfig

        class Listener(NodeListener):
            def on_listening(self, addresses: list[Any]) -> None:
                emit({"event": "listening", "addresses": [str(address) for address in addresses]})

        config = NodeConfig(ice=IceConfig(stun=stun), relay_stun=False)
        self.node = Node(PrivateKey.generate(), config=config, listener=Listener())
        self.node.handle(ECHO, self._echo)
        self.node.handle(SINK, self._sink)

    async def start(self) -> None:
        """Load what is loaded late."""
        await self.node.load()
        emit({"event": "ready", "peer": str(self.node.peer)})

    async def relay(self, address: str) -> dict[str, Any]:
        """Reserve on a relay."""
        from p2pchat_core.multiformats.multiaddr import Multiaddr

        self.node.add_relay(Multiaddr.parse(address))
        return {}

    async def connect(self, address: str) -> dict[str, Any]:
        """Open a direct connection."""
        from p2pchat_core.multiformats.multiaddr import Multiaddr

        connection = await self.node.connect(Multiaddr.parse(address))
        if connection.relayed:
            raise RuntimeError("the connection is not direct")
        return {}

    async def _open(self, peer: str, protocol: str) -> Any:
        from p2pchat_core.identity.peer_id import PeerId

        connection = next(c for c in self.node.host.connections(PeerId.parse(peer)) if c.direct)
        return await connection.open_stream([protocol])

    async def pings(self, peer: str, count: int) -> dict[str, Any]:
        """Return the median round trip on one stream."""
        stream = await self._open(peer, ECHO)
        times = []
        for _ in range(count):
            started = time.perf_counter()
            await stream.write(bytes(32))
            await stream.read_exactly(32)
            times.append(time.perf_counter() - started)
        await stream.close()
        return {"ms": statistics.median(times) * 1e3}

    async def send(self, peer: str, size: int) -> dict[str, Any]:
        """Send `size` bytes and wait until the peer has counted them."""
        stream = await self._open(peer, SINK)
        piece = bytes(65536)
        started = time.perf_counter()
        for _ in range(size // len(piece)):
            await stream.write(piece)
        await stream.close_write()
        answer = b""
        while data := await stream.read():
            answer += data
        seconds = time.perf_counter() - started
        await stream.close()
        if int(answer) != size:
            raise RuntimeError(f"{answer!r} of {size} bytes arrived")
        return {"seconds": seconds}

    async def _echo(self, stream: Any) -> None:
        while data := await stream.read():
            await stream.write(data)
        await stream.close()

    async def _sink(self, stream: Any) -> None:
        received = 0
        while data := await stream.read():
            received += len(data)
        await stream.write(str(received).encode())
        await stream.close()


class Channels:
    """A bare connection of aiortc with one data channel."""

    def __init__(self) -> None:
        from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

        self._describe = RTCSessionDescription
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connection.on("datachannel", self._use)
        self._channel: Any = None
        self._hear: asyncio.Future[Any] | None = None
        self._expected = self._received = 0
        self._low = asyncio.Event()

    async def start(self) -> None:
        """Nothing more is needed."""
        emit({"event": "ready", "peer": ""})

    def _use(self, channel: Any) -> None:
        self._channel = channel
        channel.bufferedAmountLowThreshold = LOW
        channel.on("message", self._message)
        channel.on("bufferedamountlow", self._low.set)

    def _message(self, message: bytes | str) -> None:
        if self._hear is not None:
            self._hear.set_result(message)
            self._hear = None
        elif isinstance(message, str):
            self._expected, self._received = int(message), 0
        elif not self._expected:
            self._channel.send(message)
        else:
            self._received += len(message)
            if self._received >= self._expected:
                self._expected = 0
                self._channel.send(b"done")

    def _answered(self) -> asyncio.Future[Any]:
        self._hear = asyncio.get_running_loop().create_future()
        return self._hear

    def _description(self) -> dict[str, Any]:
        local = self._connection.localDescription
        return {"sdp": local.sdp, "type": local.type}

    async def offer(self) -> dict[str, Any]:
        """Return an offer with all candidates."""
        self._use(self._connection.createDataChannel("bench"))
        await self._connection.setLocalDescription(await self._connection.createOffer())
        return self._description()

    async def answer(self, sdp: str, **_: Any) -> dict[str, Any]:
        """Return an answer with all candidates."""
        await self._connection.setRemoteDescription(self._describe(sdp, "offer"))
        await self._connection.setLocalDescription(await self._connection.createAnswer())
        return self._description()

    async def accept(self, sdp: str, **_: Any) -> dict[str, Any]:
        """Take the answer and wait until the channel is open."""
        opened = asyncio.Event()
        self._channel.on("open", opened.set)
        await self._connection.setRemoteDescription(self._describe(sdp, "answer"))
        await opened.wait()
        return {}

    async def pings(self, count: int) -> dict[str, Any]:
        """Return the median round trip of messages."""
        times = []
        for _ in range(count):
            started = time.perf_counter()
            back = self._answered()
            self._channel.send(bytes(32))
            await back
            times.append(time.perf_counter() - started)
        return {"ms": statistics.median(times) * 1e3}

    async def send(self, size: int) -> dict[str, Any]:
        """Send `size` bytes and wait until the peer has counted them."""
        piece = bytes(MESSAGE)
        back = self._answered()
        started = time.perf_counter()
        self._channel.send(str(size))
        for _ in range(size // MESSAGE):
            while self._channel.bufferedAmount > HIGH:
                self._low.clear()
                await self._low.wait()
            self._channel.send(piece)
        await back
        return {"seconds": time.perf_counter() - started}


async def main() -> None:
    """Be the peer that the command line names."""
    stun = tuple(argument for argument in sys.argv[1:] if argument.startswith("stun:"))
    peer = Channels() if "channels" in sys.argv[1:] else Streams(stun)
    await peer.start()
    await serve(peer)


def run() -> None:
    """Run, under cProfile if the environment says where to write to."""
    path = os.environ.get("BENCH_PROFILE")
    runner: Callable[[Any], Any] = asyncio.run
    if "uvloop" in sys.argv[1:]:
        import uvloop

        runner = uvloop.run
    if not path:
        runner(main())
        return
    import cProfile

    profile = cProfile.Profile()
    profile.enable()
    try:
        runner(main())
    finally:
        profile.disable()
        profile.dump_stats(f"{path}.{os.getpid()}")


if __name__ == "__main__":
    run()

"""Our side of bench/stack.py: a host that dials a WebSocket address, told what to do by JSON lines.

python ours.py asyncio|uvloop
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.host import Host

if TYPE_CHECKING:
    from p2pchat_core.net.connection import Connection

ECHO, SINK, SOURCE = ("/bench/echo/1.0.0", "/bench/sink/1.0.0", "/bench/source/1.0.0")
PIECE = bytes(65536)
MEGABYTE = 10**6


class Dialer:
    """What the benchmark asks of every implementation."""

    def __init__(self) -> None:
        self._host = Host(PrivateKey.generate())
        self._connection: Connection

    async def dial(self, address: str) -> dict[str, Any]:
        """Connect afresh."""
        whole = Multiaddr.parse(address)
        for connection in self._host.connections(PeerId.of(whole)):
            await connection.close()
            await connection.wait_closed()
        started = time.perf_counter()
        self._connection = await self._host.dial(whole)
        return {"seconds": time.perf_counter() - started}

    async def pings(self, count: int) -> dict[str, Any]:
        """Send 32 bytes to the echo and wait for them, again and again on one stream."""
        times = []
        async with await self._connection.open_stream([ECHO]) as stream:
            for _ in range(count):
                started = time.perf_counter()
                await stream.write(PIECE[:32])
                await stream.read_exactly(32)
                times.append(time.perf_counter() - started)
        return {"times": times}

    async def upload(self, megabytes: int) -> dict[str, Any]:
        """Send to the sink, until it says that it has everything."""
        async with await self._connection.open_stream([SINK]) as stream:
            started = time.perf_counter()
            for start in range(0, megabytes * MEGABYTE, len(PIECE)):
                await stream.write(PIECE[: megabytes * MEGABYTE - start])
            await stream.close_write()
            await stream.read_exactly(1)
            return {"seconds": time.perf_counter() - started}

    async def download(self, megabytes: int) -> dict[str, Any]:
        """Take from the source."""
        async with await self._connection.open_stream([SOURCE]) as stream:
            started = time.perf_counter()
            await stream.write(megabytes.to_bytes(4, "big"))
            missing = megabytes * MEGABYTE
            while missing:
                missing -= len(await stream.read(1 << 20))
            return {"seconds": time.perf_counter() - started}


async def main() -> None:
    """Serve the commands of standard input, one after the other."""
    dialer = Dialer()
    loop = asyncio.get_running_loop()
    version = f"Python {sys.version.split()[0]} with {type(loop).__module__.partition('.')[0]}"
    print(json.dumps({"event": "ready", "version": version}), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        number, name = command.pop("id"), command.pop("cmd")
        try:
            reply = {"id": number, "ok": True, **await getattr(dialer, name)(**command)}
        except Exception as error:
            reply = {"id": number, "ok": False, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "uvloop":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    else:
        asyncio.run(main())

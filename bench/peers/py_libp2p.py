"""py-libp2p's side of bench/stack.py, run in the environment of the interop tests; commands as in ours.py."""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from typing import Any

import trio
from libp2p import new_host
from libp2p.custom_types import TProtocol
from libp2p.io.utils import read_exactly
from libp2p.peer.peerinfo import info_from_p2p_addr
from multiaddr import Multiaddr

ECHO, SINK, SOURCE = (TProtocol(f"/bench/{name}/1.0.0") for name in ("echo", "sink", "source"))
PIECE = bytes(65536)
MEGABYTE = 10**6


class Dialer:
    """What the benchmark asks of every implementation."""

    def __init__(self) -> None:
        self.host = new_host(enable_tcp=False, enable_websocket=True)
        self._peer: Any = None

    async def dial(self, address: str) -> dict[str, Any]:
        if self._peer is not None:
            await self.host.disconnect(self._peer)
        info = info_from_p2p_addr(Multiaddr(address))
        started = time.perf_counter()
        await self.host.connect(info)
        self._peer = info.peer_id
        return {"seconds": time.perf_counter() - started}

    async def pings(self, count: int) -> dict[str, Any]:
        stream = await self.host.new_stream(self._peer, [ECHO])
        times = []
        for _ in range(count):
            started = time.perf_counter()
            await stream.write(PIECE[:32])
            await read_exactly(stream, 32)
            times.append(time.perf_counter() - started)
        await stream.close()
        return {"times": times}

    async def upload(self, megabytes: int) -> dict[str, Any]:
        stream = await self.host.new_stream(self._peer, [SINK])
        started = time.perf_counter()
        for start in range(0, megabytes * MEGABYTE, len(PIECE)):
            await stream.write(PIECE[: megabytes * MEGABYTE - start])
        await stream.close_write()
        await read_exactly(stream, 1)
        return {"seconds": time.perf_counter() - started}

    async def download(self, megabytes: int) -> dict[str, Any]:
        stream = await self.host.new_stream(self._peer, [SOURCE])
        started = time.perf_counter()
        await stream.write(megabytes.to_bytes(4, "big"))
        missing = megabytes * MEGABYTE
        while missing:
            missing -= len(await stream.read(min(missing, len(PIECE))))
        elapsed = time.perf_counter() - started
        await stream.close()
        return {"seconds": elapsed}


async def main() -> None:
    """Serve the commands of standard input, one after the other."""
    dialer = Dialer()
    async with dialer.host.run(listen_addrs=[]):
        about = f"py-libp2p {version('libp2p')} on Python {sys.version.split()[0]} with trio"
        print(json.dumps({"event": "ready", "version": about}), flush=True)
        async for line in trio.wrap_file(sys.stdin):
            command = json.loads(line)
            number, name = command.pop("id"), command.pop("cmd")
            try:
                with trio.fail_after(60):
                    reply = {"id": number, "ok": True, **await getattr(dialer, name)(**command)}
            except Exception as error:
                reply = {"id": number, "ok": False, "error": f"{type(error).__name__}: {error}"}
            print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    trio.run(main)

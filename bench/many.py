"""Many direct connections in one process: processor time while they are idle, and memory for each.

    python bench/many.py [--connections 200] [--seconds 20]

One process accepts, another dials; they exchange session descriptions over a socket pair. Idle means that nobody says
anything: what remains is ICE's consent checks (RFC 7675) and what our own timers cost.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from direct import machine, versions  # noqa: E402

from p2pchat_core.net.memory import memory_pair  # noqa: E402
from p2pchat_core.net.webrtc.config import IceConfig  # noqa: E402
from p2pchat_core.net.webrtc.transport import DirectConnection, accept_direct, dial_direct  # noqa: E402

if TYPE_CHECKING:
    from p2pchat_core.net.stream import ByteStream

LOOPBACK = IceConfig(addresses=("127.0.0.1",))
AT_ONCE = 10


def resident() -> int:
    """Return the resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def carry(near: ByteStream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy between a stream in memory and a socket."""

    async def out() -> None:
        while data := await near.read():
            writer.write(data)
        writer.write_eof()

    async def back() -> None:
        while data := await reader.read(65536):
            await near.write(data)
        await near.close()

    await asyncio.gather(out(), back(), return_exceptions=True)
    writer.close()


async def connect(sock: socket.socket, *, dial: bool) -> DirectConnection:
    """Connect over one socket pair."""
    near, far = memory_pair()
    reader, writer = await asyncio.open_connection(sock=sock)
    carrying = asyncio.create_task(carry(near, reader, writer))
    direct = await (dial_direct if dial else accept_direct)(far, LOOPBACK)
    direct.muxer.start()
    await far.close()
    await carrying
    return direct


async def run(sockets: list[socket.socket], seconds: float, *, dial: bool) -> None:
    """Connect them all, wait, and print what that cost this process."""
    warm = await connect(sockets.pop(), dial=dial)
    before = resident()
    started, used = time.perf_counter(), time.process_time()
    connections = []
    for at in range(0, len(sockets), AT_ONCE):
        connections += await asyncio.gather(
            *(connect(sock, dial=dial) for sock in sockets[at : at + AT_ONCE])
        )
    count = len(connections)
    took, used = time.perf_counter() - started, time.process_time() - used
    memory = (resident() - before) / count
    await asyncio.sleep(2)
    idle = time.process_time()
    await asyncio.sleep(seconds)
    idle = (time.process_time() - idle) / seconds
    name = "dialler" if dial else "listener"
    cells = [
        f"{took / count * 1e3:.0f}",
        f"{used / count * 1e3:.1f}",
        f"{memory / 1024:.0f}",
        f"{idle * 100:.2f}",
    ]
    print(f"| {name} | {count} | {' | '.join(cells)} |", flush=True)
    for connection in (warm, *connections):
        connection.muxer.abort("The measurement is over.")
    for connection in (warm, *connections):
        await connection.muxer.wait_closed()


def main() -> None:
    """Fork the listener and run both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to be idle")
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(f"{machine()}\n{versions()}\n", flush=True)
    print("| | connections | ms each | processor ms each | KiB each | processor while idle, % |", flush=True)
    print("|---|---|---|---|---|---|", flush=True)
    pairs = [socket.socketpair() for _ in range(arguments.connections + 1)]
    child = os.fork()
    dial = child != 0
    for left, right in pairs:
        (right if dial else left).close()
    mine = [left if dial else right for left, right in pairs]
    asyncio.run(run(mine, arguments.seconds, dial=dial))
    if dial:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()

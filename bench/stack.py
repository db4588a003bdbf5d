"""The stack below every protocol, WebSocket, Noise and yamux: how fast it is towards a js-libp2p node.

    python bench/stack.py [--rounds 7] [--megabytes 64] [--only "ours, uvloop"]

One js node listens. Ours on the loop of asyncio, ours on uvloop (if installed), js and py-libp2p (if `make interop` has
made its environment) do the same with it in turns: connect, exchange 32 bytes again and again on one stream, send bulk
data and take bulk data. Below the table stands what the machine can do at most: a loopback socket, the cipher alone.
Needs `make interop`.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import statistics
import sys
import threading
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from common import MEGABYTE, Measure, machine, our_version, print_table, processor_seconds, turns
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from tests.interop.circuit_peers import PY
from tests.interop.peers import JS, NODE
from tests.support.program import CommandFailedError, Program

PEERS = Path(__file__).parent / "peers"
REFERENCE = "js"
DIALS = 10
PINGS = 300
PIECE = 64 * 1024
START_TIMEOUT = 30.0

MEASURES = {
    "dial": Measure("dial", "ms", 2, "≤ 1"),
    "rtt": Measure("round trip, median", "ms", 3, "≤ 1.5"),
    "rtt_p99": Measure("round trip, 99th percentile", "ms", 3),
    "upload": Measure("upload", "MB/s", 1, "≥ 0.9"),
    "download": Measure("download", "MB/s", 1, "≥ 0.9"),
    "cpu_upload": Measure("processor time per 100 MB sent", "ms", 0),
    "cpu_download": Measure("processor time per 100 MB received", "ms", 0),
}


@dataclass
class Side:
    """One implementation that dials, and what was measured of it."""

    name: str
    program: Program
    version: str
    results: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def processor_seconds(self) -> float:
        """Return the processor time its process has used."""
        return processor_seconds(self.program.process.pid)

    async def measure(self, address: str, megabytes: int, *, keep: bool) -> None:
        """Do everything once; `keep` the figures or not."""
        dials = [(await self.program.call("dial", address=address))["seconds"] for _ in range(DIALS)]
        times = sorted((await self.program.call("pings", count=PINGS))["times"])
        found = {
            "dial": statistics.median(dials) * 1e3,
            "rtt": statistics.median(times) * 1e3,
            "rtt_p99": times[int(len(times) * 0.99)] * 1e3,
        }
        for way in ("upload", "download"):
            before = self.processor_seconds()
            done = await self.program.call(way, megabytes=megabytes)
            found[way] = megabytes / done["seconds"]
            found[f"cpu_{way}"] = (self.processor_seconds() - before) * 1e5 / megabytes
        if keep:
            for name, value in found.items():
                self.results[name].append(value)


def commands() -> dict[str, list[str | Path]]:
    """Return how each side is started."""
    ours = [sys.executable, PEERS / "ours.py"]
    found: dict[str, list[str | Path]] = {"ours, asyncio": [*ours, "asyncio"]}
    if find_spec("uvloop"):
        found["ours, uvloop"] = [*ours, "uvloop"]
    found[REFERENCE] = [NODE, JS / "stack.mjs", "dial"]
    python = PY / ".venv" / "bin" / "python"
    if python.exists():
        found["py"] = [python, PEERS / "py_libp2p.py"]
    return found


async def run(arguments: argparse.Namespace) -> None:
    """Run all rounds and print the report."""
    async with AsyncExitStack() as stack:

        async def start(name: str, argv: list[str | Path]) -> tuple[Program, dict[str, str]]:
            program = await stack.enter_async_context(await Program.start(name, argv))
            return program, await program.event("ready", timeout=START_TIMEOUT)

        _, listening = await start("js listener", [NODE, JS / "stack.mjs", "listen"])
        address = listening["addresses"][0]
        sides = []
        for name, argv in commands().items():
            if arguments.only in (None, name):
                program, ready = await start(name, argv)
                sides.append(Side(name, program, ready["version"]))
        for number in range(arguments.rounds + 1):
            for side in turns(list(sides), number):
                try:
                    await side.measure(address, arguments.megabytes, keep=number > 0)  # the first warms up
                except CommandFailedError as error:
                    print(f"{side.name} failed and is left out: {error}", file=sys.stderr)
                    sides.remove(side)
    print(f"{machine()}\n{our_version()}; the listener is {listening['version']}")
    for side in sides:
        print(f"{side.name}: {side.version}")
    print(
        f"Medians (smallest–largest) of {arguments.rounds} rounds in turns; {DIALS} dials, {PINGS} round trips of 32 "
        f"bytes and {arguments.megabytes} MB each way in each.\n"
    )
    names = [side.name for side in sides]
    reference = REFERENCE if REFERENCE in names and len(names) > 1 else None
    print_table(MEASURES, {side.name: side.results for side in sides}, reference, spread=True)
    print(f"\nLoopback socket: {raw_socket()}\nChaCha20-Poly1305 of {PIECE // 1024} KiB: {raw_cipher()}")


def raw_socket() -> str:
    """Return what two threads can do over a TCP socket, without any protocol."""
    size, count = 1000 * MEGABYTE, 2000
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    with near, far:
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def answer() -> None:
            for _ in range(count):
                far.sendall(far.recv(32, socket.MSG_WAITALL))
            buffer, missing = bytearray(PIECE), size
            while missing > 0:
                missing -= far.recv_into(buffer)
            far.sendall(b".")

        thread = threading.Thread(target=answer)
        thread.start()
        times = []
        for _ in range(count):
            started = time.perf_counter()
            near.sendall(bytes(32))
            near.recv(32, socket.MSG_WAITALL)
            times.append(time.perf_counter() - started)
        started, piece = time.perf_counter(), bytes(PIECE)
        for _ in range(-(-size // PIECE)):
            near.sendall(piece)
        near.recv(1)
        speed = size / MEGABYTE / (time.perf_counter() - started)
        thread.join()
    return f"{speed:,.0f} MB/s, round trip {statistics.median(times) * 1e3:.3f} ms"


def raw_cipher() -> str:
    """Return what one processor encrypts and decrypts."""
    cipher, nonce, plaintext, count = ChaCha20Poly1305(bytes(32)), bytes(12), bytes(PIECE), 2000
    ciphertext = cipher.encrypt(nonce, plaintext, None)
    speeds = []
    for work, data in ((cipher.encrypt, plaintext), (cipher.decrypt, ciphertext)):
        started = time.process_time()
        for _ in range(count):
            work(nonce, data, None)
        speeds.append(count * PIECE / MEGABYTE / (time.process_time() - started))
    return f"{speeds[0]:,.0f} MB/s to encrypt, {speeds[1]:,.0f} MB/s to decrypt"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--megabytes", type=int, default=64, help="bulk data of one round, each way")
    parser.add_argument("--only", help="measure one side alone, by its name in the table")
    if not NODE.exists():
        parser.exit(2, "The peers are not installed: run make interop.\n")
    asyncio.run(run(parser.parse_args()))

"""The daemon with everything on, as an operator runs it: every listener, TLS, STUN, metrics, systemd, logs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest
import trustme

from p2pchat_core.clock import SystemClock
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.host import Host
from p2pchat_core.net.ping import ping
from p2pchat_core.wire.circuit import HopClient, Status
from tests.relay_server.fakes import key
from tests.relay_server.test_cli import COMMAND
from tests.relay_server.test_server import ask, reserve, take_calls
from tests.relay_server.test_status import samples
from tests.relay_server.test_stun import Client, request
from tests.relay_server.test_tls import store, trusting

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.process

CONFIG = """
listen = ["/ip4/127.0.0.1/tcp/0/ws", "/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/tls/ws"]
announce = ["/dns4/relay.example/tcp/443/tls/ws"]
data_dir = "{directory}/state"

[tls]
certificate = "{directory}/chain.pem"
key = "{directory}/key.pem"

[stun]
second_port = {second}

[metrics]
listen = "127.0.0.1:{metrics}"

[log]
format = "json"
peers = "none"
"""


def free_port(kind: int) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def fetch(url: str) -> str:
    def read() -> str:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())

    return await asyncio.to_thread(read)


async def test_everything_at_once(tmp_path: Path) -> None:
    loop, clock = asyncio.get_running_loop(), SystemClock()
    old, new = trustme.CA(), trustme.CA()
    store(tmp_path, old.issue_cert("127.0.0.1"))
    second, port = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)
    text = CONFIG.format(directory=tmp_path, second=second, metrics=port)
    (tmp_path / "relay.toml").write_text(text)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)

        async def told(line: bytes) -> None:
            async with asyncio.timeout(20):
                while line not in await loop.sock_recv(manager, 1000):
                    pass

        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            "run",
            "--config",
            str(tmp_path / "relay.toml"),
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        hosts = [Host(key(number)) for number in (1, 2, 3, 4)]
        try:
            await told(b"READY=1")
            assert process.stdout is not None
            lines = [(await process.stdout.readline()).decode().strip() for _ in range(4)]
            announced, ws, tcp, wss = map(Multiaddr.parse, lines)
            assert announced.names == ("dns4", "tcp", "tls", "ws", "p2p")

            over_ws = await hosts[0].dial(ws)
            over_tcp = await hosts[1].dial(tcp)
            over_wss = await hosts[2].dial(wss, ssl_context=trusting(old))
            calls = take_calls(hosts[2])
            status = await reserve(over_wss)
            assert status.status is Status.OK
            assert (await reserve(over_ws)).status is Status.OK
            assert (await ask(over_tcp, HopClient.connect(key(9).peer_id)))[0].status is Status.NO_RESERVATION
            answer, near = await ask(over_tcp, HopClient.connect(hosts[2].peer))
            assert answer.status is Status.OK
            far = await asyncio.wait_for(calls.get(), 5)
            await near.write(bytes(1000))
            await far.read_exactly(1000)

            # A renewed certificate, under a circuit.
            store(tmp_path, new.issue_cert("127.0.0.1"))
            process.send_signal(signal.SIGHUP)
            async with asyncio.timeout(20):
                while True:
                    try:
                        await hosts[3].dial(wss, ssl_context=trusting(new))
                        break
                    except Exception:
                        await asyncio.sleep(0.05)
            assert await ping(over_wss, clock) > 0
            await far.write(b"still here")
            assert await near.read_exactly(10) == b"still here"

            transport, stun = await loop.create_datagram_endpoint(Client, local_addr=("127.0.0.1", 0))
            ports = [int(ws.value("tcp") or 0), int(tcp.value("tcp") or 0), second]
            mapped = {(await stun.ask(request(), "127.0.0.1", port))[0][0x0020] for port in ports}
            assert len(mapped) == 1
            transport.close()

            found = samples(await fetch(f"http://127.0.0.1:{port}/metrics"))
            no_reservation = 'reason="no_reservation",request="connect",status="no_reservation"'
            expected = {
                'p2pchat_relay_in_use{what="reservations"}': 2,
                'p2pchat_relay_in_use{what="circuits"}': 1,
                'p2pchat_relay_in_use{what="connections"}': 4,
                'p2pchat_relay_reservations_granted_total{kind="new"}': 2,
                "p2pchat_relay_circuit_bytes_total": 1010,
                'p2pchat_relay_stun_answers_total{kind="success"}': 3,
                "p2pchat_relay_draining": 0,
                f"p2pchat_relay_requests_refused_total{{{no_reservation}}}": 1,
            }
            assert {name: found.get(name) for name in expected} == expected
            assert found["p2pchat_relay_certificate_expiry_timestamp_seconds"] > time.time()
            assert await fetch(f"http://127.0.0.1:{port}/readyz") == "ready\n"
            await told(b"WATCHDOG=1")

            process.terminate()
            await told(b"STOPPING=1")
            _, errors = await asyncio.wait_for(process.communicate(), 20)
            assert process.returncode == 0
            for line in errors.decode().splitlines():
                assert {"time", "level", "logger", "message"} <= json.loads(line).keys()
            assert "12D3KooW" not in errors.decode(), "peer ids were to be left out"
        finally:
            await asyncio.gather(*(host.close() for host in hosts))
            if process.returncode is None:
                process.kill()
                await process.communicate()

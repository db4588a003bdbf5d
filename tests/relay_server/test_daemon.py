"""The daemon as a process: signals, and the commands beside `run`."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.circuit import hop_exchange
from p2pchat_core.net.host import Host
from p2pchat_core.wire.circuit import HOP_PROTOCOL, HopClient, Status
from tests.relay_server.fakes import key
from tests.relay_server.test_apply import works
from tests.relay_server.test_cli import COMMAND, LOOPBACK
from tests.relay_server.test_server import reserve, take_calls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.stream import Stream

pytestmark = pytest.mark.process


class Running:
    """A relay process with a configuration file."""

    def __init__(self, process: asyncio.subprocess.Process, address: str, file: Path) -> None:
        self.process = process
        self.address = Multiaddr.parse(address)
        self.file = file
        self.log: list[str] = []

    async def until_logged(self, text: str) -> None:
        assert self.process.stderr is not None
        while not any(text in line for line in self.log):
            line = await asyncio.wait_for(self.process.stderr.readline(), 20)
            assert line, f"{text!r} was never logged: {self.log}"
            self.log.append(line.decode())

    async def exit_code(self) -> int:
        assert self.process.stderr is not None
        self.log += (await asyncio.wait_for(self.process.stderr.read(), 20)).decode().splitlines()
        return await asyncio.wait_for(self.process.wait(), 20)


@asynccontextmanager
async def daemon(tmp_path: Path, text: str = "") -> AsyncIterator[Running]:
    file = tmp_path / "relay.toml"
    file.write_text(text)
    argv = [
        *COMMAND,
        "run",
        "--config",
        str(file),
        "--data-dir",
        str(tmp_path / "state"),
        "--listen",
        LOOPBACK,
    ]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, "--no-stun", stdout=pipe, stderr=pipe)
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        if not line:
            raise AssertionError((await process.communicate())[1].decode())
        yield Running(process, line.decode().strip(), file)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def circuit(address: Multiaddr) -> AsyncIterator[tuple[Connection, Stream, Stream]]:
    """Two clients and a circuit between them; gives the connection of the one that has a reservation too."""
    source, target = Host(key(1)), Host(key(2))
    try:
        one, two = await source.dial(address), await target.dial(address)
        calls = take_calls(target)
        assert (await reserve(two)).status is Status.OK
        near = await one.open_stream([HOP_PROTOCOL])
        assert (await hop_exchange(near, HopClient.connect(target.peer))).status is Status.OK
        yield two, near, await asyncio.wait_for(calls.get(), 5)
    finally:
        await asyncio.gather(source.close(), target.close())


async def test_hup_reloads_and_cuts_nothing(tmp_path: Path) -> None:
    async with daemon(tmp_path) as relay, circuit(relay.address) as (reserved, near, far):
        assert (await reserve(reserved)).limit is not None
        relay.file.write_text(
            f'limits.circuit_seconds = 0\nlimits.circuit_bytes = 0\nmetrics.listen = "127.0.0.1:0"\n'
            f'trusted.peers = ["{key(5).peer_id}"]'
        )
        relay.process.send_signal(signal.SIGHUP)
        await relay.until_logged("metrics.listen has changed, which takes a restart")
        await works(near, far)
        assert (await reserve(reserved)).limit is None
        relay.file.write_text("limits.circuit_seconds = 'x'")
        relay.process.send_signal(signal.SIGHUP)
        await relay.until_logged("ERROR")
        assert "limits.circuit_seconds: this must be a whole number" in relay.log[-1]
        await works(near, far)
        assert (await reserve(reserved)).limit is None, "the old configuration stays"
        relay.file.write_text('log.format = "json"')
        relay.process.send_signal(signal.SIGHUP)
        await relay.until_logged('"the configuration was reloaded"')
        assert (await reserve(reserved)).limit is not None


async def test_usr1_drains_and_then_ends(tmp_path: Path) -> None:
    async with daemon(tmp_path) as relay, circuit(relay.address) as (reserved, near, far):
        relay.process.send_signal(signal.SIGUSR1)
        await relay.until_logged("draining: 1 circuits are open")
        await works(near, far)
        assert (await reserve(reserved)).status is Status.RESERVATION_REFUSED
        assert relay.process.returncode is None
        await near.close_write()
        await far.close_write()
        assert await relay.exit_code() == 0
    assert any("drained" in line for line in relay.log)


async def test_term_ends_a_relay_that_drains(tmp_path: Path) -> None:
    async with daemon(tmp_path) as relay, circuit(relay.address):
        relay.process.send_signal(signal.SIGUSR1)
        await relay.until_logged("draining: 1")
        relay.process.send_signal(signal.SIGTERM)
        assert await relay.exit_code() == 0


async def test_a_second_term_ends_at_once(tmp_path: Path) -> None:
    async with daemon(tmp_path) as relay, circuit(relay.address):
        # Stopped, so that both are there before it can act on the first.
        relay.process.send_signal(signal.SIGSTOP)
        relay.process.send_signal(signal.SIGTERM)
        relay.process.send_signal(signal.SIGINT)
        relay.process.send_signal(signal.SIGCONT)
        assert await relay.exit_code() in (128 + signal.SIGINT, 128 + signal.SIGTERM)


async def test_metrics_and_health_are_served(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client")
    async with daemon(tmp_path, 'metrics.listen = "127.0.0.1:0"') as relay:
        await relay.until_logged("metrics and health are served at 127.0.0.1 port ")
        port = int(relay.log[-1].rsplit(" ", 1)[1])
        pages = {}
        for page in ("readyz", "metrics"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET /{page} HTTP/1.1\r\n\r\n".encode())
            pages[page] = (await asyncio.wait_for(reader.read(), 5)).decode()
            writer.close()
        assert pages["readyz"].startswith("HTTP/1.1 200")
        assert "reservations" in pages["metrics"]


async def test_health_is_served_without_the_library_of_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "prometheus_client.py").write_text("raise ModuleNotFoundError('it is not here')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'path'}:{os.environ.get('PYTHONPATH', '')}")
    async with daemon(tmp_path, 'metrics.listen = "127.0.0.1:0"') as relay:
        await relay.until_logged("health is served at 127.0.0.1 port ")
        assert "there are no metrics, only health" in "".join(relay.log)
        port = int(relay.log[-1].rsplit(" ", 1)[1])
        for page, status in (("healthz", 200), ("readyz", 200), ("metrics", 501)):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET /{page} HTTP/1.1\r\n\r\n".encode())
            assert (await asyncio.wait_for(reader.read(), 5)).startswith(f"HTTP/1.1 {status} ".encode())
            writer.close()


def test_a_process_that_hangs_while_it_stops_is_ended() -> None:
    script = (
        "import time\nfrom p2pchat_relay.daemon import _deadline\nwith _deadline(0.1):\n    time.sleep(60)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 1
    assert "time.sleep" in done.stderr or "line 4" in done.stderr, "it says where it hung"


# --- commands that end by themselves ------------------------------------------------------------------------


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **{f"P2PCHAT_RELAY_{name}": value for name, value in environment.items()}}
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=20, check=False, env=env
    )


def failed(done: subprocess.CompletedProcess[str], code: int) -> str:
    """Make sure that it said one sentence and nothing else, and return that."""
    assert (done.returncode, done.stdout) == (code, ""), done
    assert done.stderr.startswith("p2pchat-relay: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_keygen_and_show_id(tmp_path: Path) -> None:
    where = ("--data-dir", str(tmp_path / "state"))
    assert "There is no key in" in failed(run("show-id", *where), 1)
    assert not (tmp_path / "state").exists()
    made = run("keygen", *where)
    assert made.returncode == 0
    assert made.stdout.startswith("12D3KooW")
    assert run("show-id", *where).stdout == run("keygen", *where).stdout == made.stdout
    assert (tmp_path / "state" / "identity.key").stat().st_mode & 0o777 == 0o600


def test_check_config_opens_nothing(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text('data_dir = "state"\nlisten = ["/ip4/127.0.0.1/tcp/1/ws"]\n[limits]\nmax_circuits = 3')
    done = run("check-config", "--config", str(file))
    assert (done.returncode, done.stdout) == (0, "The configuration is good.\n"), done
    assert not (tmp_path / "state").exists()
    file.write_text("limits.max_circuit = 3")
    assert f"{file}: limits.max_circuit: there is no such key" in failed(
        run("check-config", "--config", str(file)), 2
    )
    assert "P2PCHAT_RELAY_LIMITS_MAX_CIRCUITS: this" in failed(
        run("check-config", LIMITS_MAX_CIRCUITS="x"), 2
    )
    assert "access.reserve.peers[0]" in failed(
        run("check-config", "--set", "access.reserve.mode=allow", "--set", "access.reserve.peers=x"), 2
    )
    assert "tls.key: is missing" in failed(run("check-config", "--set", "tls.certificate=/nowhere"), 2)
    assert "write it as key=value" in failed(run("check-config", "--set", "x"), 2)
    assert "invalid choice: 'chek'" in failed(run("chek"), 2)


def test_an_expired_certificate_is_one_sentence(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    import trustme

    certificate = trustme.CA().issue_cert("relay.example", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    options = ("--listen", "/ip4/127.0.0.1/tcp/0/tls/ws", "--data-dir", str(tmp_path / "state"))
    tls = ("--set", f"tls.certificate={tmp_path / 'cert.pem'}", "--set", f"tls.key={tmp_path / 'key.pem'}")
    for command in ("check-config", "run"):
        assert "2020" in failed(run(command, *options, *tls), 2)
    assert not (tmp_path / "state").exists()


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    # No file may grow: the closest to a full disk that needs no disk.
    script = (
        "import resource, runpy, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "sys.dont_write_bytecode = True\n"
        "runpy.run_module('p2pchat_relay', run_name='__main__', alter_sys=True)\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] != 0
    argv = [sys.executable, "-c", script, "--data-dir", str(tmp_path / "state"), "--listen", LOOPBACK]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert "identity.key cannot be read or written: File too large" in failed(done, 1)


def test_a_key_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "identity.key").write_bytes(b"damaged")
    (tmp_path / "identity.key").chmod(0o600)
    for command in ("run", "show-id", "keygen"):
        assert "is damaged" in failed(run(command, "--data-dir", str(tmp_path), "--listen", LOOPBACK), 1)

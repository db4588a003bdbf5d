"""The command, as a process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING

import pytest

from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.wire.ws_address import websocket_target
from p2pchat_relay import cli

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.process

COMMAND = [sys.executable, "-m", "p2pchat_relay"]
LOOPBACK = "/ip4/127.0.0.1/tcp/0/ws"
# Python must not do the flushing for us.
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def run(*arguments: str, data_dir: Path) -> subprocess.CompletedProcess[str]:
    argv = [*COMMAND, "--data-dir", str(data_dir), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)


@asynccontextmanager
async def running(data_dir: Path, *arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run the command until the test is over; gives the process and its first line."""
    argv = [*COMMAND, "--data-dir", str(data_dir), *arguments]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, stdout=pipe, stderr=pipe, env=BUFFERED)
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        yield process, line.decode().rstrip("\n")
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_prints_its_address_and_stops_when_told(tmp_path: Path, number: signal.Signals) -> None:
    async with running(tmp_path, "--listen", LOOPBACK) as (process, line):
        address = Multiaddr.parse(line)
        target = websocket_target(address)
        assert address.last_p2p is not None
        with closing(socket.create_connection((target.host, target.port), timeout=5)):
            process.send_signal(number)
            stdout, stderr = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0
        assert stdout == b"", "nothing but addresses is printed"
        assert b"Traceback" not in stderr
    async with running(tmp_path, "--listen", LOOPBACK) as (_, again):
        assert again == line


async def test_the_same_address_after_being_killed(tmp_path: Path) -> None:
    async with running(tmp_path, "--listen", LOOPBACK) as (process, line):
        process.kill()
    async with running(tmp_path, "--listen", LOOPBACK) as (_, again):
        assert again == line


async def test_it_serves_although_nobody_reads_its_addresses(tmp_path: Path) -> None:
    async with running(tmp_path, "--listen", LOOPBACK) as (_, line):
        target = websocket_target(Multiaddr.parse(line))
    reader, writer = os.pipe()
    os.close(reader)
    argv = [*COMMAND, "--data-dir", str(tmp_path), "--listen", LOOPBACK]
    process = await asyncio.create_subprocess_exec(*argv, stdout=writer, stderr=asyncio.subprocess.PIPE)
    os.close(writer)
    assert process.stderr is not None
    while b"could not be printed" not in await asyncio.wait_for(process.stderr.readline(), 20):
        pass
    with closing(socket.create_connection((target.host, target.port), timeout=5)):
        process.terminate()
        await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--listen", "nonsense"], "A good address looks like"),
        (["--listen", "/ip4/127.0.0.1/tcp/0/tls/ws"], "certificate"),
        (["--listen", "/ip4/127.0.0.1/tcp/0/ws/p2p-circuit"], "relay"),
        (["--max-reservations", "many"], "'many' is not a number from 0 up"),
        (["--max-reservations", "-1"], "is not a number from 0 up"),
        (["--circuit-bytes", "9" * 5000], "is not a number from 0 up"),
        (["--listen"], "expected one argument"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--log-level", "loud"], "invalid choice"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_code_2(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    done = run(*arguments, data_dir=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert sentence in done.stderr
    assert done.stderr.startswith("p2pchat-relay: ")
    assert done.stderr.count("\n") == 1


def test_a_taken_port_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        done = run("--listen", f"/ip4/127.0.0.1/tcp/{port}/ws", data_dir=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"p2pchat-relay: Another program listens at 127.0.0.1 port {port} already")
    assert done.stderr.count("\n") == 1


async def test_a_second_relay_with_the_same_directory_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, "--listen", LOOPBACK):
        done = await asyncio.to_thread(run, "--listen", LOOPBACK, data_dir=tmp_path)
    assert done.returncode == 1
    assert "Another relay already runs" in done.stderr


def test_a_readable_key_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    path.write_bytes(b"x")
    path.chmod(0o644)
    done = run("--listen", LOOPBACK, data_dir=tmp_path)
    assert done.returncode == 1
    assert "chmod 600" in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        cli.main(["--help"])
    assert done.value.code == 0
    text = capsys.readouterr().out
    for option in (
        "--listen",
        "--announce",
        "--data-dir",
        "--max-reservations",
        "--circuit-seconds",
        "--no-stun",
    ):
        assert option in text


def test_neither_webrtc_nor_the_screen_is_loaded() -> None:
    script = (
        "import sys, p2pchat_relay.cli, p2pchat_relay.server, p2pchat_core.net.websocket_server\n"
        "heavy = ('aiortc', 'aioice', 'av', 'textual', 'rich', 'p2pchat_tui', 'p2pchat_core.chat',"
        " 'p2pchat_core.net.webrtc', 'sqlite3')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout.strip() == "[]"

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

import pytest

from p2pchat_relay.systemd import feed_watchdog, notify, watchdog_interval

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        yield sock, {"NOTIFY_SOCKET": str(tmp_path / "notify")}


def test_the_manager_is_told(manager: tuple[socket.socket, dict[str, str]]) -> None:
    sock, environ = manager
    assert notify("READY=1", "STATUS=serving", environ=environ)
    assert sock.recv(100) == b"READY=1\nSTATUS=serving"


def test_an_abstract_socket(tmp_path: Path) -> None:
    name = f"p2pchat-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(f"\0{name}")
        except OSError as error:
            pytest.skip(f"no abstract sockets here: {error}")
        assert notify("READY=1", environ={"NOTIFY_SOCKET": f"@{name}"})
        assert sock.recv(100) == b"READY=1"


@pytest.mark.parametrize("path", ["", "vsock:2:1", "/nowhere/at/all"])
def test_nobody_to_tell_is_no_failure(path: str) -> None:
    assert not notify("READY=1", environ={"NOTIFY_SOCKET": path})
    assert not notify("READY=1", environ={})


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
    ],
)
def test_how_often_the_watchdog_is_fed(environ: dict[str, str], interval: float | None) -> None:
    assert watchdog_interval(environ) == interval


async def test_the_watchdog_is_fed_until_cancelled(manager: tuple[socket.socket, dict[str, str]]) -> None:
    sock, environ = manager
    task = asyncio.ensure_future(feed_watchdog(0.001, environ=environ))
    for _ in range(3):
        assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 100), 5) == b"WATCHDOG=1"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

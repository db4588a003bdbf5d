"""Our STUN server as the tool of coturn sees it that tells what a NAT does (RFC 5780)."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess

import pytest

from p2pchat_core.clock import SystemClock
from p2pchat_relay.stun import StunResponder, StunServer

_TOOL = shutil.which("turnutils_natdiscovery")
_HOSTS = "127.0.0.1", "127.0.0.2"

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(
        _TOOL is None, reason="turnutils_natdiscovery is not installed (Debian package coturn)"
    ),
]


async def discover(*options: str) -> str:
    """Let the tool ask a server with two hosts and two ports, and return what it prints."""
    clock = SystemClock()
    server = await StunServer.open(_HOSTS, [0, 0], StunResponder(clock.monotonic()), clock)
    try:
        process = await asyncio.create_subprocess_exec(
            str(_TOOL), *options, "-p", str(server.ports[0]), _HOSTS[0],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            said, _ = await asyncio.wait_for(process.communicate(), 30)
        finally:
            if process.returncode is None:
                process.kill()
    finally:
        server.close()
    assert process.returncode == 0
    return said.decode()


@pytest.mark.parametrize("option", ["-m", "-f"], ids=["mapping", "filtering"])
async def test_what_is_found_where_there_is_no_nat(option: str) -> None:
    said = await discover(option)
    assert "Endpoint Independent" in said, said
    assert set(re.findall(r"Other addr: : ([\d.]+):", said)) <= set(_HOSTS)
    assert set(re.findall(r"reflexive addr: ([\d.]+):", said)) == {_HOSTS[0]}
    if option == "-f":
        assert f"Response origin: : {_HOSTS[1]}" in said, "the answer came from the other host"


async def test_answers_are_not_padded() -> None:
    assert "timeout" in await discover("-f", "-P")

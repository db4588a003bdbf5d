"""What people get wrong: each is answered with one clear sentence, and the program goes on."""

from __future__ import annotations

import socket
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from p2pchat_core.identity.keys import PrivateKey
from tests.interop.peers import our_relay, ours
from tests.support.program import CommandFailedError, Program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]

STRANGER = PrivateKey.from_seed(bytes(32)).peer_id
RELAY = f"/ip4/127.0.0.1/tcp/9/ws/p2p/{PrivateKey.from_seed(b'1' * 32).peer_id}"

ADDRESSES = {
    "": "no address",
    "hello": 'does not start with "/"',
    "bob@example.org": 'does not start with "/"',
    "https://example.org": "web address",
    "/ip4/127.0.0.1/tcp/9001": "/ws",
    "/ip4/127.0.0.1/tcp/9001/w": "'w'",
    "/ip4/300.0.0.1/tcp/9001/ws": "300.0.0.1",
    "/ip4/127.0.0.1/tcp/99999/ws": "99999",
    "/ip4/127.0.0.1/udp/4001/quic-v1": "QUIC",
    str(STRANGER): "peer id alone",
    f"/p2p/{STRANGER}": "only a peer id",
    f"{RELAY}/p2p-circuit": "whom to reach",
    f"{RELAY}/p2p-circuit/webrtc": "whom to reach",
    f"{RELAY}/p2p-circuit/webrtc/p2p/{str(STRANGER)[:-5]}": "peer id",
    f"/ip4/127.0.0.1/tcp/9/ws/p2p-circuit/webrtc/p2p/{STRANGER}": "relay's peer id is missing",
    "/ip4/127.0.0.1/tcp/9001/ws/p2p/ \x1b[2J": "blank",
    "/" * 5000: "1024 are allowed",
}


@asynccontextmanager
async def running(tmp_path: Path, *options: str) -> AsyncIterator[Program]:
    async with ours(tmp_path / "ours", "--no-embedded-relay", "--no-stun", *options) as program:
        yield program
        # Whatever it was asked, it is still there and of sound mind.
        assert (await program.call("status"))["peer_id"] == program.peer


async def refusal(program: Program, cmd: str, **fields: str) -> tuple[str, str]:
    with pytest.raises(CommandFailedError) as caught:
        await program.call(cmd, **fields)
    reply = caught.value.reply
    sentence = reply["error"]
    assert sentence.isprintable()
    assert sentence.endswith((".", "?", "…"))
    assert "\n" not in sentence
    return reply["code"], sentence


async def test_addresses_that_are_none(tmp_path: Path) -> None:
    async with running(tmp_path) as program:
        for address, expected in ADDRESSES.items():
            code, sentence = await refusal(program, "connect", address=address)
            assert code == "bad_address", address
            assert expected in sentence, (address, sentence)


async def test_oneself(tmp_path: Path) -> None:
    async with our_relay(tmp_path / "relay") as relay, running(tmp_path, "--relay", relay.address) as program:
        listening = await program.event("listening", lambda e: bool(e["addresses"]))
        code, sentence = await refusal(program, "connect", address=listening["addresses"][0])
        assert code == "own_address"
        assert "your own address" in sentence


async def test_a_peer_without_a_reservation(tmp_path: Path) -> None:
    async with our_relay(tmp_path / "relay") as relay, running(tmp_path) as program:
        address = f"{relay.address}/p2p-circuit/webrtc/p2p/{STRANGER}"
        code, sentence = await refusal(program, "connect", address=address)
        assert code == "no_reservation"
        assert "not online" in sentence


async def test_a_relay_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    relay = f"/ip4/127.0.0.1/tcp/{port}/ws/p2p/{STRANGER}"
    async with running(tmp_path, "--relay", relay) as program:
        lost = await program.event("relay", lambda e: e["state"] == "lost")
        assert f"127.0.0.1 port {port}" in lost["reason"]
        code, sentence = await refusal(program, "connect", address=relay)
        assert code == "relay_unreachable"
        assert "running" in sentence


async def test_another_relay_than_the_address_says(tmp_path: Path) -> None:
    async with our_relay(tmp_path / "relay") as relay, running(tmp_path) as program:
        address = relay.address.rpartition("/")[0] + f"/{STRANGER}"
        _code, sentence = await refusal(program, "connect", address=address)
        assert "not trusted" in sentence


@pytest.mark.parametrize("trouble", ["damaged", "readable by others"])
async def test_a_key_file_that_cannot_be_trusted(tmp_path: Path, trouble: str) -> None:
    data_dir = tmp_path / "ours"
    async with ours(data_dir, "--no-embedded-relay"):
        pass
    (key,) = [path for path in data_dir.iterdir() if "key" in path.name or "identity" in path.name]
    if trouble == "damaged":
        key.write_bytes(b"\x08\x01 rubbish")
    else:
        key.chmod(0o644)
    argv = [sys.executable, "-m", "p2pchat_tui", "headless", "--data-dir", data_dir, "--no-embedded-relay"]
    async with await Program.start("ours", argv) as program:
        # There is no way on without an identity: one sentence, and the file is left as it was.
        assert await program.process.wait() != 0
    said = " ".join(program.errors) + " ".join(str(event) for event in program.events)
    assert key.name in said
    assert ("chmod 600" in said) == (trouble != "damaged")
    assert "Traceback" not in said
    assert key.exists()

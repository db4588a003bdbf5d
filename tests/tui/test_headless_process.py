"""``p2pchat headless`` as others run it: processes, pipes and signals."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_relay.server import RelayConfig, RelayServer
from tests.support.program import CommandFailedError, Program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.process

HEADLESS = (sys.executable, "-m", "p2pchat_tui", "headless")


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as entered:
        yield entered


async def start(stack: AsyncExitStack, path: Path, *options: str) -> Program:
    program = await Program.start(path.name, [*HEADLESS, "--data-dir", path, *options])
    await stack.enter_async_context(program)
    program.peer = (await program.event("ready"))["peer_id"]
    return program


async def test_two_programs_meet_and_outlive_the_relay(stack: AsyncExitStack, tmp_path: Path) -> None:
    relay = await RelayServer.start(
        RelayConfig(data_dir=tmp_path / "relay", listen=("/ip4/127.0.0.1/tcp/0/ws",))
    )
    stack.push_async_callback(relay.stop)
    alice = await start(stack, tmp_path / "alice", "--relay", str(relay.addresses[0]))
    (address,) = (await alice.event("listening"))["addresses"]
    bob = await start(stack, tmp_path / "bob", "--no-embedded-relay", "--connect", address)
    for program in (alice, bob):
        await program.event(
            "connection", lambda event: event["path"] == "direct" and event["state"] == "open"
        )

    reply = await bob.call("send", peer=alice.peer, text="hello ☃")
    message = await alice.event("message")
    assert (message["peer"], message["text"]) == (bob.peer, "hello ☃")
    assert (await bob.event("sent"))["message_id"] == reply["message_id"]
    await alice.call("send", peer=bob.peer, text="hello yourself")
    assert (await bob.event("message"))["text"] == "hello yourself"

    await relay.stop()
    await alice.event("relay", lambda event: event["state"] == "lost")
    await bob.call("send", peer=alice.peer, text="still here?")
    assert (await alice.event("message"))["text"] == "still here?"
    assert (await alice.call("echo", peer=bob.peer, text="echo"))["text"] == "echo"
    assert (await bob.call("ping", peer=alice.peer))["rtt_ms"] > 0
    history = await bob.call("history", peer=alice.peer, limit=2)
    assert [entry["text"] for entry in history["messages"]] == ["hello yourself", "still here?"]
    await bob.call("disconnect", peer=alice.peer)
    with pytest.raises(CommandFailedError) as caught:
        await bob.call("ping", peer=alice.peer)
    assert caught.value.reply["code"] == "not_connected"


async def test_a_first_start_needs_nothing_and_the_second_keeps_its_address(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    alice = await start(stack, tmp_path / "alice")
    (address,) = (await alice.event("listening"))["addresses"]
    assert address.endswith(f"/p2p-circuit/webrtc/p2p/{alice.peer}")
    assert await alice.stop() == 0
    again = await start(stack, tmp_path / "alice")
    assert (await again.event("listening"))["addresses"] == [address]


async def test_standard_output_carries_nothing_but_json(stack: AsyncExitStack, tmp_path: Path) -> None:
    alice = await start(stack, tmp_path / "alice", "--log-level", "debug")
    await alice.event("listening")
    await alice.send_line(b"nonsense")
    reply = await alice.event("reply")
    assert (reply["id"], reply["ok"], reply["code"]) == (None, False, "bad_json")
    await alice.send_line(b"x" * (limits.HEADLESS_MAX_LINE + 1))
    assert "longer" in (await alice.event("reply"))["error"]
    assert (await alice.call("status"))["peer_id"] == alice.peer
    assert await alice.stop() == 0
    assert alice.lines == []
    assert alice.errors, "the log is on standard error"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_end_it_in_good_order(
    stack: AsyncExitStack, tmp_path: Path, number: signal.Signals
) -> None:
    alice = await start(stack, tmp_path / "alice", "--no-embedded-relay")
    alice.process.send_signal(number)
    async with asyncio.timeout(20):
        assert await alice.process.wait() == 0
    assert alice.errors == []


async def test_quit_is_answered(stack: AsyncExitStack, tmp_path: Path) -> None:
    alice = await start(stack, tmp_path / "alice", "--no-embedded-relay")
    assert (await alice.call("quit"))["ok"]
    async with asyncio.timeout(20):
        assert await alice.process.wait() == 0


async def test_a_second_program_on_the_same_directory_says_why_it_ends(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    await start(stack, tmp_path / "alice", "--no-embedded-relay")
    second = await Program.start("second", [*HEADLESS, "--data-dir", tmp_path / "alice"])
    await stack.enter_async_context(second)
    error = await second.event("error")
    assert error["code"] == "bad_config"
    assert "--data-dir" in error["error"]
    async with asyncio.timeout(20):
        assert await second.process.wait() == 1


async def test_failing_to_connect_at_the_start_is_an_event(stack: AsyncExitStack, tmp_path: Path) -> None:
    address = "/ip4/127.0.0.1/tcp/1/ws/p2p/12D3KooWRqAUEzPwKMoGstpfJVqr3aoinwKVPu4DLo9nQncbnuLk"
    alice = await start(stack, tmp_path / "alice", "--no-embedded-relay", "--connect", address)
    assert (await alice.event("error"))["code"] == "relay_unreachable"
    assert (await alice.call("status"))["ok"]


def test_commands_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "commands").write_text('{"id": 1, "cmd": "status"}\n', encoding="utf-8")
    with (tmp_path / "commands").open("rb") as commands:
        done = subprocess.run(
            [*HEADLESS, "--data-dir", tmp_path / "alice", "--no-embedded-relay"],
            stdin=commands,
            capture_output=True,
            timeout=30,
            check=True,
        )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["ok"] for line in lines if line.get("id") == 1] == [True]
    assert done.stderr == b""


def test_nobody_reading_any_more_ends_it_quietly(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*HEADLESS, "--data-dir", tmp_path / "alice", "--no-embedded-relay"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["event"] == "ready"
        process.stdout.close()
        process.stdin.write(b'{"cmd": "status"}\n')
        process.stdin.flush()
        assert process.wait(30) == 0
        assert process.stderr.read() == b""


def test_a_mistake_on_the_command_line_is_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [*HEADLESS, "--data-dir", tmp_path, "--relay", "nonsense"],
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"\n") == 1


def test_stray_prints_go_to_standard_error() -> None:
    code = (
        "import os, subprocess\n"
        "from p2pchat_tui.json_lines import claim_stdout\n"
        "ours = claim_stdout()\n"
        "print('stray')\n"
        "subprocess.run(['echo', 'child'], check=True)\n"
        "os.write(1, b'library')\n"
        "os.write(ours, b'ours')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=True)
    assert done.stdout == b"ours"
    assert set(done.stderr.split()) == {b"stray", b"child", b"library"}


def test_webrtc_is_not_loaded_before_it_is_needed() -> None:
    code = (
        "import sys, p2pchat_tui.headless\n"
        "print(sorted({'aiortc', 'aioice', 'av', 'textual', 'rich'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "[]\n"

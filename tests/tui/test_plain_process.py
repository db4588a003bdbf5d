"""``p2pchat --plain`` as its user meets it: pipes, a dumb terminal, and two people who talk."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Self

import pytest

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

pytestmark = pytest.mark.process

PLAIN = (sys.executable, "-m", "p2pchat_tui")
ADDRESS = re.compile(r"Your address: (/ip4/\S+)")
CONTROL = re.compile(rb"[\x00-\x09\x0b-\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]")


class Person:
    """The program with somebody at it: through pipes, or at a terminal that calls itself dumb."""

    def __init__(self, data_dir: Path, *options: str, terminal: bool = False, term: str = "dumb") -> None:
        self._argv = [*PLAIN, "--data-dir", str(data_dir), *options]
        self._terminal = terminal
        self._environment = {**os.environ, "TERM": term, "PYTHONIOENCODING": "utf-8"}
        self.output = b""
        self._seen = 0
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        if self._terminal:
            self._read_from, program = pty.openpty()
            ends = (program, program, program)
            self._write_to = self._read_from
        else:
            program_in, self._write_to = os.pipe()
            self._read_from, program_out = os.pipe()
            ends = (program_in, program_out, program_out)
        self.process = subprocess.Popen(
            self._argv,
            stdin=ends[0],
            stdout=ends[1],
            stderr=ends[2],
            env=self._environment,
            start_new_session=True,
        )
        for end in set(ends):
            os.close(end)
        asyncio.get_running_loop().add_reader(self._read_from, self._read)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._read_from)
        self.process.kill()
        self.process.wait()
        for end in {self._read_from, self._write_to}:
            os.close(end)

    def type(self, line: str) -> None:
        os.write(self._write_to, line.encode() + b"\n")

    async def until(self, words: str) -> str:
        """Wait for words that were not waited for before, and return the line they are in."""
        pattern = re.compile(f"[^\n]*{words}[^\n]*")
        try:
            async with asyncio.timeout(20):
                while (found := pattern.search(self.text, self._seen)) is None:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{words!r} was never said:\n{self.text[self._seen :]}") from None
        self._seen = found.end()
        return found[0].strip()

    async def ended(self) -> int:
        async with asyncio.timeout(15):
            return await asyncio.to_thread(self.process.wait)

    @property
    def text(self) -> str:
        return self.output.decode(errors="replace").replace("\r\n", "\n")

    def _read(self) -> None:
        try:
            data = os.read(self._read_from, 65536)
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._read_from)
        self.output += data
        self._news.set()


async def test_two_people_talk_one_through_pipes_one_at_a_dumb_terminal(tmp_path: Path) -> None:
    async with (
        Person(tmp_path / "alice", "--plain", terminal=True) as alice,
        Person(tmp_path / "bob", "--no-embedded-relay", term="xterm") as bob,
    ):
        await bob.until("Standard input is no terminal, so this is the line mode")
        found = ADDRESS.search(await alice.until("Your address"))
        assert found is not None
        await bob.until("You are")
        bob.type(f"/connect {found[1]}")
        bob.type("hello \x1b[31malice\x07\x9b2J ☃")
        await bob.until("Step 8 of 8 .* done")
        await bob.until("You talk to …")
        await alice.until("wants to talk to you")
        assert "hello" not in alice.text
        alice.type("/accept")
        await alice.until(r"…\w{8}: hello \[31malice2J ☃")
        await alice.until("to …\\w{8}> ")
        alice.type("hi bob")
        await bob.until(r"…\w{8}: hi bob")
        bob.type("/history")
        await bob.until(r"History, .*, You \((sent|delivered)\): hello")
        bob.type("/status")
        await bob.until("is connected directly at")
        bob.type("/quit")
        assert await bob.ended() == 0
        await alice.until("ended")
        alice.type("/quit")
        assert await alice.ended() == 0
        assert CONTROL.search(bob.output) is None
        # The terminal itself echoes what is typed, with a carriage return; of that there was nothing special.
        assert CONTROL.search(alice.output.replace(b"\r\n", b"\n")) is None


async def test_a_dumb_terminal_gets_lines_and_is_told_why(tmp_path: Path) -> None:
    async with Person(tmp_path / "alice", "--no-embedded-relay", terminal=True) as alice:
        await alice.until(r"cannot show a screen \(TERM=dumb\), so this is the line mode\.")
        await alice.until("You are")
        alice.process.send_signal(signal.SIGINT)
        assert await alice.ended() == 0


async def test_a_real_terminal_gets_the_screen(tmp_path: Path) -> None:
    async with Person(
        tmp_path / "alice", "--no-embedded-relay", terminal=True, term="xterm-256color"
    ) as alice:
        await alice.until("\x1b\\[\\?1049h")  # the alternate screen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_signals_end_it_in_good_order(tmp_path: Path, number: signal.Signals) -> None:
    async with Person(tmp_path / "alice", "--plain", "--no-embedded-relay") as alice:
        await alice.until("You are")
        alice.process.send_signal(number)
        assert await alice.ended() == 0


def test_commands_from_a_file_and_the_end_of_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [*PLAIN, "--plain", "--data-dir", tmp_path / "alice", "--no-embedded-relay", "/nonsense"],
        input=b"/help\n/status\n/frobnicate",
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2  # the address on the command line is checked first
    done = subprocess.run(
        [*PLAIN, "--plain", "--data-dir", tmp_path / "alice", "--no-embedded-relay"],
        input=b"/help\n/status\n/frobnicate",
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert done.stderr == b""
    lines = done.stdout.decode().splitlines()
    assert any("/connect ADDRESS: " in line for line in lines)
    assert lines[-1].endswith("Error: There is no command /frobnicate; /help lists them.")


def test_it_says_why_it_cannot_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [*PLAIN, "--plain", "--data-dir", tmp_path / "file"],
        input=b"",
        capture_output=True,
        timeout=30,
        check=False,
        env={**os.environ, "P2PCHAT_TIMESTAMPS": "off", "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 1
    assert done.stdout.startswith(b"Error: The data directory ")
    assert done.stdout.count(b"\n") == 1


def test_nobody_reading_any_more_ends_it_quietly(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*PLAIN, "--plain", "--data-dir", tmp_path / "alice", "--no-embedded-relay"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert b"You are" in process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b"/help\n")
        process.stdin.flush()
        assert process.wait(30) == 0
        assert process.stderr.read() == b""

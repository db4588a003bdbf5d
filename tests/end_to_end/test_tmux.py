"""Two people in a real tmux, from the first start to a chat, a lost relay and a search."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.test_two_terminals import ADDRESS, address_pane
from tests.interop.peers import our_relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.process,
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        shutil.which("tmux") is None, reason="tmux is not installed: no session in it was tried."
    ),
]
COLUMNS, ROWS = 120, 40


class Tmux:
    """A tmux server of our own, that knows nothing of the user's."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("TMUX")}
        # Those would take what is copied before tmux does.
        self.environment = {
            n: v for n, v in self.environment.items() if n not in ("DISPLAY", "WAYLAND_DISPLAY")
        }
        self.environment |= {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}

    def run(self, *argv: str, text: str | None = None) -> str:
        """Run one tmux command and return what it prints."""
        done = subprocess.run(
            ["tmux", "-S", self._socket, "-f", os.devnull, *argv],
            env=self.environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, name: str, *command: str | Path) -> Pane:
        """Run a command in a session of its own; what it exits with is kept."""
        line = shlex.join(map(str, command))
        size = ("-x", str(COLUMNS), "-y", str(ROWS))
        self.run("new-session", "-d", "-s", name, *size, f"{line}; echo ended with $?; cat")
        return Pane(self, name)


class Pane:
    """What one person sees, and types into."""

    def __init__(self, tmux: Tmux, name: str) -> None:
        self._tmux = tmux
        self._name = name

    @property
    def text(self) -> str:
        """What is on the screen, a line each."""
        return self._tmux.run("capture-pane", "-p", "-t", self._name)

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names for them."""
        self._tmux.run("send-keys", "-t", self._name, *keys)

    def type(self, text: str) -> None:
        """Type text."""
        self._tmux.run("send-keys", "-t", self._name, "-l", text)

    def paste(self, text: str) -> None:
        """Paste as tmux does, in brackets if the program has asked for them."""
        self._tmux.run("load-buffer", "-b", "pasted", "-", text=text)
        self._tmux.run("paste-buffer", "-p", "-b", "pasted", "-t", self._name)

    async def until(self, condition: Callable[[str], bool], what: str) -> str:
        """Look until the screen shows something, and return the screen."""
        try:
            async with asyncio.timeout(40):
                while not condition(text := self.text):
                    await asyncio.sleep(0.1)
                return text
        except TimeoutError:
            raise AssertionError(f"{self._name} never saw {what}:\n{self.text}") from None

    async def sees(self, words: str) -> str:
        """Look until these words are on the screen."""
        return await self.until(lambda text: words in text, repr(words))


@asynccontextmanager
async def a_tmux() -> AsyncIterator[Tmux]:
    with tempfile.TemporaryDirectory(prefix="p2pchat-") as folder:  # a socket's path must be short
        tmux = Tmux(f"{folder}/tmux")
        tmux.run("new-session", "-d", "-s", "keeper", "cat")
        tmux.run("set-option", "-g", "set-clipboard", "on")
        try:
            yield tmux
        finally:
            tmux.run("kill-server")


async def test_a_session_in_tmux(tmp_path: Path) -> None:
    async with our_relay(tmp_path / "relay") as relay, a_tmux() as tmux:
        chat = (sys.executable, "-m", "p2pchat_tui", "--relay", relay.address)
        alice = tmux.start("alice", *chat, "--name", "Alice", "--data-dir", tmp_path / "alice")
        bob = tmux.start("bob", *chat, "--name", "Bob", "--data-dir", tmp_path / "bob")

        # The first screen says who one is, and has the address; one key copies it, also inside tmux.
        await alice.until(lambda text: ADDRESS.fullmatch(_address(text)) is not None, "her address")
        address = _address(await alice.sees("send it to a friend"))
        alice.press("C-y")
        await alice.sees("copied to the clipboard")
        assert tmux.run("show-buffer").strip() == address
        await bob.until(lambda text: ADDRESS.fullmatch(_address(text)) is not None, "his address")

        # A stranger is asked about first.
        bob.paste(address)
        await bob.sees("Enter connects")
        bob.press("Enter")
        await bob.sees("direct, without relay")
        await bob.sees("Write a message")
        bob.type("Did you find the lighthouse?")
        bob.press("Enter")
        assert "lighthouse" not in await alice.sees("wants to talk")
        alice.press("F3")
        await alice.sees("▎ Did you find the lighthouse?")
        alice.type("Yes, behind the dunes.")
        alice.press("Enter")
        await bob.sees("▎ Yes, behind the dunes.")
        await alice.sees("✓✓")

        # The relay is lost, the conversation is not.
        await relay.kill()
        await alice.until(lambda text: "reachable through" not in text, "the loss of the relay")
        bob.type("Still there?")
        bob.press("Enter")
        await alice.sees("▎ Still there?")

        # Search as you type, and go there.
        alice.press("C-f")
        await alice.sees("Search all conversations")
        alice.type("lightho")
        await alice.sees("1 found")
        alice.press("Enter")
        await alice.sees("▶ Did you find the lighthouse?")

        for pane in (alice, bob):
            pane.press("C-q")
            await pane.sees("ended with 0")


class _Shown:
    """A text as `address_pane` wants it."""

    def __init__(self, text: str) -> None:
        self.text = text


def _address(text: str) -> str:
    return address_pane(_Shown(text))  # type: ignore[arg-type]

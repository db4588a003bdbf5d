"""Two people at two terminals: the address of one, read off the screen, pasted into the other."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from tests.interop.peers import our_relay
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

ADDRESS = re.compile(
    r"/ip4/127\.0\.0\.1/tcp/\d+/ws/p2p/12D3KooW[1-9A-HJ-NP-Za-km-z]{44}/p2p-circuit/webrtc/p2p/12D3KooW[1-9A-HJ-NP-Za-km-z]{44}"
)
QUIT = "\x11"
ACCEPT = "\x1bOR"  # F3


def chat(data_dir: Path, *options: str) -> Terminal:
    return Terminal([sys.executable, "-m", "p2pchat_tui", "--data-dir", data_dir, *options])


def address_pane(terminal: Terminal) -> str:
    """What stands in the pane with our address, its lines joined."""
    lines = iter(terminal.text.splitlines())
    joined = ""
    for line in lines:
        if "Your address" in line:
            break
    for line in lines:
        if not line.startswith("│"):
            break
        joined += line.split("│")[1].strip()
    return joined


async def address_on(terminal: Terminal) -> str:
    await terminal.until(
        lambda screen: ADDRESS.fullmatch(address_pane(screen)) is not None, "a complete address"
    )
    return address_pane(terminal)


async def meet(alice: Terminal, bob: Terminal) -> None:
    address = await address_on(alice)
    await address_on(bob)
    bob.paste(address)
    bob.type("\r")
    await bob.until(lambda screen: "Connected to" in screen.text, "the connection")
    await bob.until(lambda screen: "direct, without relay" in screen.text, "a direct path")
    bob.type("hello alice [/b]\r")
    await alice.until(lambda screen: "wants to talk" in screen.text, "the question about the stranger")
    assert "hello alice" not in alice.text
    alice.type(ACCEPT)
    await alice.until(lambda screen: "Received message 'hello alice [/b]'" in screen.text, "the message")


async def say(speaker: Terminal, listener: Terminal, text: str) -> None:
    speaker.type(f"{text}\r")
    await speaker.until(lambda screen: f"Sending message '{text}'" in screen.text, "the message sent")
    await listener.until(lambda screen: f"Received message '{text}'" in screen.text, "the message received")


async def test_a_chat_that_outlives_its_relay(tmp_path: Path) -> None:
    async with our_relay(tmp_path / "relay") as relay:
        options = ("--relay", relay.address)
        async with chat(tmp_path / "alice", *options) as alice, chat(tmp_path / "bob", *options) as bob:
            await meet(alice, bob)
            await say(alice, bob, "with the relay")
            await relay.kill()
            await alice.until(lambda screen: "reachable through" not in screen.text, "the loss of the relay")
            await say(alice, bob, "without the relay")
            await say(bob, alice, "still here")
            for terminal in (alice, bob):
                terminal.type(QUIT)
                assert await terminal.ended() == 0


async def test_with_nothing_configured(tmp_path: Path) -> None:
    """Each runs a relay of its own; the address of one leads through it."""
    async with chat(tmp_path / "alice") as alice, chat(tmp_path / "bob") as bob:
        await meet(alice, bob)
        await say(alice, bob, "no configuration at all")


async def test_rubbish_is_answered_with_a_sentence(tmp_path: Path) -> None:
    async with chat(tmp_path / "alice") as alice:
        await address_on(alice)
        alice.paste("http://example.org/\n[/b] \x1b]0;title\x07 and more")
        alice.type("\r")
        await alice.until(lambda screen: "multiaddr" in screen.text or "address" in screen.text, "a sentence")
        alice.type(QUIT)
        assert await alice.ended() == 0

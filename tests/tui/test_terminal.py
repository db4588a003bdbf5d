"""What really reaches a terminal: the program in a pseudo-terminal of its own, its bytes looked at one by one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time
from pathlib import Path

import pyte
import pytest

pytestmark = pytest.mark.process

_PROGRAM = """
import asyncio, sys
from p2pchat_core.chat.events import ErrorEvent, ListeningEvent
from p2pchat_tui.app import P2PChatApp
from tests.tui.fake_service import BOB, FakeService, FixedClock, address_of, opened, said, steps
from tests.tui.test_app import HOSTILE

class Talkative(FakeService):
    async def start(self):
        await super().start()
        # One after the other, so that each stands on the screen for a while.
        loop = asyncio.get_running_loop()
        for number, hostile in enumerate(HOSTILE):
            loop.call_later(0.3 + number * 0.15, self.talk, hostile)
        loop.call_later(0.5 + len(HOSTILE) * 0.15, self.emit, said(BOB, "the end is here"))

    def talk(self, hostile):
        self.emit(opened("12D3" + hostile), said("12D3" + hostile, hostile), said(BOB, hostile))
        self.emit(ErrorEvent("x", hostile), ListeningEvent((hostile, "/ip4/" + hostile)), *steps(BOB, 7, hostile))

async def factory():
    return Talkative()

P2PChatApp(factory, name="alice", connect=address_of(BOB), clock=FixedClock()).run()
"""


def _run(columns: int, rows: int) -> bytes:
    """Run the program until it has drawn the last message, leave it by its key, and return all it wrote."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", PYTHONPATH=os.pathsep.join(sys.path))
        os.chdir(Path(__file__).parents[2])
        os.execv(sys.executable, [sys.executable, "-c", _PROGRAM])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    written, left = bytearray(), False
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the program has ended
            break
        if not data:
            break
        written += data
        if b"the end is here" in written and not left:
            os.write(terminal, b"\x11")  # Ctrl+Q
            left = True
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, written[-2000:]
    return bytes(written)


@pytest.mark.filterwarnings(
    "ignore:This process:DeprecationWarning"
)  # forkpty in a process that may have threads
def test_nothing_a_peer_says_is_obeyed_by_the_terminal() -> None:
    written = _run(120, 40)
    text = written.decode("utf-8", "strict")
    # What is left without the sequences that Textual writes itself is what is drawn.
    drawn = re.sub(
        r"\x1b\[[0-9;?<>=$]*[a-zA-Z]|\x1b\]22;[a-z-]*(?:\x1b\\|\x07)|\x1b[78=>]|\x1b_G[^\x1b]*\x1b\\",
        "",
        text,
    )
    assert "\x1b" not in drawn, drawn[drawn.index("\x1b") - 50 :][:100]
    for forbidden in "\x07\x00\x7f\x85\x90\x9b\x9d\u202e\u2066\u200b\ufeff\u2028":
        assert forbidden not in drawn
    assert "]52;" not in re.sub(r"␛\]52;", "", text)  # nobody but the user writes to the clipboard
    assert "the end is here" in drawn


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_terminal_shows_whole_frames() -> None:
    written = _run(80, 24)
    screen = pyte.Screen(80, 24)
    stream = pyte.Stream(screen)
    # pyte knows no private modes with `$` or `<`/`>` and would print their ends.
    alive = written[: written.rindex(b"\x1b[?1049l")] if b"\x1b[?1049l" in written else written
    stream.feed(re.sub(r"\x1b\[[?<>=][0-9;?$]*[a-zA-Z]|\x1b_G[^\x1b]*\x1b\\", "", alive.decode()))
    lines = screen.display
    assert lines[0].startswith(" p2pchat  alice")
    assert "^O Connect" in lines[-1]
    assert any("the end is here" in line for line in lines)
    assert all(line.rstrip()[-1] in "│╮╯▄▁▂▃▅▆▇█ " for line in lines[5:-1] if line.strip())

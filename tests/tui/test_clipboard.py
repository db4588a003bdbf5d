"""Copying by the terminal and by programs of the system."""

from __future__ import annotations

import asyncio
import base64
import os
import pty
import re
import select
import shutil
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_tui import clipboard
from p2pchat_tui.app import P2PChatApp
from p2pchat_tui.clipboard import Copied, fill_clipboard, osc52
from tests.tui.fake_service import ME, FakeService, FixedClock, address_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT = "/ip4/127.0.0.1/tcp/1/ws ☃ " + "x" * 300


def decoded(sequence: str) -> str:
    (encoded,) = re.findall(r"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07", sequence)
    return base64.b64decode(encoded).decode()


def test_the_terminal_gets_the_whole_text() -> None:
    assert decoded(osc52(TEXT, {})) == TEXT
    assert decoded(osc52("\ud800", {})) == "?"


def test_tmux_gets_it_and_lets_it_through() -> None:
    """As tmux unwraps it: what stands between its introducer and ST, with doubled escapes made single."""
    plain, _, rest = osc52(TEXT, {"TMUX": "/tmp/x,1,0"}).partition("\x1bPtmux;")
    assert decoded(plain) == TEXT
    assert rest.endswith("\x1b\\")
    inner = rest[:-2]
    assert "\x1b" not in inner.replace("\x1b\x1b", "")
    assert decoded(inner.replace("\x1b\x1b", "\x1b")) == TEXT


def test_screen_gets_it_in_pieces() -> None:
    pieces = re.findall(r"\x1bP(.*?)\x1b\\", osc52(TEXT, {"STY": "1.x"}), re.DOTALL)
    assert max(map(len, pieces)) <= 76
    assert decoded("".join(pieces)) == TEXT


@pytest.mark.process
@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
@pytest.mark.parametrize(
    "options",
    [
        ("set -g allow-passthrough on", "set -g set-clipboard off"),
        ("set -g set-clipboard on", "set -as terminal-features ',xterm-256color:clipboard'"),
    ],
)
def test_a_real_tmux_hands_it_on_to_its_terminal(options: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "tmux.conf").write_text("\n".join(options) + "\n")
    (tmp_path / "copy.py").write_text(
        f"import os, sys, time; sys.path[:] = {sys.path!r}\n"
        "from p2pchat_tui.clipboard import osc52\n"
        "sys.stdout.write(osc52('hello tmux', os.environ)); sys.stdout.flush()\n"
        "time.sleep(30)\n"
    )
    argv = ["tmux", "-S", str(tmp_path / "s"), "-f", str(tmp_path / "tmux.conf")]
    terminal, inside = pty.openpty()
    with subprocess.Popen(
        [*argv, "new-session", f"{sys.executable} {tmp_path}/copy.py"],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        env={**os.environ, "TERM": "xterm-256color"},
        start_new_session=True,
    ) as process:
        os.close(inside)
        shown = b""
        try:
            while not re.search(rb"\x1b\]52;[a-z]*;aGVsbG8gdG11eA==(\x07|\x1b\\)", shown):
                assert select.select([terminal], [], [], 20)[0], shown
                shown += os.read(terminal, 65536)
        finally:
            subprocess.run([*argv, "kill-server"], check=False)
            process.kill()
            os.close(terminal)


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str, str], None]:
    """Return what writes a program for the PATH."""

    def program(name: str, script: str) -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return program


def environment(tmp_path: Path, **variables: str) -> dict[str, str]:
    return {"PATH": f"{tmp_path}", **variables}


@pytest.mark.parametrize(
    ("name", "variable", "arguments"),
    [
        ("wl-copy", "WAYLAND_DISPLAY", ""),
        ("xclip", "DISPLAY", "-selection clipboard -in"),
        ("xsel", "DISPLAY", "--clipboard --input"),
        ("pbcopy", "", ""),
        ("tmux", "TMUX", "load-buffer -w -"),
    ],
)
async def test_the_program_that_is_there_is_used(
    name: str, variable: str, arguments: str, tmp_path: Path, program: Callable[[str, str], None]
) -> None:
    cat = next(path for path in ("/bin/cat", "/usr/bin/cat") if os.path.exists(path))
    program(name, f'echo "$@" > {tmp_path}/arguments; {cat} > {tmp_path}/got')
    variables = environment(tmp_path, **({variable: "x"} if variable else {}))
    assert await fill_clipboard("-n $(touch x) `x` ☃", variables) == name
    assert (tmp_path / "got").read_text(encoding="utf-8") == "-n $(touch x) `x` ☃"
    assert (tmp_path / "arguments").read_text().strip() == arguments
    if variable:  # without its display it cannot work, so it is not tried
        assert await fill_clipboard("x", environment(tmp_path)) == ""


async def test_programs_that_fail_or_hang_are_passed_over(
    tmp_path: Path, program: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CLIPBOARD_TIMEOUT", 0.2)
    program("wl-copy", "exit 1")
    program("xclip", "exec sleep 60")
    variables = environment(tmp_path, WAYLAND_DISPLAY="x", DISPLAY="x") | {
        "PATH": f"{tmp_path}:/bin:/usr/bin"
    }
    monkeypatch.setattr(clipboard, "PROGRAMS", clipboard.PROGRAMS[:2])
    assert await fill_clipboard("x", variables) == ""
    (tmp_path / "wl-copy").write_text("no program")
    assert await fill_clipboard("x", variables) == ""


async def test_a_program_that_stays_behind_holds_nothing_up(
    tmp_path: Path, program: Callable[[str, str], None]
) -> None:
    program("xclip", "sleep 5 &")
    variables = environment(tmp_path, DISPLAY="x") | {"PATH": f"{tmp_path}:/bin:/usr/bin"}
    assert await fill_clipboard("x", variables) == "xclip"


def test_what_is_said_names_what_was_used() -> None:
    assert Copied("xclip").sentence == "Copied to the clipboard by xclip and OSC 52."
    assert "OSC 52" in Copied("").sentence
    assert "mouse" in Copied("").sentence


async def test_the_screen_copies_the_address_and_says_how(
    tmp_path: Path, program: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    program("wl-copy", f'read -r line; echo "$line" > {tmp_path}/got')
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("WAYLAND_DISPLAY", "x")

    async def factory() -> FakeService:
        return FakeService()

    app = P2PChatApp(factory, clock=FixedClock())
    written: list[str] = []
    async with app.run_test(notifications=True) as pilot:
        for _ in range(3):
            await pilot.pause()
        monkeypatch.setattr(app._driver, "write", written.append)
        await pilot.press("ctrl+y")
        async with asyncio.timeout(10):
            while not app._notifications:
                await pilot.pause()
        assert decoded("".join(written)).startswith(address_of(ME))
        assert (tmp_path / "got").read_text().strip() == address_of(ME)
        assert "Copied to the clipboard by wl-copy and OSC 52." in [n.message for n in app._notifications]

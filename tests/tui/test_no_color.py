"""`NO_COLOR`, reduced motion and the theme of the settings, on the running screen."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input

from p2pchat_tui.app import P2PChatApp
from p2pchat_tui.preferences import Preferences
from tests.support.terminal import Terminal
from tests.tui.fake_service import FakeService, FixedClock

if TYPE_CHECKING:
    from pathlib import Path

COLOR = re.compile(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9;]*)?m")
REVERSE = re.compile(rb"\x1b\[(?:[0-9;]*;)?7(?:;[0-9;]*)?m")


def app_with(**preferences: object) -> P2PChatApp:
    async def factory() -> FakeService:
        return FakeService()

    return P2PChatApp(factory, clock=FixedClock(), preferences=Preferences(**preferences))  # type: ignore[arg-type]


@pytest.mark.process
@pytest.mark.parametrize(("value", "colored"), [("1", False), ("", True)])
async def test_no_color_reaches_the_terminal(
    value: str, colored: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", value)
    written = b""

    class Recorder(Terminal):
        def _read(self) -> None:
            nonlocal written
            feed = self._stream.feed

            def record(data: bytes) -> None:
                nonlocal written
                written += data
                feed(data)

            self._stream.feed = record  # type: ignore[method-assign]
            super()._read()
            self._stream.feed = feed  # type: ignore[method-assign]

    argv = [sys.executable, "-m", "p2pchat_tui", "--no-embedded-relay", "--data-dir", tmp_path / "x"]
    async with Recorder(argv) as terminal:
        await terminal.until(lambda screen: "p2pchat" in screen.text and "Help" in screen.text, "the screen")
        terminal.type("/ip4/x")
        await terminal.until(lambda screen: "/ip4/x" in screen.text, "what was typed")
        terminal.type("\x11")
        await terminal.ended()
    assert (COLOR.search(written) is not None) == colored
    if not colored:
        assert REVERSE.search(written) is not None, "the cursor can still be seen"


async def test_nothing_moves_for_those_who_want_that() -> None:
    app = app_with(reduced_motion=True)
    async with app.run_test() as pilot:
        await pilot.pause()
        assert app.animation_level == "none"
        assert isinstance(app.focused, Input)
        assert not app.focused.cursor_blink
    app = app_with()
    async with app.run_test() as pilot:
        await pilot.pause()
        assert app.animation_level != "none"


@pytest.mark.parametrize(
    ("setting", "theme"),
    [("dark", "p2pchat-dark"), ("light", "p2pchat-light"), ("nord", "nord"), ("nowhere", "p2pchat-dark")],
)
async def test_the_theme_of_the_settings(setting: str, theme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLORFGBG", raising=False)
    app = app_with(theme=setting)
    async with app.run_test(notifications=True) as pilot:
        await pilot.pause()
        assert app.theme == theme
        assert any("nowhere" in n.message for n in app._notifications) == (setting == "nowhere")
        assert app_with(theme="high-contrast").current_theme.name == "p2pchat-contrast"

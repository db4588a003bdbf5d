"""Themes that people write themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from p2pchat_core.errors import ConfigError
from p2pchat_tui.app import P2PChatApp
from p2pchat_tui.preferences import Preferences
from p2pchat_tui.themes import LIGHT
from p2pchat_tui.user_themes import load_theme
from tests.tui.fake_service import FakeService, FixedClock

if TYPE_CHECKING:
    from pathlib import Path


def test_a_theme_takes_from_its_base_what_it_does_not_say(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'base = "light"\nprimary = "#123456"\n[variables]\nline = "red 50%"\n'
    )
    theme = load_theme(tmp_path, "mine")
    assert (theme.name, theme.primary, theme.dark) == ("mine", "#123456", False)
    assert theme.background == LIGHT.background
    assert theme.variables == LIGHT.variables | {"line": "red 50%"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "There is no theme mine"),
        ("primary = ", "not TOML"),
        ('primry = "red"', "primry"),
        ("primary = 3", "$.primary"),
        ('primary = "redd"', "primary: 'redd' is no color"),
        ('base = "blue"', "blue"),
        ('variables.lin = "red"', "variables.lin: there is no such variable"),
        ('variables.line = "red half"', "variables.line: after the color"),
        ('variables.line = "]"', "variables.line"),
    ],
)
async def test_a_mistake_names_the_file_and_the_key_and_the_screen_comes_all_the_same(
    text: str | None, words: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_theme(tmp_path, "mine")
    assert words in str(caught.value)
    assert "mine.toml" in str(caught.value)


async def test_the_settings_choose_it(tmp_path: Path) -> None:
    async def factory() -> FakeService:
        return FakeService()

    def app() -> P2PChatApp:
        return P2PChatApp(factory, clock=FixedClock(), preferences=Preferences(theme="mine", themes=tmp_path))

    async with app().run_test(notifications=True) as pilot:
        await pilot.pause()
        assert any("no theme mine" in n.message for n in pilot.app._notifications)
    (tmp_path / "mine.toml").write_text('background = "#102030"\n')
    async with app().run_test(notifications=True) as pilot:
        await pilot.pause()
        assert pilot.app.theme == "mine"
        assert pilot.app.main.styles.background.hex == "#102030"  # type: ignore[attr-defined]
        assert not pilot.app._notifications

"""The themes: enough contrast to read, and never colour alone."""

from __future__ import annotations

import pytest
from textual.color import Color
from textual.theme import Theme

from p2pchat_tui.themes import CONTRAST, DARK, LIGHT, THEMES, system_theme
from p2pchat_tui.widgets.conversations import path_sign
from p2pchat_tui.widgets.title_bar import RELAY_SIGNS
from tests.tui.fake_service import BOB, FakeService, said
from tests.tui.harness import dial, running, screen_text, settle

_WORDS = ("text-peer", "text-muted", "text-accent", "text-success", "text-warning", "text-error")


def _ratio(one: str, other: str) -> float:
    """The contrast of WCAG 2.1."""

    def luminance(color: Color) -> float:
        parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in color.normalized]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    bright, dark = sorted((luminance(Color.parse(one)), luminance(Color.parse(other))), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_every_word_can_be_read(theme: Theme) -> None:
    least = 7.0 if theme is CONTRAST else 4.5
    for ground in (theme.background, theme.surface, theme.panel):
        assert ground is not None
        for name in _WORDS:
            assert _ratio(theme.variables[name], ground) >= least, (name, ground)
        assert _ratio(theme.foreground or "", ground) >= 7.0


@pytest.mark.parametrize(
    ("value", "theme"),
    [("15;0", DARK), ("0;15", LIGHT), ("0;default;7", LIGHT), ("", DARK), ("nonsense", DARK), ("7;8", DARK)],
)
def test_the_terminal_s_background_decides(value: str, theme: Theme) -> None:
    assert system_theme({"COLORFGBG": value} if value else {}) is theme


def test_every_state_has_a_sign_of_its_own() -> None:
    from p2pchat_core.chat.events import PathKind

    signs = [path_sign(path)[0] for path in (PathKind.DIRECT, PathKind.RELAYED, None)]
    assert len(set(signs)) == 3
    assert all(sign for sign, _ in RELAY_SIGNS.values())


async def test_the_words_are_the_same_in_every_theme() -> None:
    service = FakeService()
    async with running(service) as (app, pilot):
        await dial(app, pilot)
        service.emit(said(BOB, "hello"))
        await settle(pilot)
        shown = set()
        for theme in THEMES:
            app.theme = theme.name
            await settle(pilot)
            shown.add(screen_text(app))
        assert len(shown) == 1


async def test_without_motion_nothing_counts_by_the_second() -> None:
    service = FakeService()
    async with running(service) as (app, pilot):
        app.animation_level = "none"
        app.main.query_one("ConnectionPane").show(app.main.model)  # type: ignore[attr-defined]
        await settle(pilot)
        assert "reserved, 59 min left" in screen_text(app)

"""Keys: the table, the settings' changes to it, and the places that show them."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from textual.keys import KEY_ALIASES
from textual.keys import Keys as TextualKeys

from p2pchat_core.errors import ConfigError
from p2pchat_tui.app import P2PChatApp
from p2pchat_tui.bindings import ACTIONS, PALETTE, bindings
from p2pchat_tui.keys import Keys, checked_key, key_label
from p2pchat_tui.preferences import Preferences
from p2pchat_tui.screens.help import HelpScreen
from tests.tui.fake_service import FakeService, FixedClock

if TYPE_CHECKING:
    from textual.pilot import Pilot

DOCS = Path(__file__).parents[2] / "docs"


def app_with(**keys: str) -> P2PChatApp:
    async def factory() -> FakeService:
        return FakeService()

    return P2PChatApp(factory, clock=FixedClock(), preferences=Preferences(keys=keys))


async def settle(pilot: Pilot[None]) -> None:
    for _ in range(3):
        await pilot.pause()


def screen_text(app: P2PChatApp) -> str:
    update = app.screen._compositor.render_full_update()
    rows = update.strips if hasattr(update, "strips") else []
    return "\n".join("".join(segment.text for segment in row) for row in rows)


def test_the_page_about_keys_is_up_to_date() -> None:
    page = runpy.run_path(str(DOCS / "make_keys.py"))["page"]
    assert (DOCS / "keys.md").read_text(encoding="utf-8") == page(), "run: python docs/make_keys.py"


def test_every_binding_has_the_name_of_its_action_as_id() -> None:
    assert [binding.id for binding in bindings()] == [action.name for action in ACTIONS]
    assert len({action.name for action in (*ACTIONS, PALETTE)}) == len(ACTIONS) + 1


def test_the_table_itself_would_be_accepted_as_settings() -> None:
    keys = {action.name: action.key for action in (*ACTIONS, PALETTE) if action.key}
    assert Keys(keys).keymap() == keys
    for action in (*ACTIONS, PALETTE):
        assert Keys().shown(action.name) == action.shown


@pytest.mark.parametrize(
    ("written", "key", "label"),
    [
        ("ctrl+g", "ctrl+g", "^G"),
        (" Ctrl + G ", "ctrl+g", "^G"),
        ("ctrl+alt+x", "alt+ctrl+x", "Alt+Ctrl+X"),
        ("F12", "f12", "F12"),
        ("shift+f5", "shift+f5", "Shift+F5"),
        ("alt+pagedown", "alt+pagedown", "Alt+PgDn"),
        ("alt+3", "alt+3", "Alt+3"),
    ],
)
def test_keys_as_people_write_and_read_them(written: str, key: str, label: str) -> None:
    assert checked_key("connect", written) == key
    assert key_label(key) == label
    keys = Keys({"connect": written})
    assert (keys.key("connect"), keys.shown("connect")) == (key, label)
    last = key.rsplit("+", 1)[-1]
    assert len(last) == 1 or last in {str(one.value) for one in TextualKeys} | set(KEY_ALIASES)


@pytest.mark.parametrize(
    "key",
    ["", "+", "x", "shift+x", "enter", "ctrl+enter", "ctrl+c", "ctrl+i", "up", "f0", "é", "ctrl+ö", "ctrl++"],
)
def test_keys_that_cannot_be_used(key: str) -> None:
    with pytest.raises(ConfigError, match=r"keys\.connect: "):
        Keys({"connect": key})


def test_two_actions_may_swap_their_keys_but_not_share_one() -> None:
    swapped = Keys({"connect": "f1", "help": "ctrl+o"})
    assert (swapped.key("connect"), swapped.key("help")) == ("f1", "ctrl+o")
    with pytest.raises(ConfigError, match="already the key of connect"):
        Keys({"connect": "f1"})


async def test_changed_keys_work_and_the_old_ones_do_not() -> None:
    app = app_with(help="alt+h", command_palette="f12", quit="alt+q", connect="f1")
    async with app.run_test(size=(120, 50)) as pilot:
        await settle(pilot)
        await pilot.press("f1")
        await settle(pilot)
        assert not isinstance(app.screen, HelpScreen)
        await pilot.press("alt+h")
        await settle(pilot)
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("escape", "ctrl+p")
        await settle(pilot)
        assert app.screen is app.main
        await pilot.press("f12")
        await settle(pilot)
        assert app.screen is not app.main
        await pilot.press("escape", "ctrl+q")
        await settle(pilot)
        assert not app._exit
        await pilot.press("alt+q")
        await settle(pilot)
        assert app._exit


async def test_footer_help_and_palette_show_the_real_keys() -> None:
    app = app_with(help="f11", command_palette="f12", connect="alt+g", accept="f10")
    async with app.run_test(size=(120, 60)) as pilot:
        await settle(pilot)
        footer = screen_text(app).splitlines()[-1]
        assert "Alt+G Connect" in footer
        assert "F11 Help" in footer
        assert "F12" in footer
        assert "^O" not in footer
        await pilot.press("f11")
        await settle(pilot)
        text = screen_text(app)
        for words in ("Alt+G", "F11", "F12", "F10"):
            assert words in text
        assert "^O" not in text
        assert "^P" not in text
        await pilot.press("escape", "f12")
        await settle(pilot)
        await pilot.press(*"connect")
        await pilot.pause(0.3)
        assert "(Alt+G)" in screen_text(app)


async def test_swapped_keys_reach_the_other_action() -> None:
    app = app_with(help="ctrl+o", connect="f1")
    async with app.run_test(size=(120, 50)) as pilot:
        await settle(pilot)
        await pilot.press("ctrl+o")
        await settle(pilot)
        assert isinstance(app.screen, HelpScreen)

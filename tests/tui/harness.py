"""The program with a fake service, driven by keys and read off its screen."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from textual.pilot import Pilot
from textual.widgets import Input

from p2pchat_tui.app import P2PChatApp
from p2pchat_tui.widgets.log_view import LogView
from p2pchat_tui.widgets.message_input import MessageInput
from p2pchat_tui.widgets.message_view import MessageView
from tests.tui.fake_service import BOB, FakeService, FixedClock, address_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SIZES = ((80, 24), (120, 40), (200, 60))

HOSTILE = (
    "hi [/b] there",
    "[@click=app.quit]click me[/]",
    "\x1b[31mred\x1b]52;c;aGk=\x07\x1b]0;title\x07",
    "\x9b2Jc1\x90dcs",
    "abc\u202egpj.exe\u2066",
    "zero\u200b\u200b\ufeffwidth",
    "\ud800\udfff lone",
    "[TODO] $text {x} %s \\[",
    "e" + "\u0301" * 500,
    "a\nb\rc\td\x0b\x0c\x85\u2028e",
    "日本語 \U0001f468\u200d\U0001f469\u200d\U0001f467 🏴",
    "]" * 50 + "[" * 50,
)
FORBIDDEN = "\x1b\x07\x9b\x90\x85\u202e\u2066\u200b\ufeff\ud800"


@asynccontextmanager
async def running(
    service: FakeService, size: tuple[int, int] = (80, 24), connect: str = ""
) -> AsyncIterator[tuple[P2PChatApp, Pilot[None]]]:
    async def factory() -> FakeService:
        return service

    app = P2PChatApp(factory, name="alice", connect=connect, clock=FixedClock())
    async with app.run_test(size=size, notifications=True) as pilot:
        await settle(pilot)
        yield app, pilot


async def settle(pilot: Pilot[None]) -> None:
    """Let the events of the service, the messages they become and the frame they end in pass."""
    for _ in range(3):
        await pilot.pause()


def screen_text(app: P2PChatApp) -> str:
    """What stands on the screen, line by line."""
    width, height = app.size
    update = app.screen._compositor.render_full_update()
    rows = update.strips if hasattr(update, "strips") else []
    assert width and height
    return "\n".join("".join(segment.text for segment in row) for row in rows)


def log_text(app: P2PChatApp) -> str:
    return app.main.query_one(LogView).text


async def dial(app: P2PChatApp, pilot: Pilot[None], address: str = address_of(BOB)) -> None:
    app.main.query_one("#address-input", Input).value = address
    app.main.query_one("#address-input").focus()
    await pilot.press("enter")
    await settle(pilot)


async def say(app: P2PChatApp, pilot: Pilot[None], text: str) -> None:
    field = app.main.query_one(MessageInput)
    field.focus()
    field.insert(text)
    await pilot.press("enter")
    await settle(pilot)


def messages_text(app: P2PChatApp) -> str:
    """What is in view of the open conversation."""
    return app.main.query_one(MessageView).text

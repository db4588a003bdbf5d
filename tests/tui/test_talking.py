"""Conversations by key, mouse and finder; writing with history and emoji."""

from __future__ import annotations

import pytest

from p2pchat_core import limits
from p2pchat_core.chat.events import PathKind, SentEvent
from p2pchat_tui.screens.finder import FinderScreen
from p2pchat_tui.widgets.conversations import ConversationItem
from p2pchat_tui.widgets.log_view import LogView
from p2pchat_tui.widgets.message_input import MessageInput
from p2pchat_tui.widgets.message_view import MessageView
from tests.tui.fake_service import (
    BOB,
    CAROL,
    NOW,
    RELAY_ADDRESS,
    FakeService,
    Stored,
    address_of,
    contact,
    opened,
    said,
)
from tests.tui.harness import SIZES, dial, log_text, messages_text, running, say, screen_text, settle


def past(*texts: str) -> list[Stored]:
    return [
        Stored(f"{text}", text, number % 2 == 1, NOW - 9000 + number) for number, text in enumerate(texts)
    ]


@pytest.mark.parametrize("size", SIZES)
async def test_a_conversation_at_every_size(size: tuple[int, int]) -> None:
    service = FakeService(past={CAROL: past("are you there?", "always")})
    async with running(service, size) as (app, pilot):
        await dial(app, pilot)
        service.emit(
            said(BOB, "hello alice"), opened(CAROL, PathKind.RELAYED, RELAY_ADDRESS), said(CAROL, "psst")
        )
        await say(app, pilot, "hello bob")
        service.emit(SentEvent(BOB, f"{len(service.asked):032x}", True))
        await settle(pilot)
        text = screen_text(app)
        for words in (
            "…Nm7TVQV9",
            "…qzdYaaSZ",
            "1 new",
            "▎ hello alice",
            "▎ hello bob",
            "✓✓",
            "direct, without relay",
        ):
            assert words in text
        assert "Received message 'hello alice'" in text  # the log, below
        assert "Sending message 'hello bob'" in text
        assert "psst" not in messages_text(app)
        assert all(len(row) for row in text.splitlines())
        if size[0] >= 120:
            assert "relayed · psst" in text
            assert "direct · you: hello" in text


async def test_an_opened_conversation_has_its_history() -> None:
    service = FakeService(past={BOB: past(*(f"m{number}" for number in range(300)))})
    async with running(service) as (app, pilot):
        conversation = app.main.model.conversations[BOB]
        assert len(conversation.messages) == 50  # enough for the list
        await dial(app, pilot)
        assert len(conversation.messages) == 300
        assert "▎ m299" in messages_text(app)
        assert [asked for asked in service.asked if asked[0] == "history"] == [("history", BOB)] * 2


async def test_the_view_says_how_many_came_while_reading_back() -> None:
    service = FakeService(past={BOB: past(*(f"m{number}" for number in range(100)))})
    async with running(service) as (app, pilot):
        await dial(app, pilot)
        await pilot.press("pageup", "pageup")
        await settle(pilot)
        before = messages_text(app)
        service.emit(said(BOB, "news"), said(BOB, "more news"))
        await settle(pilot)
        assert messages_text(app) == before
        assert "↓ 2 new below" in screen_text(app)
        view = app.main.query_one(MessageView)
        await pilot.click(view, offset=(20, view.region.height - 1))
        await settle(pilot)
        assert "▎ more news" in messages_text(app)
        assert "new below" not in screen_text(app)
        await pilot.press("pageup", "ctrl+end")
        await settle(pilot)
        assert "▎ more news" in messages_text(app)


async def test_the_finder_finds_by_letters() -> None:
    service = FakeService(past={CAROL: past("a", "b")})
    async with running(service) as (app, pilot):
        await dial(app, pilot)
        await pilot.press("ctrl+k", *"qzd")
        await settle(pilot)
        assert isinstance(app.screen, FinderScreen)
        assert "…qzdYaaSZ" in screen_text(app)
        await pilot.press("enter")
        await settle(pilot)
        assert app.main.model.selected == CAROL
        assert app.focused == app.main.query_one(MessageInput)
        await pilot.press("ctrl+k", "down", "enter")
        await settle(pilot)
        assert app.main.model.selected in (BOB, CAROL)
        await pilot.press("ctrl+k", *"nobody at all")
        await settle(pilot)
        assert "Nobody of that name" in screen_text(app)
        await pilot.press("enter", "escape")
        await settle(pilot)
        assert not isinstance(app.screen, FinderScreen)


async def test_the_finder_by_mouse_and_from_the_palette() -> None:
    service = FakeService(past={CAROL: past("a", "b")})
    async with running(service) as (app, pilot):
        await dial(app, pilot)
        await pilot.press("ctrl+p", *"find", "enter")
        await settle(pilot)
        await pilot.pause(0.2)
        assert isinstance(app.screen, FinderScreen)
        options = app.screen.query_one("#chooser-list")
        await pilot.click(options, offset=(4, 1))
        await settle(pilot)
        assert app.main.model.selected == CAROL


async def test_names_are_used_wherever_the_peer_is_meant() -> None:
    service = FakeService()
    async with running(service, (120, 40)) as (app, pilot):
        service.people[BOB] = contact(BOB, name="Bob [b]\x1b")
        await dial(app, pilot)
        service.emit(said(BOB, "hi"))
        await settle(pilot)
        text = screen_text(app)
        assert text.count("Bob [b]␛") >= 5  # list, title, group, input, connection
        await pilot.press("ctrl+k", *"bob")
        await settle(pilot)
        assert "Bob [b]␛" in screen_text(app)


async def test_what_was_sent_comes_back_at_the_edges() -> None:
    service = FakeService()
    async with running(service) as (app, pilot):
        await dial(app, pilot)
        for text in ("first", "second\nwith two lines"):
            await say(app, pilot, text)
        field = app.main.query_one(MessageInput)
        await pilot.press(*"new", "up")
        assert field.text == "second\nwith two lines"
        await pilot.press("up")
        assert field.text == "second\nwith two lines"  # the cursor went up a line first
        await pilot.press("up")
        assert field.text == "first"
        await pilot.press("up")
        assert field.text == "first"
        await pilot.press("down", "down")
        assert field.text == "new"
        assert not [asked for asked in service.asked if asked == ("send", BOB, "new")]


async def test_short_names_become_emoji_and_wide_characters_keep_their_width() -> None:
    service = FakeService()
    async with running(service) as (app, pilot):
        await dial(app, pilot)
        field = app.main.query_one(MessageInput)
        await pilot.press(*"a ", *":tada:", *" :nonsense_name: 12:30:")
        assert field.text == "a 🎉 :nonsense_name: 12:30:"
        field.clear()
        field.insert("日本語")
        await pilot.pause()
        assert field.cursor_screen_offset.x - field.region.x - field.gutter.left == 6
        await pilot.press("backspace", "enter")
        await settle(pilot)
        assert ("send", BOB, "日本") in service.asked
        assert "▎ 日本 " in messages_text(app)


async def test_the_list_by_mouse_at_both_shapes() -> None:
    service = FakeService(past={CAROL: past("a", "b")})
    for size in ((80, 24), (120, 40)):
        async with running(service, size) as (app, pilot):
            await dial(app, pilot, address_of(BOB))
            await pilot.click(app.main.query(ConversationItem).first())
            await settle(pilot)
            assert app.main.model.selected == CAROL
            assert "▎ b " in messages_text(app)


async def test_the_log_grows_and_shrinks_by_its_key() -> None:
    service = FakeService()
    async with running(service) as (app, pilot):
        await dial(app, pilot)
        for number in range(limits.SCREEN_LOG_SHORT + 50):
            service.emit(said(BOB, f"n{number}", f"{number}"))
        await settle(pilot)
        log = app.main.query_one(LogView)
        small = log.size.height
        assert "Received message 'n3'" not in log_text(app)  # the last ones are enough here
        await pilot.press("f7")
        await settle(pilot)
        assert log.size.height > small
        assert "Received message 'n3'" in log_text(app)
        await pilot.press("f7")
        await settle(pilot)
        assert log.size.height == small

"""The open conversation: what is drawn, where the view stays, how it does with a hundred thousand messages."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len
from textual.app import App

from p2pchat_tui.conversation import Conversation, Delivery, Message
from p2pchat_tui.themes import DARK
from p2pchat_tui.widgets import message_rows
from p2pchat_tui.widgets.message_view import MessageView
from tests.tui.fake_service import BOB, NOW, Stored, contact
from tests.tui.harness import HOSTILE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from textual.pilot import Pilot

TEXTS = ("short", "a longer one " * 12, "two\nlines", "日本語のとても長い文章です。" * 6, "")


class Alone(App[None]):
    """Nothing but the view."""

    CSS = "MessageView { height: 1fr; scrollbar-gutter: stable; scrollbar-size-vertical: 1; }"

    def __init__(self) -> None:
        super().__init__()
        self.register_theme(DARK)
        self.theme = DARK.name
        self.view = MessageView()

    def compose(self):  # type: ignore[no-untyped-def]
        yield self.view


@asynccontextmanager
async def viewing(
    talk: Conversation, size: tuple[int, int] = (60, 20)
) -> AsyncIterator[tuple[MessageView, Pilot[None]]]:
    app = Alone()
    async with app.run_test(size=size) as pilot:
        app.view.show(talk, "alice", NOW)
        await pilot.pause()
        yield app.view, pilot


def conversation(count: int) -> Conversation:
    talk = Conversation(BOB, "bob", contact(BOB))
    for number in range(count):
        state = Delivery.DELIVERED if number % 3 == 0 else None
        talk.append(Message(f"{number}", f"#{number} {TEXTS[number % 5]}", NOW - count + number, state))
    return talk


def show(view: MessageView, talk: Conversation, **options: bool) -> None:
    view.show(talk, "alice", NOW, **options)


async def test_messages_are_grouped_by_day_and_sender() -> None:
    talk = Conversation(BOB, "bob", contact(BOB))
    for number, (text, at, state) in enumerate(
        (
            ("long ago", NOW - 400 * 86400, None),
            ("yesterday", NOW - 86400, None),
            ("one", NOW - 60, None),
            ("two", NOW - 30, None),
            ("mine", NOW - 20, Delivery.QUEUED),
            ("mine too", NOW - 10, Delivery.SENT),
            ("and this", NOW, Delivery.DELIVERED),
        )
    ):
        talk.append(Message(str(number), text, at, state))
    async with viewing(talk, (60, 40)) as (view, _pilot):
        text = view.text
        assert "2025 ─" in text
        assert " Yesterday, " in text
        assert " Today, " in text
        rows = [row.strip() for row in text.splitlines()]
        assert rows.count("bob") == 3  # once a day
        assert rows.count("alice") == 1
        for sign, words in (("◌", "mine"), ("✓", "mine too"), ("✓✓", "and this")):
            assert any(row.startswith(f"▎ {words} ") and row.endswith(f" {sign}") for row in rows)
        assert all(row.count(":") == 1 for row in rows if row.startswith("▎"))  # each with its time


async def test_a_pause_begins_a_group() -> None:
    talk = Conversation(BOB, "bob", contact(BOB))
    noon = NOW - NOW % 86400 + 43200
    talk.append(Message("1", "one", noon))
    talk.append(Message("2", "two", noon + message_rows.GROUP_SECONDS + 1))
    async with viewing(talk) as (view, _pilot):
        assert [row.strip() for row in view.text.splitlines()].count("bob") == 2


@pytest.mark.parametrize("width", [20, 39, 40, 60, 171])
async def test_every_row_fills_the_width_and_no_word_is_lost(width: int) -> None:
    talk = conversation(5)
    for number, hostile in enumerate(HOSTILE):
        talk.append(Message(f"h{number}", hostile, NOW))
    async with viewing(talk, (width, 200)) as (view, _pilot):
        rows = [view.render_line(y).text for y in range(view.size.height)]
        inner = view.scrollable_content_region.width
        assert all(cell_len(row) == inner for row in rows)
        drawn = "".join("".join(rows).split())
        assert "日本語の" in drawn
        assert not [char for char in "\x1b\x07\x9b\u202e\u200b" if char in drawn]
        assert drawn.count("long" if width > 30 else "one") >= 12


async def test_a_state_is_drawn_when_it_changes() -> None:
    talk = conversation(1)
    talk.append(Message("mine", "mine", NOW, Delivery.QUEUED))
    async with viewing(talk) as (view, _pilot):
        assert "◌" in view.text
        talk.confirm("mine", Delivery.DELIVERED)
        show(view, talk)
        assert "◌" not in view.text


async def test_the_end_is_followed_and_a_reader_further_up_is_left_alone() -> None:
    talk = conversation(200)
    async with viewing(talk) as (view, pilot):
        assert "#199" in view.text
        talk.append(Message("n1", "news one", NOW))
        show(view, talk)
        assert "news one" in view.text
        view.scroll_page_up()
        view.scroll_page_up()
        await pilot.pause()
        before = view.text
        for number in range(3):
            talk.append(Message(f"x{number}", "unseen", NOW))
        talk.append(Message("own", "by us", NOW, Delivery.SENT))
        show(view, talk)
        await pilot.pause()
        assert view.text == before
        assert view.missed == 3
        assert "3 new below · ^End" in str(view.border_subtitle)
        view.to_end()
        assert "by us" in view.text
        assert view.missed == 0
        assert str(view.border_subtitle) == ""


async def test_sending_goes_to_the_end() -> None:
    talk = conversation(200)
    async with viewing(talk) as (view, pilot):
        view.scroll_home()
        await pilot.pause()
        assert "#0 " in view.text
        talk.append(Message("mine", "mine", NOW, Delivery.QUEUED))
        show(view, talk, to_end=True)
        assert "▎ mine" in view.text


async def test_older_messages_come_above_without_a_jump() -> None:
    talk = conversation(30)
    async with viewing(talk) as (view, pilot):
        view.scroll_up(animate=False)
        view.scroll_up(animate=False)
        await pilot.pause()
        before = view.text
        talk.remember(
            [*(Stored(f"old{n}", f"old {n}", False, NOW - 5000) for n in range(500)), Stored("0", "", True)]
        )
        show(view, talk)
        await pilot.pause()
        assert view.text == before
        view.scroll_home()
        await pilot.pause()
        assert "old 0" in view.text


async def test_a_hundred_thousand_messages_are_mostly_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = 0
    draw = message_rows.Painter.draw

    def count(self, *args, **options):  # type: ignore[no-untyped-def]
        nonlocal drawn
        drawn += 1
        return draw(self, *args, **options)

    monkeypatch.setattr(message_rows.Painter, "draw", count)
    talk = conversation(100_000)
    async with viewing(talk) as (view, pilot):
        assert "#99999" in view.text
        assert drawn <= 256
        talk.append(Message("one more", "one more", NOW))
        drawn = 0
        show(view, talk)
        assert drawn <= 1
        for row in (0, 100_000, 31_234, view.max_scroll_y // 2):
            drawn = 0
            view.scroll_to(y=row)
            await pilot.pause()
            numbers = [int(word[1:]) for word in view.text.split() if word.startswith("#")]
            assert numbers == sorted(numbers)
            assert len(numbers) > 2
            assert drawn <= 256
        for step in range(60):
            view.scroll_to(y=step * 3000)
        # Blocks far from the view keep their height only.
        assert view._blocks is not None
        assert view._blocks.drawn <= 64 * 30


async def test_what_was_the_first_message_is_drawn_anew_below_older_ones() -> None:
    talk = conversation(3)
    async with viewing(talk, (60, 60)) as (view, _pilot):
        for batch in (2, 1):  # the second one inside a block
            talk.remember(
                [
                    *(Stored(f"{batch}.{n}", f"old {batch}.{n}", False, NOW - 5000) for n in range(10)),
                    Stored(talk.messages[0].message_id, "", False),
                ]
            )
            show(view, talk)
        assert view.text.count("Today") == 1
        assert [row.strip() for row in view.text.splitlines()].count("bob") == 2


async def test_scrolling_through_everything_shows_each_message_once() -> None:
    talk = conversation(400)
    async with viewing(talk) as (view, pilot):
        seen: set[int] = set()
        for _ in range(400):
            seen |= {int(word[1:]) for word in view.text.split() if word.startswith("#")}
            if view.scroll_offset.y == 0:
                break
            view.scroll_to(y=view.scroll_offset.y - 10)
        await pilot.pause()
        assert seen == set(range(400))


async def test_a_resize_keeps_the_message_that_was_on_top() -> None:
    talk = conversation(2000)
    async with viewing(talk) as (view, pilot):
        view.scroll_to(y=1500)
        await pilot.pause()
        top = next(word for word in view.text.split() if word.startswith("#"))
        for width in (100, 30, 60):
            await pilot.resize_terminal(width, 20)
            await pilot.pause()
            assert top in view.text


async def test_selected_words_come_without_times_and_names() -> None:
    talk = Conversation(BOB, "bob", contact(BOB))
    talk.append(Message("1", "first message\nwith two lines", NOW))
    talk.append(Message("2", "second", NOW, Delivery.SENT))
    async with viewing(talk) as (view, pilot):
        rows = view.text.splitlines()
        start = next(y for y, row in enumerate(rows) if "first message" in row)
        end = next(y for y, row in enumerate(rows) if "second" in row)
        await pilot.mouse_down(
            view, offset=(rows[start].index("message") + view.gutter.left, start + view.gutter.top)
        )
        await pilot.hover(view, offset=(rows[end].index("cond") + view.gutter.left, end + view.gutter.top))
        await pilot.mouse_up(view, offset=(rows[end].index("cond") + view.gutter.left, end + view.gutter.top))
        selected = view.screen.get_selected_text()
        assert selected is not None
        assert selected.startswith("message\nwith two lines\nse")
        assert ":" not in selected

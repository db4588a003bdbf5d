"""The program as its user meets it: keys in, a screen out."""

from __future__ import annotations

import asyncio

import pytest
from rich.cells import cell_len
from textual.events import Paste
from textual.widgets import Input

from p2pchat_core import limits
from p2pchat_core.chat.events import ErrorEvent, ListeningEvent, RelayEvent, RelayState, SentEvent
from p2pchat_core.errors import ConfigError, DialError, IdentityError
from p2pchat_tui.app import P2PChatApp
from p2pchat_tui.bindings import ACTIONS
from p2pchat_tui.screens.help import HelpScreen
from p2pchat_tui.widgets.connection_pane import ConnectionPane
from p2pchat_tui.widgets.conversations import ConversationItem
from p2pchat_tui.widgets.invite import AddressLine, ConnectField, Invite
from p2pchat_tui.widgets.log_view import LogView
from p2pchat_tui.widgets.message_input import MessageInput
from p2pchat_tui.widgets.message_view import MessageView
from p2pchat_tui.widgets.stranger_bar import StrangerBar
from tests.tui.fake_service import (
    BOB,
    CAROL,
    ME,
    RELAY,
    RELAY_ADDRESS,
    FakeService,
    FixedClock,
    Stored,
    address_of,
    closed,
    opened,
    said,
    steps,
)
from tests.tui.harness import (
    FORBIDDEN,
    HOSTILE,
    dial,
    log_text,
    messages_text,
    running,
    say,
    screen_text,
    settle,
)


async def test_the_first_screen_says_what_to_do() -> None:
    async with running(FakeService()) as (app, _pilot):
        text = screen_text(app)
        for words in ("send it to a friend", "Paste a friend's address here", "alice", "reachable through"):
            assert words in text
        assert app.focused is app.main.query_one("#address-input")
        assert f"Listening on {address_of(ME)}" in log_text(app)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60), (60, 20)])
async def test_the_address_is_shown_whole_without_blanks(size: tuple[int, int]) -> None:
    async with running(FakeService(), size) as (app, _pilot):
        (line,) = app.main.query(AddressLine)
        drawn = "".join(
            "".join(s.text for s in line.render_line(y)).rstrip() for y in range(line.size.height)
        )
        assert drawn == address_of(ME)
        assert line.region.height == line.size.height
        region = app.main.query_one("#address-card").region
        assert region.contains_region(line.region)


async def test_the_page_s_conversation() -> None:
    service = FakeService()
    async with running(service) as (app, pilot):
        await dial(app, pilot, RELAY_ADDRESS)
        await dial(app, pilot)
        await say(app, pilot, "helloa")
        service.emit(said(BOB, "hellob"), SentEvent(BOB, f"{len(service.asked):032x}", True))
        await settle(pilot)
        lines = log_text(app).splitlines()
        for line in (
            f"Dialing '{RELAY_ADDRESS}'",
            f"Connected to '{RELAY_ADDRESS}'",
            f"Dialing '{address_of(BOB)}'",
            f"Connected to '{address_of(BOB)}'",
            f"RTT to {BOB} was 0.3ms",
            "Received message 'hellob'",
        ):
            assert line in lines
        assert any(line.startswith("Sending message 'helloa'") for line in lines)
        assert ("send", BOB, "helloa") in service.asked
        assert app.main.query_one(MessageInput).text == ""
        assert not app.main.query_one(Invite).display  # 24 rows are needed for the conversation now


async def test_hostile_text_in_every_place() -> None:
    service = FakeService()
    async with running(service, (120, 40)) as (app, pilot):
        await dial(app, pilot)
        for start in range(0, len(HOSTILE), 4):  # several at once: each round takes its time
            some = HOSTILE[start : start + 4]
            service.failure = None
            for hostile in some:
                peer = f"12D3{hostile}"
                service.emit(
                    said(BOB, hostile),
                    ErrorEvent("x", f"It said: {hostile}"),
                    ErrorEvent("x", hostile, BOB),
                    ListeningEvent((f"/ip4/{hostile}", address_of(ME))),
                    RelayEvent(
                        f"/dns4/{hostile}/tcp/{hostile}/ws/p2p/{hostile}", RelayState.REFUSED, reason=hostile
                    ),
                    *steps(BOB, 7, hostile),
                    opened(peer, remote=hostile),
                    said(peer, hostile),
                    closed(BOB, reason=hostile),
                    opened(BOB, remote=f"/ip4/{hostile}/udp/{hostile}"),
                )
            await settle(pilot)
            for _ in some:  # accepts the strangers with the strange names
                await pilot.press("f3")
                await settle(pilot)
            for hostile in some:
                app.main.show_peer(f"12D3{hostile}")
                await pilot.pause()
                assert not [char for char in FORBIDDEN if char in screen_text(app)]
            service.failure = DialError(f"No: {some[0]}")
            await dial(app, pilot, f"/ip4/{some[0]}")
            app.main.query_one(MessageInput).focus()
            app.post_message(Paste(some[0]))
            await pilot.press("enter")
            await settle(pilot)
            text = screen_text(app)
            assert "Log" in text
            assert not [char for char in FORBIDDEN if char in text]
        assert len(app.main.model.accepted) == len(HOSTILE) + 1
        await pilot.press("ctrl+p")  # the palette lists every one of those peers
        app.screen.query_one(Input).value = "talk to"
        await settle(pilot)
        await pilot.pause(0.3)
        assert "Talk to" in screen_text(app)
        assert not [char for char in FORBIDDEN if char in screen_text(app)]
        await pilot.press("escape", "ctrl+y")
        await settle(pilot)
        assert app.is_running


async def test_clicking_on_markup_does_nothing() -> None:
    service = FakeService()
    async with running(service, (120, 40)) as (app, pilot):
        await dial(app, pilot)
        service.emit(said(BOB, "[@click=app.quit]" * 4))
        await settle(pilot)
        log = app.main.query_one(LogView)
        messages = app.main.query_one(MessageView)
        for widget in (log, messages):
            for y in range(widget.size.height - 4, widget.size.height):
                await pilot.click(widget, offset=(30, y))
        assert app.is_running
        assert "[@click=app.quit][@click" in log_text(app)
        assert "[@click=app.quit][@click" in messages_text(app)


async def test_one_key_copies_the_address_and_says_how() -> None:
    async with running(FakeService()) as (app, pilot):
        await pilot.press("ctrl+y")
        await settle(pilot)
        assert app.clipboard == address_of(ME)
        text = screen_text(app)
        assert "copied" in text
        assert "OSC 52" in text


async def test_copying_works_while_writing_and_before_there_is_an_address() -> None:
    service = FakeService()
    async with running(service) as (app, pilot):
        await dial(app, pilot)
        await pilot.press("h", "i", "ctrl+y")
        assert app.clipboard == address_of(ME)
        assert app.main.query_one(MessageInput).text == "hi"
        service.emit(ListeningEvent(()))
        await settle(pilot)
        await pilot.press("ctrl+y")
        await settle(pilot)
        assert "There is no address to copy yet" in log_text(app)


async def test_selecting_an_address_and_a_log_line_gives_them_whole() -> None:
    async with running(FakeService()) as (app, pilot):
        log = app.main.query_one(LogView)
        await pilot.mouse_down(log, offset=(10, 1))
        await pilot.hover(log, offset=(40, 3))
        await pilot.mouse_up(log, offset=(40, 3))
        selected = app.screen.get_selected_text()
        assert selected is not None
        assert "\n" not in selected
        assert selected in f"Listening on {address_of(ME)}"
        assert len(selected) > 60


async def test_a_stranger_is_held_and_accepted_by_key() -> None:
    service = FakeService()
    async with running(service) as (app, pilot):
        service.emit(opened(CAROL), said(CAROL, "psst"))
        await settle(pilot)
        assert app.main.query_one(StrangerBar).display
        assert "1 message held" in screen_text(app)
        assert "psst" not in screen_text(app)
        await pilot.press("f3")
        await settle(pilot)
        assert not app.main.query_one(StrangerBar).display
        assert "Received message 'psst'" in screen_text(app)
        assert app.focused == app.main.query_one(MessageInput)
        await say(app, pilot, "yes?")
        assert ("send", CAROL, "yes?") in service.asked


async def test_a_stranger_is_declined_by_mouse() -> None:
    service = FakeService()
    async with running(service) as (app, pilot):
        service._put(CAROL)
        service.emit(opened(CAROL), said(CAROL, "psst"))
        await settle(pilot)
        await pilot.click("#decline")
        await settle(pilot)
        assert ("decline", CAROL) in service.asked
        assert not app.main.query_one(StrangerBar).display
        assert "psst" not in log_text(app)


async def test_somebody_answered_before_is_no_stranger() -> None:
    service = FakeService(past={CAROL: [Stored("1", "old question", False), Stored("2", "old answer", True)]})
    async with running(service) as (app, pilot):
        assert [item.peer for item in app.main.query(ConversationItem)] == [CAROL]
        service.emit(opened(CAROL))
        await settle(pilot)
        assert not app.main.query_one(StrangerBar).display
        assert "old answer" in messages_text(app)


async def test_conversations_keep_their_drafts_and_count_what_is_unread() -> None:
    service = FakeService()
    async with running(service) as (app, pilot):
        await dial(app, pilot)
        await dial(app, pilot, address_of(CAROL))
        await pilot.press(*"for carol")
        service.emit(said(BOB, "one"), said(BOB, "two"))
        await settle(pilot)
        assert "2 new" in screen_text(app)
        await pilot.press("ctrl+n")
        await settle(pilot)
        field = app.main.query_one(MessageInput)
        assert app.main.model.selected == BOB
        assert field.text == ""
        assert "2 new" not in screen_text(app)
        await pilot.press("ctrl+b")
        await settle(pilot)
        assert field.text == "for carol"
        first = app.main.query(ConversationItem).first()
        await pilot.click(first)
        await settle(pilot)
        assert app.main.model.selected == BOB


async def test_text_that_could_not_be_sent_stays() -> None:
    service = FakeService()
    async with running(service) as (app, pilot):
        await dial(app, pilot)
        service.failure = DialError("There is no connection to the peer now.")
        await say(app, pilot, "important")
        assert app.main.query_one(MessageInput).text == "important"
        assert "There is no connection to the peer now." in log_text(app)
        service.failure = None
        await pilot.press("enter")
        await settle(pilot)
        assert app.main.query_one(MessageInput).text == ""


async def test_a_message_under_way_is_not_sent_twice() -> None:
    service = FakeService()
    async with running(service) as (app, pilot):
        await dial(app, pilot)
        service.gate = asyncio.Event()
        await say(app, pilot, "once")
        await pilot.press("enter", "enter")
        service.gate.set()
        await settle(pilot)
        assert [asked for asked in service.asked if asked[0] == "send"] == [("send", BOB, "once")]


async def test_a_message_that_is_too_long_stays_and_is_not_sent() -> None:
    service = FakeService()
    async with running(service) as (app, pilot):
        await dial(app, pilot)
        await say(app, pilot, "é" * limits.CHAT_MAX_TEXT)
        assert not any(asked[0] == "send" for asked in service.asked)
        assert "is the limit" in log_text(app)
        assert len(app.main.query_one(MessageInput).text) == limits.CHAT_MAX_TEXT


async def test_keys_typed_quickly_are_all_in_the_message() -> None:
    service = FakeService()
    async with running(service) as (app, pilot):
        await dial(app, pilot)
        await pilot.press(*"quick", "enter")
        await settle(pilot)
        assert ("send", BOB, "quick") in service.asked


async def test_pasting_never_sends() -> None:
    service = FakeService()
    async with running(service) as (app, pilot):
        await dial(app, pilot)
        field = app.main.query_one(MessageInput)
        field.focus()
        app.post_message(Paste("line 1\r\nline 2\n\x1b[31m\x00\u202ered\n"))
        await settle(pilot)
        assert field.text == "line 1\nline 2\n[31mred\n"
        assert not any(asked[0] == "send" for asked in service.asked)


async def test_an_address_pasted_in_pieces_is_mended_and_not_dialled() -> None:
    service = FakeService()
    async with running(service) as (app, pilot):
        whole = address_of(BOB)
        app.post_message(Paste(f"│ {whole[:70]} │\r\n│ {whole[70:]}   │\n"))
        await settle(pilot)
        assert app.main.query_one("#address-input", Input).value == whole
        assert service.asked == []
        assert "through the relay 127.0.0.1:57708" in screen_text(app)
        await pilot.press("enter")
        await settle(pilot)
        assert ("connect", whole) in service.asked


@pytest.mark.parametrize(
    "rubbish", ["hello", "/ip4/", "[/b]", "\x1b]0;x\x07", "/p2p-circuit" * 300, "🤷" * 2000]
)
async def test_rubbish_in_the_address_field(rubbish: str) -> None:
    async with running(FakeService()) as (app, pilot):
        await dial(app, pilot, rubbish)
        assert app.is_running
        assert "✗" in screen_text(app) or "◌" in screen_text(app)


async def test_a_failed_dial_keeps_the_address() -> None:
    service = FakeService(failure=DialError("Nobody answers there."))
    async with running(service) as (app, pilot):
        await dial(app, pilot)
        assert app.main.query_one("#address-input", Input).value == address_of(BOB)
        assert log_text(app).splitlines()[-1] == "Nobody answers there."


async def test_escape_gives_a_dial_up() -> None:
    service = FakeService(gate=asyncio.Event())
    async with running(service) as (app, pilot):
        await dial(app, pilot)
        assert app.main.model.dialing == BOB
        assert "connecting" in screen_text(app)
        await pilot.press("escape")
        await settle(pilot)
        assert app.main.model.dialing is None
        service.gate = None
        await pilot.press("enter")
        await settle(pilot)
        assert app.main.model.selected == BOB


async def test_the_steps_are_drawn_as_they_happen() -> None:
    service = FakeService(gate=asyncio.Event())
    async with running(service, (120, 40)) as (app, pilot):
        await dial(app, pilot)
        service.emit(*steps(BOB, 4))
        await settle(pilot)
        text = screen_text(app)
        assert "3 ✓ dial relay, HOP" in text
        assert "5 … virtual link" in text
        service.emit(*steps(BOB, 7, "No pair of candidates connected.")[3:])
        await settle(pilot)
        assert "7 ✗ SDP and ICE" in screen_text(app)
        assert "No pair of candidates" in screen_text(app)


async def test_a_service_that_cannot_start_says_why_and_stays_on_the_screen() -> None:
    service = FakeService(start_failure=IdentityError("The key file is readable by others: chmod 600 it."))
    async with running(service) as (app, pilot):
        assert "chmod 600" in log_text(app)
        assert "not running" in screen_text(app)
        await pilot.press("ctrl+y")
        assert app.is_running


async def test_a_factory_that_fails_says_why() -> None:
    async def factory() -> FakeService:
        raise ConfigError("That relay is no relay.")

    app = P2PChatApp(factory, clock=FixedClock())
    async with app.run_test() as pilot:
        await settle(pilot)
        assert "That relay is no relay." in log_text(app)


async def test_the_address_of_the_command_line_is_dialled() -> None:
    service = FakeService()
    async with running(service, connect=address_of(BOB)) as (app, _pilot):
        assert ("connect", address_of(BOB)) in service.asked
        assert app.main.model.selected == BOB


async def test_a_resize_storm_loses_nothing() -> None:
    service = FakeService()
    async with running(service) as (app, pilot):
        await dial(app, pilot)
        for number in range(60):
            service.emit(said(BOB, f"number {number} " + "word " * 20, f"{number}"))
        await settle(pilot)
        before = log_text(app)
        for width, height in (
            (200, 60),
            (20, 5),
            (1, 1),
            (40, 10),
            (79, 23),
            (300, 20),
            (72, 34),
            (80, 24),
        ):
            await pilot.resize_terminal(width, height)
        await settle(pilot)
        assert log_text(app) == before
        assert "number 59" in screen_text(app)  # still at the end
        assert app.main.query_one(MessageInput).region.bottom <= 24


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 20)])
async def test_no_character_is_lost_at_the_edge_of_the_log(size: tuple[int, int]) -> None:
    service = FakeService()
    async with running(service, size) as (app, pilot):
        log = app.main.query_one(LogView)
        for number in range(0, 14, 2):
            text = "".join(chr(0x4E00 + number * 200 + n) for n in range(number * 3))
            service.emit(ErrorEvent("x", text + "0123456789" * 8))
            await settle(pilot)
            width = log.scrollable_content_region.width
            rows = ["".join(s.text for s in log.render_line(y)) for y in range(log.size.height)]
            drawn = "".join(row[8:].rstrip() for row in rows)
            assert drawn.endswith("0123456789" * 8)
            assert all(cell_len(row) == width for row in rows)


async def test_narrow_terminals_fold_the_connection_pane_away_and_f2_brings_it() -> None:
    async with running(FakeService(), (60, 20)) as (app, pilot):
        pane, log = app.main.query_one(ConnectionPane), app.main.query_one(LogView)
        assert pane.region.area == 0 < log.region.area
        await pilot.press("f2")
        await settle(pilot)
        assert pane.region.area > 0 == log.region.area
        await pilot.resize_terminal(120, 40)
        await settle(pilot)
        await pilot.press("f2")
        await settle(pilot)
        assert pane.region.area > 0 < log.region.area


async def test_the_invitation_comes_back_with_its_key() -> None:
    async with running(FakeService()) as (app, pilot):
        await dial(app, pilot)
        assert not app.main.query_one(Invite).display
        await pilot.press("ctrl+o")
        await settle(pilot)
        assert app.main.query_one(Invite).display
        assert app.focused == app.main.query_one(ConnectField).input
        await pilot.press("escape")
        await settle(pilot)
        assert not app.main.query_one(Invite).display
        assert app.focused == app.main.query_one(MessageInput)


async def test_help_palette_and_themes() -> None:
    async with running(FakeService(), (120, 50)) as (app, pilot):
        await pilot.press("f1")
        await settle(pilot)
        assert isinstance(app.screen, HelpScreen)
        text = screen_text(app)
        await pilot.press("end")
        await settle(pilot)
        text += screen_text(app)
        for action in ACTIONS:
            assert action.about in text
        await pilot.press("escape")
        await settle(pilot)
        for theme in ("p2pchat-light", "p2pchat-contrast"):
            await pilot.press("ctrl+t")
            await settle(pilot)
            assert app.theme == theme
        await pilot.press("ctrl+p", *"next th", "enter")
        await settle(pilot)
        await pilot.pause(0.3)
        assert app.theme == "p2pchat-dark"


async def test_relay_addresses_do_not_become_conversations() -> None:
    service = FakeService()
    async with running(service) as (app, pilot):
        await dial(app, pilot, RELAY_ADDRESS)
        service.emit(opened(RELAY))
        await settle(pilot)
        assert app.main.model.conversations == {}
        assert app.main.query_one("#address-input", Input).value == ""


async def test_a_flood_waits_in_the_service() -> None:
    service = FakeService()
    async with running(service) as (app, pilot):
        await dial(app, pilot)
        for number in range(3000):
            service.emit(said(BOB, f"flood {number}", f"{number}"))
        await asyncio.sleep(0)
        assert len(service.events) > 0  # not all of it was taken at once
        while len(service.events):
            await pilot.pause()
        await settle(pilot)
        assert "flood 2999" in screen_text(app)
        assert len(app.main.model.lines()) <= 2 * limits.SCREEN_LOG_LINES
        assert "flood 2999" in messages_text(app)


async def test_quit() -> None:
    service = FakeService()
    async with running(service) as (app, pilot):
        await pilot.press("ctrl+q")
        await pilot.pause()
        await app.main.bridge.stop()
        assert service.stopped
        assert not app.is_running or app._exit

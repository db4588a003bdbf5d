"""Every action of the table, by its key, from the palette and by mouse where it has a place: what it makes happen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from textual.events import MouseScrollUp
from textual.widgets import Input, Static

from p2pchat_core.chat.model import Standing
from p2pchat_tui.bindings import ACTIONS
from p2pchat_tui.commands import Commands
from p2pchat_tui.screens.addresses import AddressesScreen
from p2pchat_tui.screens.confirm import ConfirmScreen
from p2pchat_tui.screens.contact import ContactCard
from p2pchat_tui.screens.export import ExportScreen
from p2pchat_tui.screens.finder import FinderScreen
from p2pchat_tui.screens.help import HelpScreen
from p2pchat_tui.screens.links import LinksScreen
from p2pchat_tui.screens.people import PeopleScreen
from p2pchat_tui.screens.search import SearchScreen
from p2pchat_tui.widgets.connection_pane import ConnectionPane
from p2pchat_tui.widgets.conversations import ConversationItem
from p2pchat_tui.widgets.message_view import MessageView
from p2pchat_tui.widgets.timeline import Timeline
from tests.tui.fake_service import BOB, CAROL, ME, FakeService, address_of, contact, opened, said
from tests.tui.harness import dial, running, settle
from tests.tui.states import DAVE, with_past

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from p2pchat_tui.app import P2PChatApp

Check = Callable[["P2PChatApp", FakeService], bool]


@dataclass(frozen=True)
class Case:
    """What is so after the action and was not before; `mouse` is where it can be clicked, (0, 0) of the widget."""

    done: Check
    mouse: str = ""


def shows(screen: type[object]) -> Check:
    return lambda app, service: isinstance(app.screen, screen)


def focused(name: str) -> Check:
    return lambda app, service: app.focused is not None and app.focused.id == name


def asked(*command: str) -> Check:
    return lambda app, service: command in service.asked


def view(app: P2PChatApp) -> MessageView:
    return app.main.query_one(MessageView)


CASES = {
    "connect": Case(focused("address-input"), "footer"),
    "copy_address": Case(lambda app, service: app.clipboard == address_of(ME)),
    "toggle_connection": Case(
        lambda app, service: not app.main.query_one(ConnectionPane).region.area, "footer"
    ),
    "help": Case(shows(HelpScreen), "footer"),
    "search": Case(shows(SearchScreen), "footer"),
    "contact": Case(shows(ContactCard), "footer"),
    "people": Case(shows(PeopleScreen)),
    "links": Case(shows(LinksScreen)),
    "export": Case(shows(ExportScreen)),
    "next_conversation": Case(lambda app, service: app.main.model.selected == CAROL, "conversation"),
    "previous_conversation": Case(lambda app, service: app.main.model.selected == CAROL),
    "find": Case(shows(FinderScreen)),
    "addresses": Case(shows(AddressesScreen)),
    "toggle_details": Case(lambda app, service: bool(app.main.query_one(Timeline)._open), "timeline"),
    "toggle_log": Case(lambda app, service: app.main.has_class("log-large")),
    "accept": Case(asked("accept", DAVE), "#accept"),
    "decline": Case(asked("decline", DAVE), "#decline"),
    "block": Case(shows(ConfirmScreen), "#block"),
    "rename": Case(focused("card-name")),
    "notes": Case(focused("card-notes")),
    "verify": Case(focused("card-verify")),
    "retention": Case(focused("card-retention")),
    "block_contact": Case(shows(ConfirmScreen)),
    "forget": Case(shows(ConfirmScreen)),
    "disconnect": Case(asked("disconnect", BOB)),
    "log_up": Case(lambda app, service: view(app).scroll_y < view(app).max_scroll_y, "wheel"),
    "log_down": Case(lambda app, service: view(app).scroll_y > 0),
    "log_end": Case(lambda app, service: view(app).scroll_y == view(app).max_scroll_y > 0),
    "toggle_theme": Case(lambda app, service: app.theme == "p2pchat-light"),
    "quit": Case(lambda app, service: bool(app._exit), "footer"),
}
KEYS = [action.name for action in ACTIONS if action.key]
CLICKS = [name for name, case in CASES.items() if case.mouse]


def test_no_action_is_forgotten() -> None:
    assert list(CASES) == [action.name for action in ACTIONS]


async def prepared(app: P2PChatApp, pilot: Pilot[None], service: FakeService, name: str) -> None:
    """Talk to Bob, with a long past; a stranger waits."""
    await dial(app, pilot)
    for number in range(80):
        service.emit(said(BOB, f"line {number}", f"l{number}"))
    service.people[DAVE] = contact(DAVE, Standing.STRANGER)
    service._put(DAVE)
    service.emit(opened(DAVE), said(DAVE, "let me in"))
    await settle(pilot)
    if name in ("log_down", "log_end"):
        view(app).scroll_to(y=0)
        await settle(pilot)
    assert not CASES[name].done(app, service), "it is so already"


def a_service() -> FakeService:
    service = with_past()
    del service.people[DAVE]
    return service


@pytest.mark.parametrize("name", KEYS)
async def test_by_key(name: str) -> None:
    service = a_service()
    async with running(service, (120, 40)) as (app, pilot):
        await prepared(app, pilot, service, name)
        await pilot.press(app.keys.key(name))
        await settle(pilot)
        assert CASES[name].done(app, service)


@pytest.mark.parametrize("name", CASES)
async def test_from_the_palette(name: str) -> None:
    service = a_service()
    label = next(action.label for action in ACTIONS if action.name == name)
    async with running(service, (120, 40)) as (app, pilot):
        await prepared(app, pilot, service, name)
        titles = {title.split("  (")[0]: run for title, _, run in Commands(app.main)._entries()}
        titles[label]()
        await settle(pilot)
        assert CASES[name].done(app, service)


@pytest.mark.parametrize("name", CLICKS)
async def test_by_mouse(name: str) -> None:
    service = a_service()
    where = CASES[name].mouse
    async with running(service, (120, 40)) as (app, pilot):
        await prepared(app, pilot, service, name)
        if where == "footer":
            action = f"app.{name}" if name == "quit" else name
            key = next(one for one in app.screen.query("FooterKey") if getattr(one, "action", "") == action)
            await pilot.click(key, offset=(1, 0))
        elif where == "conversation":
            await pilot.click(next(item for item in app.main.query(ConversationItem) if item.peer == CAROL))
        elif where == "timeline":
            await pilot.click(Timeline, offset=(3, 1))
        elif where == "wheel":
            await pilot._post_mouse_events([MouseScrollUp], MessageView)
        else:
            await pilot.click(where)
        await settle(pilot)
        assert CASES[name].done(app, service)


async def test_the_palette_lists_what_can_be_done_now_and_nothing_else() -> None:
    async with running(FakeService()) as (app, pilot):
        titles = [title.split("  (")[0] for title, _, _ in Commands(app.main)._entries()]
        possible = [action.label for action in ACTIONS if app.main.check_action(action.name, ())]
        assert titles == possible
        assert "Accept" not in titles
        await pilot.press("f3", "f4", "f9", "ctrl+f", "f8")  # nothing to do it with
        await settle(pilot)
        assert app.screen is app.main


# --- the screens behind them ------------------------------------------------------------------------------------------


async def test_a_card_changes_what_it_shows() -> None:
    service = with_past()
    async with running(service) as (app, pilot):
        app.main.show_peer(CAROL)
        await settle(pilot)
        await pilot.press("f9")
        await settle(pilot)
        card = app.screen
        assert isinstance(card, ContactCard)
        await pilot.press(*"Carol", "enter")
        await settle(pilot)
        assert ("rename", CAROL, "Carol") in service.asked
        await pilot.press(*"owes me a book", "tab")
        await settle(pilot)
        assert ("annotate", CAROL, "owes me a book") in service.asked
        await pilot.press("enter")  # 30 days -> 1 year
        await settle(pilot)
        assert ("retention", CAROL, "365", "False") in service.asked
        await pilot.press("tab", "enter")
        await settle(pilot)
        assert ("verify", CAROL, "True") in service.asked
        assert "✓ verified" in str(card.query_one("#card-who", Static).content)
        await pilot.press("escape")
        await settle(pilot)
        assert app.screen is app.main
        assert app.main.model.conversations[CAROL].name == "Carol"
        assert [command for command in service.asked if command[0] == "rename"] == [
            ("rename", CAROL, "Carol")
        ]


async def test_what_is_typed_on_a_card_is_kept_when_it_is_closed() -> None:
    service = with_past()
    async with running(service) as (app, pilot):
        app.main.show_peer(CAROL)
        await settle(pilot)
        await pilot.press("f9", *"Caro", "escape")
        await settle(pilot)
        assert ("rename", CAROL, "Caro") in service.asked


async def test_verifying_and_addresses_by_mouse() -> None:
    service = with_past()
    async with running(service, (120, 40)) as (app, pilot):
        await dial(app, pilot)
        await pilot.press("f9")
        await settle(pilot)
        await pilot.click("#card-verify")
        await pilot.click("#card-addresses", offset=(5, 0))
        await settle(pilot)
        assert ("verify", BOB, "False") in service.asked
        assert app.clipboard == address_of(BOB)


@pytest.mark.parametrize(("action", "command"), [("block_contact", "block"), ("forget", "forget")])
async def test_what_cannot_be_undone_is_asked_about(action: str, command: str) -> None:
    service = with_past()
    async with running(service) as (app, pilot):
        await dial(app, pilot)
        for answer in ("enter", "n", "escape"):
            getattr(app.main, f"action_{action}")()
            await settle(pilot)
            await pilot.press(answer)
            await settle(pilot)
            assert (command, BOB) not in service.asked
        getattr(app.main, f"action_{action}")()
        await settle(pilot)
        await pilot.press("y")
        await settle(pilot)
        assert (command, BOB) in service.asked
        assert BOB not in [talk.peer for talk in app.main.model.accepted]
        assert app.main.model.selected == CAROL


async def test_blocked_people_are_listed_and_can_be_let_in_again() -> None:
    service = with_past()
    async with running(service, (120, 40)) as (app, pilot):
        await pilot.press("ctrl+r", *"dave", "enter")
        await settle(pilot)
        assert isinstance(app.screen, ContactCard)
        await pilot.click("#card-unblock")
        await settle(pilot)
        assert ("unblock", DAVE) in service.asked


async def test_a_stranger_does_not_take_an_open_conversation_over() -> None:
    service = a_service()
    async with running(service, (120, 40)) as (app, pilot):
        await prepared(app, pilot, service, "accept")
        await pilot.press(*"half a sen")
        await pilot.press("f3")
        await settle(pilot)
        assert app.main.model.selected == BOB
        assert app.main.query_one("#message-input").text == "half a sen"  # type: ignore[attr-defined]


async def test_search_goes_to_a_message_whose_page_is_not_loaded() -> None:
    from tests.tui.fake_service import NOW, Stored

    past = [Stored(f"m{n}", f"message number {n}", n % 3 == 0, NOW - 90000 + n) for n in range(2500)]
    service = FakeService(
        past={BOB: past, CAROL: [Stored("c", "x", True)]}, people={BOB: contact(BOB, name="Bob")}
    )
    async with running(service) as (app, pilot):
        app.main.show_peer(CAROL)
        await settle(pilot)
        await pilot.press("ctrl+f", *"number 42")
        await settle(pilot)
        screen = app.screen
        assert isinstance(screen, SearchScreen)
        assert list(screen.hits)[-1] == "m42"
        screen.list.highlighted = len(screen.hits) - 1
        await pilot.press("enter")
        await settle(pilot)
        await settle(pilot)
        talk = app.main.model.conversations[BOB]
        assert app.main.model.selected == BOB
        assert talk.knows("m42")
        assert len(talk.messages) == 2500
        assert view(app).marked == talk.serial_of("m42")
        assert "▶ message number 42" in view(app).text


async def test_reading_back_loads_older_pages() -> None:
    from tests.tui.fake_service import NOW, Stored

    past = [Stored(f"m{n}", f"message number {n}", n % 3 == 0, NOW - 90000 + n) for n in range(2500)]
    service = FakeService(past={BOB: past})
    async with running(service) as (app, pilot):
        app.main.show_peer(BOB)
        await settle(pilot)
        talk = app.main.model.conversations[BOB]
        assert len(talk.messages) == 1000
        for pages in (2000, 2500):
            view(app).scroll_to(y=0)
            await settle(pilot)
            await settle(pilot)
            assert len(talk.messages) == pages
        assert talk.complete
        view(app).scroll_to(y=0)
        await settle(pilot)
        assert "▎ message number 0" in view(app).text


async def test_export_says_what_it_wrote_or_why_not() -> None:
    service = with_past()
    async with running(service) as (app, pilot):
        await dial(app, pilot)
        await pilot.press("ctrl+s")
        await settle(pilot)
        field = app.screen.query_one(Input)
        assert field.value.endswith(".txt")
        for path, told in (("/x/y.pdf", "must end with"), ("/x/there.txt", "There is a file")):
            field.value = path
            await pilot.press("enter")
            await settle(pilot)
            assert told in str(app.screen.query_one("#export-note", Static).content)
        field.value = "/x/new.jsonl"
        await pilot.press("enter")
        await settle(pilot)
        assert app.screen is app.main
        assert service.asked[-1] == ("export", "/x/new.jsonl", "jsonl", BOB)
        await pilot.press("ctrl+s", "tab", "enter", "shift+tab", "enter")
        await settle(pilot)
        assert service.asked[-1][0] == "export"
        assert service.asked[-1][-1] == ""  # all of them

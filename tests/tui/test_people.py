"""What people are called and said to be, and that nothing of it can be anything but text."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from p2pchat_core.chat.events import ContactEvent
from p2pchat_core.chat.model import Retention, SearchHit, Standing, StoredMessage
from p2pchat_core.errors import StoreError
from p2pchat_tui.roster import Roster, badges, name_of
from p2pchat_tui.screens.export import format_of
from p2pchat_tui.screens.reading_actions import default_export
from p2pchat_tui.screens.search import excerpt
from tests.tui.fake_service import BOB, CAROL, NOW, FakeService, Stored, contact, opened, said
from tests.tui.harness import FORBIDDEN, running, screen_text, settle


def words(standing: Standing = Standing.CONTACT, **more: object) -> str:
    return " | ".join(word for word, _ in badges(contact(BOB, standing, **more)))


def test_a_name_of_ours_stands_alone_and_theirs_never_does() -> None:
    assert name_of(contact(BOB, name="Bob", calls_itself="x")) == "Bob"
    assert name_of(contact(BOB, calls_itself="Bob")) == f"~Bob …{BOB[-8:]}"
    assert name_of(contact(BOB)) == f"…{BOB[-8:]}"
    assert Roster().name_of(BOB) == f"…{BOB[-8:]}"


def test_badges_are_words() -> None:
    assert words() == ""
    assert words(verified_at=NOW) == "✓ verified"
    assert words(Standing.BLOCKED, verified_at=NOW) == "⊘ blocked"
    assert words(retention=Retention(ephemeral=True)) == "nothing kept"
    assert words(retention=Retention(days=1)) == "kept 1 day"
    assert "NOT the Bob you know" in words(impersonates="Bob")


@pytest.mark.parametrize(
    ("text", "spans", "marked"),
    [
        ("the book is here", ((4, 8),), ["book"]),
        ("a b a", ((0, 1), (4, 5)), ["a", "a"]),
        ("wrong", ((3, 99), (-4, 2)), ["ng"]),
        ("esc \x1b[31m here", ((4, 9),), ["␛[31m"]),
        ("", ((0, 1),), []),
    ],
)
def test_an_excerpt_marks_what_was_found(
    text: str, spans: tuple[tuple[int, int], ...], marked: list[str]
) -> None:
    message = StoredMessage("1", BOB, text, False, NOW, "received", 1)  # type: ignore[arg-type]
    content = excerpt(SearchHit(message, text, spans))
    found = [content.plain[s.start : s.end] for s in content.spans if "underline" in str(s.style)]
    assert found == marked
    assert not [char for char in FORBIDDEN if char in content.plain]


def test_where_exports_go(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("HOME", str(tmp_path))
    first = default_export("../~Bob …x\x1b/", NOW)
    assert first.parent == tmp_path
    first.touch()
    assert default_export("../~Bob …x\x1b/", NOW).name == first.name.replace(".txt", "-2.txt")
    assert [str(format_of(first.with_suffix(s))) for s in (".txt", ".JSONL", ".md")] == [
        "text",
        "jsonl",
        "None",
    ]


async def test_a_contact_that_is_not_listed_is_found_among_the_people(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("p2pchat_core.limits.SCREEN_PAST", 1)
    service = FakeService(past={BOB: [Stored("1", "x", True)], CAROL: [Stored("2", "y", True)]})
    async with running(service, (120, 40)) as (app, pilot):
        assert [talk.peer for talk in app.main.model.accepted] == [CAROL]
        await pilot.press("ctrl+r", *BOB[-5:], "enter")
        await settle(pilot)
        await pilot.click("#card-talk")
        await settle(pilot)
        assert app.screen is app.main
        assert app.main.model.selected == BOB


async def test_hostile_people_on_every_page() -> None:
    for hostile in (FORBIDDEN, "[@click=app.quit]x[/] $text"):
        person = {
            "name": hostile,
            "calls_itself": hostile,
            "notes": hostile,
            "addresses": (f"/ip4/{hostile}",),
        }
        service = FakeService(
            past={BOB: [Stored("1", f"book {hostile} https://{hostile}", False)]},
            people={BOB: contact(BOB, **person, impersonates=hostile)},
        )
        async with running(service, (120, 40)) as (app, pilot):
            app.main.show_peer(BOB)
            fake = contact(CAROL, Standing.STRANGER, calls_itself=hostile, impersonates=hostile)
            service.emit(ContactEvent(fake), opened(CAROL), said(CAROL, hostile))
            await settle(pilot)
            assert "NOT the" in screen_text(app)
            service.failure = StoreError(f"No: {hostile}")
            for keys in (
                ("ctrl+r",),
                ("ctrl+r", "enter"),
                ("f9",),
                ("ctrl+l",),
                ("ctrl+f", *"bo"),
                ("alt+b",),
            ):
                await pilot.press(*keys)
                await settle(pilot)
                text = screen_text(app)
                assert not [char for char in FORBIDDEN if char in text], (keys, hostile)
                while app.screen is not app.main:
                    await pilot.press("escape")
                    await settle(pilot)
            service.failure = None
            await pilot.press("ctrl+f", *"bo")
            await settle(pilot)
            assert "book" in screen_text(app)
            assert not [char for char in FORBIDDEN if char in screen_text(app)]
            await pilot.press("escape", "ctrl+s")
            await settle(pilot)
            app.screen.query_one(Input).value = f"/x/{hostile}.txt"
            service.failure = StoreError(f"No: {hostile}")
            await pilot.press("enter")
            await settle(pilot)
            assert not [char for char in FORBIDDEN if char in screen_text(app)]
            assert app.is_running

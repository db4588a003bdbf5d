"""Bells and desktop notifications: only if asked for, and with nothing of a peer's that a terminal would obey."""

from __future__ import annotations

import re

import pytest

from p2pchat_core import limits
from p2pchat_tui.app import P2PChatApp
from p2pchat_tui.notifications import Notifier, notification
from p2pchat_tui.preferences import Preferences
from tests.tui.fake_service import BOB, CAROL, FakeService, address_of, opened, said

HOSTILE = (
    "\x1b]52;c;aGk=\x07",
    "a;b;c\x07\x1b\\",
    "\x9c\x90\x9b2J",
    "\u202egpj\u2066\u200b",
    "4;3;100",
    "line\nline\r\x00",
    "\ud800\udfff",
    "x" * 10_000,
)


class Clock:
    """Goes when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1_795_338_060.0 + self.now


def test_nothing_is_sent_unless_it_is_wanted() -> None:
    assert notification("x", Preferences(), {}) == ""


@pytest.mark.parametrize(
    ("desktop", "shape"),
    [
        ("osc9", r"\x1b\]9;p2pchat: ([^\x00-\x1f\x7f-\x9f;]*)\x07"),
        ("osc777", r"\x1b\]777;notify;p2pchat;([^\x00-\x1f\x7f-\x9f;]*)\x07"),
    ],
)
@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_is_said_stays_inside_the_notification(desktop: str, shape: str, text: str) -> None:
    written: list[str] = []
    preferences = Preferences(desktop=desktop, hide_text=False)
    Notifier(preferences, written.append, Clock(), {}).message("bob", text)
    (sequence,) = written
    match = re.fullmatch(shape, sequence)
    assert match is not None
    assert match[1].startswith("bob: ")
    assert match[1].isprintable()
    assert len(match[1]) <= limits.NOTIFICATION_CHARS
    written.clear()
    Notifier(preferences, written.append, Clock(), {"TMUX": "x"}).message("bob", text)
    wrapped = re.fullmatch(r"\x1bPtmux;(.*)\x1b\\", written[0])
    assert wrapped is not None
    assert wrapped[1].replace("\x1b\x1b", "\x1b") == sequence


def test_the_text_is_hidden_if_that_is_wanted() -> None:
    written: list[str] = []
    Notifier(Preferences(desktop="osc9", bell=True), written.append, Clock(), {}).message("bob", "secret")
    assert written == ["\x07\x1b]9;p2pchat: New message from bob\x07"]


def test_a_flood_rings_once_in_a_while() -> None:
    written: list[str] = []
    clock = Clock()
    notifier = Notifier(Preferences(bell=True), written.append, clock, {})
    for _ in range(100):
        notifier.message("bob", "x")
    assert written == ["\x07"]
    clock.now += limits.NOTIFICATION_INTERVAL
    notifier.stranger()
    assert written == ["\x07", "\x07"]


async def test_the_screen_tells_of_what_is_not_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    service, clock = FakeService(), Clock()

    async def factory() -> FakeService:
        return service

    app = P2PChatApp(
        factory,
        clock=clock,
        connect=address_of(BOB),
        preferences=Preferences(desktop="osc9", hide_text=False),
    )
    written: list[str] = []
    async with app.run_test() as pilot:

        async def happens(*events: object) -> list[str]:
            clock.now += 10
            written.clear()
            service.emit(*events)  # type: ignore[arg-type]
            for _ in range(3):
                await pilot.pause()
            return [sequence for sequence in written if "]9;" in sequence]

        for _ in range(3):
            await pilot.pause()
        assert app.main.model.selected == BOB
        monkeypatch.setattr(app._driver, "write", written.append)
        assert await happens(said(BOB, "seen")) == []
        app.app_focus = False
        (told,) = await happens(said(BOB, "unseen"))
        assert "unseen" in told
        app.app_focus = True
        # A stranger is announced, and nothing of what they say.
        (told,) = await happens(opened(CAROL), said(CAROL, "buy"))
        assert told == "\x1b]9;p2pchat: Somebody wants to talk to you\x07"
        await pilot.press("f4")
        assert await happens(said(CAROL, "buy more")) == []

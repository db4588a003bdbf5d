"""Our addresses: which comes first, all of them listed and copied, and the QR code."""

from __future__ import annotations

import pytest
import segno

from p2pchat_core.chat.events import ListeningEvent
from p2pchat_tui.addresses import ranked, reach
from p2pchat_tui.screens.addresses import qr_code
from tests.tui.fake_service import ME, FakeService, address_of
from tests.tui.harness import running, screen_text, settle

FAR = f"/dns4/relay.example.org/tcp/443/wss/p2p/12D3KooWRelay/p2p-circuit/webrtc/p2p/{ME}"


def test_the_one_that_works_from_furthest_away_comes_first_then_the_shortest() -> None:
    near, home, home6 = "/ip4/127.0.0.1/x", "/ip4/192.168.1.2/x", "/ip6/fe80::1/x"
    public, public_long = "/ip4/93.184.216.34/x", "/dns4/relay.example.org/a/longer/x"
    assert ranked([near, public_long, home, public, home6]) == (public, public_long, home6, home, near)


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("/dns4/localhost/tcp/1", "this computer"),
        ("/ip6/::1/tcp/1", "this computer"),
        ("/ip4/10.1.2.3/tcp/1", "this network"),
        ("/dns4/example.org/tcp/1", "anywhere"),
        ("nonsense", "anywhere"),
        ("", "anywhere"),
    ],
)
def test_how_far_an_address_reaches(address: str, where: str) -> None:
    assert reach(address) == where


def test_the_half_blocks_are_the_modules() -> None:
    expected = [list(map(bool, row)) for row in segno.make(FAR, error="l", micro=False).matrix_iter(border=2)]
    rows = qr_code(FAR)
    read: list[list[bool]] = []
    for row in rows:
        read.append([block in "▄ " for block in row])
        read.append([block in "▀ " for block in row])
    assert read[: len(expected)] == expected
    assert {len(row) for row in rows} == {len(expected)}


@pytest.mark.parametrize(("size", "fits"), [((80, 24), False), ((120, 40), True), ((200, 60), True)])
async def test_the_page_at_every_size(size: tuple[int, int], fits: bool) -> None:
    service = FakeService()
    async with running(service, size) as (app, pilot):
        service.emit(ListeningEvent((address_of(ME), FAR)))
        await settle(pilot)
        await pilot.press("f5")
        await settle(pilot)
        text = screen_text(app)
        assert "this computer" in text
        assert "anywhere" in text
        code = qr_code(FAR)
        if fits:
            assert all(row in text for row in code)
        else:
            assert code[2] not in text
            assert "needs a window of" in text
            assert "this one has 80×24" in text
        await pilot.press("y")
        await settle(pilot)
        assert app.clipboard == FAR
        await pilot.press("down", "enter")
        await settle(pilot)
        assert app.clipboard == address_of(ME)
        await pilot.press("escape")
        await settle(pilot)
        assert app.screen is app.main


async def test_without_an_address_the_page_says_so() -> None:
    service = FakeService()
    async with running(service) as (app, pilot):
        service.emit(ListeningEvent(()))
        await settle(pilot)
        await pilot.press("f5")
        await settle(pilot)
        assert "There is no address yet" in screen_text(app)
        await pilot.press("y", "escape")
        assert app.is_running


async def test_a_window_that_grows_shows_the_code() -> None:
    async with running(FakeService()) as (app, pilot):
        await pilot.press("f5")
        await settle(pilot)
        assert "needs a window of" in screen_text(app)
        await pilot.resize_terminal(100, 48)
        await settle(pilot)
        assert qr_code(address_of(ME))[3] in screen_text(app)

"""Links: what counts as one, where it really leads, and that opening one hands over exactly that."""

from __future__ import annotations

import asyncio
import stat
from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_tui.links import Link, links_in, open_link, opener
from tests.tui.fake_service import BOB, FakeService, Stored, contact
from tests.tui.harness import HOSTILE, running, screen_text, settle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("see https://a.example/b.", ["https://a.example/b"]),
        ("(https://a.example/x(1)), and http://b.example!", ["https://a.example/x(1)", "http://b.example"]),
        ("mailto:me@a.example, please", ["mailto:me@a.example"]),
        ("https://a.example https://a.example", ["https://a.example"]),
        ("file:///etc/passwd javascript:alert(1) ssh://x ftp://y xhttps://z", []),
        ("https:// mailto:nobody https://[broken", []),
        (
            "https://a.example/\x1b]8;;https://evil.example\x07b",
            ["https://a.example/", "https://evil.example"],
        ),
        ("https://a.example/\u202egpj.exe", []),
        ("-https://a.example", ["https://a.example"]),
        ("https://" + "a" * limits.MAX_MULTIADDR_TEXT, []),
    ],
)
def test_what_counts_as_a_link(text: str, targets: list[str]) -> None:
    assert [link.target for link in links_in([text])] == targets


def test_their_number_is_bounded_and_the_first_come_first() -> None:
    links = links_in(f"https://{n}.example" for n in range(1000))
    assert len(links) == limits.SCREEN_LINKS
    assert links[0].place == "0.example"


@pytest.mark.parametrize(
    ("target", "place", "warning"),
    [
        ("https://example.com/x", "example.com", ""),
        ("https://example.com@evil.example/x", "evil.example", "before the @"),
        ("https://exаmple.com/", "xn--exmple-4nf.com", "letters that may look like others"),
        ("mailto:me@a.example", "me@a.example", ""),
    ],
)
def test_where_a_link_leads(target: str, place: str, warning: str) -> None:
    (link,) = links_in([target])
    assert link.place == place
    assert warning in link.warning
    assert bool(link.warning) == bool(warning)


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


async def test_exactly_the_target_is_handed_to_a_program_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    program(tmp_path, "xdg-open", f'printf "%s\\n" "$@" > {tmp_path}/opened')
    environment = {"PATH": str(tmp_path), "DISPLAY": ":0"}
    target = "https://a.example/?q=1&b=$(reboot);`x`"
    assert await open_link(Link(target, "a.example"), environment)
    assert (tmp_path / "opened").read_text() == f"{target}\n"
    program(tmp_path, "xdg-open", "exit 3")
    assert not await open_link(Link(target, "a.example"), environment)


def test_without_a_desktop_there_is_nothing_to_open_links_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    program(tmp_path, "xdg-open", "")
    assert opener({"PATH": str(tmp_path)}) == []
    assert opener({"PATH": str(tmp_path), "WAYLAND_DISPLAY": "w"}) == [f"{tmp_path}/xdg-open"]
    assert opener({"PATH": "/nowhere", "DISPLAY": ":0"}) == []


async def test_nothing_is_opened_before_enter_and_then_what_was_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    program(tmp_path, "xdg-open", f'printf "%s\\n" "$@" >> {tmp_path}/opened')
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("PATH", str(tmp_path))
    texts = ["https://first.example/a", "and https://example.com@second.example/b", *HOSTILE]
    past = [Stored(f"{n}", text, False) for n, text in enumerate(texts)]
    service = FakeService(past={BOB: past}, people={BOB: contact(BOB)})
    async with running(service, (120, 40)) as (app, pilot):
        app.main.show_peer(BOB)
        await settle(pilot)
        await pilot.press("ctrl+l")
        await settle(pilot)
        text = screen_text(app)
        assert "Leads to second.example" in text
        assert "what stands before the @ is not where it leads" in text
        await pilot.press("down")
        await settle(pilot)
        assert "Leads to first.example" in screen_text(app)
        assert not (tmp_path / "opened").exists()
        await pilot.press("y")
        await settle(pilot)
        assert app.clipboard == "https://first.example/a"
        await pilot.press("enter")
        async with asyncio.timeout(20):
            while not (tmp_path / "opened").exists() or not (tmp_path / "opened").read_text():
                await pilot.pause()
        assert (tmp_path / "opened").read_text() == "https://first.example/a\n"

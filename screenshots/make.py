# ruff: noqa: INP001
"""Makes the pictures in this folder from the real program: two nodes, a relay, WebRTC between them.

Run it from the root of the repository: ``python screenshots/make.py``, or only ``film`` or ``stills``.
The film is recorded in a pseudo-terminal (`session.cast`, for asciinema) and drawn from that as an animated SVG.
Textual's own export is SVG; the PNG files are made of that with Chromium or, where there is none, with rsvg-convert.
Only the pictures of the README stay as SVG too.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cast import Recorder, animate
from textual.widgets import Input

from p2pchat_core.chat.events import MessageEvent
from p2pchat_tui.app import P2PChatApp
from p2pchat_tui.options import parse_options
from p2pchat_tui.standalone import StandaloneService
from p2pchat_tui.startup import service_factory

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.pilot import Pilot

    from p2pchat_core.chat.event_hub import EventStream

HERE = Path(__file__).parent
CELL = (12.2, 24.4)
FRAME = (20, 52)
SIZES = ((80, 24), (120, 40), (200, 60))
FILM = (100, 30)
IN_README = ("chat-dark-120x40", "session")
PAGES = (
    ("help", ("f1",)),
    ("addresses", ("f5",)),
    ("steps", ("f6",)),
    ("finder", ("ctrl+k",)),
    ("people", ("ctrl+r",)),
    ("contact", ("f9",)),
    ("search", ("ctrl+f", *"relay")),
    ("export", ("ctrl+s",)),
)
TALK = (
    ("me", "Hello! Can you read this?"),
    ("friend", "Yes. It came straight to me, the relay only introduced us."),
    ("me", "So we could switch the relay off now?"),
    ("friend", "Try it: this conversation goes on."),
)


async def main() -> None:
    """Make every picture."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["headless", "--data-dir", f"{folder}/friend", "--name", "Bob"]
        friend = StandaloneService(parse_options(options))
        await friend.start()
        try:
            await _until(lambda: bool(friend.status().addresses))
            if "stills" not in sys.argv:
                await _film(friend, Path(folder) / "film")
            for number, size in enumerate(SIZES if "film" not in sys.argv else ()):
                await _session(friend, Path(folder) / f"me{number}", size)
        finally:
            await friend.stop()
    for picture in sorted(HERE.glob("*-*.svg")):
        _to_png(picture)
        if picture.stem not in IN_README:
            picture.unlink()


async def _session(friend: StandaloneService, data_dir: Path, size: tuple[int, int]) -> None:
    options = parse_options(["--data-dir", str(data_dir), "--name", "alice"])
    app = P2PChatApp(service_factory(options), name=options.name)
    try:
        async with app.run_test(size=size) as pilot:
            await _until(lambda: bool(app.main.model.addresses))
            await _themes(app, pilot, "start", size)
            await _talk(app, pilot, friend)
            await _themes(app, pilot, "chat", size)
            if size == SIZES[1]:
                await _themes(app, pilot, "chat", size, ("contrast",))
            for name, keys in PAGES:
                await pilot.press(*keys)
                await _save(app, pilot, name, size)
                await pilot.press("f6" if name == "steps" else "escape")
    finally:
        await app.main.bridge.stop()


async def _film(friend: StandaloneService, data_dir: Path) -> None:
    """Record what a newcomer does in the first minute."""
    argv = [sys.executable, "-m", "p2pchat_tui", "--name", "alice", "--theme", "dark", "--data-dir", data_dir]
    seen = friend.subscribe()
    async with Recorder(argv, columns=FILM[0], rows=FILM[1]) as film:
        await film.until(lambda text: "^Y copy" in text)
        await asyncio.sleep(2)
        film.paste(friend.status().addresses[0])
        await asyncio.sleep(1.5)
        film.press("\r")
        await film.until(lambda text: "Write a message" in text and "direct, without relay" in text)
        await asyncio.sleep(1.5)
        for who, text in TALK:
            if who == "me":
                await film.type(f"{text}\r")
            else:
                await friend.send(await _caller(seen), text)
            await film.until(lambda shown, text=text: f"▎ {text[:20]}" in shown)  # type: ignore[misc]
            await asyncio.sleep(1.2)
        film.press("\x1b[20~")  # F9: the card
        await film.until(lambda text: "compare these words" in text)
        await film.type("Bob\r", 0.15)
        await asyncio.sleep(2)
        film.press("\x1b")
        await asyncio.sleep(1.5)
        film.press("\x06")  # Ctrl+F
        await asyncio.sleep(0.8)
        await film.type("swit", 0.2)
        await film.until(lambda text: "1 found" in text)
        await asyncio.sleep(1)
        film.press("\r")
        await film.until(lambda text: "▶" in text)
        await asyncio.sleep(1)
        film.save(HERE / "session.cast", "p2pchat: two people, one address, no server between them")
    animate(HERE / "session.cast", HERE / "session.svg")


_CALLERS: list[str] = []


async def _caller(events: EventStream) -> str:
    """Return who talks to the friend; the first message says it."""
    while not _CALLERS:
        event = await anext(aiter(events))
        if isinstance(event, MessageEvent):
            _CALLERS.append(event.peer)
    return _CALLERS[0]


async def _talk(app: P2PChatApp, pilot: Pilot[None], friend: StandaloneService) -> None:
    model = app.main.model
    field = app.main.query_one("#address-input", Input)
    field.focus()
    field.value = friend.status().addresses[0]
    await pilot.press("enter")
    await _until(lambda: model.current is not None and 8 in model.current.steps)
    await pilot.pause(0.5)
    for who, text in TALK:
        if who == "me":
            await pilot.press(*text, "enter")
        else:
            await friend.send(model.peer_id, text)
        await _until(partial(_says, app, text))
        await pilot.pause(0.3)
    await pilot.pause(2.5)  # until the round-trip time has been measured anew


def _says(app: P2PChatApp, text: str) -> bool:
    current = app.main.model.current
    return current is not None and any(message.text == text for message in current.messages)


async def _themes(
    app: P2PChatApp,
    pilot: Pilot[None],
    name: str,
    size: tuple[int, int],
    themes: tuple[str, ...] = ("dark", "light"),
) -> None:
    for theme in themes:
        app.theme = f"p2pchat-{theme}"
        await _save(app, pilot, f"{name}-{theme}", size)
    app.theme = "p2pchat-dark"


async def _save(app: P2PChatApp, pilot: Pilot[None], name: str, size: tuple[int, int]) -> None:
    await pilot.pause(0.3)
    # The export asks for a font from the net; a picture should fetch nothing.
    svg = re.sub(r"@font-face \{.*?\}", "", app.export_screenshot(title="p2pchat"), flags=re.DOTALL)
    # Without this, rsvg-convert drops the blanks at the beginning of each piece of text.
    svg = svg.replace("<text ", '<text xml:space="preserve" ')
    (HERE / f"{name}-{size[0]}x{size[1]}.svg").write_text(svg, encoding="utf-8")


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def _to_png(svg: Path) -> None:
    png = svg.with_suffix(".png")
    columns, rows = (int(number) for number in svg.stem.rsplit("-", 1)[1].split("x"))
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser:
        width, height = (round(n * c + f) for n, c, f in zip((columns, rows), CELL, FRAME, strict=True))
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--screenshot={png}", f"--window-size={width},{height}", svg.as_uri()]
    elif converter := shutil.which("rsvg-convert"):
        command = [converter, str(svg), "-o", str(png)]
    else:
        sys.exit("PNG files need Chromium or rsvg-convert; the SVG files are made.")
    subprocess.run(command, check=True, capture_output=True, timeout=60)


if __name__ == "__main__":
    asyncio.run(main())

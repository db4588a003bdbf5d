# ruff: noqa: INP001
"""Records a program in a pseudo-terminal as an asciinema cast, and draws casts as animated SVG."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
import time
from html import escape
from typing import TYPE_CHECKING, Self

import pyte
from wcwidth import wcwidth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

__all__ = ["Recorder", "animate"]

CELL, LINE, MARGIN = 8.4, 18, 12
GAP = 0.4
"""Seconds between two frames of an animation; what comes quicker is shown at once."""
QUIET = 0.03
"""Drawing has come to an end after this."""
PAUSE = 2.5
"""Nothing happens for longer than this."""
END = 3.0
"""How long the last frame stays before it begins again."""
NAMED = {
    **{"black": "#000000", "red": "#f07178", "green": "#7fd88f", "brown": "#e5c07b", "blue": "#5aa9e6"},
    **{"magenta": "#c792ea", "cyan": "#89ddff", "white": "#d6deeb"},
}
INK, PAPER = "#d6deeb", "#0f1419"


class Recorder:
    """Runs a program in a terminal of `columns` by `rows` and writes down what it draws and when."""

    def __init__(self, argv: Sequence[str | Path], *, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.events: list[tuple[float, str]] = []
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._argv = [str(argument) for argument in argv]
        self._changed = asyncio.Event()
        self._started = 0.0
        self._rest = b""

    async def __aenter__(self) -> Self:
        self._main, program = pty.openpty()
        fcntl.ioctl(program, termios.TIOCSWINSZ, struct.pack("HHHH", self.rows, self.columns, 0, 0))
        kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "TMUX")}
        self._process = subprocess.Popen(  # noqa: ASYNC220
            self._argv,
            stdin=program,
            stdout=program,
            stderr=program,
            env={**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
            start_new_session=True,
        )
        os.close(program)
        self._started = time.monotonic()
        asyncio.get_running_loop().add_reader(self._main, self._read)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._main)
        self._process.kill()
        self._process.wait()
        os.close(self._main)

    @property
    def text(self) -> str:
        """What is on the screen, a line each."""
        return "\n".join(self._screen.display)

    async def type(self, text: str, pause: float = 0.06) -> None:
        """Press keys one after the other, as people do."""
        for key in text:
            os.write(self._main, key.encode())
            await asyncio.sleep(pause)

    def press(self, key: str) -> None:
        """Press one key, which may be several bytes."""
        os.write(self._main, key.encode())

    def paste(self, text: str) -> None:
        """Paste as a terminal does."""
        os.write(self._main, f"\x1b[200~{text}\x1b[201~".encode())

    async def until(self, condition: Callable[[str], bool]) -> None:
        """Wait until the screen shows something."""
        async with asyncio.timeout(60):
            while not condition(self.text):
                self._changed.clear()
                await self._changed.wait()

    def save(self, path: Path, title: str) -> None:
        """Write the recording as an asciinema cast, version 2."""
        head = {"version": 2, "width": self.columns, "height": self.rows, "title": title}
        lines = [json.dumps(head, ensure_ascii=False)]
        lines += [json.dumps([round(at, 3), "o", data], ensure_ascii=False) for at, data in self.events]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _read(self) -> None:
        try:
            data = os.read(self._main, 65536)
        except OSError:  # the program has ended
            asyncio.get_running_loop().remove_reader(self._main)
            return
        self._stream.feed(data)
        self._changed.set()
        # A character may come in two pieces; a line of the cast is text.
        whole = self._rest + data
        text = whole.decode("utf-8", "ignore")
        self._rest = whole[len(text.encode()) :]
        self.events.append((time.monotonic() - self._started, text))


# --- drawing ----------------------------------------------------------------------------------------------------------


def animate(cast: Path, picture: Path) -> None:
    """Draw a cast as an SVG that plays it again and again, and stands still for those who want nothing to move."""
    head, *lines = cast.read_text(encoding="utf-8").splitlines()
    size = json.loads(head)
    frames = list(_frames(size["width"], size["height"], [json.loads(line) for line in lines]))
    total = frames[-1][0] + END
    # Most rows are the same in many frames, so each is drawn once and used by number.
    rows = list(dict.fromkeys(row for _, drawn in frames for row in drawn if row))
    number_of = {row: number for number, row in enumerate(rows)}
    width, height = size["width"] * CELL + 2 * MARGIN, size["height"] * LINE + 2 * MARGIN
    style = [
        f"text{{font:14px 'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:{INK};white-space:pre}}",
        ".b{font-weight:bold}.i{font-style:italic}.u{text-decoration:underline}.f{visibility:hidden}",
        ".f:last-of-type{visibility:visible}",
        f"@media (prefers-reduced-motion:no-preference){{.f{{animation:{total:.2f}s step-end infinite}}}}",
    ]
    groups = []
    for number, (at, drawn) in enumerate(frames):
        start = 100 * at / total
        end = 100 * frames[number + 1][0] / total if number + 1 < len(frames) else 100.0
        before = "0%{visibility:hidden}" if number else ""
        after = f"{end:.3f}%,100%{{visibility:hidden}}" if end < 100 else "100%{visibility:visible}"
        style.append(f"@keyframes k{number}{{{before}{start:.3f}%{{visibility:visible}}{after}}}")
        uses = (f'<use href="#r{number_of[row]}" y="{y * LINE}"/>' for y, row in enumerate(drawn) if row)
        groups.append(f'<g class="f" style="animation-name:k{number}">{"".join(uses)}</g>')
    defined = "".join(f'<g id="r{number}">{row}</g>' for number, row in enumerate(rows))
    picture.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}">'
        f"<title>{escape(size.get('title', ''))}</title><style>{''.join(style)}</style><defs>{defined}</defs>"
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>'
        f'<g transform="translate({MARGIN},{MARGIN})">{"".join(groups)}</g></svg>\n',
        encoding="utf-8",
    )


def _frames(columns: int, rows: int, events: list[list[object]]) -> Iterator[tuple[float, tuple[str, ...]]]:
    """Yield when each frame begins, waiting shortened, and its rows."""
    screen = pyte.Screen(columns, rows)
    stream = pyte.Stream(screen)
    shown: tuple[str, ...] = ()
    moment = last = 0.0
    times = [float(str(event[0])) for event in events]
    for number, at in enumerate(times):
        stream.feed(_known(str(events[number][2])))
        if number + 1 < len(times) and (times[number + 1] - at < QUIET or at - last < GAP):
            continue  # in the middle of drawing, or too soon
        drawn = tuple(_row(screen, y) for y in range(screen.lines))
        if drawn == shown:
            continue
        moment += min(at - last, PAUSE) if shown else 0.0
        last, shown = at, drawn
        yield moment, drawn


def _known(data: str) -> str:
    """Leave out private sequences that the emulator would print."""
    return re.sub(
        r"\x1b\[[?<>=][0-9;?$]*[a-zA-Z]|\x1b_G[^\x1b]*\x1b\\|\x1b\]22;[^\x07\x1b]*(?:\x07|\x1b\\)", "", data
    )


def _row(screen: pyte.Screen, y: int) -> str:
    """Return one row of the screen, at the top of the picture."""
    parts: list[str] = []
    cells = [screen.buffer[y][column] for column in range(screen.columns)]
    x = 0
    while x < len(cells):
        run = x + 1
        while run < len(cells) and cells[run]._replace(data="") == cells[x]._replace(data=""):
            run += 1
        parts.append(_run(cells[x], "".join(cell.data for cell in cells[x:run]), x, run - x))
        x = run
    return "".join(parts)


def _run(cell: pyte.screens.Char, text: str, x: int, cells: int) -> str:
    ink, paper = _colour(cell.fg, INK), _colour(cell.bg, PAPER)
    if cell.reverse:
        ink, paper = paper, ink
    drawn = ""
    if paper != PAPER:
        drawn = f'<rect x="{x * CELL:.1f}" width="{cells * CELL:.1f}" height="{LINE}" fill="{paper}"/>'
    words = text.rstrip()
    if not words:
        return drawn
    left = x + len(words) - len(words.lstrip())
    words = words.lstrip()
    kinds = (("b", cell.bold), ("i", cell.italics), ("u", cell.underscore))
    classes = " ".join(name for name, has in kinds if has)
    look = f' class="{classes}"' if classes else ""
    colour = f' style="fill:{ink}"' if ink != INK else ""
    length = sum(max(0, wcwidth(char)) for char in words) * CELL
    return (
        f'{drawn}<text x="{left * CELL:.1f}" y="13" textLength="{length:.1f}"'
        f' lengthAdjust="spacingAndGlyphs"{look}{colour}>{escape(words)}</text>'
    )


def _colour(name: str, default: str) -> str:
    if name == "default":
        return default
    return NAMED.get(name.removeprefix("bright"), f"#{name}" if len(name) == 6 else default)

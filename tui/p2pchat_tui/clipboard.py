"""Copying: through the terminal, which may be far away, and through a program of the system, where there is one.

OSC 52 asks the terminal itself, so it works over ssh; no terminal says whether it obeyed. A program's exit code says
that it did. Both are tried, and what is said about it names what was used.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from p2pchat_core import limits

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PROGRAMS", "Copied", "Program", "fill_clipboard", "osc52", "wrapped"]


@dataclass(frozen=True, slots=True)
class Program:
    """A program that takes the clipboard's new content from its standard input.

    Attributes:
        variable: it can only work where this variable is set; "" if it always can.
    """

    argv: tuple[str, ...]
    variable: str


PROGRAMS: Final = (
    Program(("wl-copy",), "WAYLAND_DISPLAY"),
    Program(("xclip", "-selection", "clipboard", "-in"), "DISPLAY"),
    Program(("xsel", "--clipboard", "--input"), "DISPLAY"),
    Program(("pbcopy",), ""),
    Program(("tmux", "load-buffer", "-w", "-"), "TMUX"),
)
"""The first one that is installed and succeeds is the one that counts; tmux passes it on to its own terminal."""


@dataclass(frozen=True, slots=True)
class Copied:
    """How something was copied; `program` is the name of the one that took it, or "" """

    program: str

    @property
    def how(self) -> str:
        """The means, in a few words."""
        return f"by {self.program} and OSC 52" if self.program else "by OSC 52"

    @property
    def sentence(self) -> str:
        """What the user should know about it."""
        if self.program:
            return f"Copied to the clipboard {self.how}."
        return (
            "Copied to the clipboard by OSC 52. Should pasting give nothing, your terminal does not allow that: "
            "select it with the mouse instead."
        )


def osc52(text: str, environment: Mapping[str, str]) -> str:
    """Return what makes the terminal take `text` into its clipboard, also through tmux or screen."""
    encoded = base64.b64encode(text.encode("utf-8", "replace")).decode()
    sequence = f"\x1b]52;c;{encoded}\x07"
    # tmux itself may take it (set-clipboard on), or let it through (allow-passthrough on); it ignores what it may not.
    return (
        sequence + wrapped(sequence, environment)
        if environment.get("TMUX")
        else wrapped(sequence, environment)
    )


def wrapped(sequence: str, environment: Mapping[str, str]) -> str:
    """Return a control sequence in the wrapping that lets it through tmux or screen, if one of them is there."""
    if environment.get("TMUX"):
        return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if environment.get("STY"):
        # screen ends its wrapping at the first ST and takes pieces of this length.
        pieces = (sequence[at : at + 76] for at in range(0, len(sequence), 76))
        return "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)
    return sequence


async def fill_clipboard(text: str, environment: Mapping[str, str]) -> str:
    """Give `text` to a program of the system and return its name, or "" if none took it. Never raises."""
    for program in PROGRAMS:
        if program.variable and not environment.get(program.variable):
            continue
        path = shutil.which(program.argv[0], path=environment.get("PATH"))
        if path is not None and await _run((path, *program.argv[1:]), text.encode("utf-8", "replace")):
            return program.argv[0]
    return ""


async def _run(argv: tuple[str, ...], data: bytes) -> bool:
    """Run a program with `data` as its input and tell whether it succeeded in time."""
    try:
        # Its output goes nowhere: some of them stay in the background and would keep a pipe open.
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    try:
        async with asyncio.timeout(limits.CLIPBOARD_TIMEOUT):
            await process.communicate(data)
    except TimeoutError:
        return False
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return process.returncode == 0

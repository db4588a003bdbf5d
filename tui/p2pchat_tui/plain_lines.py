"""Lines out: a time in front, a prompt behind where somebody types, and nothing that the terminal's encoding lacks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Lines"]

_ASCII: Final = str.maketrans({"…": "...", "—": "-", "⇄": "<->", "“": '"', "”": '"', "’": "'"})


class Lines:
    """Writes lines with the time of day in front, and, if a person sits there, a prompt after them.

    Args:
        write: takes the bytes.
        encoding: of the terminal; what it has no character for is written as a question mark.
        time_format: for `time.strftime`, or "" for no times.
        prompts: whether somebody types.
    """

    def __init__(
        self, write: Callable[[bytes], Awaitable[None]], *, encoding: str, time_format: str, prompts: bool
    ) -> None:
        self._write = write
        self._encoding = encoding
        self._time_format = time_format
        self._prompts = prompts
        self._prompted = False
        self.prompt = "> "

    async def say(self, line: str, *, at: float | None = None) -> None:
        """Write one line; under a prompt that is still empty or half typed at, begin a new one first."""
        stamp = time.strftime(self._time_format, time.localtime(at)) + " " if self._time_format else ""
        before, after = ("\n", self.prompt) if self._prompted else ("", "")
        await self._write(self._encoded(f"{before}{stamp}{line}\n{after}"))

    async def ask(self) -> None:
        """Show the prompt: the next line may be typed."""
        if self._prompts and not self._prompted:
            self._prompted = True
            await self._write(self._encoded(self.prompt))

    def typed(self) -> None:
        """A line was typed, so the cursor is at the beginning of the next one."""
        self._prompted = False

    async def end(self) -> None:
        """Leave the cursor at the beginning of a line."""
        if self._prompted:
            self._prompted = False
            await self._write(b"\n")

    def _encoded(self, text: str) -> bytes:
        try:
            return text.encode(self._encoding)
        except UnicodeEncodeError:
            return text.translate(_ASCII).encode(self._encoding, "replace")

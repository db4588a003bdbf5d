"""Links in messages: found, explained for where they really lead, and opened only when the user says so."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from p2pchat_core import limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["LINK", "Link", "links_in", "open_link", "opener"]

LINK: Final = re.compile(r"\b(?:https?://|mailto:)[^\s<>\"\u0000-\u001f\u007f-\u009f]+")
_CLOSING: Final = {")": "(", "]": "[", "}": "{"}
_TRAILING: Final = ".,;:!?'»”’"


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it was written, and where it goes.

    Attributes:
        target: the whole of it; what is opened is exactly this.
        place: the host or mail address it leads to, in ASCII.
        warning: what about it may deceive; "" if nothing.
    """

    target: str
    place: str
    warning: str = ""


def links_in(texts: Iterable[str]) -> list[Link]:
    """Return the links of `texts`, in their order and each once, at most `SCREEN_LINKS`."""
    found: dict[str, Link] = {}
    for text in texts:
        if ":" not in text:
            continue
        for match in LINK.finditer(text[: limits.SCREEN_MESSAGE_CHARS]):
            link = _link(_without_closing(match[0]))
            if link is not None and link.target not in found:
                found[link.target] = link
                if len(found) >= limits.SCREEN_LINKS:
                    return list(found.values())
    return list(found.values())


def _without_closing(text: str) -> str:
    """Leave out what belongs to the sentence around a link."""
    while text:
        last = text[-1]
        if last in _TRAILING or (last in _CLOSING and text.count(last) > text.count(_CLOSING[last])):
            text = text[:-1]
        else:
            break
    return text


def _link(text: str) -> Link | None:
    if len(text) > limits.MAX_MULTIADDR_TEXT or not text.isprintable():
        return None
    try:
        parts = urlsplit(text)
        if parts.scheme.lower() == "mailto":
            return Link(text, parts.path) if "@" in parts.path else None
        host = parts.hostname or ""
        ascii_host = host.encode("idna").decode("ascii") if not host.isascii() else host
    except (ValueError, UnicodeError):
        return None
    if not host:
        return None
    warnings = []
    if "@" in parts.netloc:
        warnings.append("what stands before the @ is not where it leads")
    if ascii_host != host:
        warnings.append("its name has letters that may look like others")
    return Link(text, ascii_host, "; ".join(warnings))


def opener(environment: Mapping[str, str]) -> list[str]:
    """Return the program (and its arguments) that opens a link outside this terminal; [] if there is none."""
    path = environment.get("PATH")
    if sys.platform == "darwin":
        return [found] if (found := shutil.which("open", path=path)) else []
    # Without a desktop, xdg-open would start a browser inside the terminal that we draw on.
    if not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")):
        return []
    if found := shutil.which("xdg-open", path=path):
        return [found]
    return [found, "open"] if (found := shutil.which("gio", path=path)) else []


async def open_link(link: Link, environment: Mapping[str, str]) -> bool:
    """Open a link outside this terminal, and tell whether a program for it could be started. Never raises."""
    program = opener(environment)
    if not program:
        return False
    try:
        process = await asyncio.create_subprocess_exec(
            *program,
            link.target,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    try:
        async with asyncio.timeout(limits.CLIPBOARD_TIMEOUT):
            return await process.wait() == 0
    except TimeoutError:
        return True  # some of them run for as long as the browser does

"""Telling the user of messages that are not on the screen: the terminal's bell, and its desktop notifications.

Nothing is sent unless the settings ask for it. What a peer said is in it only if the settings say so, and then as
printable text without the characters that mean something to a terminal.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from p2pchat_core import limits
from p2pchat_tui.clipboard import wrapped
from p2pchat_tui.safe_text import Kind, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from p2pchat_core.clock import Clock
    from p2pchat_tui.preferences import Preferences

__all__ = ["Notifier", "notification"]

_TITLE: Final = "p2pchat"
_BELL: Final = "\x07"


class Notifier:
    """Sends notifications, not more often than people can bear.

    Args:
        write: takes what goes to the terminal.
    """

    def __init__(
        self,
        preferences: Preferences,
        write: Callable[[str], None],
        clock: Clock,
        environment: Mapping[str, str],
    ) -> None:
        self._preferences = preferences
        self._write = write
        self._clock = clock
        self._environment = environment
        self._last = -math.inf

    def message(self, name: str, text: str) -> None:
        """Tell of a message by somebody whom the user knows by this name."""
        hidden = self._preferences.hide_text
        self._send(f"New message from {name}" if hidden else f"{name}: {text}")

    def stranger(self) -> None:
        """Tell that somebody unknown has called. Neither their name nor what they say is part of it."""
        self._send("Somebody wants to talk to you")

    def _send(self, body: str) -> None:
        now = self._clock.monotonic()
        if now - self._last < limits.NOTIFICATION_INTERVAL:
            return
        sequence = notification(body, self._preferences, self._environment)
        if sequence:
            self._last = now
            self._write(sequence)


def notification(body: str, preferences: Preferences, environment: Mapping[str, str]) -> str:
    """Return what to send to the terminal for a notification; "" if the settings want none."""
    sequence = _BELL if preferences.bell else ""
    if preferences.desktop == "osc9":
        sequence += wrapped(f"\x1b]9;{_TITLE}: {_harmless(body)}\x07", environment)
    elif preferences.desktop == "osc777":
        sequence += wrapped(f"\x1b]777;notify;{_TITLE};{_harmless(body)}\x07", environment)
    return sequence


def _harmless(text: str) -> str:
    """Return `text` as printable characters only, none of which separates the parts of a sequence."""
    shown = visible(text[: limits.NOTIFICATION_CHARS * 2], Kind.SENTENCE).replace(";", ",")
    shown = "".join(char for char in shown if char.isprintable())
    return shown if len(shown) <= limits.NOTIFICATION_CHARS else shown[: limits.NOTIFICATION_CHARS - 1] + "…"

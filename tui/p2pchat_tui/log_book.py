"""The lines of the log: those for everybody, and those of each conversation, in the order they came."""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_tui.log_lines import LineKind, LogLine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.content import Content

    from p2pchat_core.clock import Clock
    from p2pchat_tui.conversation import Conversation

__all__ = ["LogBook"]


class LogBook:
    """Bounded for everybody and for each conversation, so that none can push out what another said."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: deque[LogLine] = deque(maxlen=limits.SCREEN_LOG_LINES)
        self._serial = 0

    def add(self, conversation: Conversation | None, kind: LineKind, body: Content) -> None:
        """Add a line for everybody, or to one conversation."""
        self._serial += 1
        line = LogLine(self._serial, kind, self._clock.time(), body)
        (self._lines if conversation is None else conversation.lines).append(line)

    def lines(self, current: Conversation | None) -> Sequence[LogLine]:
        """Return what concerns everybody and this conversation, in order."""
        if current is None:
            return list(self._lines)
        return list(heapq.merge(self._lines, current.lines, key=lambda line: line.serial))

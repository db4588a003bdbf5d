"""Time as an argument: code that needs it takes a Clock, so tests can move it."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Where a shell reads the time from."""

    def monotonic(self) -> float:
        """Seconds that never jump; for deadlines and durations."""
        ...

    def time(self) -> float:
        """Unix seconds; for what is shown, stored or put on the wire."""
        ...


class SystemClock:
    """The clock of the machine."""

    def monotonic(self) -> float:
        """Return `time.monotonic`."""
        return time.monotonic()

    def time(self) -> float:
        """Return `time.time`."""
        return time.time()

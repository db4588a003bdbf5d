"""How long an answer usually takes on one path, and how long to wait before its absence means something (RFC 6298)."""

from __future__ import annotations

from typing import Final

__all__ = ["RoundTrip"]

_GAIN: Final = 1 / 8
_VARIATION_GAIN: Final = 1 / 4


class RoundTrip:
    """A smoothed round trip and how much it varies, both in seconds.

    Attributes:
        smoothed: ``None`` before the first sample.
    """

    def __init__(self) -> None:
        self.smoothed: float | None = None
        self.variation = 0.0

    def add(self, sample: float) -> None:
        """Take a measured round trip into account."""
        if self.smoothed is None:
            self.smoothed, self.variation = sample, sample / 2
            return
        self.variation += _VARIATION_GAIN * (abs(self.smoothed - sample) - self.variation)
        self.smoothed += _GAIN * (sample - self.smoothed)

    def patience(self, least: float, most: float, *, trips: int = 1) -> float:
        """Return how long to wait for what takes so many round trips; the most if nothing was measured."""
        if self.smoothed is None:
            return most
        return min(most, max(least, trips * (self.smoothed + 4 * self.variation)))

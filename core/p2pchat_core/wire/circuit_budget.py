"""What is left of a circuit whose relay set a limit, and when to have another one ready.

js counts both directions together, go and p2pchat-relay each for itself (docs/wire.md section 8.5), and a circuit does
not say which. So both are counted together here: a circuit may have more left than this says, never less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from p2pchat_core import limits

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CircuitBudget", "lifetime"]


def lifetime(seconds: int | None) -> float:
    """Return the seconds a circuit surely lasts; what relays announce is not always so (js: milliseconds)."""
    if not seconds:
        return limits.CIRCUIT_ASSUMED_SECONDS
    return seconds / 1000 if seconds > limits.CIRCUIT_TRUSTED_SECONDS else float(seconds)


class CircuitBudget:
    """Counts one circuit down.

    Attributes:
        used: bytes that went either way.
        when_low: called when so many bytes are gone that another circuit is needed.
    """

    def __init__(self, seconds: int | None, max_bytes: int | None, opened_at: float) -> None:
        """Begin to count; `seconds` and `max_bytes` are what the relay said, `opened_at` is monotonic."""
        self.used = 0
        self.when_low: Callable[[], None] | None = None
        self._opened_at = opened_at
        self._seconds = lifetime(seconds)
        self._max_bytes = max_bytes or None
        self._wanted_at: float | None = None  # when something did not fit any more

    @property
    def bytes_left(self) -> int | None:
        """Bytes it still carries; ``None`` if the relay did not limit them."""
        return None if self._max_bytes is None else max(0, self._max_bytes - self.used)

    def seconds_left(self, now: float) -> float:
        """Seconds until the relay cuts it."""
        return max(0.0, self._opened_at + self._seconds - now)

    def count(self, amount: int) -> None:
        """So many bytes went through, either way."""
        before = self.spent(limits.CIRCUIT_RENEW)
        self.used += amount
        if not before and self.spent(limits.CIRCUIT_RENEW):
            self._tell()

    def affords(self, amount: int) -> bool:
        """Whether so many bytes may be under way at once.

        What a relay cuts off in the middle of is lost as a whole, and the same again on the next circuit would never
        arrive. The peer may speak at the same moment, so each side takes half.
        """
        if self._max_bytes is None:
            return True
        return self._max_bytes - self.used - limits.CIRCUIT_RESERVE >= amount * 2

    def must_take(self, amount: int, now: float) -> bool:
        """Whether what it does not afford is to be sent all the same; if not, another circuit is asked for.

        That is so for what a whole circuit would not afford, and for everything if none has come for a while.
        """
        if self._max_bytes is not None:
            if self._max_bytes * limits.CIRCUIT_RENEW - limits.CIRCUIT_RESERVE < amount * 2:
                return True
            if self._wanted_at is None:
                self._wanted_at = now
                self._tell()
        return self._wanted_at is None or now - self._wanted_at >= limits.CIRCUIT_PATIENCE

    def spent(self, part: float) -> bool:
        """Whether this part of the bytes is gone, or another circuit was asked for."""
        return self._wanted_at is not None or (
            self._max_bytes is not None and self.used >= self._max_bytes * part
        )

    def _tell(self) -> None:
        if self.when_low is not None:
            self.when_low()

    def reaches(self, part: float) -> float:
        """Return when (monotonic seconds) this part of the time is over."""
        return self._opened_at + self._seconds * part

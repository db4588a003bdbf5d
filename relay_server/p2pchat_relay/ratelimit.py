"""Token buckets, one per source, in a table that cannot grow."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["KeyedRateLimit", "TokenBucket"]

_Key = TypeVar("_Key", bound="Hashable")


class TokenBucket:
    """Allows `rate` events a second on average and `burst` at once. Starts full; time is an argument."""

    __slots__ = ("_burst", "_rate", "_tokens", "_updated")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._updated = now

    def take(self, now: float) -> bool:
        """Take one token if there is one."""
        # A clock that stands still or goes back adds nothing and takes nothing away.
        self._tokens = min(float(self._burst), self._tokens + max(0.0, now - self._updated) * self._rate)
        self._updated = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class KeyedRateLimit(Generic[_Key]):
    """One `TokenBucket` per key for at most `capacity` keys; the one unused for longest is forgotten
    first."""

    def __init__(self, rate: float, burst: int, capacity: int) -> None:
        self._rate = rate
        self._burst = burst
        self._capacity = capacity
        self._buckets: OrderedDict[_Key, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: _Key, now: float) -> bool:
        """Count one event of `key` and return whether it is allowed."""
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._capacity:
                self._buckets.popitem(last=False)
            bucket = self._buckets[key] = TokenBucket(self._rate, self._burst, now)
        else:
            self._buckets.move_to_end(key)
        return bucket.take(now)

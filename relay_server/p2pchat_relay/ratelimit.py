"""Token buckets, one per source, in a table that cannot grow."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["BucketTable", "KeyedRateLimit", "TokenBucket"]

_Key = TypeVar("_Key", bound="Hashable")


class TokenBucket:
    """Allows `rate` events a second on average and `burst` at once. Starts full; time is an argument.

    An event may be anything that is counted, such as a byte.
    """

    __slots__ = ("_burst", "_rate", "_tokens", "_updated")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._updated = now

    def take(self, now: float) -> bool:
        """Take one token if there is one."""
        self._refill(now)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def spend(self, count: int, now: float) -> float:
        """Take `count` tokens, there or not, and return for how many seconds to spend nothing more.

        0.0 while there are enough; and always with a rate of 0, which here is without limit.
        """
        if not self._rate:
            return 0.0
        self._refill(now)
        self._tokens -= count
        return max(0.0, -self._tokens / self._rate)

    def configure(self, rate: float, burst: int) -> None:
        """Change both; what was saved beyond the new burst is lost."""
        self._rate = rate
        self._burst = burst
        self._tokens = min(self._tokens, float(burst))

    def _refill(self, now: float) -> None:
        # A clock that stands still or goes back adds nothing and takes nothing away.
        self._tokens = min(float(self._burst), self._tokens + max(0.0, now - self._updated) * self._rate)
        self._updated = now


class BucketTable(Generic[_Key]):
    """One `TokenBucket` per key for at most `capacity` keys; the one unused for longest is forgotten
    first."""

    def __init__(self, rate: float, burst: int, capacity: int) -> None:
        self._rate = rate
        self._burst = burst
        self._capacity = capacity
        self._buckets: OrderedDict[_Key, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def bucket(self, key: _Key, now: float) -> TokenBucket:
        """Return the bucket of `key`, a full one if there is none."""
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._capacity:
                self._buckets.popitem(last=False)
            bucket = self._buckets[key] = TokenBucket(self._rate, self._burst, now)
        else:
            self._buckets.move_to_end(key)
        return bucket

    def configure(self, rate: float, burst: int) -> None:
        """Change rate and burst of all, those there are and those to come."""
        self._rate = rate
        self._burst = burst
        for bucket in self._buckets.values():
            bucket.configure(rate, burst)


class KeyedRateLimit(BucketTable[_Key]):
    """Counts the events of each key."""

    def take(self, key: _Key, now: float) -> bool:
        """Count one event of `key` and return whether it is allowed."""
        return self.bucket(key, now).take(now)

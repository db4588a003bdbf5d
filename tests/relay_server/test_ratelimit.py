from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from p2pchat_relay.ratelimit import KeyedRateLimit, TokenBucket


def test_a_burst_then_the_rate() -> None:
    bucket = TokenBucket(rate=2.0, burst=3, now=0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.take(0.5)
    assert not bucket.take(0.5)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = TokenBucket(rate=1.0, burst=1, now=10.0)
    assert bucket.take(10.0)
    assert not bucket.take(5.0)
    assert not bucket.take(5.5)
    assert bucket.take(6.5)


@given(st.lists(st.floats(min_value=0, max_value=3), max_size=60), st.integers(1, 5))
def test_never_more_than_burst_and_rate_allow(gaps: list[float], burst: int) -> None:
    bucket = TokenBucket(rate=1.0, burst=burst, now=0.0)
    now, taken = 0.0, 0
    for gap in gaps:
        now += gap
        taken += bucket.take(now)
    assert taken <= burst + now + 1e-6


def test_keys_do_not_share_and_the_table_does_not_grow() -> None:
    limit: KeyedRateLimit[int] = KeyedRateLimit(rate=1.0, burst=1, capacity=3)
    assert limit.take(1, 0.0)
    assert not limit.take(1, 0.0)
    assert limit.take(2, 0.0)
    for key in range(1000):
        limit.take(key, 0.0)
    assert len(limit) == 3


def test_the_longest_silent_is_forgotten_first() -> None:
    limit: KeyedRateLimit[str] = KeyedRateLimit(rate=0.0, burst=1, capacity=2)
    assert limit.take("often", 0.0)
    assert limit.take("once", 0.0)
    assert not limit.take("often", 0.0)
    assert limit.take("new", 0.0)
    assert not limit.take("often", 0.0)
    assert limit.take("once", 0.0)

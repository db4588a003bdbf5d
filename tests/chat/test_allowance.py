"""An allowance lets a burst through and then its rate."""

from __future__ import annotations

import pytest

from p2pchat_core.chat.allowance import Allowance


def test_a_burst_is_free_and_then_the_rate_holds() -> None:
    allowance = Allowance(rate=10.0, size=100.0, now=0.0)
    assert allowance.take(100, 0.0) == 0
    assert allowance.take(20, 0.0) == pytest.approx(2.0)
    assert allowance.take(0, 1.0) == pytest.approx(1.0)
    assert allowance.take(0, 2.0) == 0
    assert allowance.take(10, 3.0) == 0


def test_it_never_holds_more_than_its_size() -> None:
    allowance = Allowance(rate=10.0, size=100.0, now=0.0)
    assert allowance.take(110, 1e9) == pytest.approx(1.0)


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    allowance = Allowance(rate=10.0, size=100.0, now=50.0)
    assert allowance.take(100, 10.0) == 0
    assert allowance.take(10, 11.0) == 0

"""Counting a circuit down."""

from __future__ import annotations

import pytest

from p2pchat_core import limits
from p2pchat_core.wire.circuit_budget import CircuitBudget, lifetime


@pytest.mark.parametrize(
    ("announced", "seconds"), [(None, 120.0), (0, 120.0), (60, 60.0), (3600, 3600.0), (120_000, 120.0)]
)
def test_how_long_a_circuit_lasts(announced: int | None, seconds: float) -> None:
    assert lifetime(announced) == seconds


def test_both_directions_are_counted_together() -> None:
    budget = CircuitBudget(120, 1000, 50.0)
    low: list[int | None] = []
    budget.when_low = lambda: low.append(budget.bytes_left)
    for amount in (400, 349):
        budget.count(amount)
    assert (budget.bytes_left, low) == (251, [])
    budget.count(1)
    budget.count(1)
    assert (budget.bytes_left, low) == (249, [250])
    budget.count(5000)
    assert (budget.bytes_left, low) == (0, [250])


def test_the_time_runs_from_when_it_opened() -> None:
    budget = CircuitBudget(100, None, 50.0)
    assert budget.seconds_left(60.0) == 90.0
    assert budget.seconds_left(200.0) == 0.0
    assert budget.reaches(limits.CIRCUIT_RENEW) == 125.0
    budget.count(1 << 40)
    assert budget.bytes_left is None
    assert not budget.spent(0.0)


def budget(used: int, max_bytes: int | None = 100_000) -> tuple[CircuitBudget, list[str]]:
    made, told = CircuitBudget(120, max_bytes, 0.0), []
    made.count(used)
    made.when_low = lambda: told.append("low")
    return made, told


def test_each_side_may_have_half_of_what_is_left_under_way() -> None:
    made, told = budget(40_000)
    half = (60_000 - limits.CIRCUIT_RESERVE) // 2
    assert made.affords(half)
    assert not made.affords(half + 1)
    assert told == [], "the acknowledgements may make room"
    assert budget(1 << 40, None)[0].affords(1 << 30)


def test_what_does_not_fit_asks_for_another_circuit_and_waits_for_it_a_while() -> None:
    made, told = budget(70_000)
    assert not made.affords(20_000)
    assert not made.spent(limits.CIRCUIT_RENEW)
    assert not made.must_take(20_000, 5.0)
    assert not made.must_take(20_000, 4.9 + limits.CIRCUIT_PATIENCE)
    assert told == ["low"]
    assert made.spent(limits.CIRCUIT_TAKE_OVER)
    assert made.must_take(20_000, 5.0 + limits.CIRCUIT_PATIENCE)


def test_what_no_circuit_of_the_relay_affords_does_not_wait() -> None:
    made, told = budget(5_000, 32_000)
    assert not made.affords(16_000)
    assert made.must_take(16_000, 5.0)
    assert told == []

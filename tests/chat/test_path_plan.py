"""When which side does what about its paths."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field, replace

import pytest

from p2pchat_core import limits
from p2pchat_core.chat.path_plan import Decline, Due, PathPlan, Paths, Work
from p2pchat_core.wire.circuit_budget import CircuitBudget

CIRCUIT = Paths(used=True, direct=False, ours=True)
THEIRS = Paths(used=True, direct=False, ours=False)
DIRECT = Paths(used=True, direct=True, ours=True)


def plan(*, smaller: bool = True) -> PathPlan:
    return PathPlan(0.0, smaller=smaller, random=lambda: 0.5)


def first(made: PathPlan, paths: Paths, begin: float = 0.0, until: float = 1000.0) -> tuple[Work, float]:
    """Ask again and again as the shell does, and return the first thing to do and when."""
    now = begin
    while now < until:
        due = made.next(now, paths)
        if due.work is not Work.WAIT:
            return due.work, now
        assert now < due.at <= now + limits.UPKEEP_INTERVAL
        now = due.at
    return Work.WAIT, now


def test_a_circuit_is_improved_on_with_back_off() -> None:
    made, times, now = plan(), [], 0.0
    for _ in range(8):
        work, now = first(made, CIRCUIT, now, until=1e6)
        assert work is Work.IMPROVE
        times.append(now)
        made.done(now, work, worked=False)
    gaps = [late - early for early, late in itertools.pairwise([0.0, *times])]
    assert gaps == [20, 40, 80, 160, 300, 300, 300, 300]


def test_nothing_is_done_for_those_nobody_talks_with() -> None:
    for paths in (CIRCUIT, DIRECT):
        made = plan()
        made.direct_is_worse(0.0)
        idle = Paths(False, paths.direct, True, CircuitBudget(10, 10, 0.0))
        assert first(made, idle)[0] is Work.WAIT


def test_a_program_that_cannot_is_not_asked_again() -> None:
    made = plan()
    made.done(0.0, Work.IMPROVE, worked=False, hopeless=True)
    assert first(made, CIRCUIT)[0] is Work.WAIT


def test_the_other_side_takes_over_from_one_that_does_nothing() -> None:
    work, at = first(plan(), THEIRS)
    assert (work, at) == (Work.IMPROVE, limits.DIRECT_RETRY_MIN + limits.DIRECT_TAKE_OVER)


def test_the_other_side_leaves_it_to_one_that_tries() -> None:
    leader, follower, now = plan(), plan(), 0.0
    for _ in range(10):
        work, now = first(leader, CIRCUIT, now, until=1e6)
        assert first(follower, THEIRS, max(0.0, now - 400), until=now)[0] is Work.WAIT
        leader.done(now, work, worked=False)
        follower.peer_tried(now)


@pytest.mark.parametrize("paths", [CIRCUIT, THEIRS])
@pytest.mark.parametrize("smaller", [True, False])
def test_hope_makes_either_side_try_soon(paths: Paths, smaller: bool) -> None:
    made = plan(smaller=smaller)
    made.hope(5.0)
    assert first(made, paths, 5.0) == (Work.IMPROVE, 5.0 if smaller else 5.0 + limits.REDIAL_GLARE)


def test_hope_without_end_does_not_mean_attempts_without_end() -> None:
    made, tries = plan(), 0
    for tick in range(1000):
        now = tick / 10
        made.hope(now)
        if made.next(now, CIRCUIT).work is Work.IMPROVE:
            tries += 1
            made.done(now, Work.IMPROVE, worked=False)
    assert tries == 100 / limits.DIRECT_RENEW_MIN


def test_a_circuit_is_renewed_before_its_time_is_over_by_its_opener_first() -> None:
    for paths, part in ((CIRCUIT, limits.CIRCUIT_RENEW), (THEIRS, limits.CIRCUIT_TAKE_OVER)):
        made = plan()
        made.done(0.0, Work.IMPROVE, worked=False, hopeless=True)
        with_budget = Paths(True, False, paths.ours, CircuitBudget(100, None, 0.0))
        assert first(made, with_budget) == (Work.RENEW_CIRCUIT, 100 * part)


def test_a_circuit_is_renewed_before_its_bytes_are_gone_by_its_opener_first() -> None:
    budget = CircuitBudget(10_000, 1000, 0.0)
    ours, theirs = Paths(True, False, True, budget), Paths(True, False, False, budget)
    budget.count(749)
    assert plan().next(1.0, ours).work is Work.WAIT
    budget.count(1)
    assert plan().next(1.0, ours) == Due(Work.RENEW_CIRCUIT, 1.0)
    assert plan().next(1.0, theirs).work is Work.WAIT
    budget.count(100)
    assert plan().next(1.0, theirs).work is Work.RENEW_CIRCUIT


def test_a_limit_too_small_for_anything_does_not_make_circuits_without_end() -> None:
    made, renewals = plan(), 0
    for tick in range(100):
        budget = CircuitBudget(60, 10, 0.0)
        budget.count(100)
        if made.next(tick / 10, Paths(True, False, True, budget)).work is Work.RENEW_CIRCUIT:
            renewals += 1
            made.done(tick / 10, Work.RENEW_CIRCUIT, worked=True)
    assert renewals == 10 / limits.CIRCUIT_RENEW_PAUSE


def test_renewing_a_circuit_backs_off_while_it_fails() -> None:
    made, now, times = plan(), 75.0, []
    paths = Paths(True, False, True, CircuitBudget(100, None, 0.0))
    made.done(0.0, Work.IMPROVE, worked=False, hopeless=True)
    for _ in range(4):
        work, now = first(made, paths, now)
        times.append(now)
        made.done(now, work, worked=False)
    pause = limits.CIRCUIT_RENEW_PAUSE
    assert times == [75, 75 + 2 * pause, 75 + 6 * pause, 75 + 14 * pause]


@pytest.mark.parametrize("smaller", [True, False])
def test_a_direct_connection_is_renewed_when_it_got_worse(smaller: bool) -> None:
    made = plan(smaller=smaller)
    assert first(made, DIRECT)[0] is Work.WAIT
    made.direct_is_worse(50.0)
    work, at = first(made, DIRECT, 50.0)
    assert (work, at) == (Work.RENEW_DIRECT, 50.0 if smaller else 50.0 + limits.REDIAL_GLARE)
    made.done(at, work, worked=False)
    work, again = first(made, DIRECT, at)
    assert (work, again - at) == (Work.RENEW_DIRECT, limits.DIRECT_RENEW_MIN)
    made.done(again, work, worked=True)
    assert first(made, DIRECT, again)[0] is Work.WAIT


def test_a_renewal_by_the_peer_will_do() -> None:
    made = plan(smaller=False)
    made.direct_is_worse(50.0)
    made.peer_tried(50.1)
    assert made.next(60.0, DIRECT).work is Work.WAIT
    made.direct_came()
    assert first(made, DIRECT, 60.0)[0] is Work.WAIT


def test_a_renewal_by_the_peer_that_fails_is_followed_by_ours() -> None:
    made = plan(smaller=False)
    made.direct_is_worse(50.0)
    made.peer_tried(50.1)
    assert first(made, DIRECT, 50.1) == (Work.RENEW_DIRECT, 50.1 + limits.DIRECT_TIMEOUT)


def test_without_a_direct_connection_there_is_none_to_renew() -> None:
    made = plan()
    made.direct_is_worse(0.0)
    assert made.next(0.0, CIRCUIT).work is Work.WAIT
    assert made.next(1.0, DIRECT).work is Work.WAIT


ALONE = Paths(used=True, direct=True, ours=True, active=True, alone=True, elsewhere=True)
TWO = replace(ALONE, alone=False)


@pytest.mark.parametrize("direct", [True, False])
def test_an_active_conversation_gets_a_second_path_soon_by_one_side_first(direct: bool) -> None:
    paths = replace(ALONE, direct=direct)
    assert first(plan(), paths, 5.0) == (Work.STAND_BY, 5.0 + limits.STANDBY_MIN)
    late = first(plan(smaller=False), paths, 5.0)
    assert late == (Work.STAND_BY, 5.0 + limits.STANDBY_MIN + limits.STANDBY_TAKE_OVER)


def test_whoever_has_its_relay_again_does_not_wait_for_the_other() -> None:
    made = plan(smaller=False)
    made.next(4.0, TWO)
    made.hope(4.0)
    assert first(made, ALONE, 5.0) == (Work.STAND_BY, 5.0 + limits.STANDBY_MIN)


@pytest.mark.parametrize("without", ["active", "alone", "elsewhere"])
def test_a_second_path_is_opened_only_where_it_is_of_use(without: str) -> None:
    paths = replace(ALONE, **{without: False})
    assert first(plan(), paths)[0] is Work.WAIT


def test_a_second_path_that_lasts_is_left_alone_and_replaced_when_it_ends() -> None:
    made = plan()
    _, at = first(made, ALONE)
    made.done(at, Work.STAND_BY, worked=True)
    work, later = first(made, TWO, at, until=at + 120)  # as long as a circuit with a limit
    assert work is Work.WAIT
    assert first(made, ALONE, later) == (Work.STAND_BY, later + limits.STANDBY_MIN)


@pytest.mark.parametrize("worked", [True, False])
def test_second_paths_that_fail_or_do_not_last_are_opened_ever_more_seldom(worked: bool) -> None:
    made, now, times = plan(), 0.0, []
    for _ in range(9):
        work, now = first(made, ALONE, now)
        assert work is Work.STAND_BY
        times.append(now)
        made.done(now, work, worked=worked)
        if worked:
            made.next(now, TWO)
    gaps = [late - early for early, late in itertools.pairwise(times)]
    assert gaps == [0.5, 1, 2, 4, 8, 16, 30, 30]
    made.hope(now)  # a relay is back
    assert first(made, ALONE, now) == (Work.STAND_BY, now + limits.STANDBY_MIN)


def test_there_is_one_attempt_at_a_second_path_at_a_time() -> None:
    made = plan()
    _, at = first(made, ALONE)
    assert first(made, ALONE, at, until=at + 100)[0] is Work.WAIT


def test_a_direct_attempt_does_not_hold_up_a_circuit_that_runs_out() -> None:
    made = plan()
    budget = CircuitBudget(10_000, 1000, 0.0)
    paths = replace(CIRCUIT, budget=budget)
    work, at = first(made, paths)
    assert work is Work.IMPROVE
    budget.count(800)
    assert made.next(at + 1, paths).work is Work.RENEW_CIRCUIT
    assert made.next(at + 2, paths).work is Work.WAIT


def test_a_lost_direct_connection_is_soon_tried_again_while_the_conversation_is_active() -> None:
    for active, begin in ((True, limits.DIRECT_AGAIN_MIN), (False, limits.DIRECT_RETRY_MIN)):
        made, now, times = plan(), 50.0, []
        made.next(now, replace(DIRECT, active=active))
        for _ in range(3):
            work, now = first(made, replace(CIRCUIT, active=active), now)
            assert work is Work.IMPROVE
            times.append(now - 50.0)
            made.done(now, work, worked=False)
        assert times == [begin, 3 * begin, 7 * begin]


@pytest.mark.parametrize(
    ("samples", "worse"),
    [
        ([0.05] * 50, 0),
        ([0.05, 0.2, 0.19, 0.21, 0.2], 0),  # four times as long, but short
        ([0.05, 0.6, 0.06, 0.6, 0.06, 0.6], 0),  # single ones
        ([0.05, 0.6, 0.61, 0.62], 1),
        ([0.05, 0.6, 0.6, 0.6, 0.6], 0),  # one measurement, looked at several times
        ([0.05, 0.6, 0.61, 0.62, 0.63, 0.64, 0.65, 0.66], 1),  # that is how it is now
    ],
)
def test_a_decline_is_several_long_round_trips_in_a_row(samples: list[float], worse: int) -> None:
    decline = Decline()
    assert sum(decline.sample(sample) for sample in [None, *samples]) == worse


# --- both sides together ----------------------------------------------------------------------------------------------


@dataclass
class Side:
    """One side of a simulated pair; an attempt takes some time and is seen by the other side when it begins."""

    made: PathPlan
    paths: Paths
    busy_until: float = 0.0
    work: Work | None = None
    began: list[float] = field(default_factory=list)


@pytest.mark.parametrize("seed", range(6))
def test_two_sides_do_not_dial_at_the_same_time_for_long(seed: int) -> None:
    """With random jitter and random news of the network, attempts seldom overlap, and somebody always tries."""
    chance = random.Random(seed)
    sides = [
        Side(PathPlan(0.0, smaller=smaller, random=chance.random), paths)
        for smaller, paths in ((True, CIRCUIT), (False, THEIRS))
    ]
    if seed % 2:
        sides[0].paths, sides[1].paths = THEIRS, CIRCUIT
    overlaps = 0
    for tick in range(12_000):
        now = tick * 0.3
        if chance.random() < 0.0015:
            for side in sides:  # both hear of a relay that is back
                side.made.hope(now)
        for side, other in (sides, sides[::-1]):
            if side.work is not None:
                if now >= side.busy_until:
                    side.made.done(now, side.work, worked=False)
                    side.work = None
                continue
            due = side.made.next(now, side.paths)
            if due.work is Work.IMPROVE:
                side.work, side.busy_until = due.work, now + chance.uniform(1, 20)
                side.began.append(now)
                other.made.peer_tried(now + 0.1)
                overlaps += other.work is not None
    tries = sorted(sides[0].began + sides[1].began)
    assert len(tries) >= 3600 / (limits.DIRECT_RETRY_MAX * 1.2 + 20 + limits.DIRECT_TAKE_OVER * 1.2)
    longest = limits.DIRECT_RETRY_MAX * 1.2 + (limits.DIRECT_TAKE_OVER * 1.2) + 20 + limits.UPKEEP_INTERVAL
    assert all(late - early <= longest for early, late in itertools.pairwise(tries))
    assert overlaps <= len(tries) / 5

"""Which path is used, and why: the rules of docs/session-protocol.md, "Paths", without any connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from p2pchat_core.chat.paths import Paths, PathState, Rank, rank
from p2pchat_core.net.connection import CircuitLimit, Direction, Kind, Route
from p2pchat_core.wire.round_trips import RoundTrip
from tests.support.hosts import ADDRESS

if TYPE_CHECKING:
    from p2pchat_core.net.connection import Connection


class FakePath:
    """What `Paths` looks at."""

    def __init__(self, kind: Kind, *, limited: bool = False, rtt: float | None = None) -> None:
        limit = CircuitLimit(120, 131072) if limited else None
        self.route = Route(kind, Direction.OUTBOUND, ADDRESS, limit)
        self.limited = limited
        self.relayed = kind is Kind.CIRCUIT
        self.closed = self.superseded = False
        self.opened_at = 0.0
        self.heard_at = 0.0
        self.silent_since: float | None = None
        self.round_trip = RoundTrip()
        if rtt is not None:
            self.round_trip.add(rtt)


def made(*fakes: FakePath) -> tuple[Paths, list[Connection]]:
    connections = [cast("Connection", fake) for fake in fakes]
    return Paths(lambda: connections), connections


def answer(paths: Paths, connection: Connection, now: float) -> None:
    connection.heard_at = now
    paths.heard(connection, now)


DIRECT, PLAIN = FakePath(Kind.WEBRTC), FakePath(Kind.TCP)
CIRCUIT, LIMITED = FakePath(Kind.CIRCUIT), FakePath(Kind.CIRCUIT, limited=True)


def test_the_ranking() -> None:
    paths, connections = made(LIMITED, PLAIN, CIRCUIT, DIRECT)
    assert [rank(one) for one in paths.in_order()] == list(Rank)
    direct, limited = connections[3], connections[0]
    assert paths.better_than(direct, 0.0) == []
    assert paths.better_than(limited, 0.0) == [direct]


def test_a_suspected_path_is_left_and_returned_to_when_it_has_answered_for_a_while() -> None:
    paths, (direct, circuit) = made(FakePath(Kind.WEBRTC), FakePath(Kind.CIRCUIT))
    paths.suspect(direct, 10.0)
    assert paths.better_than(direct, 10.0) == [circuit]
    assert paths.better_than(circuit, 20.0) == [], "it has not answered"
    answer(paths, direct, 20.0)
    assert paths.better_than(circuit, 20.9) == []
    assert paths.better_than(circuit, 21.0) == [direct]


def test_the_way_back_takes_longer_each_time_and_is_forgiven() -> None:
    paths, (direct, circuit) = made(FakePath(Kind.WEBRTC), FakePath(Kind.CIRCUIT))
    now = 0.0
    for wait in (1.0, 2.0, 4.0, 8.0, 16.0, 16.0):
        paths.suspect(direct, now)
        answer(paths, direct, now + 2)
        assert paths.better_than(circuit, now + 2 + wait - 0.01) == []
        assert paths.better_than(circuit, now + 2 + wait) == [direct]
        now += 20.0
    now += 61.0
    paths.suspect(direct, now)
    answer(paths, direct, now + 2)
    assert paths.better_than(circuit, now + 3) == [direct]


def test_when_the_present_path_fails_one_that_has_just_answered_again_will_do() -> None:
    paths, (direct, circuit) = made(FakePath(Kind.WEBRTC), FakePath(Kind.CIRCUIT))
    paths.suspect(direct, 10.0)
    answer(paths, direct, 13.0)
    paths.suspect(circuit, 13.1)
    assert paths.better_than(circuit, 13.1) == [direct]


def test_nobody_moves_to_what_does_not_answer() -> None:
    paths, (direct, circuit) = made(FakePath(Kind.WEBRTC), FakePath(Kind.CIRCUIT))
    circuit.silent_since = 5.0
    paths.suspect(direct, 10.0)
    assert paths.better_than(direct, 10.0) == []
    circuit.silent_since = None
    assert paths.better_than(direct, 10.0) == [circuit]


def test_a_silent_path_is_left() -> None:
    paths, (direct, circuit) = made(FakePath(Kind.WEBRTC), FakePath(Kind.CIRCUIT))
    direct.silent_since = 5.0
    assert paths.better_than(direct, 10.0) == [circuit]
    assert paths.in_order() == [circuit, direct]


def test_what_was_suspected_wrongly_is_given_more_time() -> None:
    paths, (direct,) = made(FakePath(Kind.WEBRTC))
    for now, factor in ((0.0, 2.0), (10.0, 4.0), (20.0, 4.0)):
        paths.suspect(direct, now)
        answer(paths, direct, now + 0.5)
        assert paths.patience(direct) == factor
    paths.suspect(direct, 30.0)
    answer(paths, direct, 35.0)
    assert paths.patience(direct) == 1.0, "that one was right"
    paths.suspect(direct, 40.0)
    answer(paths, direct, 40.5)
    paths.suspect(direct, 100.6)
    assert paths.patience(direct) == 1.0, "long ago"


def test_what_came_before_the_suspicion_is_no_answer() -> None:
    paths, (direct, circuit) = made(FakePath(Kind.WEBRTC), FakePath(Kind.CIRCUIT))
    direct.heard_at = 10.0
    paths.suspect(direct, 10.0)
    paths.heard(direct, 10.1)
    assert paths.better_than(direct, 10.1) == [circuit]


@pytest.mark.parametrize(
    ("mine", "theirs", "moves"),
    [(0.10, 0.20, True), (0.15, 0.20, False), (0.001, 0.015, False), (None, 0.2, False)],
)
def test_among_equals_a_clearly_shorter_round_trip_wins(
    mine: float | None, theirs: float, moves: bool
) -> None:
    paths, (one, other) = made(FakePath(Kind.CIRCUIT, rtt=theirs), FakePath(Kind.CIRCUIT, rtt=mine))
    paths.moved(100.0)
    assert paths.better_than(one, 109.0) == []
    assert paths.better_than(one, 110.0) == ([other] if moves else [])


def test_a_connection_that_has_a_successor_is_left_for_it() -> None:
    old, new = FakePath(Kind.CIRCUIT, rtt=0.01), FakePath(Kind.CIRCUIT)
    old.superseded = True  # type: ignore[attr-defined]
    paths, (before, after) = made(old, new)
    assert paths.better_than(before, 0.0) == [after]
    assert paths.better_than(after, 1e6) == []


def test_a_path_that_fails_is_left_for_one_of_another_sort_first() -> None:
    paths, (direct, older, circuit) = made(
        FakePath(Kind.WEBRTC), FakePath(Kind.WEBRTC), FakePath(Kind.CIRCUIT)
    )
    paths.suspect(direct, 5.0)
    assert paths.better_than(direct, 5.0) == [circuit, older]
    paths.suspect(circuit, 6.0)
    assert paths.better_than(circuit, 6.0) == [older]


def test_reasons() -> None:
    paths, (direct, circuit, silent) = made(
        FakePath(Kind.WEBRTC, rtt=0.02), FakePath(Kind.CIRCUIT), FakePath(Kind.CIRCUIT, limited=True)
    )
    silent.silent_since = 1.0
    reports = paths.reports(direct)
    assert [(one.connection, one.state, one.rtt) for one in reports] == [
        (direct, PathState.USED, 0.02),
        (circuit, PathState.READY, None),
        (silent, PathState.SILENT, None),
    ]
    assert [one.reason for one in reports] == [
        "Used: a direct connection, the best there is.",
        "In reserve: a circuit without limits.",
        "Not used: a circuit with limits that does not answer.",
    ]
    paths.suspect(direct, 5.0)
    by_path = {one.connection: one.reason for one in paths.reports(circuit)}
    assert by_path[circuit] == "Used: a circuit without limits, as a direct connection has failed lately."
    assert by_path[direct] == "Not used: a direct connection on which nothing was acknowledged."


def test_closed_paths_are_forgotten() -> None:
    paths, connections = made(*(FakePath(Kind.WEBRTC) for _ in range(5)))
    for now, connection in enumerate(connections):
        paths.suspect(connection, float(now))
        connection.closed = True  # type: ignore[misc]
    assert len(paths._doubts) == 1

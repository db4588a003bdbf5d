"""The reservation keeper: every pair of state and event, times, and back-off."""

from __future__ import annotations

import itertools

import pytest

from p2pchat_core.errors import LocalProtocolError
from p2pchat_core.limits import (
    RELAY_REFUSED_RETRY_MAX,
    RELAY_REFUSED_RETRY_MIN,
    RELAY_RETRY_MAX,
    RESERVATION_MAX_SPAN,
    RESERVATION_MIN_REFRESH,
    RESERVATION_MIN_SPAN,
)
from p2pchat_core.wire.reservation import (
    IGNORED,
    TRANSITIONS,
    ActionKind,
    Event,
    NextAction,
    ReservationKeeper,
    ReservationState,
)

START = 1000.0
UNIX = 1_700_000_000.0
HOUR = 3600.0

CONNECT, RESERVE, WAIT = ActionKind.CONNECT, ActionKind.RESERVE, ActionKind.WAIT


def _keeper(jitter: float = 0.0) -> ReservationKeeper:
    return ReservationKeeper(START, lambda: jitter)


def _reserved(span: float = HOUR, jitter: float = 0.0) -> ReservationKeeper:
    keeper = _keeper(jitter)
    assert keeper.next_action(START).kind is CONNECT
    keeper.connected(START)
    assert keeper.next_action(START).kind is RESERVE
    keeper.reserved(START, UNIX + span, UNIX)
    return keeper


def _in(state: ReservationState) -> ReservationKeeper:
    keeper = _keeper()
    match state:
        case ReservationState.CONNECTING:
            keeper.next_action(START)
        case ReservationState.RESERVED:
            return _reserved()
        case ReservationState.LOST | ReservationState.REFUSED:
            keeper.next_action(START)
            keeper.failed(START, "no", refused=state is ReservationState.REFUSED)
        case _:
            pass
    assert keeper.state is state
    return keeper


def _fire(keeper: ReservationKeeper, event: Event) -> None:
    match event:
        case Event.CONNECTED:
            keeper.connected(START)
        case Event.RESERVED:
            keeper.reserved(START, UNIX + HOUR, UNIX)
        case Event.FAILED | Event.REFUSED:
            keeper.failed(START, "no", refused=event is Event.REFUSED)
        case Event.LOST:
            keeper.lost(START)
        case Event.DUE | Event.EXPIRED:
            keeper.next_action(START + 2 * HOUR)


_REPORTED = [event for event in Event if event not in (Event.DUE, Event.EXPIRED)]


@pytest.mark.parametrize(("state", "event"), [*itertools.product(ReservationState, _REPORTED)])
def test_every_pair(state: ReservationState, event: Event) -> None:
    keeper = _in(state)
    if (state, event) in TRANSITIONS:
        _fire(keeper, event)
        assert keeper.state is TRANSITIONS[state, event]
    elif (state, event) in IGNORED:
        before = keeper.next_action(START) if state is not ReservationState.IDLE else None
        _fire(keeper, event)
        assert keeper.state is state
        if before is not None and before.kind is WAIT:
            assert keeper.next_action(START) == before
    else:
        with pytest.raises(LocalProtocolError):
            _fire(keeper, event)
        assert keeper.state is state


@pytest.mark.parametrize(
    "state", [ReservationState.IDLE, ReservationState.LOST, ReservationState.REFUSED], ids=str
)
def test_due(state: ReservationState) -> None:
    keeper = _in(state)
    _fire(keeper, Event.DUE)
    assert keeper.state is TRANSITIONS[state, Event.DUE]


def test_expired() -> None:
    keeper = _reserved(HOUR)
    keeper.failed(START + HOUR - 1, "no answer", refused=False)
    assert keeper.expires == UNIX + HOUR
    assert keeper.next_action(START + HOUR).kind is WAIT
    assert keeper.state is ReservationState.LOST
    assert "expired" in keeper.reason
    assert keeper.expires is None


def test_tables_are_disjoint_and_leave_only_our_mistakes() -> None:
    assert not IGNORED & TRANSITIONS.keys()
    illegal = {*itertools.product(ReservationState, Event)} - TRANSITIONS.keys() - IGNORED
    internal = {pair for pair in illegal if pair[1] in (Event.DUE, Event.EXPIRED)}
    idle, refused = ReservationState.IDLE, ReservationState.REFUSED
    assert illegal - internal == {
        (idle, Event.RESERVED),
        (idle, Event.FAILED),
        (idle, Event.REFUSED),
        (refused, Event.RESERVED),
        (refused, Event.REFUSED),
    }


def test_first_reservation() -> None:
    keeper = _keeper()
    assert keeper.next_action(START) == NextAction(CONNECT, START)
    assert keeper.next_action(START + 5) == NextAction(CONNECT, START + 5)  # the same until it is reported
    keeper.connected(START + 5)
    assert keeper.next_action(START + 5) == NextAction(RESERVE, START + 5)
    keeper.reserved(START + 6, UNIX + HOUR, UNIX)
    assert keeper.state is ReservationState.RESERVED
    assert keeper.expires == UNIX + HOUR
    assert keeper.next_action(START + 6) == NextAction(WAIT, START + 6 + HOUR - 300)


def test_connection_made_by_someone_else_is_used_at_once() -> None:
    keeper = _keeper()
    keeper.connected(START)
    assert keeper.next_action(START).kind is RESERVE
    keeper = _in(ReservationState.LOST)
    keeper.connected(START)
    assert keeper.next_action(START).kind is RESERVE


@pytest.mark.parametrize(
    ("span", "refresh"),
    [
        (2 * HOUR, 2 * HOUR - 300),
        (HOUR, HOUR - 300),
        (330.0, RESERVATION_MIN_REFRESH),
        (100.0, RESERVATION_MIN_REFRESH),
        (-1e9, RESERVATION_MIN_REFRESH),  # their clock is behind ours, or they sent nonsense
        (1e12, RESERVATION_MAX_SPAN - 300),
    ],
)
def test_refresh_time(span: float, refresh: float) -> None:
    keeper = _reserved(span)
    assert keeper.next_action(START) == NextAction(WAIT, START + refresh)
    assert keeper.next_action(START + refresh).kind is RESERVE
    assert keeper.state is ReservationState.RESERVED  # reachable all the while
    keeper.reserved(START + refresh, UNIX + refresh + span, UNIX + refresh)
    assert keeper.next_action(START + refresh) == NextAction(WAIT, START + 2 * refresh)
    assert keeper.expires is not None
    assert RESERVATION_MIN_SPAN <= keeper.expires - UNIX - refresh <= RESERVATION_MAX_SPAN


def test_refresh_jitter_makes_it_earlier_only() -> None:
    assert _reserved(HOUR, 0.999).next_action(START).at == pytest.approx(START + 0.9001 * 3300)
    assert _reserved(60.0, 0.999).next_action(START).at == START + RESERVATION_MIN_REFRESH


def test_failed_refresh_is_repeated_while_the_reservation_holds() -> None:
    keeper = _reserved(HOUR)
    now = START + 3300
    assert keeper.next_action(now).kind is RESERVE
    keeper.failed(now, "no answer", refused=False)
    assert keeper.state is ReservationState.RESERVED
    assert keeper.reason == ""
    assert keeper.next_action(now) == NextAction(WAIT, now + 0.5)
    assert keeper.next_action(now + 0.5).kind is RESERVE


def _delays(keeper: ReservationKeeper, *, refused: bool, count: int) -> list[float]:
    now, delays = START, []
    for _ in range(count):
        assert keeper.next_action(now).kind is CONNECT
        keeper.failed(now, "no", refused=refused)
        action = keeper.next_action(now)
        assert action.kind is WAIT
        delays.append(action.at - now)
        now = action.at
    return delays


def test_back_off_after_failures() -> None:
    assert _delays(_keeper(), refused=False, count=9) == [0.5, 1, 2, 4, 8, 8, 8, 8, 8]
    assert _delays(_keeper(0.5), refused=False, count=3) == [0.375, 0.75, 1.5]
    assert _delays(_keeper(), refused=False, count=40)[-1] == RELAY_RETRY_MAX


def test_back_off_after_refusals() -> None:
    assert _delays(_keeper(), refused=True, count=7) == [30, 60, 120, 240, 480, 600, 600]
    jittered = _delays(_keeper(0.999), refused=True, count=30)
    assert min(jittered) == RELAY_REFUSED_RETRY_MIN
    assert max(jittered) <= RELAY_REFUSED_RETRY_MAX


def test_reason_and_success() -> None:
    keeper = _in(ReservationState.REFUSED)
    assert keeper.reason == "no"
    now = START + RELAY_REFUSED_RETRY_MIN
    keeper.next_action(now)
    keeper.connected(now)
    keeper.reserved(now, UNIX + HOUR, UNIX)
    assert keeper.reason == ""
    keeper.failed(now, "full", refused=True)
    assert keeper.state is ReservationState.REFUSED
    assert keeper.expires is None
    assert keeper.next_action(now).at == now + RELAY_REFUSED_RETRY_MIN  # counted from the beginning again


def test_refused_relay_is_asked_again_over_the_connection_that_is_there() -> None:
    keeper = _keeper()
    keeper.connected(START)
    keeper.failed(START, "full", refused=True)
    assert keeper.next_action(START + RELAY_REFUSED_RETRY_MIN).kind is RESERVE
    keeper.lost(START + 31)
    assert keeper.state is ReservationState.LOST
    keeper = _in(ReservationState.REFUSED)
    keeper.connected(START)
    keeper.lost(START)
    assert keeper.next_action(START + RELAY_REFUSED_RETRY_MIN).kind is CONNECT


@pytest.mark.parametrize(("lasted", "delay"), [(RELAY_RETRY_MAX, 0.5), (RELAY_RETRY_MAX - 0.5, 4.0)])
def test_only_a_steady_reservation_starts_the_back_off_anew(lasted: float, delay: float) -> None:
    keeper = _keeper()
    assert keeper.reason == ""
    _delays(keeper, refused=False, count=3)
    now = START + 10
    keeper.next_action(now)
    keeper.connected(now)
    keeper.reserved(now, UNIX + HOUR, UNIX)
    now += lasted
    keeper.lost(now)
    assert keeper.reason
    assert keeper.next_action(now) == NextAction(WAIT, now + delay)
    assert keeper.next_action(now + delay).kind is CONNECT


def test_relay_that_grants_and_hangs_up_is_backed_off_from() -> None:
    keeper, now, delays = _keeper(), START, []
    for _ in range(8):
        assert keeper.next_action(now).kind is CONNECT
        keeper.connected(now)
        keeper.reserved(now, UNIX + HOUR, UNIX)
        keeper.lost(now)
        delays.append(keeper.next_action(now).at - now)
        now = keeper.next_action(now).at
    assert delays == [0.5, 1, 2, 4, 8, 8, 8, 8]


def test_loss_and_failure_of_one_accident_count_once() -> None:
    keeper = _reserved()
    keeper.next_action(START + 3300)
    keeper.lost(START + 3300)
    keeper.failed(START + 3300, "reset", refused=False)
    assert keeper.next_action(START + 3300).at == START + 3300.5
    keeper.reserved(START + 3300, UNIX + HOUR, UNIX)  # an answer that came too late
    assert keeper.state is ReservationState.LOST


@pytest.mark.parametrize("state", [ReservationState.LOST, ReservationState.REFUSED], ids=str)
def test_retry_now(state: ReservationState) -> None:
    keeper = _in(state)
    keeper.retry_now(START + 0.1)
    assert keeper.next_action(START + 0.1).kind is CONNECT
    keeper.failed(START + 0.1, "no", refused=False)
    assert keeper.next_action(START + 0.1).at == pytest.approx(START + 0.6)


@pytest.mark.parametrize("state", [ReservationState.RESERVED, ReservationState.LOST], ids=str)
def test_renew_now(state: ReservationState) -> None:
    keeper = _in(state)
    before = keeper.next_action(START + 0.1)
    keeper.renew_now(START + 0.1)
    assert keeper.state is state
    if state is ReservationState.RESERVED:
        assert before.kind is WAIT
        assert keeper.next_action(START + 0.1) == NextAction(RESERVE, START + 0.1)
    else:
        assert keeper.next_action(START + 0.1) == before


def test_retry_now_does_not_disturb_a_reservation() -> None:
    keeper = _reserved()
    keeper.retry_now(START + 1)
    assert keeper.next_action(START + 1).kind is WAIT


@pytest.mark.parametrize("jitter", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("silent", [True, False])
def test_a_relay_that_is_back_is_found_within_ten_seconds(jitter: float, silent: bool) -> None:
    """Whenever it comes back, and whether its machine refused connections before or swallowed them."""
    patience = 10.0 if silent else 0.0
    for back in range(int(START) + 300, int(START) + 400):
        keeper, now = _keeper(jitter), START
        while True:
            action = keeper.next_action(now)
            if action.kind is WAIT:
                assert action.at > now
                now = action.at
                continue
            # TCP itself knocks again after 1, 3 and 7 seconds at a door where nobody answers.
            knocks = [now + wait for wait in ((0, 1, 3, 7) if silent else (0,))]
            heard = next((knock for knock in knocks if knock >= back), None)
            if heard is not None:
                assert heard - back <= 10.0
                break
            now += patience
            keeper.failed(now, "Nobody answers.", refused=False)


def test_attempts_that_take_long_are_not_followed_by_a_long_wait() -> None:
    keeper, now = _keeper(), START
    for _ in range(6):
        assert keeper.next_action(now).kind is CONNECT
        now += 10.0
        keeper.failed(now, "Nobody answers.", refused=False)
        due = keeper.next_action(now).at
        assert due - now == 0.5
        now = due

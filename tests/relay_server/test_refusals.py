from __future__ import annotations

import logging

import pytest

from p2pchat_relay.limits import REFUSAL_LOG_BURST
from p2pchat_relay.observer import NullObserver
from p2pchat_relay.policy import Verdict
from p2pchat_relay.refusals import Refusals
from tests.relay_server.fakes import FakeClock, key


class Counting(NullObserver):
    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str]] = []
        self.connections: list[str] = []

    def request_refused(self, request: str, status: str, reason: str) -> None:
        self.requests.append((request, status, reason))

    def connection_refused(self, reason: str) -> None:
        self.connections.append(reason)


def test_a_flood_is_counted_but_not_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    observer, clock = Counting(), FakeClock()
    refusals = Refusals(observer, clock)
    for _ in range(10_000):
        refusals.request("reserve", key(1).peer_id, Verdict.IP_FULL)
        refusals.connection("203.0.113.1", "accept_rate")
    assert len(observer.requests) == len(observer.connections) == 10_000
    assert observer.requests[0] == ("reserve", "reservation_refused", "max_reservations_per_ip")
    assert len(caplog.messages) == REFUSAL_LOG_BURST
    caplog.clear()
    clock.now += 1.0
    refusals.connection("203.0.113.1", "per_ip")
    assert caplog.messages == [
        f"{20_000 - REFUSAL_LOG_BURST} more refusals were not logged",
        "refused a connection from 203.0.113.1: per_ip",
    ]


def test_what_was_left_out_is_said_in_the_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    refusals = Refusals(NullObserver(), FakeClock())
    for _ in range(REFUSAL_LOG_BURST + 3):
        refusals.connection("2001:db8::1", "per_ip")
    caplog.clear()
    refusals.flush()
    refusals.flush()
    assert caplog.messages == ["3 more refusals were not logged"]


def test_both_ends_are_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    a, b = key(1).peer_id, key(2).peer_id
    Refusals(NullObserver(), FakeClock()).request("connect", a, Verdict.NO_RESERVATION, b)
    assert caplog.messages == [
        f"refused connect from {a.short()} to {b.short()}: NO_RESERVATION (no_reservation)"
    ]

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat_relay.bandwidth import Bandwidth
from p2pchat_relay.limits import BANDWIDTH_PEERS, RelayLimits
from tests.relay_server.fakes import key

A, B, C, D = (key(number).peer_id for number in range(4))

FREE = {"circuit_bytes_per_second": 0, "peer_bytes_per_second": 0, "total_bytes_per_second": 0}


def limits(**given: int) -> RelayLimits:
    return RelayLimits(**{**FREE, **given})


def test_a_circuit_has_its_burst_and_then_its_rate() -> None:
    pace = Bandwidth(limits(circuit_bytes_per_second=100, circuit_burst_bytes=1000)).pace(
        A, B, 0.0, trusted=False
    )
    assert pace.spend(600, 0.0) == 0
    assert pace.spend(400, 0.0) == 0
    assert pace.spend(50, 0.0) == pytest.approx(0.5)
    assert pace.spend(50, 0.0) == pytest.approx(1.0), "both directions draw from one bucket"
    assert pace.spend(100, 2.0) == 0


def test_circuits_have_their_own() -> None:
    bandwidth = Bandwidth(limits(circuit_bytes_per_second=100, circuit_burst_bytes=100))
    one, two = (bandwidth.pace(A, B, 0.0, trusted=False) for _ in range(2))
    assert one.spend(200, 0.0) > 0
    assert two.spend(100, 0.0) == 0


def test_a_peer_has_one_for_all_its_circuits_as_source_and_target() -> None:
    bandwidth = Bandwidth(limits(peer_bytes_per_second=100, peer_burst_bytes=100))
    assert bandwidth.pace(A, B, 0.0, trusted=False).spend(100, 0.0) == 0
    assert bandwidth.pace(C, A, 0.0, trusted=False).spend(100, 0.0) == pytest.approx(1.0)
    assert bandwidth.pace(D, D, 0.0, trusted=False).spend(100, 0.0) == 0, "both ends are one peer"


def test_opening_another_circuit_gives_no_new_burst() -> None:
    bandwidth = Bandwidth(limits(peer_bytes_per_second=100, peer_burst_bytes=100))
    assert bandwidth.pace(A, B, 0.0, trusted=False).spend(100, 0.0) == 0
    for _ in range(10):
        assert bandwidth.pace(A, C, 0.0, trusted=False).spend(1, 0.0) > 0


def test_all_together() -> None:
    bandwidth = Bandwidth(limits(total_bytes_per_second=100, total_burst_bytes=100))
    assert bandwidth.pace(A, B, 0.0, trusted=False).spend(100, 0.0) == 0
    assert bandwidth.pace(C, D, 0.0, trusted=False).spend(50, 0.0) == pytest.approx(0.5)


def test_the_slowest_decides() -> None:
    bandwidth = Bandwidth(
        RelayLimits(
            circuit_bytes_per_second=100,
            circuit_burst_bytes=0,
            peer_bytes_per_second=50,
            peer_burst_bytes=0,
            total_bytes_per_second=10,
            total_burst_bytes=0,
        )
    )
    assert bandwidth.pace(A, B, 0.0, trusted=False).spend(100, 0.0) == pytest.approx(10.0)
    assert bandwidth.pace(C, D, 100.0, trusted=True).spend(20, 100.0) == pytest.approx(2.0)


def test_a_trusted_circuit_counts_only_in_all() -> None:
    bandwidth = Bandwidth(
        limits(circuit_bytes_per_second=1, circuit_burst_bytes=1, peer_bytes_per_second=1, peer_burst_bytes=1)
    )
    assert bandwidth.pace(A, B, 0.0, trusted=True).spend(1 << 30, 0.0) == 0
    assert bandwidth.table_size == 0


def test_a_change_reaches_open_circuits() -> None:
    bandwidth = Bandwidth(limits())
    pace = bandwidth.pace(A, B, 0.0, trusted=False)
    assert pace.spend(1 << 30, 0.0) == 0
    bandwidth.configure(limits(circuit_bytes_per_second=100, circuit_burst_bytes=100))
    assert pace.spend(200, 10.0) == pytest.approx(1.0)
    bandwidth.configure(limits())
    assert pace.spend(1 << 30, 10.0) == 0
    bandwidth.configure(limits(total_bytes_per_second=100, total_burst_bytes=0))
    assert pace.spend(100, 20.0) == pytest.approx(1.0)


def test_the_table_of_peers_is_bounded() -> None:
    bandwidth = Bandwidth(limits(peer_bytes_per_second=100, peer_burst_bytes=100))
    for number in range(0, 2 * BANDWIDTH_PEERS + 10, 2):
        # Ids that are as different as keys are, without the time that keys take.
        source, target = (
            type(A).from_bytes(b"\x12\x20" + n.to_bytes(32, "big")) for n in (number, number + 1)
        )
        bandwidth.pace(source, target, 0.0, trusted=False).spend(1, 0.0)
    assert bandwidth.table_size == BANDWIDTH_PEERS


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(0, 3), st.integers(1, 400)), max_size=60))
@settings(max_examples=60)
def test_who_waits_as_told_stays_within_every_rate(steps: list[tuple[float, int, int]]) -> None:
    given_limits = RelayLimits(
        circuit_bytes_per_second=100,
        circuit_burst_bytes=300,
        peer_bytes_per_second=150,
        peer_burst_bytes=400,
        total_bytes_per_second=200,
        total_burst_bytes=500,
    )
    bandwidth = Bandwidth(given_limits)
    ends = [(A, B), (A, C), (B, D), (C, D)]
    paces = [bandwidth.pace(*pair, 0.0, trusted=False) for pair in ends]
    now, passed, total = 0.0, [0] * 4, 0
    for gap, circuit, count in steps:
        now += gap
        now += paces[circuit].spend(count, now)  # one after the other: everybody waits for everybody
        passed[circuit] += count
        total += count
        assert passed[circuit] <= 300 + 100 * now + 1e-6
        for peer in (A, B, C, D):
            assert (
                sum(n for n, pair in zip(passed, ends, strict=True) if peer in pair) <= 400 + 150 * now + 1e-6
            )
        assert total <= 500 + 200 * now + 1e-6

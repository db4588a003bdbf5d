from __future__ import annotations

from p2pchat_core.wire.round_trips import RoundTrip


def test_nothing_measured_is_given_the_most() -> None:
    assert RoundTrip().patience(0.1, 3.0) == 3.0


def test_the_numbers_of_rfc_6298() -> None:
    trip = RoundTrip()
    trip.add(0.4)
    assert (trip.smoothed, trip.variation) == (0.4, 0.2)
    trip.add(0.8)
    assert trip.smoothed is not None
    assert abs(trip.smoothed - 0.45) < 1e-9
    assert abs(trip.variation - 0.25) < 1e-9
    assert abs(trip.patience(0.0, 100.0) - 1.45) < 1e-9
    assert abs(trip.patience(0.0, 100.0, trips=2) - 2.9) < 1e-9


def test_the_bounds_hold() -> None:
    trip = RoundTrip()
    for _ in range(50):
        trip.add(0.01)
    assert trip.patience(0.7, 2.5) == 0.7
    for _ in range(50):
        trip.add(9.0)
    assert trip.patience(0.7, 2.5) == 2.5

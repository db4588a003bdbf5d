from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.wire.circuit import Status
from p2pchat_relay.limits import RelayLimits
from p2pchat_relay.policy import RelayPolicy
from p2pchat_relay.sources import Source
from tests.relay_server.fakes import key

PEERS = [key(number).peer_id for number in range(12)]
A, B, C, D = PEERS[:4]
IP = "198.51.100.7"


def test_a_reservation_lasts_its_time_and_not_longer() -> None:
    policy = RelayPolicy(RelayLimits(reservation_seconds=60))
    assert policy.reserve(A, IP, 100.0) is Status.OK
    assert policy.reserved(A, 159.9)
    assert not policy.reserved(A, 160.0)
    assert policy.connect(B, A, 160.0) is Status.NO_RESERVATION
    assert policy.reservations == 1
    policy.expire(160.0)
    assert policy.table_size == 0


def test_renewing_takes_no_second_slot() -> None:
    policy = RelayPolicy(RelayLimits(max_reservations=1, reservation_seconds=60))
    for now in range(0, 500, 50):
        assert policy.reserve(A, IP, float(now)) is Status.OK
        assert policy.reservations == 1
    assert policy.reserved(A, 505.0)
    assert policy.reserve(B, IP, 505.0) is Status.RESERVATION_REFUSED


def test_a_full_relay_refuses_until_somebody_leaves_or_runs_out() -> None:
    policy = RelayPolicy(RelayLimits(max_reservations=2, reservation_seconds=60))
    assert policy.reserve(A, IP, 0.0) is Status.OK
    assert policy.reserve(B, IP, 30.0) is Status.OK
    assert policy.reserve(C, IP, 30.0) is Status.RESERVATION_REFUSED
    policy.release(A)
    assert policy.reserve(C, IP, 30.0) is Status.OK
    assert policy.reserve(D, IP, 89.0) is Status.RESERVATION_REFUSED
    assert policy.reserve(D, IP, 90.0) is Status.OK


def test_one_address_cannot_take_everything() -> None:
    policy = RelayPolicy(RelayLimits(max_reservations_per_ip=2))
    assert [policy.reserve(p, "203.0.113.1", 0.0) for p in PEERS[:3]] == [
        Status.OK,
        Status.OK,
        Status.RESERVATION_REFUSED,
    ]
    assert policy.reserve(C, "::ffff:203.0.113.1", 0.0) is Status.RESERVATION_REFUSED
    assert policy.reserve(C, "203.0.113.2", 0.0) is Status.OK


def test_ipv6_is_counted_by_64_and_48() -> None:
    policy = RelayPolicy(RelayLimits(max_reservations_per_ip=1, max_reservations_per_site=2))
    assert policy.reserve(A, "2001:db8:1:1::1", 0.0) is Status.OK
    assert policy.reserve(B, "2001:db8:1:1::2", 0.0) is Status.RESERVATION_REFUSED
    assert policy.reserve(B, "2001:db8:1:2::1", 0.0) is Status.OK
    assert policy.reserve(C, "2001:db8:1:3::1", 0.0) is Status.RESERVATION_REFUSED
    assert policy.reserve(C, "2001:db8:2:3::1", 0.0) is Status.OK


def test_this_machine_is_exempt_from_the_limits_per_address() -> None:
    policy = RelayPolicy(RelayLimits(max_reservations_per_ip=1, max_reservations_per_site=1))
    for peer in PEERS:
        assert policy.reserve(peer, "127.0.0.1", 0.0) is Status.OK
    assert policy.table_size == len(PEERS)


def test_moving_to_a_full_address_keeps_the_old_reservation() -> None:
    policy = RelayPolicy(RelayLimits(max_reservations_per_ip=1))
    assert policy.reserve(A, "203.0.113.1", 0.0) is Status.OK
    assert policy.reserve(B, "203.0.113.2", 0.0) is Status.OK
    assert policy.reserve(A, "203.0.113.2", 1.0) is Status.RESERVATION_REFUSED
    assert policy.reserved(A, 1.0)
    assert policy.reserve(C, "203.0.113.1", 1.0) is Status.RESERVATION_REFUSED
    assert policy.reserve(A, "203.0.113.3", 1.0) is Status.OK
    assert policy.reserve(C, "203.0.113.1", 1.0) is Status.OK


def test_moving_within_a_full_site_or_renewing_at_a_full_address_is_allowed() -> None:
    policy = RelayPolicy(RelayLimits(max_reservations_per_ip=1, max_reservations_per_site=1))
    assert policy.reserve(A, "2001:db8:1:1::1", 0.0) is Status.OK
    assert policy.reserve(A, "2001:db8:1:1::2", 0.0) is Status.OK
    assert policy.reserve(A, "2001:db8:1:2::1", 0.0) is Status.OK
    assert policy.reserve(B, "2001:db8:1:3::1", 0.0) is Status.RESERVATION_REFUSED
    policy.release(A)
    assert policy.table_size == 0


def test_circuits_are_counted_for_both_ends() -> None:
    policy = RelayPolicy(RelayLimits(max_circuits_per_peer=2))
    for peer in PEERS[:4]:
        policy.reserve(peer, IP, 0.0)
    assert policy.connect(A, B, 0.0) is Status.OK
    assert policy.connect(C, A, 0.0) is Status.OK
    assert policy.connect(A, D, 0.0) is Status.RESOURCE_LIMIT_EXCEEDED
    assert policy.connect(D, A, 0.0) is Status.RESOURCE_LIMIT_EXCEEDED
    policy.disconnect(C, A)
    assert policy.connect(D, A, 0.0) is Status.OK
    assert policy.circuits == 2


def test_circuits_are_bounded_in_all() -> None:
    policy = RelayPolicy(RelayLimits(max_circuits=1))
    policy.reserve(B, IP, 0.0)
    assert policy.connect(A, B, 0.0) is Status.OK
    assert policy.connect(C, B, 0.0) is Status.RESOURCE_LIMIT_EXCEEDED


def test_no_reservation_is_said_before_too_many_circuits() -> None:
    policy = RelayPolicy(RelayLimits(max_circuits=0))
    assert policy.connect(A, B, 0.0) is Status.NO_RESERVATION
    policy.reserve(B, IP, 0.0)
    assert policy.connect(A, B, 0.0) is Status.RESOURCE_LIMIT_EXCEEDED


def test_a_circuit_to_oneself_counts_for_both_ends_too() -> None:
    policy = RelayPolicy(RelayLimits(max_circuits_per_peer=2))
    policy.reserve(A, IP, 0.0)
    assert policy.connect(A, A, 0.0) is Status.OK
    assert policy.connect(A, A, 0.0) is Status.RESOURCE_LIMIT_EXCEEDED
    policy.disconnect(A, A)
    policy.release(A)
    assert policy.table_size == 0


def test_giving_a_circuit_back_twice_is_a_mistake() -> None:
    policy = RelayPolicy(RelayLimits())
    policy.reserve(B, IP, 0.0)
    policy.connect(A, B, 0.0)
    policy.disconnect(A, B)
    with pytest.raises(ValueError, match="not open"):
        policy.disconnect(A, B)
    assert policy.circuits == 0


def test_reserving_and_leaving_a_hundred_thousand_times_leaves_nothing() -> None:
    policy = RelayPolicy(RelayLimits())
    peers = [PeerId.from_bytes(bytes([0x12, 0x20]) + number.to_bytes(32, "big")) for number in range(500)]
    for turn in range(100_000):
        peer = peers[turn % len(peers)]
        assert policy.reserve(peer, IP if turn % 3 else "2001:db8::1", float(turn)) is Status.OK
        assert policy.table_size <= 3
        policy.release(peer)
    assert policy.table_size == 0


class PolicyMachine(RuleBasedStateMachine):
    """The policy against a model that recounts everything from scratch."""

    IPS = (
        "203.0.113.1",
        "::ffff:203.0.113.1",
        "203.0.113.2",
        "2001:db8:1:1::1",
        "2001:db8:1:2::1",
        "127.0.0.1",
    )
    LIMITS = RelayLimits(
        max_reservations=5,
        max_reservations_per_ip=2,
        max_reservations_per_site=3,
        reservation_seconds=10,
        max_circuits=6,
        max_circuits_per_peer=3,
    )

    def __init__(self) -> None:
        super().__init__()
        self.policy = RelayPolicy(self.LIMITS)
        self.now = 0.0
        self.slots: dict[PeerId, tuple[float, str]] = {}
        self.circuits: list[tuple[PeerId, PeerId]] = []

    def live(self) -> dict[PeerId, str]:
        return {peer: ip for peer, (expires, ip) in self.slots.items() if self.now < expires}

    @rule(peer=st.sampled_from(PEERS), ip=st.sampled_from(IPS))
    def reserve(self, peer: PeerId, ip: str) -> None:
        others = {p: Source.of(i) for p, i in self.live().items() if p != peer}
        source = Source.of(ip)
        counted = [s for s in others.values() if not s.loopback]
        allowed = len(others) < self.LIMITS.max_reservations or peer in self.live()
        if not source.loopback:
            allowed &= sum(s.host == source.host for s in counted) < self.LIMITS.max_reservations_per_ip
            if source.site is not None:
                allowed &= sum(s.site == source.site for s in counted) < self.LIMITS.max_reservations_per_site
        status = self.policy.reserve(peer, ip, self.now)
        assert status is (Status.OK if allowed else Status.RESERVATION_REFUSED)
        if allowed:
            self.slots[peer] = (self.now + self.LIMITS.reservation_seconds, ip)

    @rule(peer=st.sampled_from(PEERS))
    def leave(self, peer: PeerId) -> None:
        self.policy.release(peer)
        self.slots.pop(peer, None)

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(source=st.sampled_from(PEERS), other=st.sampled_from(PEERS))
    def connect(self, source: PeerId, other: PeerId) -> None:
        target = other  # hypothesis keeps the name `target` for itself

        def load(peer: PeerId) -> int:
            return sum((peer == s) + (peer == t) for s, t in [*self.circuits, (source, target)])

        full = len(self.circuits) >= self.LIMITS.max_circuits or (
            max(load(source), load(target)) > self.LIMITS.max_circuits_per_peer
        )
        status = self.policy.connect(source, target, self.now)
        if target not in self.live():
            assert status is Status.NO_RESERVATION
        elif full:
            assert status is Status.RESOURCE_LIMIT_EXCEEDED
        else:
            assert status is Status.OK
            self.circuits.append((source, target))

    @precondition(lambda self: self.circuits)
    @rule(data=st.data())
    def end_circuit(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.circuits) - 1))
        self.policy.disconnect(*self.circuits.pop(index))

    @invariant()
    def agrees(self) -> None:
        live = self.live()
        assert {peer for peer in PEERS if self.policy.reserved(peer, self.now)} == set(live)
        assert self.policy.circuits == len(self.circuits)
        self.policy.expire(self.now)
        assert self.policy.reservations == len(live)

    def teardown(self) -> None:
        for peer in PEERS:
            self.policy.release(peer)
        for circuit in self.circuits:
            self.policy.disconnect(*circuit)
        assert self.policy.table_size == 0
        assert self.policy.circuits == 0


PolicyMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPolicyMachine = PolicyMachine.TestCase

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.wire.circuit import Status
from p2pchat_relay.acl import Access, AccessList, Trust, parse_network
from p2pchat_relay.limits import RelayLimits
from p2pchat_relay.observer import Level
from p2pchat_relay.policy import Grant, RelayPolicy, Verdict
from p2pchat_relay.sources import Source
from tests.relay_server.fakes import key

PEERS = [key(number).peer_id for number in range(12)]
A, B, C, D = PEERS[:4]
IP = "198.51.100.7"


def test_a_reservation_lasts_its_time_and_not_longer() -> None:
    policy = RelayPolicy(RelayLimits(reservation_seconds=60))
    assert policy.reserve(A, IP, 100.0).status is Status.OK
    assert policy.reserved(A, 159.9)
    assert not policy.reserved(A, 160.0)
    assert policy.connect(B, IP, A, 160.0).status is Status.NO_RESERVATION
    assert policy.reservations == 1
    policy.expire(160.0)
    assert policy.table_size == 0


def test_renewing_takes_no_second_slot() -> None:
    policy = RelayPolicy(RelayLimits(max_reservations=1, reservation_seconds=60))
    for now in range(0, 500, 50):
        assert policy.reserve(A, IP, float(now)).status is Status.OK
        assert policy.reservations == 1
    assert policy.reserved(A, 505.0)
    assert policy.reserve(B, IP, 505.0).status is Status.RESERVATION_REFUSED


def test_a_full_relay_refuses_until_somebody_leaves_or_runs_out() -> None:
    policy = RelayPolicy(RelayLimits(max_reservations=2, reservation_seconds=60))
    assert policy.reserve(A, IP, 0.0).status is Status.OK
    assert policy.reserve(B, IP, 30.0).status is Status.OK
    assert policy.reserve(C, IP, 30.0).status is Status.RESERVATION_REFUSED
    policy.release(A)
    assert policy.reserve(C, IP, 30.0).status is Status.OK
    assert policy.reserve(D, IP, 89.0).status is Status.RESERVATION_REFUSED
    assert policy.reserve(D, IP, 90.0).status is Status.OK


def test_one_address_cannot_take_everything() -> None:
    policy = RelayPolicy(RelayLimits(max_reservations_per_ip=2))
    assert [policy.reserve(p, "203.0.113.1", 0.0).status for p in PEERS[:3]] == [
        Status.OK,
        Status.OK,
        Status.RESERVATION_REFUSED,
    ]
    assert policy.reserve(C, "::ffff:203.0.113.1", 0.0).status is Status.RESERVATION_REFUSED
    assert policy.reserve(C, "203.0.113.2", 0.0).status is Status.OK


def test_ipv6_is_counted_by_64_and_48() -> None:
    policy = RelayPolicy(RelayLimits(max_reservations_per_ip=1, max_reservations_per_site=2))
    assert policy.reserve(A, "2001:db8:1:1::1", 0.0).status is Status.OK
    assert policy.reserve(B, "2001:db8:1:1::2", 0.0).status is Status.RESERVATION_REFUSED
    assert policy.reserve(B, "2001:db8:1:2::1", 0.0).status is Status.OK
    assert policy.reserve(C, "2001:db8:1:3::1", 0.0).status is Status.RESERVATION_REFUSED
    assert policy.reserve(C, "2001:db8:2:3::1", 0.0).status is Status.OK


def test_this_machine_is_exempt_from_the_limits_per_address() -> None:
    policy = RelayPolicy(RelayLimits(max_reservations_per_ip=1, max_reservations_per_site=1))
    for peer in PEERS:
        assert policy.reserve(peer, "127.0.0.1", 0.0).status is Status.OK
    assert policy.table_size == len(PEERS)


def test_moving_to_a_full_address_keeps_the_old_reservation() -> None:
    policy = RelayPolicy(RelayLimits(max_reservations_per_ip=1))
    assert policy.reserve(A, "203.0.113.1", 0.0).status is Status.OK
    assert policy.reserve(B, "203.0.113.2", 0.0).status is Status.OK
    assert policy.reserve(A, "203.0.113.2", 1.0).status is Status.RESERVATION_REFUSED
    assert policy.reserved(A, 1.0)
    assert policy.reserve(C, "203.0.113.1", 1.0).status is Status.RESERVATION_REFUSED
    assert policy.reserve(A, "203.0.113.3", 1.0).status is Status.OK
    assert policy.reserve(C, "203.0.113.1", 1.0).status is Status.OK


def test_moving_within_a_full_site_or_renewing_at_a_full_address_is_allowed() -> None:
    policy = RelayPolicy(RelayLimits(max_reservations_per_ip=1, max_reservations_per_site=1))
    assert policy.reserve(A, "2001:db8:1:1::1", 0.0).status is Status.OK
    assert policy.reserve(A, "2001:db8:1:1::2", 0.0).status is Status.OK
    assert policy.reserve(A, "2001:db8:1:2::1", 0.0).status is Status.OK
    assert policy.reserve(B, "2001:db8:1:3::1", 0.0).status is Status.RESERVATION_REFUSED
    policy.release(A)
    assert policy.table_size == 0


def test_circuits_are_counted_for_both_ends() -> None:
    policy = RelayPolicy(RelayLimits(max_circuits_per_peer=2))
    for peer in PEERS[:4]:
        policy.reserve(peer, IP, 0.0)
    assert policy.connect(A, IP, B, 0.0).status is Status.OK
    assert policy.connect(C, IP, A, 0.0).status is Status.OK
    assert policy.connect(A, IP, D, 0.0).status is Status.RESOURCE_LIMIT_EXCEEDED
    assert policy.connect(D, IP, A, 0.0).status is Status.RESOURCE_LIMIT_EXCEEDED
    policy.disconnect(C, A)
    assert policy.connect(D, IP, A, 0.0).status is Status.OK
    assert policy.circuits == 2


def test_circuits_are_bounded_in_all() -> None:
    policy = RelayPolicy(RelayLimits(max_circuits=1))
    policy.reserve(B, IP, 0.0)
    assert policy.connect(A, IP, B, 0.0).status is Status.OK
    assert policy.connect(C, IP, B, 0.0).status is Status.RESOURCE_LIMIT_EXCEEDED


def test_no_reservation_is_said_before_too_many_circuits() -> None:
    policy = RelayPolicy(RelayLimits(max_circuits=0))
    assert policy.connect(A, IP, B, 0.0).status is Status.NO_RESERVATION
    policy.reserve(B, IP, 0.0)
    assert policy.connect(A, IP, B, 0.0).status is Status.RESOURCE_LIMIT_EXCEEDED


def test_a_circuit_to_oneself_counts_for_both_ends_too() -> None:
    policy = RelayPolicy(RelayLimits(max_circuits_per_peer=2))
    policy.reserve(A, IP, 0.0)
    assert policy.connect(A, IP, A, 0.0).status is Status.OK
    assert policy.connect(A, IP, A, 0.0).status is Status.RESOURCE_LIMIT_EXCEEDED
    policy.disconnect(A, A)
    policy.release(A)
    assert policy.table_size == 0


def test_giving_a_circuit_back_twice_is_a_mistake() -> None:
    policy = RelayPolicy(RelayLimits())
    policy.reserve(B, IP, 0.0)
    policy.connect(A, IP, B, 0.0)
    policy.disconnect(A, B)
    with pytest.raises(ValueError, match="not open"):
        policy.disconnect(A, B)
    assert policy.circuits == 0


def test_reserving_and_leaving_a_hundred_thousand_times_leaves_nothing() -> None:
    policy = RelayPolicy(RelayLimits())
    peers = [PeerId.from_bytes(bytes([0x12, 0x20]) + number.to_bytes(32, "big")) for number in range(500)]
    for turn in range(100_000):
        peer = peers[turn % len(peers)]
        assert policy.reserve(peer, IP if turn % 3 else "2001:db8::1", float(turn)).status is Status.OK
        assert policy.table_size <= 3
        policy.release(peer)
    assert policy.table_size == 0


def test_a_verdict_says_more_than_its_status() -> None:
    policy = RelayPolicy(
        RelayLimits(
            max_reservations=2,
            max_reservations_per_ip=1,
            max_reservations_per_site=1,
            max_circuits=2,
            max_circuits_per_peer=1,
        )
    )
    assert policy.reserve(A, "2001:db8:1:1::1", 0.0) is Verdict.OK
    assert policy.reserve(B, "2001:db8:1:1::2", 0.0) is Verdict.IP_FULL
    assert policy.reserve(B, "2001:db8:1:2::2", 0.0) is Verdict.SITE_FULL
    assert policy.reserve(B, IP, 0.0) is Verdict.OK
    assert policy.reserve(C, "127.0.0.1", 0.0) is Verdict.RELAY_FULL
    assert policy.connect(C, IP, D, 0.0) is Verdict.NO_RESERVATION
    assert policy.connect(C, IP, A, 0.0) is Verdict.OK
    assert policy.connect(C, IP, B, 0.0) is Verdict.SOURCE_BUSY
    assert policy.connect(D, IP, A, 0.0) is Verdict.TARGET_BUSY
    assert policy.connect(D, IP, B, 0.0) is Verdict.OK
    assert policy.connect(PEERS[5], IP, B, 0.0) is Verdict.TOO_MANY_CIRCUITS
    assert len({verdict.value for verdict in Verdict}) == len(Verdict)


def test_reserving_and_connecting_are_allowed_separately() -> None:
    access = Access(
        reserve=AccessList(only=True, peers=frozenset({A})),
        connect=AccessList(peers=frozenset({C}), networks=(parse_network("203.0.113.0/24", "k"),)),
    )
    policy = RelayPolicy(RelayLimits(), access)
    assert policy.reserve(A, IP, 0.0) is Verdict.OK
    assert policy.reserve(B, IP, 0.0) is Verdict.NO_ACCESS
    assert policy.connect(B, IP, A, 0.0) is Verdict.OK
    assert policy.connect(C, IP, A, 0.0) is Verdict.NO_ACCESS
    assert policy.connect(D, "::ffff:203.0.113.9", A, 0.0) is Verdict.NO_ACCESS
    # Said before whether there is anybody to reach, as go does.
    assert policy.connect(C, IP, D, 0.0) is Verdict.NO_ACCESS
    assert Verdict.NO_ACCESS.status is Status.PERMISSION_DENIED
    policy.disconnect(B, A)
    policy.release(A)
    assert policy.table_size == 0


def test_trusted_peers_and_pairs_have_no_limit() -> None:
    trust = Trust(frozenset({A}), frozenset({frozenset({B, C})}))
    policy = RelayPolicy(RelayLimits(circuit_seconds=9, circuit_bytes=8, circuit_idle_seconds=7), trust=trust)
    unlimited = Grant(0, 0, 0, trusted=True)
    for ends in ((A, D), (D, A), (B, C), (C, B), (A, A)):
        assert policy.grant(*ends) == unlimited
        assert not policy.grant(*ends).limited
    for ends in ((B, D), (D, C), (B, B)):
        assert policy.grant(*ends) == Grant(9, 8, 7, trusted=False)
        assert policy.grant(*ends).limited


def test_draining_grants_nothing_new() -> None:
    policy = RelayPolicy(RelayLimits())
    assert policy.reserve(A, IP, 0.0) is Verdict.OK
    assert policy.connect(B, IP, A, 0.0) is Verdict.OK
    policy.drain()
    assert policy.draining
    assert policy.reserve(A, IP, 0.0) is Verdict.NO_RESERVATIONS_WHILE_DRAINING
    assert policy.reserve(B, IP, 0.0) is Verdict.NO_RESERVATIONS_WHILE_DRAINING
    assert policy.connect(B, IP, A, 0.0) is Verdict.NO_CIRCUITS_WHILE_DRAINING
    assert policy.admission.accept("127.0.0.1", 0.0) == "draining"
    assert policy.circuits == 1
    assert policy.in_circuit(A)
    assert policy.in_circuit(B)
    policy.disconnect(B, A)
    assert not policy.in_circuit(A)


def test_other_limits_take_nothing_from_anybody() -> None:
    policy = RelayPolicy(RelayLimits(max_reservations=3, max_circuits=3))
    for peer in (A, B, C):
        assert policy.reserve(peer, IP, 0.0) is Verdict.OK
        assert policy.connect(D, IP, peer, 0.0) is Verdict.OK
    policy.configure(RelayLimits(max_reservations=1, max_circuits=1), Access(), Trust(), 1.0)
    assert (policy.reservations, policy.circuits) == (3, 3)
    assert policy.reserve(A, IP, 1.0) is Verdict.OK, "renewing takes no second slot"
    assert policy.reserve(D, IP, 1.0) is Verdict.RELAY_FULL
    assert policy.connect(D, IP, A, 1.0) is Verdict.TOO_MANY_CIRCUITS


def test_who_may_no_longer_reserve_loses_its_slot_but_not_its_circuit() -> None:
    policy = RelayPolicy(RelayLimits())
    for peer in (A, B):
        policy.reserve(peer, IP, 0.0)
        policy.connect(C, IP, peer, 0.0)
    refuse = AccessList(peers=frozenset({A}))
    policy.configure(RelayLimits(), Access(reserve=refuse), Trust(), 1.0)
    assert not policy.reserved(A, 1.0)
    assert policy.reserved(B, 1.0)
    assert policy.circuits == 2
    assert policy.in_circuit(A)
    refuse_network = AccessList(networks=(parse_network(IP, "k"),))
    policy.configure(RelayLimits(), Access(reserve=refuse_network), Trust(), 1.0)
    assert policy.reservations == 0


def test_a_shorter_time_leaves_no_dead_reservation_behind() -> None:
    policy = RelayPolicy(RelayLimits(reservation_seconds=1000))
    policy.reserve(A, IP, 0.0)
    policy.configure(RelayLimits(reservation_seconds=100), Access(), Trust(), 1.0)
    policy.reserve(B, IP, 1.0)
    policy.expire(101.0)
    assert policy.reserved(A, 101.0), "it was told 1000 seconds"
    assert not policy.reserved(B, 101.0)
    assert policy.reservations == 1, "although A, which came first, still has its own"
    policy.configure(RelayLimits(reservation_seconds=1000), Access(), Trust(), 200.0)
    policy.reserve(C, IP, 200.0)
    policy.expire(1000.0)
    assert policy.reservations == 1
    policy.expire(1200.0)
    assert policy.table_size == 0


def test_how_full_it_is() -> None:
    policy = RelayPolicy(RelayLimits(max_connections=10, max_reservations=20, max_circuits=30))
    policy.admission.accept(IP, 0.0)
    policy.reserve(A, IP, 0.0)
    policy.connect(B, IP, A, 0.0)
    assert policy.levels() == [
        Level("connections", 1, 10),
        Level("reservations", 1, 20),
        Level("circuits", 1, 30),
        Level("buffered_bytes", 0, policy.limits.max_buffered_bytes),
    ]


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
        status = self.policy.reserve(peer, ip, self.now).status
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
        status = self.policy.connect(source, IP, target, self.now).status
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

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat_relay.acl import Access, AccessList, parse_network
from p2pchat_relay.admission import Admission
from p2pchat_relay.limits import RelayLimits

IP = "203.0.113.1"


def test_connections_in_all() -> None:
    admission = Admission(RelayLimits(max_connections=2))
    assert admission.accept("203.0.113.1", 0.0) is None
    assert admission.accept("127.0.0.1", 0.0) is None
    assert admission.accept("203.0.113.3", 0.0) == "connections"
    assert admission.accept("127.0.0.1", 0.0) == "connections"
    admission.leave("127.0.0.1")
    assert admission.accept("203.0.113.3", 0.0) is None
    assert admission.connections == 2


def test_connections_per_ip_whatever_it_is_written_as() -> None:
    admission = Admission(RelayLimits(max_connections_per_ip=2))
    assert admission.accept(IP, 0.0) is None
    assert admission.accept(f"::ffff:{IP}", 0.0) is None
    assert admission.accept("2002:cb00:7101::1", 0.0) == "per_ip"
    assert admission.accept("203.0.113.2", 0.0) is None
    admission.leave(f"::ffff:{IP}")
    assert admission.accept("2002:cb00:7101::1", 0.0) is None


def test_connections_per_ipv6_48() -> None:
    admission = Admission(RelayLimits(max_connections_per_ip=1, max_connections_per_site=2))
    assert admission.accept("2001:db8:1:1::1", 0.0) is None
    assert admission.accept("2001:db8:1:1::2", 0.0) == "per_ip"
    assert admission.accept("2001:db8:1:2::1", 0.0) is None
    assert admission.accept("2001:db8:1:3::1", 0.0) == "per_site"
    assert admission.accept("2001:db8:2:1::1", 0.0) is None


def test_the_rate_per_ip() -> None:
    admission = Admission(RelayLimits(accept_rate=1, accept_burst=3))
    for _ in range(3):
        assert admission.accept(IP, 0.0) is None
    assert admission.accept(IP, 0.0) == "accept_rate"
    assert admission.accept("203.0.113.2", 0.0) is None
    assert admission.accept(IP, 1.0) is None
    assert admission.accept(IP, 1.0) == "accept_rate"


def test_this_machine_is_exempt_from_limits_per_ip() -> None:
    admission = Admission(RelayLimits(max_connections_per_ip=1, accept_burst=1, max_connections=100))
    assert [admission.accept("127.0.0.1", 0.0) for _ in range(100)] == [None] * 100


def test_zero_is_without_limit() -> None:
    admission = Admission(
        RelayLimits(max_connections_per_ip=0, max_connections_per_site=0, accept_rate=0, accept_burst=1)
    )
    assert [admission.accept("2001:db8::1", 0.0) for _ in range(300)] == [None] * 300


def test_a_network_that_may_nothing_is_not_even_connected() -> None:
    network = parse_network("203.0.113.0/24", "k")
    refuse = AccessList(networks=(network,))
    admission = Admission(RelayLimits(), Access(refuse, refuse))
    assert admission.accept(IP, 0.0) == "access"
    assert admission.accept("198.51.100.1", 0.0) is None
    admission.configure(RelayLimits(), Access())
    assert admission.accept(IP, 0.0) is None


def test_draining() -> None:
    admission = Admission(RelayLimits())
    assert admission.accept(IP, 0.0) is None
    admission.draining = True
    assert admission.accept("127.0.0.1", 0.0) == "draining"
    admission.leave(IP)


def test_other_limits_from_now_on() -> None:
    admission = Admission(RelayLimits(max_connections_per_ip=5, accept_burst=5, accept_rate=1))
    for _ in range(4):
        assert admission.accept(IP, 0.0) is None
    admission.configure(RelayLimits(max_connections_per_ip=2, accept_burst=5), Access())
    assert admission.accept(IP, 100.0) == "per_ip"
    assert admission.connections == 4, "nobody is sent away"
    admission.configure(RelayLimits(max_connections_per_ip=9, accept_burst=1, accept_rate=1), Access())
    assert admission.accept(IP, 200.0) is None
    assert admission.accept(IP, 200.0) == "accept_rate"


def test_leaving_twice_is_a_mistake() -> None:
    admission = Admission(RelayLimits())
    admission.accept(IP, 0.0)
    admission.leave(IP)
    with pytest.raises(ValueError, match="not open"):
        admission.leave(IP)


IPS = ["203.0.113.1", "203.0.113.2", "2001:db8:1:1::1", "2001:db8:1:2::1", "127.0.0.1", "unknown"]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(IPS)), max_size=80))
@settings(max_examples=60)
def test_whatever_comes_and_goes_leaves_nothing(steps: list[tuple[bool, str]]) -> None:
    admission = Admission(
        RelayLimits(max_connections=9, max_connections_per_ip=3, max_connections_per_site=4, accept_rate=0)
    )
    inside: list[str] = []
    for comes, ip in steps:
        if comes and admission.accept(ip, 0.0) is None:
            inside.append(ip)
        elif not comes and ip in inside:
            inside.remove(ip)
            admission.leave(ip)
        assert admission.connections == len(inside) <= 9
        assert all(inside.count(ip) <= 3 for ip in IPS if ip != "127.0.0.1")
        assert sum(ip.startswith("2001") for ip in inside) <= 4
    for ip in inside:
        admission.leave(ip)
    assert admission.connections == admission.table_size == 0

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat_core.errors import ConfigError
from p2pchat_relay.acl import Access, AccessList, Trust, parse_network
from p2pchat_relay.config import AccessConfig, AccessRule, TrustConfig
from tests.relay_server.fakes import key

A, B, C = (key(number).peer_id for number in range(3))


def rule(mode: str, *, peers: tuple[object, ...] = (), networks: tuple[str, ...] = ()) -> AccessList:
    config = AccessRule(mode=mode, peers=tuple(map(str, peers)), networks=networks)  # type: ignore[arg-type]
    return AccessList.of(config, "access.reserve")


def test_open_is_everyone() -> None:
    assert rule("open").allows(A, "203.0.113.1")
    assert rule("open").allows(A, "")
    assert not rule("open").never_allows("203.0.113.1")


def test_an_allow_list_is_of_peers_or_networks() -> None:
    some = rule("allow", peers=(A,), networks=("203.0.113.0/24", "2001:db8::/32"))
    assert some.allows(A, "198.51.100.1")
    assert some.allows(B, "203.0.113.77")
    assert some.allows(B, "2001:db8:5::1")
    assert not some.allows(B, "198.51.100.1")
    assert not some.allows(B, "unknown")
    assert not some.never_allows("198.51.100.1"), "it may be A who comes from there"
    assert rule("allow", networks=("203.0.113.0/24",)).never_allows("198.51.100.1")
    assert not rule("allow", networks=("203.0.113.0/24",)).never_allows("203.0.113.1")
    assert not rule("allow").allows(A, "203.0.113.1"), "an empty list allows nobody"


def test_a_deny_list_is_of_peers_or_networks() -> None:
    some = rule("deny", peers=(A,), networks=("203.0.113.0/24",))
    assert not some.allows(A, "198.51.100.1")
    assert not some.allows(B, "203.0.113.77")
    assert some.allows(B, "198.51.100.1")
    assert some.allows(B, "unknown")
    assert some.never_allows("203.0.113.1")
    assert not some.never_allows("198.51.100.1")
    assert rule("deny").allows(A, "203.0.113.1")


@pytest.mark.parametrize(
    "disguise",
    [
        "::ffff:203.0.113.7",
        "::ffff:203.0.113.7%eth0",
        "2002:cb00:7107::1",
        "64:ff9b::203.0.113.7",
        "203.0.113.7",
    ],
)
def test_no_way_of_writing_an_address_gets_around_a_refusal(disguise: str) -> None:
    for network in ("203.0.113.0/24", "::ffff:203.0.113.0/120", "203.0.113.7"):
        assert not rule("deny", networks=(network,)).allows(B, disguise)
        assert rule("deny", networks=(network,)).never_allows(disguise)


def test_what_a_tunnel_claims_earns_no_permission() -> None:
    some = rule("allow", networks=("127.0.0.0/8", "10.0.0.0/8"))
    assert some.allows(B, "::ffff:10.0.0.1"), "that is how a dual-stack socket shows IPv4"
    for claimed in ("2002:7f00:1::1", "64:ff9b::127.0.0.1", "2002:a00:1::1"):
        assert not some.allows(B, claimed)


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_mapped_networks_are_ipv4_networks(address: ipaddress.IPv4Address, bits: int) -> None:
    network = ipaddress.IPv4Network((address, bits), strict=False)
    assert parse_network(f"::ffff:{network.network_address}/{96 + bits}", "k") == network
    assert rule("deny", networks=(str(network),)).allows(B, str(address)) is False
    assert rule("deny", networks=(str(network),)).allows(B, f"::ffff:{address}") is False


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            AccessRule(mode="allow", peers=(str(A), "nonsense")),
            r"^access\.reserve\.peers\[1\]: 'nonsense' is no",
        ),
        (AccessRule(mode="deny", networks=("x",)), r"^access\.reserve\.networks\[0\]: 'x' is no network"),
        (AccessRule(mode="deny", networks=("10.0.0.1/8",)), r"networks\[0\].*Write 10\.0\.0\.0/8"),
        (AccessRule(mode="deny", networks=("10.0.0.0/33",)), r"networks\[0\]"),
        (AccessRule(peers=(str(A),)), r"^access\.reserve\.mode: is \"open\""),
    ],
)
def test_what_cannot_be_used_is_named(config: AccessRule, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Access.of(AccessConfig(reserve=config))


def test_both_rules_must_refuse_before_a_connection_is() -> None:
    deny = AccessRule(mode="deny", networks=("203.0.113.0/24",))
    assert Access.of(AccessConfig(reserve=deny, connect=deny)).turns_away("203.0.113.1")
    assert not Access.of(AccessConfig(reserve=deny)).turns_away("203.0.113.1")


def test_trust() -> None:
    trust = Trust.of(TrustConfig(peers=(str(A),), pairs=((str(B), str(C)),)))
    assert trust.covers(A, B)
    assert trust.covers(B, A)
    assert trust.covers(C, B)
    assert not trust.covers(B, B)
    assert not Trust().covers(A, B)
    with pytest.raises(ConfigError, match=r"^trusted\.pairs\[0\]\[1\]: 'x' is no PeerId"):
        Trust.of(TrustConfig(pairs=((str(B), "x"),)))

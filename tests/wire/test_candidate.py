"""Which candidates of the peer are used."""

from __future__ import annotations

import pytest

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.wire.candidate import (
    CandidatePolicy,
    RemoteCandidate,
    format_candidate,
    is_private,
    parse_candidate,
)

BROWSER = "candidate:1 1 udp 2113937151 192.0.2.2 48342 typ host generation 0 ufrag rSF6 network-cost 999"
NODE = "a=candidate:1 1 UDP 2114977791 192.0.2.2 48342 typ host"


def test_both_styles_are_read() -> None:
    assert parse_candidate(BROWSER) == RemoteCandidate("1", 2113937151, "192.0.2.2", 48342, "host")
    assert parse_candidate(NODE) == RemoteCandidate("1", 2114977791, "192.0.2.2", 48342, "host")


def test_round_trip() -> None:
    candidate = RemoteCandidate("abc", 5, "2001:db8::1", 5000, "srflx")
    text = format_candidate(candidate, ("10.0.0.1", 6000), "uf")
    assert text == "candidate:abc 1 udp 5 2001:db8::1 5000 typ srflx raddr 10.0.0.1 rport 6000 ufrag uf"
    assert parse_candidate(text) == candidate


def test_peer_reflexive_is_not_taken_at_its_word() -> None:
    assert parse_candidate(BROWSER.replace("typ host", "typ prflx")).kind == "srflx"


def test_mapped_ipv4_is_undressed() -> None:
    assert parse_candidate(BROWSER.replace("192.0.2.2", "::ffff:198.51.100.1")).host == "198.51.100.1"


def test_names_of_the_local_network() -> None:
    found = parse_candidate(BROWSER.replace("192.0.2.2", "0a1b2c3d-aaaa-bbbb-cccc-0123456789ab.local"))
    assert found.mdns
    assert not parse_candidate(BROWSER).mdns


@pytest.mark.parametrize(
    "text", ["", "candidate:", BROWSER.replace(" udp ", " tcp "), BROWSER[:40], "x" * 5000]
)
def test_damage_is_reported(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_candidate(text)


REFUSED = [
    ("192.0.2.1", 0),
    ("192.0.2.1", 53),
    ("192.0.2.1", 1023),
    ("192.0.2.1", 65536),
    ("0.0.0.0", 5000),
    ("0.1.2.3", 5000),
    ("255.255.255.255", 5000),
    ("224.0.0.251", 5353),
    ("239.255.255.250", 1900),
    ("169.254.169.254", 8080),
    ("127.0.0.1", 5000),
    ("127.9.9.9", 5000),
    ("::", 5000),
    ("::1", 5000),
    ("fe80::1", 5000),
    ("ff02::fb", 5353),
    ("::ffff:127.0.0.1", 5000),
    ("::ffff:169.254.169.254", 8080),
    ("::ffff:224.0.0.251", 5353),
    ("example.org", 5000),
    ("", 5000),
]


@pytest.mark.parametrize(("host", "port"), REFUSED)
def test_what_nothing_is_sent_to(host: str, port: int) -> None:
    assert CandidatePolicy().refusal(host, port) is not None


@pytest.mark.parametrize("host", ["198.51.100.7", "10.0.0.1", "100.64.0.1", "2001:db8::1", "fd00::1"])
def test_what_is_used(host: str) -> None:
    assert CandidatePolicy().refusal(host, 1024) is None


def test_loopback_when_there_is_nothing_else() -> None:
    policy = CandidatePolicy(loopback=True)
    assert policy.refusal("127.0.0.1", 5000) is None
    assert policy.refusal("::ffff:127.0.0.1", 5000) is None
    assert policy.refusal("169.254.169.254", 5000) is not None


@pytest.mark.parametrize("host", ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.100.0.1", "fd00::1"])
def test_private_networks_only_from_inside_one(host: str) -> None:
    assert is_private(host)
    assert CandidatePolicy(private=False).refusal(host, 5000) is not None


def test_public_addresses_are_not_private() -> None:
    assert not any(is_private(host) for host in ("198.51.100.7", "172.32.0.1", "2001:db8::1", "x.local"))

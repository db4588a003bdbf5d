from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat_core.wire.ip import parse_ip
from p2pchat_relay.sources import Source


@pytest.mark.parametrize(
    ("text", "host", "site", "loopback"),
    [
        ("203.0.113.9", "203.0.113.9", None, False),
        ("127.0.0.1", "127.0.0.1", None, True),
        ("127.8.9.1", "127.8.9.1", None, True),
        ("::ffff:203.0.113.9", "203.0.113.9", None, False),
        ("::ffff:127.0.0.1", "127.0.0.1", None, True),
        ("::1", "::/64", "::/48", True),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48", False),
        ("fe80::1%eth0", "fe80::/64", "fe80::/48", False),
        ("2002:cb00:7109::1", "203.0.113.9", None, False),
        ("64:ff9b::203.0.113.9", "203.0.113.9", None, False),
        ("2002:7f00:1::1", "127.0.0.1", None, False),
        ("64:ff9b::127.0.0.1", "127.0.0.1", None, False),
        ("", "unknown", None, False),
        ("relay.example", "unknown", None, False),
    ],
)
def test_the_source_behind_an_address(text: str, host: str, site: str | None, loopback: bool) -> None:
    assert Source.of(text) == Source(host, site, loopback)


@given(st.ip_addresses(v=4))
def test_every_way_to_write_an_ipv4_address_is_one_source(address: ipaddress.IPv4Address) -> None:
    expected = Source.of(str(address)).host
    number = int(address)
    mapped = ipaddress.IPv6Address((0xFFFF << 32) | number)
    six_to_four = ipaddress.IPv6Address((0x2002 << 112) | (number << 80) | 77)
    nat64 = ipaddress.IPv6Address((0x64FF9B << 96) | number)
    assert {Source.of(str(a)).host for a in (mapped, six_to_four, nat64)} == {expected}


@given(st.text(max_size=60))
def test_any_text_is_some_source(text: str) -> None:
    assert isinstance(Source.of(text), Source)


def test_a_mapped_address_is_answered_as_ipv4() -> None:
    assert parse_ip("::ffff:192.0.2.1") == ipaddress.IPv4Address("192.0.2.1")
    assert parse_ip("2002:c000:201::1") == ipaddress.IPv6Address("2002:c000:201::1")
    assert parse_ip("nonsense") is None

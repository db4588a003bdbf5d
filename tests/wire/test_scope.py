"""How far addresses reach."""

from __future__ import annotations

import pytest

from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.wire.scope import Scope, scope_of


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        ("/ip4/8.8.8.8", Scope.WORLD),
        ("/ip4/203.0.113.9", Scope.WORLD),
        ("/ip6/2606:4700::1", Scope.WORLD),
        ("/dns4/relay.example.org", Scope.WORLD),
        ("/ip4/10.1.2.3", Scope.NETWORK),
        ("/ip4/172.31.0.1", Scope.NETWORK),
        ("/ip4/192.168.1.1", Scope.NETWORK),
        ("/ip4/100.64.0.1", Scope.NETWORK),
        ("/ip6/fd00::1", Scope.NETWORK),
        ("/dns4/printer", Scope.NETWORK),
        ("/dns/nas.local", Scope.NETWORK),
        ("/ip4/169.254.169.254", Scope.LINK),
        ("/ip6/fe80::1", Scope.LINK),
        ("/ip4/127.0.0.1", Scope.MACHINE),
        ("/ip4/127.9.9.9", Scope.MACHINE),
        ("/ip6/::1", Scope.MACHINE),
        ("/ip6/::ffff:127.0.0.1", Scope.MACHINE),
        ("/ip6/::ffff:10.0.0.1", Scope.NETWORK),
        ("/ip6/2002:7f00:1::", Scope.MACHINE),  # 6to4 of 127.0.0.1
        ("/ip6/64:ff9b::7f00:1", Scope.MACHINE),  # NAT64 of 127.0.0.1
        ("/dns6/localhost", Scope.MACHINE),
        ("/dns4/x.LOCALHOST", Scope.MACHINE),
        ("/ip4/0.0.0.0", Scope.NOWHERE),
        ("/ip4/0.1.2.3", Scope.NOWHERE),
        ("/ip4/255.255.255.255", Scope.NOWHERE),
        ("/ip4/224.0.0.1", Scope.NOWHERE),
        ("/ip6/::", Scope.NOWHERE),
        ("/ip6/ff02::1", Scope.NOWHERE),
    ],
)
def test_scope(host: str, scope: Scope) -> None:
    assert scope_of(Multiaddr.parse(f"{host}/tcp/443/ws")) is scope

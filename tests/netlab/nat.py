"""The kinds of NAT, as packet filter rules, and what theory says of two of them.

RFC 4787 describes a NAT by its mapping (does one inside socket look the same to everybody outside?) and by its
filtering (who may answer?). Linux masquerading keeps the port where it can, which is endpoint-independent mapping,
and lets only the address and port in that were sent to. Sets of what was sent relax the filter for the cones; random
ports for every destination make it symmetric.
"""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["NatKind", "nat_rules", "theory"]


class NatKind(enum.Enum):
    """How a NAT treats UDP. All let TCP out."""

    FULL = "full-cone"
    ADDRESS = "address-restricted"
    PORT = "port-restricted"
    SYMMETRIC = "symmetric"
    BLOCKED = "UDP blocked"

    @property
    def cone(self) -> bool:
        """Whether one inside socket has one outside address."""
        return self in _CONES

    def __str__(self) -> str:
        return self.value


_CONES: Final = (NatKind.FULL, NatKind.ADDRESS, NatKind.PORT)
# How long a NAT remembers what an inside socket sent (RFC 4787 asks for two minutes at least).
_MEMORY: Final = "120s"

# Of each kind: the set, the rule that fills it from inside, the rule that lets in from outside.
_FULL_CONE: Final = (
    f"set mapped {{ type inet_service; flags dynamic,timeout; timeout {_MEMORY}; }}",
    'iifname "lan" meta l4proto udp update @mapped { udp sport }',
    'iifname "wan" udp dport @mapped dnat to HOST',
)
_ADDRESS_RESTRICTED: Final = (
    f"set asked {{ type ipv4_addr . inet_service; flags dynamic,timeout; timeout {_MEMORY}; }}",
    'iifname "lan" meta l4proto udp update @asked { ip daddr . udp sport }',
    'iifname "wan" ip saddr . udp dport @asked dnat to HOST',
)


def nat_rules(kind: NatKind, host: str, *, ports: tuple[int, int] | None = None) -> str:
    """Return the rules of a NAT box with the interfaces ``lan`` and ``wan`` in front of `host`.

    Args:
        ports: map UDP into this range instead of keeping the port.
    """
    remembered, note, admit = "", "", ""
    if kind is NatKind.FULL:
        remembered, note, admit = _FULL_CONE
    elif kind is NatKind.ADDRESS:
        remembered, note, admit = _ADDRESS_RESTRICTED
    elif kind is NatKind.BLOCKED:
        note = "meta l4proto udp drop"
    udp = "masquerade"
    if ports is not None:
        udp = f"masquerade to :{ports[0]}-{ports[1]}"
    elif kind is NatKind.SYMMETRIC:
        udp = "masquerade fully-random"
    # What comes in unasked must be dropped, not refused: the NAT box answering would leave a connection of its own
    # that takes the port away from the inside host, and make a symmetric NAT of a cone.
    return f"""
table ip lab
delete table ip lab
table ip lab {{
  {remembered}
  chain seen {{ type filter hook forward priority -5; {note}
  }}
  chain admitted {{ type nat hook prerouting priority dstnat; {admit.replace("HOST", host)}
  }}
  chain translated {{
    type nat hook postrouting priority srcnat;
    oifname "wan" meta l4proto udp {udp}
    oifname "wan" masquerade
  }}
  chain to_box {{ type filter hook input priority filter; iifname "wan" ct state new drop; }}
  chain to_inside {{
    type filter hook forward priority filter;
    iifname "wan" ct state new ct status & dnat == 0 drop
    ct state invalid drop
  }}
}}
"""


def theory(one: NatKind, other: NatKind) -> bool:
    """Whether hosts behind the two can exchange UDP directly, with STUN and without a TURN server.

    Not if one lets no UDP out, nor if one is symmetric and the other filters by port: the port that the symmetric one
    takes for its peer is known to nobody beforehand.
    """
    kinds = {one, other}
    if NatKind.BLOCKED in kinds:
        return False
    return not (kinds == {NatKind.SYMMETRIC} or kinds == {NatKind.SYMMETRIC, NatKind.PORT})

"""Every row of the fault table: ours with ours, and what the raw chat can promise with a js-libp2p peer.

A row that is `slow` is run by ``python -m tests.netlab.report faults`` only; the others are tests too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tests.netlab import strikes
from tests.netlab.cable import Profile
from tests.netlab.faults import Fault
from tests.netlab.killer import path_killer
from tests.netlab.nat import NatKind

__all__ = ["FAULTS"]

_CIRCUIT: Final = (NatKind.SYMMETRIC, NatKind.SYMMETRIC)
_UNNOTICED: Final = "the chat does not notice"
_WHOLE: Final = "everything arrives"
_TOO_LARGE: Final = "small messages pass; js sends larger packets than the line takes"
_LOSSY: Final = "slower; nothing is lost"

_RELAYS: Final = (
    Fault("relay killed while the chat is direct", _UNNOTICED, strikes.relay_killed(5), gap=2),
    Fault(
        "relay restarted with its key after 3 s",
        f"{_UNNOTICED}; both have reserved again within 10 s",
        strikes.relay_restarted(3),
        gap=2,
    ),
    Fault(
        "relay restarted with its key after 60 s",
        f"{_UNNOTICED}; both have reserved again within 10 s",
        strikes.relay_restarted(60),
        gap=2,
        slow=True,
    ),
    Fault(
        "relay comes back with another key",
        f"it is refused in words; {_UNNOTICED}",
        strikes.relay_replaced(1),
        gap=2,
    ),
    Fault(
        "relay killed, chat on the circuit, back after 3 s",
        "goes on within 10 s of its return",
        strikes.relay_restarted(3),
        path="relayed",
        kinds=_CIRCUIT,
        healed=10,
    ),
    Fault(
        "relay killed, chat on the circuit, back after 60 s",
        "goes on within 10 s of its return",
        strikes.relay_restarted(60),
        path="relayed",
        kinds=_CIRCUIT,
        healed=10,
        slow=True,
    ),
    Fault(
        "one of two relays killed, chat on the circuit",
        "the circuit through the other takes over within 10 s",
        strikes.one_of_two_relays_killed(12),
        path="relayed",
        kinds=_CIRCUIT,
        healed=10,
    ),
)

_LINES: Final = (
    Fault("link cut for 5 s", "goes on within 6 s", strikes.unplugged(5), healed=6),
    Fault("link cut for 60 s", "goes on within 6 s", strikes.unplugged(60), healed=6, slow=True),
    Fault("black hole of everything for 5 s", "goes on within 6 s", strikes.swallowed(5), healed=6),
    Fault(
        "black hole of everything for 60 s",
        "goes on within 6 s",
        strikes.swallowed(60, direct=45),
        healed=6,
        slow=True,
    ),
    Fault("black hole of the relay for 12 s", _UNNOTICED, strikes.swallowed(12, "relay", 1), gap=2),
    Fault(
        "black hole of the direct path for 20 s",
        "the circuit takes over within 10 s",
        strikes.swallowed(20, "direct", direct=45),
        gap=10,
        slow=True,
    ),
    Fault(
        "UDP blocked for 20 s, then released",
        "the circuit takes over within 10 s, later the direct path again",
        strikes.swallowed(20, "udp", direct=45),
        gap=10,
        slow=True,
    ),
    Fault("NAT forgets UDP, keeps the port", _UNNOTICED, strikes.nat_forgets(4), gap=2),
    Fault("NAT rebinding, port changed", "goes on within 12 s", strikes.nat_rebinds(15, 45), gap=12),
    Fault("loss 5 % each way", _LOSSY, strikes.wait(8), profile=Profile(loss=0.05), gap=4),
    Fault(
        "loss 20 % each way",
        _LOSSY,
        strikes.wait(15),
        path="relayed",
        profile=Profile(loss=0.2),
        patience=60,
        slow=True,
    ),
    Fault(
        "delay 300 ms (round trip)",
        "direct within 5 s",
        strikes.wait(5),
        profile=Profile(delay_ms=150),
        gap=2,
    ),
    Fault(
        "a quarter of the packets 50 ms late",
        "nothing is out of order",
        strikes.wait(5),
        profile=Profile(reorder=0.25),
        gap=2,
    ),
    Fault("MTU 1280, refused properly, 8 kB", _WHOLE, strikes.mtu(1280, 6), size=8000, gap=3),
    Fault("MTU 1200, refused properly, 8 kB", _WHOLE, strikes.mtu(1200, 6), size=8000, gap=3),
    Fault("MTU 1280, silently, 8 kB", _WHOLE, strikes.cable(Profile(mtu=1280), 5), size=8000, gap=3),
    Fault("MTU 1200, silently, 8 kB", _WHOLE, strikes.cable(Profile(mtu=1200), 5), size=8000, gap=3),
    Fault(
        "MTU 1200, silently, from the start, 8 kB",
        f"direct; {_WHOLE}",
        strikes.wait(4),
        profile=Profile(mtu=1200),
        size=8000,
        gap=3,
    ),
)

_PROGRAMS: Final = (
    Fault(
        "listener killed and started again after 2 s",
        "goes on within 10 s",
        strikes.peer_restarted(2, 10),
        healed=10,
    ),
    Fault(
        "dialler killed and started again after 2 s",
        "goes on within 10 s",
        strikes.peer_restarted(2, 10, side=0),
        healed=10,
    ),
    Fault(
        "listener stopped (SIGSTOP) for 40 s",
        "goes on within 6 s",
        strikes.stopped(40, 8),
        healed=6,
        slow=True,
    ),
    Fault(
        "clock set an hour ahead",
        "every path is checked, none is lost",
        strikes.clock_jumps(3600, 8),
        clocks=True,
        gap=5,
    ),
    Fault(
        "clock set an hour back",
        "every path is checked, none is lost",
        strikes.clock_jumps(-3600, 8, side=1),
        clocks=True,
        gap=5,
    ),
    Fault(
        "disk full while queuing",
        "what cannot be stored is refused, what was taken arrives",
        strikes.disk_full(3, 8),
        disk="16m",
        refusals=True,
        healed=5,
        slow=True,
    ),
    Fault(
        "kill -9 in a burst, 20 times",
        "disks whole; what was taken arrives once and in order",
        strikes.killed_in_a_burst(20),
        rate=50,
        patience=60,
    ),
    Fault(
        "kill -9 in a burst, 200 times",
        "disks whole; what was taken arrives once and in order",
        strikes.killed_in_a_burst(200),
        rate=50,
        patience=120,
        slow=True,
    ),
)

_RANDOM: Final = (
    Fault(
        "path killer, 1 minute, 50 messages a second",
        "nothing lost, doubled or out of order",
        path_killer(60),
        rate=50,
        patience=60,
    ),
    Fault(
        "path killer, 10 minutes, 50 messages a second",
        "nothing lost, doubled or out of order",
        path_killer(600, seed=2),
        rate=50,
        patience=60,
        slow=True,
    ),
)

# With js: (name of the row above, what is expected of it, slow). It says no acknowledgement and gives its stream no
# second chance, so ours opens a new one after a loss; what was under way may be lost, nothing is doubled.
_WITH_JS: Final = (
    ("nothing", _WHOLE, False),
    ("relay killed while the chat is direct", _UNNOTICED, False),
    ("link cut for 5 s", "goes on", False),
    ("link cut for 60 s", "goes on", True),
    ("black hole of everything for 5 s", "goes on", True),
    ("black hole of everything for 60 s", "goes on", True),
    ("black hole of the relay for 12 s", _UNNOTICED, True),
    ("black hole of the direct path for 20 s", "the circuit takes over", True),
    ("UDP blocked for 20 s, then released", "the circuit takes over, later the direct path again", True),
    ("NAT forgets UDP, keeps the port", _UNNOTICED, True),
    ("NAT rebinding, port changed", "goes on", False),
    ("loss 5 % each way", _LOSSY, True),
    ("loss 20 % each way", _LOSSY, True),
    ("delay 300 ms (round trip)", "direct", True),
    ("MTU 1200, silently, 8 kB", _TOO_LARGE, True),
    ("dialler killed and started again after 2 s", "goes on", False),
    ("listener stopped (SIGSTOP) for 40 s", "goes on", True),
    ("clock set an hour ahead", _UNNOTICED, True),
)

_NOTHING: Final = Fault("nothing", _WHOLE, strikes.wait(3), gap=2)
_OURS: Final = (_NOTHING, *_RELAYS, *_LINES, *_PROGRAMS, *_RANDOM)


def _with_js(name: str, expected: str, slow: bool) -> Fault:
    row = next(row for row in _OURS if row.name == name)
    strict = expected in (_WHOLE, _UNNOTICED, _LOSSY)
    return replace(
        row,
        name=f"with js: {name}",
        expected=expected,
        who="ours/js",
        gap=row.gap if strict else None,
        healed=None if strict or expected == _TOO_LARGE else 30,
        losses=not strict,
        refusals=not strict,
        slow=slow,
    )


FAULTS: Final = (*_OURS, *(_with_js(*row) for row in _WITH_JS))

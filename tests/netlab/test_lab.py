"""The laboratory itself: its NATs are what they are called, its cables as bad as they are told to be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.netlab.cable import Profile
from tests.netlab.lab import PUBLIC, SECOND_PUBLIC, laboratory, script
from tests.netlab.namespaces import PREFIX, run
from tests.netlab.nat import NatKind, theory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.netlab.lab import Lab

pytestmark = pytest.mark.netlab

ALL = "endpoint-independent"
ADDRESS = "address-dependent"
PORT = "address- and port-dependent"
EXPECTED = {
    NatKind.FULL: (ALL, ALL),
    NatKind.ADDRESS: (ALL, ADDRESS),
    NatKind.PORT: (ALL, PORT),
    NatKind.SYMMETRIC: (PORT, PORT),
    NatKind.BLOCKED: ("blocked", "blocked"),
}


@contextmanager
def probed(lab: Lab) -> Iterator[None]:
    """Run the probe's server."""
    server = lab.net.popen(sys.executable, script("probe"), "serve", PUBLIC, SECOND_PUBLIC)
    assert server.stdout is not None
    try:
        assert server.stdout.readline() == "ready\n"
        yield
    finally:
        server.kill()
        server.communicate()


def probe(lab: Lab, site: int = 0) -> dict[str, str]:
    said = lab.sites[site].host.run(sys.executable, script("probe"), "ask", PUBLIC, SECOND_PUBLIC)
    return dict(json.loads(said))


@pytest.mark.parametrize("cables", [False, True], ids=["veth", "cable"])
@pytest.mark.parametrize("kind", NatKind)
def test_a_nat_is_what_it_is_called(kind: NatKind, cables: bool) -> None:
    with laboratory(kind, cables=cables) as lab, probed(lab):
        for _ in range(2):  # the second time from another socket: a filter is a matter of one socket
            found = probe(lab)
            assert (found["mapping"], found["filtering"]) == EXPECTED[kind]
            assert found.get("outside", lab.sites[0].outside).startswith(lab.sites[0].outside)


def test_a_nat_can_become_another() -> None:
    with laboratory(NatKind.SYMMETRIC) as lab, probed(lab):
        for kind in NatKind:
            lab.sites[0].set_nat(kind)
            found = probe(lab)
            assert (found["mapping"], found["filtering"]) == EXPECTED[kind]


def test_rebinding_changes_the_port_and_moving_the_address() -> None:
    with laboratory(NatKind.PORT) as lab, probed(lab):
        site = lab.sites[0]
        site.rebind()
        found = probe(lab)
        assert (found["mapping"], found["filtering"]) == EXPECTED[NatKind.PORT]
        assert 31_000 <= int(found["outside"].split(":")[1]) <= 31_999
        before = site.outside
        site.move()
        assert before not in probe(lab)["outside"]
        assert site.outside in probe(lab)["outside"]


def ping(lab: Lab, count: int = 1, size: int = 56) -> list[float]:
    """Return the round trips in milliseconds of those pings that were answered."""
    argv = [sys.executable, script("echo"), "ask", PUBLIC, str(count), str(size)]
    return list(json.loads(lab.sites[0].host.run(*argv)))


@contextmanager
def echoing(lab: Lab) -> Iterator[None]:
    server = lab.net.popen(sys.executable, script("echo"), "serve", PUBLIC)
    assert server.stdout is not None
    try:
        assert server.stdout.readline() == "ready\n"
        yield
    finally:
        server.kill()
        server.communicate()


def test_a_cable_delays_loses_and_bounds() -> None:
    with laboratory(NatKind.PORT, cables=True) as lab, echoing(lab):
        site = lab.sites[0]
        assert len(ping(lab, 20)) == 20
        site.set_cable(Profile(delay_ms=100))
        assert min(ping(lab, 5)) >= 200
        site.set_cable(Profile(loss=0.5))
        assert 20 <= len(ping(lab, 200)) <= 80  # a quarter comes back
        site.set_cable(Profile(mtu=1200))
        assert len(ping(lab, 5, 1200 - 28)) == 5
        assert ping(lab, 5, 1200 - 27) == []
        site.set_cable(Profile(duplicate=1.0))
        assert len(ping(lab, 5)) > 5
        counts = site.set_cable(Profile(dead=True))["counts"]
        assert all(way["carried"] > 50 and way["lost"] > 0 for way in counts)
        assert ping(lab, 2) == []


def test_a_cable_can_turn_the_order_round() -> None:
    with laboratory(NatKind.PORT, cables=True) as lab, echoing(lab):
        lab.sites[0].set_cable(Profile(reorder=0.3, reorder_ms=30))
        found = ping(lab, 50)
        assert len(found) == 50
        assert found != sorted(found)
        assert sum(trip >= 30 for trip in found) >= 5


@pytest.mark.parametrize("cables", [False, True], ids=["veth", "cable"])
def test_holes_and_unplugged_cables(cables: bool) -> None:
    with laboratory(NatKind.PORT, cables=cables) as lab, echoing(lab):
        site = lab.sites[0]
        for begin, end in ((site.swallow, site.spit), (site.unplug, site.plug)):
            assert len(ping(lab)) == 1
            begin()
            assert ping(lab) == []
            end()
            assert len(ping(lab)) == 1
        site.swallow_to(SECOND_PUBLIC)
        assert len(ping(lab)) == 1
        site.swallow_to(PUBLIC)
        assert ping(lab) == []


def test_theory() -> None:
    direct = {(a, b) for a in NatKind for b in NatKind if theory(a, b)}
    assert all((b, a) in direct for a, b in direct)
    assert {a for a, b in direct if b is NatKind.SYMMETRIC} == {NatKind.FULL, NatKind.ADDRESS}
    assert {a for a, b in direct if b is NatKind.PORT} == {NatKind.FULL, NatKind.ADDRESS, NatKind.PORT}
    assert not [a for a, b in direct if b is NatKind.BLOCKED]


def test_nothing_is_left_even_after_a_kill() -> None:
    code = (
        "import os, signal; from tests.netlab.lab import Lab; from tests.netlab.nat import NatKind;"
        "lab = Lab([NatKind.PORT], cables=True); lab.sites[0].host.popen('sleep', '1000');"
        "print(os.getpid(), flush=True); signal.pause()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = process.stdout.readline().strip()
    made = run("ip", "netns", "list")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert f"{PREFIX}{pid}-" in made
    deadline = time.monotonic() + 10
    while f"{PREFIX}{pid}-" in run("ip", "netns", "list"):
        assert time.monotonic() < deadline, "namespaces were left behind"
        time.sleep(0.05)

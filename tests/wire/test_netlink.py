"""Which of the kernel's messages change our paths."""

from __future__ import annotations

import pytest

from p2pchat_core import limits
from p2pchat_core.wire.netlink import NetworkState, dump_request
from tests.support.netlink import address, done, link, message, route


@pytest.mark.parametrize(
    ("come", "go"),
    [
        (link(3), link(3, gone=True)),
        (link(3), link(3, flags=0x1)),  # up, but the cable is out
        (address("192.0.2.1"), address("192.0.2.1", gone=True)),
        (address("2001:db8::1"), address("2001:db8::1", gone=True)),
        (route("192.0.2.254"), route("192.0.2.254", gone=True)),
    ],
)
def test_what_comes_and_goes_is_a_change_once(come: bytes, go: bytes) -> None:
    state = NetworkState()
    heard = [state.receive(data) for data in (come, come, go, go, come)]
    assert heard == [True, False, True, False, True]


@pytest.mark.parametrize(
    "data",
    [
        link(3, flags=0x1),
        address("fe80::1", scope=253),
        address("127.0.0.1", scope=254),
        address("2001:db8::1", flags=0x40),  # still being checked for a duplicate
        route("192.0.2.254", length=24),
        route("192.0.2.254", table=255),
        message(28, b"a neighbour"),
        done(),
        b"",
        b"short",
    ],
)
def test_the_rest_is_none(data: bytes) -> None:
    assert not NetworkState().receive(data)


def test_an_address_counts_once_it_is_usable() -> None:
    state = NetworkState()
    assert not state.receive(address("2001:db8::1", flags=0x40))
    assert state.receive(address("2001:db8::1"))


def test_several_messages_in_one_datagram() -> None:
    state = NetworkState()
    assert state.receive(link(1) + address("192.0.2.1") + done())
    assert state.dumped == 1
    assert not state.receive(link(1) + address("192.0.2.1"))
    assert state.receive(link(1) + address("192.0.2.2"))


@pytest.mark.parametrize("cut", [1, 4, 12])
def test_what_is_cut_off_is_a_change(cut: int) -> None:
    state = NetworkState()
    state.receive(link(1))
    assert state.receive(link(1)[:-cut])


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "NETWORK_MAX_FACTS", 3)
    state = NetworkState()
    assert all(state.receive(link(index)) for index in range(10))
    assert len(state._facts) == 3
    assert all(state.receive(link(index)) for index in range(5, 10))


def test_dumps_are_asked_for_one_by_one() -> None:
    assert [int.from_bytes(data[4:6], "little") for data in dump_request(7)] == [18, 22, 26]

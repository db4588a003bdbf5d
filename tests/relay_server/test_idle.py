from __future__ import annotations

from typing import TYPE_CHECKING, cast

from p2pchat_relay.idle import IdleConnections
from tests.relay_server.fakes import FakeConnection, key

if TYPE_CHECKING:
    from p2pchat_core.net.connection import Connection


def connection(number: int, opened_at: float) -> Connection:
    made = FakeConnection(key(number).peer_id)
    made.opened_at = opened_at  # type: ignore[attr-defined]
    return cast("Connection", made)


def test_unused_from_the_beginning_or_since_the_last_use() -> None:
    idle = IdleConnections()
    never, once, always = (connection(number, 0.0) for number in range(3))
    all_of_them = [never, once, always]
    assert idle.look(all_of_them, lambda c: c is not never, 10, 9.0) == []
    assert idle.look(all_of_them, lambda c: c is always, 10, 10.0) == [never]
    assert idle.look([once, always], lambda c: c is always, 10, 18.9) == []
    assert idle.look([once, always], lambda c: c is always, 10, 19.0) == [once]


def test_zero_is_never() -> None:
    assert IdleConnections().look([connection(1, 0.0)], lambda _c: False, 0, 1e9) == []


def test_who_is_gone_is_forgotten() -> None:
    idle = IdleConnections()
    for number in range(100):
        idle.look([connection(number, 0.0)], lambda _c: True, 10, 0.0)
    assert len(idle._seen) == 1

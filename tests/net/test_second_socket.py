"""A relay that does not answer on one connection is tried on another."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.liveness import Liveness, LivenessConfig
from p2pchat_core.net.ping import serve_ping
from p2pchat_core.net.second_socket import SecondSocket
from tests.support.hosts import eventually, running_hosts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.host import Host

NEVER = 3600.0


class Racer:
    """A host whose connection is doubted by hand, and where its users were moved to."""

    def __init__(self, host: Host, old: Connection) -> None:
        self.host, self.old = host, old
        self.liveness = Liveness(host, LivenessConfig(NEVER, NEVER, NEVER, NEVER))
        self.moves: asyncio.Queue[tuple[Connection, Connection]] = asyncio.Queue()
        SecondSocket(host, self.liveness, self._move)

    async def _move(self, old: Connection, new: Connection) -> None:
        assert not old.closed
        self.moves.put_nowait((old, new))

    def doubt(self) -> None:
        self.old.heard_at = self.host.clock.monotonic() - 1
        self.liveness.busy = lambda _: True
        self.liveness._tell_doubt(self.old)

    def answer(self) -> None:
        self.old.heard_at = self.host.clock.monotonic() + 1
        self.liveness._tell(self.old)


@asynccontextmanager
async def race() -> AsyncIterator[Racer]:
    async with running_hosts(2) as (a, b):
        serve_ping(b)
        (address,) = await b.listen(Multiaddr.parse("/ip4/127.0.0.1/tcp/0/ws"))
        yield Racer(a, await a.dial(address / b.peer.as_multiaddr()))


async def test_the_users_are_moved_before_the_dead_connection_is_closed() -> None:
    async with race() as racer:
        racer.doubt()
        racer.doubt()  # is no reason for a third
        async with asyncio.timeout(20):
            old, new = await racer.moves.get()
            assert old is racer.old
            assert await old.wait_closed()
        assert racer.host.connections() == [new]


async def test_an_answer_ends_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    async with race() as racer:
        begun, ended = asyncio.Event(), asyncio.Event()

        async def hang(*_args: object, **_options: object) -> Connection:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            raise AssertionError

        monkeypatch.setattr(racer.host, "dial", hang)
        racer.doubt()
        async with asyncio.timeout(20):
            await begun.wait()
            racer.answer()
            await ended.wait()
        await eventually(lambda: racer.moves.empty() and not racer.old.closed)


async def test_the_old_one_stays_if_it_answers_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    async with race() as racer:
        dial = racer.host.dial
        made: asyncio.Queue[Connection] = asyncio.Queue()

        async def late(*args: object, **options: object) -> Connection:
            connection = await dial(*args, **options)  # type: ignore[arg-type]
            racer.old.heard_at = racer.host.clock.monotonic() + 1
            made.put_nowait(connection)
            return connection

        monkeypatch.setattr(racer.host, "dial", late)
        racer.doubt()
        async with asyncio.timeout(20):
            await (await made.get()).wait_closed()
        assert racer.host.connections() == [racer.old]
        assert racer.moves.empty()

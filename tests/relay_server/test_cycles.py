"""Peers that come, reserve and leave again: nothing of them stays behind (ten thousand in the interop suite)."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

from p2pchat_core.net.connection import Connection
from p2pchat_core.wire.circuit import Status
from tests.relay_server.test_server import client, relay, reserve, until

if TYPE_CHECKING:
    from pathlib import Path

    from p2pchat_relay.server import RelayServer

CYCLES = 100
AT_ONCE = 4


async def come_and_go(server: RelayServer, first: int) -> None:
    for number in range(first, CYCLES, AT_ONCE):
        async with client(1 + number, server) as (_, connection):
            assert (await reserve(connection)).status is Status.OK
            if number % 3 == 0:  # without good-bye
                connection.abort("The test cuts it.")


async def test_nothing_stays_behind(tmp_path: Path) -> None:
    async with relay(tmp_path, max_reservations=2 * AT_ONCE) as server:
        tasks = len(asyncio.all_tasks())
        async with asyncio.TaskGroup() as group:
            for first in range(AT_ONCE):
                group.create_task(come_and_go(server, first))
        policy = server.policy
        await until(lambda: policy.reservations == policy.circuits == policy.table_size == 0)
        await until(lambda: policy.admission.connections == policy.admission.table_size == 0)
        await until(lambda: len(asyncio.all_tasks()) <= tasks)
        gc.collect()
        assert not [one for one in gc.get_objects() if isinstance(one, Connection)]

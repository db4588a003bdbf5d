"""Whatever a stranger does, the two who talk do not notice, and nothing of it stays."""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from tests.attack.attacks import ATTACKS, candidates_aimed_elsewhere
from tests.attack.stage import Stage, quietly, resident, stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.attack, pytest.mark.timeout(120)]

MEMORY = 48 * limits.MIB
"""What the victim, its friend, the relay and the stranger, who all live in this process, may take meanwhile."""


@pytest.fixture
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(tmp_path_factory.mktemp("stage")) as found:
        yield found


async def settled(scene: Stage, tasks: int) -> None:
    """Wait until nothing of the strangers is left."""
    await scene.dismiss()
    async with asyncio.timeout(30):
        while scene.connections_of_strangers() or scene.tasks() > tasks:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", ATTACKS)
async def test_nobody_notices(name: str, scene: Stage) -> None:
    tasks = scene.tasks()
    gc.collect()
    before = resident()
    stranger = scene.stranger()
    attack = asyncio.ensure_future(quietly(ATTACKS[name](stranger)))
    said = 0
    while not attack.done():
        await scene.talk()
        said += 1
        await asyncio.sleep(0.02)
    await attack
    assert said
    assert resident() - before < MEMORY
    await settled(scene, tasks)
    await scene.talk()


async def test_we_do_not_become_a_reflector(scene: Stage) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as target:
        target.bind(("127.0.0.2", 0))
        packets = await candidates_aimed_elsewhere(scene.stranger(), target)
    assert packets <= limits.ICE_MAX_REMOTES * 7
    await scene.talk()


async def test_a_hundred_strangers_at_once(scene: Stage) -> None:
    tasks = scene.tasks()
    strangers = [scene.stranger() for _ in range(100)]
    waiting = [asyncio.ensure_future(quietly(stranger.circuit())) for stranger in strangers]
    while not all(attempt.done() for attempt in waiting):
        await scene.talk()
    await asyncio.gather(*waiting)
    assert scene.connections_of_strangers() <= limits.MAX_CONNECTIONS
    await settled(scene, tasks)

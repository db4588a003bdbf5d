"""Two peers meet through a relay: on which path, and how soon can they talk."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.netlab.lab import laboratory_aside
from tests.netlab.peers import world
from tests.support.program import CommandFailedError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.netlab.nat import NatKind
    from tests.netlab.peers import World

__all__ = ["UNLIMITED", "Meeting", "meet", "one_meeting", "part"]

UNLIMITED: Final = ("--circuit-seconds", "0", "--circuit-bytes", "0")
"""For the relay: js takes chat on circuits without limits only."""
_PATIENCE: Final = 30.0
_WEBRTC_STEP: Final = 8


@dataclass(frozen=True)
class Meeting:
    """How it went; seconds since the dial.

    Attributes:
        first_message: until the listener had the dialler's first message.
        first_path: the path there was when that message was sent.
        direct: until the direct connection, or ``None`` without one.
        detail: the addresses of the direct connection, or why there is none; empty if js dialled.
    """

    first_message: float
    first_path: str
    direct: float | None
    detail: str = ""

    @property
    def path(self) -> str:
        """The path they ended on."""
        return "relayed" if self.direct is None else "direct"


class _Watch:
    """Notes when which connection opened and what became of the direct one."""

    def __init__(self, there: World, who: str) -> None:
        self._there = there
        self._js = who.startswith("js")
        self.started = time.monotonic()
        self.opened: dict[str, float] = {}
        self.detail = ""
        self.first = asyncio.Event()
        self.settled = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._connections())
            if not self._js:
                group.create_task(self._steps())

    async def _connections(self) -> None:
        name = "connection:open" if self._js else "connection"
        while True:
            event = await self._there.a.event(name, lambda e: e["peer"] == self._there.b.peer, timeout=3600)
            if event.get("state", "open") != "open":
                continue
            path = ("direct" if event["direct"] else "relayed") if self._js else event["path"]
            self.opened.setdefault(path, time.monotonic() - self.started)
            if path == "direct":
                self.settled.set()
            if path == "direct" or not self._js:
                self.first.set()

    async def _steps(self) -> None:
        while True:
            event = await self._there.a.event("step", lambda e: e["step"] == _WEBRTC_STEP, timeout=3600)
            self.detail = event["detail"]
            if not event["ok"]:
                self.settled.set()


async def meet(there: World, *, who: str = "ours/ours", patience: float = _PATIENCE) -> Meeting:
    """Let `a` dial `b` and talk at once; wait at most `patience` seconds for what becomes of the direct connection."""
    watch = _Watch(there, who)
    watching = asyncio.create_task(watch.run())
    dialling = asyncio.create_task(there.connect())
    text = f"<first {watch.started}>"
    try:
        opened = asyncio.ensure_future(watch.first.wait())
        await asyncio.wait({opened, dialling}, timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if dialling.done():
            dialling.result()
        async with asyncio.timeout(_PATIENCE):
            await opened
        path = "direct" if "direct" in watch.opened else "relayed"
        await there.a.call("send", peer=there.b.peer, text=text)
        await there.b.event("message", lambda e: text in e["text"], timeout=_PATIENCE)
        first = time.monotonic() - watch.started
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await watch.settled.wait()
        return Meeting(first, path, watch.opened.get("direct"), watch.detail)
    finally:
        for task in (watching, dialling):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, CommandFailedError):
                await task


async def part(there: World) -> None:
    """Let both hang up, so that neither dials the other again by itself, and wait until both have noticed."""
    while True:
        hang_up = [
            program.call("disconnect", peer=other.peer) for program, other in (there.peers, there.peers[::-1])
        ]
        await asyncio.gather(*hang_up, return_exceptions=True)  # one may have been faster
        await asyncio.sleep(0.05)
        left = [status["connections"] for status in [await peer.call("status") for peer in there.peers]]
        if not any(left):
            break
    for program in there.peers:
        program.events.clear()


async def one_meeting(
    one: NatKind, other: NatKind, tmp_path: Path, *, who: str = "ours/ours", patience: float = _PATIENCE
) -> Meeting:
    """Build a laboratory for one meeting."""
    limits = UNLIMITED if "js" in who else ()
    async with laboratory_aside(one, other) as lab, world(lab, tmp_path, who=who, limits=limits) as there:
        return await meet(there, who=who, patience=patience)

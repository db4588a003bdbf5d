"""Two peers meet through a relay: on which path, and how soon can they talk."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.netlab.lab import laboratory_aside
from tests.netlab.nat import theory
from tests.netlab.peers import world
from tests.support.program import CommandFailedError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.netlab.nat import NatKind
    from tests.netlab.peers import World

__all__ = ["UNLIMITED", "Meeting", "expected_path", "meet", "one_meeting", "part"]

UNLIMITED: Final = ("--circuit-seconds", "0", "--circuit-bytes", "0")
"""For the relay: js takes chat on circuits without limits only."""
_PATIENCE: Final = 30.0
_WEBRTC_STEP: Final = 8


@dataclass(frozen=True)
class Meeting:
    """How it went; seconds since the dial.

    Attributes:
        first_message: until the listener had the dialler's first message; infinite if it could not say any.
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
        """The path they ended on: ``direct``, ``relayed`` or ``none``."""
        return self.first_path if self.direct is None else "direct"


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
    try:
        opened = asyncio.ensure_future(watch.first.wait())
        async with asyncio.timeout(_PATIENCE):
            await asyncio.wait({opened, dialling}, return_when=asyncio.FIRST_COMPLETED)
            if dialling.done() and (error := dialling.exception()) is not None:
                if not who.startswith("js"):
                    raise error
                # The page does without a connection where none can be direct; it chats on no other.
                return Meeting(float("inf"), "none", None, str(error).splitlines()[0])
            await opened
        first_path, first = await _say(there, watch)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await watch.settled.wait()
        return Meeting(first, first_path, watch.opened.get("direct"), watch.detail)
    finally:
        for task in (watching, dialling):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, CommandFailedError):
                await task


async def _say(there: World, watch: _Watch) -> tuple[str, float]:
    """Let `a` say something to `b`; return the path there was then, and when it arrived."""
    path = "direct" if "direct" in watch.opened else "relayed"
    text = f"<first {watch.started}>"
    await there.a.call("send", peer=there.b.peer, text=text)
    await there.b.event("message", lambda e: text in e["text"], timeout=_PATIENCE)
    return path, time.monotonic() - watch.started


async def part(there: World) -> None:
    """Let both hang up, so that neither dials the other again by itself, and wait until both have noticed."""
    ours = [program for program, who in zip(there.peers, there.who, strict=True) if who == "ours"]
    while True:
        for program, other, who in zip(there.peers, there.peers[::-1], there.who, strict=True):
            with contextlib.suppress(CommandFailedError):  # one may have been faster
                await program.call("disconnect" if who == "ours" else "hangup", peer=other.peer)
        await asyncio.sleep(0.05)
        left = [status["connections"] for status in [await peer.call("status") for peer in ours]]
        if not any(left):
            break
    for program in there.peers:
        program.events.clear()


def expected_path(who: str, one: NatKind, other: NatKind) -> str:
    """Return what theory says of two kinds of NAT, and the js example of those it does not let through."""
    if theory(one, other):
        return "direct"
    return "none" if who.startswith("js") else "relayed"


async def one_meeting(
    one: NatKind, other: NatKind, tmp_path: Path, *, who: str = "ours/ours", patience: float = _PATIENCE
) -> Meeting:
    """Build a laboratory for one meeting."""
    limits = UNLIMITED if "js" in who else ()
    async with laboratory_aside(one, other) as lab, world(lab, tmp_path, who=who, limits=limits) as there:
        return await meet(there, who=who, patience=patience)

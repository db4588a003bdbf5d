"""A bad cable: two TAP devices in two namespaces and a program that carries, delays and loses frames between them.

The kernel's own ``netem`` is not built in everywhere; TAP devices are. Run as a program it takes two namespaces with
the name of the interface to make in each, then a `Profile` as JSON on each line of its input, and answers each with
what it has counted so far. It uses the standard library only and ends with its input.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import json
import os
import random
import selectors
import struct
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Final

__all__ = ["Profile"]

_TUNSETIFF: Final = 0x400454CA
_IFF_TAP_NO_PI: Final = 0x0002 | 0x1000
_CLONE_NEWNET: Final = 0x40000000
_IPV4: Final = b"\x08\x00"
_ETHERNET: Final = 14
_FRAMES_PER_TURN: Final = 64


@dataclass(frozen=True)
class Profile:
    """What the cable does to each frame, in each direction by itself. Shares are 0 to 1, times milliseconds.

    Attributes:
        reorder: share of frames that come `reorder_ms` later than the others.
        mtu: larger IPv4 packets vanish silently; 0 for no limit.
        kbit: kilobits a second; 0 for no limit.
        queue: frames under way at once.
        dead: everything vanishes.
    """

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_ms: float = 50.0
    mtu: int = 0
    kbit: float = 0.0
    queue: int = 2000
    dead: bool = False


@dataclass
class _Direction:
    """Frames on their way to one end."""

    fd: int
    waiting: list[tuple[float, int, bytes]] = field(default_factory=list)
    free_at: float = 0.0
    carried: int = 0
    lost: int = 0
    number: int = 0

    def take(self, frame: bytes, now: float, profile: Profile) -> None:
        """Decide what becomes of a frame."""
        size = len(frame) - _ETHERNET
        too_big = 0 < profile.mtu < size and frame[12:14] == _IPV4
        if profile.dead or too_big or random.random() < profile.loss or len(self.waiting) >= profile.queue:
            self.lost += 1
            return
        due = now + (profile.delay_ms + random.uniform(-profile.jitter_ms, profile.jitter_ms)) / 1000
        if profile.kbit:
            self.free_at = max(self.free_at, now) + len(frame) * 8 / (profile.kbit * 1000)
            due += self.free_at - now
        if random.random() < profile.reorder:
            due += profile.reorder_ms / 1000
        for _ in range(2 if random.random() < profile.duplicate else 1):
            self.number += 1
            heapq.heappush(self.waiting, (due, self.number, frame))

    def deliver(self, now: float) -> None:
        """Put out what is due."""
        while self.waiting and self.waiting[0][0] <= now:
            frame = heapq.heappop(self.waiting)[2]
            try:
                os.write(self.fd, frame)
                self.carried += 1
            except OSError:  # the interface is down
                self.lost += 1


class _Cable:
    def __init__(self, ends: list[int]) -> None:
        self.profile = Profile()
        # What is read at one end goes out at the other.
        self._to = {ends[0]: _Direction(ends[1]), ends[1]: _Direction(ends[0])}
        self._selector = selectors.DefaultSelector()
        for fd in (*ends, sys.stdin.fileno()):
            self._selector.register(fd, selectors.EVENT_READ)
        self._input = b""

    def carry(self) -> None:
        """Work until the input ends."""
        while True:
            due = min((way.waiting[0][0] for way in self._to.values() if way.waiting), default=None)
            ready = self._selector.select(None if due is None else max(0.0, due - time.monotonic()))
            for key, _ in ready:
                if key.fd != sys.stdin.fileno():
                    self._read(key.fd)
                elif not self._command():
                    return
            now = time.monotonic()
            for way in self._to.values():
                way.deliver(now)

    def _read(self, fd: int) -> None:
        for _ in range(_FRAMES_PER_TURN):
            try:
                frame = os.read(fd, 65535)
            except OSError:
                return
            self._to[fd].take(frame, time.monotonic(), self.profile)

    def _command(self) -> bool:
        data = os.read(sys.stdin.fileno(), 65536)
        self._input += data
        *lines, self._input = self._input.split(b"\n")
        for line in lines:
            self.profile = Profile(**json.loads(line))
            counts = [{"carried": way.carried, "lost": way.lost} for way in self._to.values()]
            print(json.dumps({"profile": asdict(self.profile), "counts": counts}), flush=True)
        return bool(data)


def _tap(namespace: str, interface: str) -> int:
    """Make a TAP device inside a namespace and return it; we stay in that namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{namespace}") as handle:
        if libc.setns(handle.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH", interface.encode(), _IFF_TAP_NO_PI))
    return fd


if __name__ == "__main__":
    cable = _Cable([_tap(sys.argv[1], sys.argv[2]), _tap(sys.argv[3], sys.argv[4])])
    print("ready", flush=True)
    cable.carry()

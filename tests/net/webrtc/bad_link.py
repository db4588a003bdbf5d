"""SCTP over a link that loses, doubles and reorders, on a clock that jumps from one event to the next."""

from __future__ import annotations

import asyncio
import selectors
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p2pchat_core.net.webrtc.sctp_inbound import run_now

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

__all__ = ["Link", "LinkEnd", "VirtualLoop"]


class _NoSelector(selectors.BaseSelector):
    """Nothing is ever ready; waiting moves the clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, -1, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        self.now += max(0.0, timeout) + 1e-9  # a sum may be rounded to a little too early
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while everybody waits."""

    def __init__(self) -> None:
        self._virtual = _NoSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


@dataclass
class Link:
    """What happens to packets; the same with the same `random`.

    Attributes:
        loss, doubled: the share of packets lost and delivered twice.
        delay, jitter: seconds each packet takes, and at most takes longer; jitter changes their order.
    """

    random: Random
    loss: float = 0.0
    doubled: float = 0.0
    delay: float = 0.01
    jitter: float = 0.0
    sent: int = 0
    lost: int = 0

    def pair(self) -> tuple[LinkEnd, LinkEnd]:
        """Return the two ends: the DTLS server's and the client's."""
        left, right = LinkEnd("server", self), LinkEnd("client", self)
        left.other, right.other = right, left
        return left, right


class LinkEnd:
    """Stands in for a DTLS transport, the library's own or ours."""

    def __init__(self, role: str, link: Link) -> None:
        self._role = role
        self.state = "connected"
        self.other: LinkEnd
        self._link = link
        self._receiver: Any = None

    def _register_data_receiver(self, receiver: object) -> None:
        self._receiver = receiver

    def _unregister_data_receiver(self, receiver: object) -> None:
        self._receiver = None

    async def _send_data(self, packet: bytes) -> None:
        self.send_packets((packet,))

    def send_packets(self, packets: Sequence[bytes]) -> None:
        link, loop = self._link, asyncio.get_running_loop()
        for packet in packets:
            link.sent += 1
            if link.random.random() < link.loss:
                link.lost += 1
                continue
            for _ in range(1 + (link.random.random() < link.doubled)):
                # What is sent later arrives later, if there is no jitter; timers of the same time have no order.
                delay = link.delay + link.random.random() * link.jitter + link.sent * 1e-9
                loop.call_later(delay, self.other._arrive, packet)

    def _arrive(self, packet: bytes) -> None:
        if self._receiver is not None:
            run_now(self._receiver._handle_data(packet))

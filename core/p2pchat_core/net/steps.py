"""The eight steps of a connection, by name, and how a dial reports them."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from p2pchat_core.clock import Clock
    from p2pchat_core.identity.peer_id import PeerId

__all__ = ["STEP_NAMES", "Step", "StepObserver", "StepReport", "StepTimer"]


class Step(enum.IntEnum):
    """The steps of the document this project was created from, in its order."""

    RESERVATION = 1
    ADDRESS = 2
    HOP = 3
    STOP = 4
    CIRCUIT = 5
    SIGNALING = 6
    EXCHANGE = 7
    DIRECT = 8


STEP_NAMES = {
    Step.RESERVATION: "reservation on the relay",
    Step.ADDRESS: "the listener's address",
    Step.HOP: "dial through the relay (HOP)",
    Step.STOP: "relay calls the listener (STOP)",
    Step.CIRCUIT: "virtual connection",
    Step.SIGNALING: "signalling stream",
    Step.EXCHANGE: "SDP and ICE exchange",
    Step.DIRECT: "direct WebRTC connection",
}


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step was done (`ok`) or failed, `ms` milliseconds after the one before."""

    peer: PeerId
    step: Step
    ok: bool
    ms: float
    detail: str = ""


StepObserver = Callable[[StepReport], None]


class StepTimer:
    """Measures the steps of one connection attempt and hands each to the observer."""

    def __init__(
        self, peer: PeerId, clock: Clock, observer: StepObserver | None, since: float | None = None
    ) -> None:
        """`since` is when the first step began (monotonic seconds), if not now."""
        self._peer = peer
        self._clock = clock
        self._observer = observer
        self._last = clock.monotonic() if since is None else since

    def done(self, step: Step, detail: str = "") -> None:
        """`step` has just been completed."""
        self._report(step, True, detail)

    def failed(self, step: Step, detail: str) -> None:
        """`step` has just failed; `detail` is a sentence."""
        self._report(step, False, detail)

    def _report(self, step: Step, ok: bool, detail: str) -> None:
        now = self._clock.monotonic()
        ms, self._last = (now - self._last) * 1e3, now
        if self._observer is not None:
            self._observer(StepReport(self._peer, step, ok, ms, detail))

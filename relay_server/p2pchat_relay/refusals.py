"""What the relay did not do for somebody: counted always, written to the log only so often."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from p2pchat_relay.limits import REFUSAL_LOG_BURST, REFUSAL_LOG_RATE
from p2pchat_relay.ratelimit import TokenBucket
from p2pchat_relay.sources import Source

if TYPE_CHECKING:
    from p2pchat_core.clock import Clock
    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_relay.observer import RelayObserver
    from p2pchat_relay.policy import Verdict

__all__ = ["Refusals"]

logger = logging.getLogger(__name__)


class Refusals:
    """Tells the observer of every refusal, and the log of some: whoever is refused a thousand times a second
    must not fill a disk. How many were left out is told with the next one, or by `flush`."""

    def __init__(self, observer: RelayObserver, clock: Clock) -> None:
        self._observer = observer
        self._clock = clock
        self._bucket = TokenBucket(REFUSAL_LOG_RATE, REFUSAL_LOG_BURST, clock.monotonic())
        self._left_out = 0

    def request(self, kind: str, peer: PeerId, verdict: Verdict, target: PeerId | None = None) -> None:
        """A request of `peer` (``reserve``, ``connect`` or ``unknown``) was answered with `verdict`."""
        self._observer.request_refused(kind, verdict.status.name.lower(), verdict.reason)
        if self._may_log():
            towards = f" to {target.short()}" if target is not None else ""
            logger.info(
                "refused %s from %s%s: %s (%s)",
                kind,
                peer.short(),
                towards,
                verdict.status.name,
                verdict.reason,
            )

    def connection(self, remote_ip: str, reason: str) -> None:
        """A connection was not let in."""
        self._observer.connection_refused(reason)
        if self._may_log():
            logger.info("refused a connection from %s: %s", Source.of(remote_ip).host, reason)

    def flush(self) -> None:
        """Say how many were left out, if there are any."""
        if self._left_out:
            logger.info("%d more refusals were not logged", self._left_out)
            self._left_out = 0

    def _may_log(self) -> bool:
        if not self._bucket.take(self._clock.monotonic()):
            self._left_out += 1
            return False
        self.flush()
        return True

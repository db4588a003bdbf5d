"""Which of two connections of the same kind to one peer is used, and how the other ends without a gap.

A path is renewed by making another of its kind beside it: the newer one succeeds the older. Where both sides made one
at the same time, both must choose the same: then that of the side with the smaller PeerId stays. The one that is
not used any more is kept for a while, for what is still under way on it, and then closed, by its dialer first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.net.connection import Direction

if TYPE_CHECKING:
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.host import Host

__all__ = ["Succession"]

logger = logging.getLogger(__name__)


class Succession:
    """Settles it for every connection of a host; make it before anything else listens for new connections."""

    def __init__(self, host: Host) -> None:
        self._host = host
        host.on_connection.append(self._opened)

    def _opened(self, new: Connection) -> None:
        for old in self._host.connections(new.peer):
            if old is new or _place(old) is None or _place(old) != _place(new):
                continue
            stays, goes = self._settle(old, new)
            if not goes.superseded:
                goes.successor = stays
                self._host.spawn(self._retire(goes), f"retire a connection to {goes.peer.short()}")

    def _settle(self, old: Connection, new: Connection) -> tuple[Connection, Connection]:
        """Return who stays and who goes: the newer stays, unless each side made one before it had that of the other."""
        if old.direction is new.direction or new.began_at > old.opened_at:
            return new, old
        smaller = self._host.peer.to_bytes() < new.peer.to_bytes()
        ours = Direction.OUTBOUND if smaller else Direction.INBOUND
        return (new, old) if new.direction is ours else (old, new)

    async def _retire(self, connection: Connection) -> None:
        # Its dialer closes it. The other side waits much longer, for programs that do not know of this (js), and
        # the two sides not equally long: if they ever disagree on who stays, both would end at once otherwise.
        linger = limits.SUCCESSION_LINGER
        if connection.direction is Direction.INBOUND:
            linger *= 10 if self._host.peer.to_bytes() < connection.peer.to_bytes() else 20
        with contextlib.suppress(TimeoutError):
            # Whoever makes and ends many connections must not leave so many of us waiting behind.
            async with asyncio.timeout(linger):
                await connection.wait_closed()
        if connection.superseded and not connection.closed:
            logger.info("%s has a successor", connection)
            await connection.close()


def _place(connection: Connection) -> PeerId | str | None:
    """Return what two connections must have in common for one to succeed the other; ``None`` if they never do.

    Circuits through several relays stay side by side: one of the relays may die.
    """
    if connection.direct:
        return "direct"
    return PeerId.of(connection.remote_address.before("p2p-circuit")) if connection.relayed else None

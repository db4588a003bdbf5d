"""Connections that nobody uses: found by looking from time to time, closed by the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from p2pchat_core.net.connection import Connection

__all__ = ["IdleConnections"]


class IdleConnections:
    """Remembers when each connection was last seen in use."""

    def __init__(self) -> None:
        self._seen: dict[Connection, float] = {}

    def look(
        self,
        connections: Iterable[Connection],
        in_use: Callable[[Connection], bool],
        seconds: float,
        now: float,
    ) -> list[Connection]:
        """Return those of `connections` that were not in use for `seconds`; none if that is 0.

        A connection not among `connections` any more is forgotten.
        """
        seen = self._seen
        self._seen = {c: now if in_use(c) else seen.get(c, c.opened_at) for c in connections}
        if not seconds:
            return []
        return [c for c, at in self._seen.items() if now - at >= seconds]

"""Which protocols this node serves, and on what terms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p2pchat_core.limits import MAX_INBOUND_STREAMS_PER_PROTOCOL

if TYPE_CHECKING:
    from p2pchat_core.net.stream import Stream

__all__ = ["Handler", "ProtocolRegistry", "Registration"]

Handler = Callable[["Stream"], Awaitable[None]]
"""Owns the stream until it returns; then the stream is closed, or aborted if it raised."""


@dataclass(frozen=True, slots=True)
class Registration:
    """One served protocol.

    Attributes:
        on_limited: whether it may be opened over a circuit with limits. Elsewhere the stream is reset, as js does.
        max_inbound: streams of it that one connection may have open at once.
    """

    handler: Handler
    on_limited: bool
    max_inbound: int


class ProtocolRegistry:
    """The protocols of one node, looked up by their exact name."""

    def __init__(self) -> None:
        self._registrations: dict[str, Registration] = {}

    def add(
        self,
        protocol: str,
        handler: Handler,
        *,
        on_limited: bool = False,
        max_inbound: int = MAX_INBOUND_STREAMS_PER_PROTOCOL,
    ) -> None:
        """Serve `protocol` with `handler`, replacing an earlier one."""
        self._registrations[protocol] = Registration(handler, on_limited, max_inbound)

    def get(self, protocol: str) -> Registration | None:
        """Return what is registered under `protocol`."""
        return self._registrations.get(protocol)

    def supports(self, protocol: str) -> bool:
        """Whether `protocol` is served."""
        return protocol in self._registrations

    def names(self) -> list[str]:
        """Return the served protocols in the order they were added."""
        return list(self._registrations)

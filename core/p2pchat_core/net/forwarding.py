"""Whom a reverse proxy speaks for: what a listener asks about connections that were made for somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Forwarding"]


class Forwarding(Protocol):
    """Knows the proxies that are believed."""

    def expects(self, remote_ip: str) -> bool:
        """Whether what comes from this address is a proxy's, which will say whose it is."""

    def client(self, proxy_ip: str, headers: Iterable[tuple[str, str]]) -> str:
        """Return the IP address of the client, from the headers of a request that the proxy passed on.

        Raises:
            RemoteProtocolError: they do not say it, or not in a way that can be believed.
        """

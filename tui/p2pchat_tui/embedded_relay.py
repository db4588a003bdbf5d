"""The relay that p2pchat runs for itself when it knows no other, so that a first start needs no set-up."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Final

from p2pchat_relay.errors import RelayStartError
from p2pchat_relay.limits import RelayLimits
from p2pchat_relay.server import RelayConfig, RelayServer

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["EmbeddedRelay"]

logger = logging.getLogger(__name__)

_LOOPBACK: Final = "127.0.0.1"
_EVERYWHERE: Final = "0.0.0.0"
_MAX_RESERVATIONS: Final = 128


class EmbeddedRelay:
    """A relay in this process. It keeps its identity and port, so addresses given out stay good after a restart.

    Attributes:
        address: where we reserve. Our first listening address is made of it, so with `lan` it is one that others
            on the network can use.
    """

    def __init__(self, server: RelayServer) -> None:
        """Not called directly: see `start`."""
        self._server = server
        addresses = [str(address) for address in server.addresses]
        self.address = next((text for text in addresses if not text.startswith("/ip4/127.")), addresses[0])

    @classmethod
    async def start(cls, data_dir: Path, *, lan: bool = False) -> EmbeddedRelay:
        """Start it with its state in ``data_dir/relay``; with `lan`, others on the local network can use it.

        Raises:
            RelayStartError: nothing could be bound, or another program uses the directory.
            IdentityError: its key file is damaged or readable by others.
        """
        host = _EVERYWHERE if lan else _LOOPBACK
        folder = data_dir / "relay"
        try:
            return cls(await RelayServer.start(_config(folder, host, 0)))
        except RelayStartError as error:
            # Most likely its port was taken while we were away. Another one is better than none; next time the old
            # one is tried first again.
            logger.warning("%s", error)
        return cls(await RelayServer.start(_config(folder, host, _free_port(host))))

    async def stop(self) -> None:
        """End it with every circuit through it. Never raises."""
        await self._server.stop()


def _config(folder: Path, host: str, port: int) -> RelayConfig:
    return RelayConfig(
        data_dir=folder,
        listen=(f"/ip4/{host}/tcp/{port}/ws",),
        limits=RelayLimits(max_reservations=_MAX_RESERVATIONS),
    )


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port

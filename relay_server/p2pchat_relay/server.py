"""The relay: a host that serves HOP, identify and ping, and STUN beside it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from p2pchat_core import __version__
from p2pchat_core.clock import SystemClock
from p2pchat_core.errors import AddressError, ConfigError
from p2pchat_core.identity.keystore import load_or_create_identity
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.net.host import Host, HostConfig
from p2pchat_core.net.identify import IdentifyService
from p2pchat_core.net.ping import serve_ping
from p2pchat_core.wire.ws_address import websocket_target
from p2pchat_relay import limits
from p2pchat_relay.errors import RelayStartError
from p2pchat_relay.handlers import HopHandler
from p2pchat_relay.policy import RelayPolicy
from p2pchat_relay.state import StateDirectory
from p2pchat_relay.stun import StunServer

if TYPE_CHECKING:
    from pathlib import Path

    from p2pchat_core.clock import Clock
    from p2pchat_core.identity.peer_id import PeerId

__all__ = ["DEFAULT_LISTEN", "RelayConfig", "RelayServer"]

logger = logging.getLogger(__name__)

DEFAULT_LISTEN: Final = "/ip4/0.0.0.0/tcp/9001/ws"


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """What one relay is started with."""

    data_dir: Path
    """Where the identity and the chosen ports are kept."""

    listen: tuple[str, ...] = ()
    """Where to listen: ws addresses. Empty: `DEFAULT_LISTEN`, or a free port if that is taken at the first
    start. A port 0 becomes a free port at the first start. Chosen ports are kept."""

    announce: tuple[str, ...] = ()
    """Further addresses that lead here, such as the public one of a reverse proxy."""

    max_reservations: int = limits.MAX_RESERVATIONS

    circuit_seconds: int = limits.CIRCUIT_SECONDS

    circuit_bytes: int = limits.CIRCUIT_BYTES

    stun: bool = True
    """Answer STUN on UDP at the same addresses and ports."""

    def relay_limits(self) -> limits.RelayLimits:
        """Return every limit: those given here, and the defaults of the others."""
        return limits.RelayLimits(
            max_reservations=self.max_reservations,
            circuit_seconds=self.circuit_seconds,
            circuit_bytes=self.circuit_bytes,
        )


@dataclass(frozen=True, slots=True)
class _Listen:
    """One address to listen on.

    Attributes:
        key: as it was configured; chosen ports are remembered under it.
        movable: whether another port will do at the first start.
    """

    address: Multiaddr
    key: str
    movable: bool


class RelayServer:
    """A running relay. Made by `start`, ended by `stop`."""

    def __init__(
        self, host: Host, policy: RelayPolicy, state: StateDirectory, announce: list[Multiaddr]
    ) -> None:
        """Not called directly: see `start`."""
        self.policy = policy
        self._host = host
        self._state = state
        self._announce = announce
        self._stun: list[StunServer] = []
        self._stopped = False
        HopHandler(host, policy, lambda: self.addresses).register()
        IdentifyService(host, f"p2pchat-relay/{__version__}", lambda: self.addresses)
        serve_ping(host)

    @classmethod
    async def start(cls, config: RelayConfig, *, clock: Clock | None = None) -> RelayServer:
        """Listen and serve.

        Raises:
            ConfigError: an address in `config` cannot be used.
            RelayStartError: a port cannot be had, or another relay runs with the same directory.
            IdentityError: the key file is damaged or readable by others.
        """
        listens = _listens(config)
        announce = [_parse(text) for text in config.announce]
        relay_limits = config.relay_limits()
        state = StateDirectory.open(config.data_dir)
        try:
            host = Host(
                load_or_create_identity(state.identity_path),
                clock=clock if clock is not None else SystemClock(),
                config=HostConfig(
                    max_connections=relay_limits.max_connections,
                    max_connections_per_peer=relay_limits.max_connections_per_peer,
                    max_pending_upgrades=relay_limits.max_pending_upgrades,
                ),
            )
            server = cls(host, RelayPolicy(relay_limits), state, announce)
        except BaseException:
            state.close()
            raise
        try:
            for listen in listens:
                await server._listen(listen, stun=config.stun)
        except BaseException:
            await server.stop()
            raise
        return server

    @property
    def peer_id(self) -> PeerId:
        """Who this relay is."""
        return self._host.peer

    @property
    def addresses(self) -> list[Multiaddr]:
        """Where it can be reached, announced addresses first, each ending in its PeerId."""
        me = self._host.peer.as_multiaddr()
        bare = [address.without_trailing_p2p() for address in self._announce + self._host.listen_addresses()]
        return [address / me for address in dict.fromkeys(bare)]

    async def stop(self) -> None:
        """End all circuits and connections within `limits.SHUTDOWN_TIMEOUT`. Calling it again does
        nothing."""
        if self._stopped:
            return
        self._stopped = True
        for stun in self._stun:
            stun.close()
        try:
            async with asyncio.timeout(limits.SHUTDOWN_TIMEOUT):
                await self._host.close()
        except TimeoutError:
            for connection in self._host.connections():
                connection.abort("The relay is stopping.")
        finally:
            self._state.close()

    # --- listening ------------------------------------------------------------------------------------------

    async def _listen(self, listen: _Listen, *, stun: bool) -> None:
        wanted = websocket_target(listen.address).port
        remembered = self._state.remembered_port(listen.key) if listen.movable else None
        try:
            bound = await self._bind(_with_port(listen.address, remembered or wanted))
        except RelayStartError:
            # Once addresses have been given out they must stay good, so only a first start may move.
            if not listen.movable or remembered is not None or not wanted:
                raise
            bound = await self._bind(_with_port(listen.address, 0))
            logger.warning("port %d is taken; another one was chosen and will be kept", wanted)
        for address in bound:
            target = websocket_target(address)
            if listen.movable:
                self._state.remember_port(listen.key, target.port)
            if stun:
                await self._answer_stun(target.host, target.port)

    async def _bind(self, address: Multiaddr) -> list[Multiaddr]:
        try:
            return await self._host.listen(address)
        except AddressError as error:
            raise ConfigError(str(error)) from error
        except ConfigError as error:
            # What the system refused has nothing to do with how the address is written.
            if isinstance(error.__cause__, OSError):
                raise RelayStartError(str(error)) from error
            raise

    async def _answer_stun(self, host: str, port: int) -> None:
        try:
            self._stun.append(await StunServer.open(host, port, self._host.clock))
        except OSError as error:
            logger.warning("STUN is not answered: UDP port %d cannot be used (%s)", port, error.strerror)
        else:
            logger.info("answering STUN on UDP port %d", port)


def _listens(config: RelayConfig) -> list[_Listen]:
    if not config.listen:
        return [_Listen(_parse(DEFAULT_LISTEN), DEFAULT_LISTEN, movable=True)]
    chosen: dict[Multiaddr, _Listen] = {}
    for text in config.listen:
        address = _parse(text)
        if address.has("p2p"):
            raise ConfigError(
                f"{text} names a PeerId. To listen, leave it out: /p2p/… is added by the relay."
            )
        if not address.has("tcp"):
            raise ConfigError(
                f"{text} names no port. Write /tcp/9001 after the IP address, or /tcp/0 for any."
            )
        chosen[address] = _Listen(address, str(address), movable=websocket_target(address).port == 0)
    return list(chosen.values())


def _parse(text: str) -> Multiaddr:
    try:
        address = Multiaddr.parse(text)
        websocket_target(address)
    except AddressError as error:
        raise ConfigError(str(error)) from error
    return address


def _with_port(address: Multiaddr, port: int) -> Multiaddr:
    return address.before("tcp") / f"/tcp/{port}" / address.after("tcp")

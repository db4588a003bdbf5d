"""What a relay listens on: plain TCP, WebSockets, WebSockets in TLS, and STUN on UDP beside them."""

from __future__ import annotations

import ipaddress
import logging
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from p2pchat_core.errors import AddressError, ConfigError
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.wire.tcp_address import is_tcp, tcp_target
from p2pchat_core.wire.ws_address import websocket_target
from p2pchat_relay.errors import RelayStartError
from p2pchat_relay.stun import StunResponder, StunServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from p2pchat_core.net.host import Host
    from p2pchat_relay.observer import RelayObserver
    from p2pchat_relay.state import StateDirectory
    from p2pchat_relay.tls import ServerCertificate

__all__ = ["DEFAULT_LISTEN", "Listen", "Listeners", "parse_announce", "parse_listen", "parse_stun_hosts"]

logger = logging.getLogger(__name__)

DEFAULT_LISTEN: Final = "/ip4/0.0.0.0/tcp/9001/ws"
_SECOND_STUN_PORT: Final = "second STUN port"
_FULL_STUN_HOSTS: Final = 2


@dataclass(frozen=True, slots=True)
class Listen:
    """One address to listen on.

    Attributes:
        key: as it was configured; chosen ports are remembered under it.
        movable: whether another port will do at the first start.
        tls: whether it needs a certificate.
    """

    address: Multiaddr
    key: str
    movable: bool
    tls: bool


def parse_listen(texts: Sequence[str]) -> list[Listen]:
    """Return what to listen on: `texts`, or where there is none `DEFAULT_LISTEN` on any port.

    Raises:
        ConfigError: one of them cannot be listened on.
    """
    if not texts:
        return [Listen(Multiaddr.parse(DEFAULT_LISTEN), DEFAULT_LISTEN, movable=True, tls=False)]
    chosen: dict[Multiaddr, Listen] = {}
    for text in texts:
        address = _parse(text)
        if address.has("p2p"):
            raise ConfigError(
                f"{text} names a PeerId. To listen, leave it out: /p2p/… is added by the relay."
            )
        if not address.has("tcp"):
            raise ConfigError(
                f"{text} names no port. Write /tcp/9001 after the IP address, or /tcp/0 for any."
            )
        if not address.names[0].startswith("ip"):
            raise ConfigError(
                f"{text} names a host. To listen, give an IP address such as /ip4/0.0.0.0; names are to announce."
            )
        tls = not is_tcp(address) and websocket_target(address).tls
        chosen[address] = Listen(address, str(address), movable=_host_port(address)[1] == 0, tls=tls)
    return list(chosen.values())


def parse_announce(texts: Sequence[str]) -> list[Multiaddr]:
    """Return further addresses that lead to the relay.

    Raises:
        ConfigError: one of them is not a ws, wss or tcp address.
    """
    return [_parse(text) for text in texts]


def parse_stun_hosts(texts: Sequence[str]) -> list[str]:
    """Return the IP addresses on which STUN is answered in place of those of the listeners: none, or two.

    Raises:
        ConfigError: they are not two different IP addresses of this machine's own, of one family.
    """
    try:
        hosts = [ipaddress.ip_address(text) for text in texts]
    except ValueError as error:
        raise ConfigError(f"STUN cannot be answered there: {error}.") from error
    if not hosts:
        return []
    different = len(set(hosts)) == len(hosts) == _FULL_STUN_HOSTS
    if not different or hosts[0].version != hosts[1].version or any(host.is_unspecified for host in hosts):
        raise ConfigError(
            "STUN for NAT behaviour discovery needs two different IP addresses of one family, both of this machine."
        )
    return [str(host) for host in hosts]


class Listeners:
    """The sockets of one relay. Chosen ports are kept, so that addresses given out stay good."""

    def __init__(
        self,
        host: Host,
        state: StateDirectory,
        *,
        certificate: ServerCertificate | None = None,
        observer: RelayObserver | None = None,
    ) -> None:
        """Listen for `host`; `certificate` is for wss addresses, and `observer` is told of STUN."""
        self._host = host
        self._state = state
        self._certificate = certificate
        self._responder = StunResponder(host.clock.monotonic(), observer)
        self._stun: list[StunServer] = []
        self._bound: dict[str, list[int]] = {}

    async def open(self, listen: Listen, *, stun: bool = False) -> None:
        """Begin to listen at one address.

        Args:
            stun: a port that we may choose ourselves is one that is free on UDP too.

        Raises:
            ConfigError: it cannot be listened on as it is written, or the certificate is missing.
            RelayStartError: the system does not allow it: a port is taken, or not ours to take.
        """
        if listen.tls and self._certificate is None:
            raise ConfigError(
                f"Listening at {listen.key} needs a TLS certificate and its key: name both files,"
                " or listen with /ws and let a reverse proxy do TLS."
            )
        host, wanted = _host_port(listen.address)
        remembered = self._state.remembered_port(listen.key) if listen.movable else None
        try:
            chosen = remembered or wanted or (_free_on_udp(host) if stun else 0)
            bound = await self._bind(_with_port(listen.address, chosen))
        except RelayStartError:
            # Once addresses have been given out they must stay good, so only a first start may move.
            if not listen.movable or remembered is not None or not wanted:
                raise
            bound = await self._bind(_with_port(listen.address, _free_on_udp(host) if stun else 0))
            logger.warning("port %d is taken; another one was chosen and will be kept", wanted)
        for address in bound:
            host, port = _host_port(address)
            if listen.movable:
                self._state.remember_port(listen.key, port)
            self._bound.setdefault(host, []).append(port)

    async def open_stun(self, *, second_port: int | None = None, hosts: Sequence[str] = ()) -> None:
        """Answer STUN at the ports of all listeners that are open.

        Args:
            second_port: answer there too, on the same hosts, so that a client can tell whether its NAT gives it
                another port for it; 0 takes a free one and keeps it.
            hosts: two IP addresses to answer at in place of those of the listeners; see `parse_stun_hosts`.

        Raises:
            RelayStartError: a port is taken on UDP, or one of `hosts` is not of this machine.
        """
        if second_port == 0:
            second_port = self._state.remembered_port(_SECOND_STUN_PORT) or 0
        if hosts:
            ports = sorted({port for bound in self._bound.values() for port in bound})
            await self._open_stun(list(hosts), ports, second_port)
            return
        for host, ports in self._bound.items():
            second_port = await self._open_stun([host], ports, second_port)

    def close(self) -> None:
        """Stop answering STUN; the host closes its own listeners."""
        for stun in self._stun:
            stun.close()
        self._stun.clear()

    async def _bind(self, address: Multiaddr) -> list[Multiaddr]:
        context = self._certificate.context if self._certificate is not None else None
        try:
            return await self._host.listen(address, ssl_context=context)
        except AddressError as error:
            raise ConfigError(str(error)) from error
        except ConfigError as error:
            # What the system refused has nothing to do with how the address is written.
            if isinstance(error.__cause__, OSError):
                raise RelayStartError(str(error)) from error
            raise

    async def _open_stun(self, hosts: list[str], ports: list[int], second: int | None) -> int | None:
        """Open one server and return the second port if it has not got it."""
        where = ", ".join(map(str, ports))
        try:
            server = await StunServer.open(hosts, ports, self._responder, self._host.clock)
        except OSError as error:
            raise RelayStartError(
                f"STUN cannot be answered at {' and '.join(hosts)}, UDP port {where} ({error.strerror}): choose "
                "another port, or switch STUN off."
            ) from error
        self._stun.append(server)
        logger.info("answering STUN on UDP port %s", where)
        return None if second is None else await self._open_second(server, second)

    async def _open_second(self, server: StunServer, wanted: int) -> int:
        try:
            port = await server.add_port(wanted)
        except OSError as error:
            raise RelayStartError(
                f"The second STUN port, UDP {wanted}, cannot be used ({error.strerror}): choose another one."
            ) from error
        if not wanted:
            self._state.remember_port(_SECOND_STUN_PORT, port)
        logger.info("answering STUN on a second UDP port, %d", port)
        return port


def _parse(text: str) -> Multiaddr:
    try:
        address = Multiaddr.parse(text)
        _host_port(address)
    except AddressError as error:
        raise ConfigError(str(error)) from error
    return address


def _host_port(address: Multiaddr) -> tuple[str, int]:
    """Return the IP address or name, and the port, of a ws, wss or tcp address; AddressError for others."""
    target = tcp_target(address) if is_tcp(address) else websocket_target(address)
    return target.host, target.port


def _with_port(address: Multiaddr, port: int) -> Multiaddr:
    return address.before("tcp") / f"/tcp/{port}" / address.after("tcp")


def _free_on_udp(host: str) -> int:
    """Return a port that is free on UDP and TCP at `host` now, so that STUN can be answered there; 0 if none is."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe, socket.socket(family) as other:
            probe.bind((host, 0))
            port: int = probe.getsockname()[1]
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind((host, port))
            return port
    except OSError:
        return 0

"""The relay: a host that serves HOP, identify and ping, and STUN beside it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from p2pchat_core import __version__
from p2pchat_core.clock import SystemClock
from p2pchat_core.errors import (
    ConfigError,
    HandshakeError,
    IdentityError,
    NoAnswerError,
    P2PChatError,
    RemoteProtocolError,
    StreamLimitError,
)
from p2pchat_core.identity.keystore import load_or_create_identity
from p2pchat_core.net.host import Host, HostConfig
from p2pchat_core.net.identify import IdentifyService
from p2pchat_core.net.ping import serve_ping
from p2pchat_relay import limits
from p2pchat_relay.acl import Access, Trust
from p2pchat_relay.config import RelayConfig, changed_keys
from p2pchat_relay.forwarded import TrustedProxies, parse_proxies
from p2pchat_relay.handlers import HopHandler
from p2pchat_relay.idle import IdleConnections
from p2pchat_relay.listeners import (
    DEFAULT_LISTEN,
    Listen,
    Listeners,
    parse_announce,
    parse_listen,
    parse_stun_hosts,
)
from p2pchat_relay.observer import Level, NullObserver
from p2pchat_relay.policy import RelayPolicy
from p2pchat_relay.refusals import Refusals
from p2pchat_relay.state import StateDirectory
from p2pchat_relay.status import parse_status_address
from p2pchat_relay.tls import ServerCertificate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from p2pchat_core.clock import Clock
    from p2pchat_core.identity.peer_id import PeerId
    from p2pchat_core.multiformats.multiaddr import Multiaddr
    from p2pchat_core.net.connection import Connection
    from p2pchat_relay.observer import RelayObserver

__all__ = ["DEFAULT_LISTEN", "Plan", "RelayConfig", "RelayServer"]

logger = logging.getLogger(__name__)

_NEEDS_RESTART: Final = ("data_dir", "listen", "tls.", "stun.", "metrics.")
"""Keys, or beginnings of keys, that say how a relay is started. (The files that ``tls`` names are read again.)"""
_DRAIN_POLL: Final = 0.2


class Plan:
    """A configuration, read and checked as far as that is possible without starting.

    Raises:
        ConfigError: something in it cannot be used.
    """

    def __init__(self, config: RelayConfig, now: float) -> None:
        """Check `config`; `now` is Unix seconds, for the certificate."""
        self.config = config
        for i, text in enumerate(config.listen):
            with _at(f"listen[{i}]"):
                parse_listen([text])
        for i, text in enumerate(config.announce):
            with _at(f"announce[{i}]"):
                parse_announce([text])
        self.listens: list[Listen] = parse_listen(config.listen)
        self.announce: list[Multiaddr] = parse_announce(config.announce)
        with _at("stun.hosts"):
            self.stun_hosts: list[str] = parse_stun_hosts(config.stun.hosts)
        if config.metrics.listen:
            with _at("metrics.listen"):
                parse_status_address(config.metrics.listen)
        if 0 < config.limits.max_buffered_bytes < limits.BUFFER_LEAST:
            raise ConfigError(
                f"limits.max_buffered_bytes: this must be at least {limits.BUFFER_LEAST}, or 0 for no limit."
            )
        with _at("trusted_proxies"):
            self.proxies = parse_proxies(config.trusted_proxies)
        self.access = Access.of(config.access)
        self.trust = Trust.of(config.trusted)
        self.certificate = _certificate(config, now)
        if self.certificate is None and (listen := next((x for x in self.listens if x.tls), None)):
            raise ConfigError(
                f"listen: {listen.key} needs tls.certificate and tls.key; or listen with /ws behind a reverse proxy."
            )


class RelayServer:
    """A running relay. Made by `start`, ended by `stop`."""

    def __init__(self, host: Host, plan: Plan, state: StateDirectory, observer: RelayObserver) -> None:
        """Not called directly: see `start`."""
        self.policy = RelayPolicy(plan.config.limits, plan.access, plan.trust)
        self._host = host
        self._plan = plan
        self._state = state
        self._observer = observer
        self._refusals = Refusals(observer, host.clock)
        self._listeners = Listeners(host, state, certificate=plan.certificate, observer=observer)
        self._idle = IdleConnections()
        self._stopped = False
        self._proxies = TrustedProxies(plan.proxies)
        host.forwarding = self._proxies
        host.admit = self._admit
        host.released = self.policy.admission.leave
        host.on_handshake_failed.append(self._on_handshake_failed)
        HopHandler(
            host, self.policy, lambda: self.addresses, observer=observer, refusals=self._refusals
        ).register()
        IdentifyService(host, f"p2pchat-relay/{__version__}", lambda: self.addresses)
        serve_ping(host)

    @classmethod
    async def start(
        cls, config: RelayConfig, *, clock: Clock | None = None, observer: RelayObserver | None = None
    ) -> RelayServer:
        """Listen and serve.

        Raises:
            ConfigError: something in `config` cannot be used.
            RelayStartError: a port cannot be had, or another relay runs with the same directory.
            IdentityError: the key file is damaged or readable by others.
        """
        clock = clock if clock is not None else SystemClock()
        plan = Plan(config, clock.time())
        state = StateDirectory.open(config.data_dir)
        try:
            identity = load_or_create_identity(state.identity_path)
            host = Host(identity, clock=clock, config=_host_config(config.limits))
            server = cls(host, plan, state, observer if observer is not None else NullObserver())
        except BaseException:
            state.close()
            raise
        try:
            await server._open()
        except BaseException:
            await server.stop()
            raise
        return server

    async def _open(self) -> None:
        stun = self._plan.config.stun
        for listen in self._plan.listens:
            await self._listeners.open(listen, stun=stun.enabled)
        if stun.enabled:
            await self._listeners.open_stun(second_port=stun.second_port, hosts=self._plan.stun_hosts)
        self._host.spawn(self._keep_house(), "housekeeping")
        self._host.spawn(self._keep_within_memory(), "buffers")

    # --- what it is -----------------------------------------------------------------------------------------

    @property
    def peer_id(self) -> PeerId:
        """Who this relay is."""
        return self._host.peer

    @property
    def addresses(self) -> list[Multiaddr]:
        """Where it can be reached, announced addresses first, each ending in its PeerId."""
        me = self._host.peer.as_multiaddr()
        everywhere = self._plan.announce + self._host.listen_addresses()
        return [address / me for address in dict.fromkeys(a.without_trailing_p2p() for a in everywhere)]

    @property
    def config(self) -> RelayConfig:
        """What it was started with, or the last that was applied."""
        return self._plan.config

    @property
    def draining(self) -> bool:
        """Whether it takes nobody new any more."""
        return self.policy.draining or self._stopped

    @property
    def certificate_expires(self) -> float | None:
        """When the certificate of the wss listeners ends, in Unix seconds; ``None`` without one."""
        return None if self._plan.certificate is None else self._plan.certificate.expires

    def levels(self) -> list[Level]:
        """Return how full each limit is that is about the whole relay."""
        handshakes = Level("handshakes", self._host.handshakes, self.policy.limits.max_pending_handshakes)
        return [*self.policy.levels(), handshakes]

    # --- changes --------------------------------------------------------------------------------------------

    def apply(self, config: RelayConfig) -> list[str]:
        """Go by another configuration from now on. No connection and no circuit is cut.

        The certificate is read again even if its file names are the same.

        Returns:
            The keys whose new values need a restart; the old ones stay in force.

        Raises:
            ConfigError: something in it cannot be used. Then nothing has changed.
        """
        old, now = self._plan, self._host.clock.monotonic()
        restart = [key for key in changed_keys(old.config, config) if key.startswith(_NEEDS_RESTART)]
        running = old.config
        kept = RelayConfig(
            data_dir=running.data_dir,
            listen=running.listen,
            tls=running.tls,
            stun=running.stun,
            metrics=running.metrics,
            announce=config.announce,
            trusted_proxies=config.trusted_proxies,
            limits=config.limits,
            access=config.access,
            trusted=config.trusted,
            log=config.log,
        )
        # What waits for a restart is checked as well, or the restart would be the time to find out.
        Plan(config, self._host.clock.time())
        plan = Plan(kept, self._host.clock.time())
        if old.certificate is not None and old.certificate.reload(self._host.clock.time()):
            logger.info("the certificate was replaced")
        plan.certificate = old.certificate
        self._plan = plan
        self._host.config = _host_config(config.limits)
        self._proxies.configure(plan.proxies)
        self.policy.configure(config.limits, plan.access, plan.trust, now)
        return restart

    async def drain(self) -> None:
        """Grant nothing new, and wait until the circuits there are have ended, or `drain_seconds` are over.

        Peers that have no circuit are sent away, so that they look for another relay at once.
        """
        self.policy.drain()
        for connection in self._host.connections():
            if not self.policy.in_circuit(connection.peer):
                self._host.spawn(connection.close(), f"send {connection.peer.short()} away")
        begun = self._host.clock.monotonic()
        logger.info("draining: %d circuits are open", self.policy.circuits)
        while self.policy.circuits:
            seconds = self.policy.limits.drain_seconds
            if seconds and self._host.clock.monotonic() - begun >= seconds:
                logger.warning("%d circuits did not end in time and are cut", self.policy.circuits)
                return
            await asyncio.sleep(_DRAIN_POLL)

    async def stop(self) -> None:
        """End all circuits and connections within `limits.SHUTDOWN_TIMEOUT`. Calling it again does
        nothing."""
        if self._stopped:
            return
        self._stopped = True
        self._listeners.close()
        try:
            async with asyncio.timeout(limits.SHUTDOWN_TIMEOUT):
                await self._host.close()
        except TimeoutError:
            for connection in self._host.connections():
                connection.abort("The relay is stopping.")
        finally:
            self._state.close()

    # --- inside ---------------------------------------------------------------------------------------------

    def _admit(self, remote_ip: str | None) -> bool:
        # Handshakes are not for the policy to count: when there are too many, the host drops the oldest.
        reason = self.policy.admission.accept(remote_ip, self._host.clock.monotonic())
        if reason is not None:
            self._refusals.connection(remote_ip or "a proxy", reason)
        return reason is None

    def _on_handshake_failed(self, _address: Multiaddr, error: P2PChatError) -> None:
        self._observer.handshake_failed(_failure(error))

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(limits.IDLE_CHECK_INTERVAL)
            self._refusals.flush()
            for connection in self._unused(self._host.clock.monotonic()):
                logger.debug("%s uses its connection for nothing", connection.peer.short())
                self._host.spawn(
                    connection.close(), f"close the idle connection of {connection.peer.short()}"
                )

    async def _keep_within_memory(self) -> None:
        while True:
            await asyncio.sleep(limits.BUFFER_CHECK_INTERVAL)
            self._cut_the_largest()

    def _cut_the_largest(self) -> None:
        held = [(connection, connection.buffered) for connection in self._host.connections()]
        for connection in self.policy.admission.buffers.measure(held, self._host.buffered_before):
            logger.warning("the memory for clients is used up; %s is cut", connection.peer.short())
            self._observer.connection_cut("buffers")
            connection.abort("The relay has no room for what this connection makes it hold.")

    def _unused(self, now: float) -> list[Connection]:
        self.policy.expire(now)
        return self._idle.look(
            self._host.connections(), self._in_use, self.policy.limits.connection_idle_seconds, now
        )

    def _in_use(self, connection: Connection) -> bool:
        peer = connection.peer
        return self.policy.reserved(peer, self._host.clock.monotonic()) or self.policy.in_circuit(peer)


@contextlib.contextmanager
def _at(key: str) -> Iterator[None]:
    """Name the key in which a value cannot be used."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from error


def _host_config(relay_limits: limits.RelayLimits) -> HostConfig:
    return HostConfig(
        max_connections=relay_limits.max_connections,
        max_connections_per_peer=relay_limits.max_connections_per_peer,
        max_pending_upgrades=relay_limits.max_pending_handshakes,
        upgrade_timeout=relay_limits.handshake_seconds,
    )


def _certificate(config: RelayConfig, now: float) -> ServerCertificate | None:
    certificate, key = config.tls.certificate, config.tls.key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing = "tls.certificate" if certificate is None else "tls.key"
        raise ConfigError(f"{missing}: is missing. A certificate is of use only together with its key.")
    return ServerCertificate(certificate, key, now)


_FAILURES: Final[tuple[tuple[type[P2PChatError], str], ...]] = (
    (NoAnswerError, "timeout"),
    (IdentityError, "identity"),
    (RemoteProtocolError, "protocol"),
    (StreamLimitError, "per_peer"),
)


def _failure(error: P2PChatError) -> str:
    """Return a word for why a handshake failed; ``connection`` is a caller who left, or was cut off."""
    if isinstance(error, HandshakeError):
        return error.stage
    return next((word for kind, word in _FAILURES if isinstance(error, kind)), "connection")

"""A whole peer: a host that identifies itself, answers pings, keeps reservations and makes direct connections."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from p2pchat_core import __version__, limits
from p2pchat_core.errors import AddressError, DialError, P2PChatError
from p2pchat_core.identity.peer_id import PeerId
from p2pchat_core.net.circuit import CircuitTransport
from p2pchat_core.net.direct import DirectUpgrade
from p2pchat_core.net.host import Host
from p2pchat_core.net.identify import IdentifyService
from p2pchat_core.net.liveness import Liveness, LivenessConfig
from p2pchat_core.net.locks import KeyedLocks
from p2pchat_core.net.ping import ping, serve_ping
from p2pchat_core.net.relay_client import RelayClient
from p2pchat_core.net.second_socket import SecondSocket
from p2pchat_core.net.steps import Step, StepTimer
from p2pchat_core.net.succession import Succession
from p2pchat_core.net.webrtc.config import IceConfig
from p2pchat_core.wire.dial_target import CircuitTarget, parse_target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from p2pchat_core.clock import Clock
    from p2pchat_core.identity.keys import PrivateKey
    from p2pchat_core.multiformats.multiaddr import Multiaddr
    from p2pchat_core.net.connection import Connection
    from p2pchat_core.net.identify import PeerInfo
    from p2pchat_core.net.registry import Handler
    from p2pchat_core.net.relay_client import RelayInfo
    from p2pchat_core.net.steps import StepReport
    from p2pchat_core.net.stream import Stream

__all__ = ["Node", "NodeConfig", "NodeListener"]

logger = logging.getLogger(__name__)


class NodeListener:
    """What a node tells its owner. Override what is of interest; the methods must not block."""

    def on_step(self, report: StepReport) -> None:
        """One of the eight steps was done or failed."""

    def on_relay(self, relay: RelayInfo) -> None:
        """How we stand with a relay changed."""

    def on_listening(self, addresses: list[Multiaddr]) -> None:
        """The complete list of our addresses changed."""

    def on_connection(self, connection: Connection) -> None:
        """A connection opened."""

    def on_disconnect(self, connection: Connection, reason: str) -> None:
        """A connection ended; `reason` is a sentence."""


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """How a node behaves.

    Attributes:
        ice: STUN and TURN servers for direct connections.
        relay_stun: also ask the relays we use, which answer STUN at their own port.
        liveness: how connections are watched.
    """

    ice: IceConfig = field(default_factory=IceConfig)
    relay_stun: bool = True
    liveness: LivenessConfig = field(default_factory=LivenessConfig)


class Node:
    """One identity that can be reached through relays and connects directly."""

    def __init__(
        self,
        identity: PrivateKey,
        *,
        config: NodeConfig | None = None,
        listener: NodeListener | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._config = config if config is not None else NodeConfig()
        listener = listener if listener is not None else NodeListener()
        self.host = Host(identity, clock=clock)
        self.succession = Succession(self.host)  # before anybody else hears of a connection
        self.peer: PeerId = identity.peer_id
        self._listener = listener
        self._relay_client = RelayClient(
            self.host, observer=listener.on_step, on_relay=listener.on_relay, on_listening=self._listening
        )
        self.identify = IdentifyService(self.host, f"p2pchat/{__version__}", self._advertised)
        serve_ping(self.host)
        self._circuits = CircuitTransport(self.host, self._relay_client.holds, listener.on_step)
        self._direct = DirectUpgrade(self.host, self._ice, listener.on_step)
        self.on_direct_asked = self._direct.on_asked
        self._dial_locks: KeyedLocks[PeerId] = KeyedLocks()
        self.host.on_connection.append(listener.on_connection)
        self.host.on_disconnect.append(listener.on_disconnect)
        self.liveness = Liveness(self.host, self._config.liveness)
        SecondSocket(self.host, self.liveness, self._relay_client.move)

    # --- what the owner asks ----------------------------------------------------------------------------------------

    def handle(self, protocol: str, handler: Handler, *, on_limited: bool = False) -> None:
        """Serve a protocol on every connection."""
        self.host.handle(protocol, handler, on_limited=on_limited)

    def add_relay(self, address: Multiaddr) -> None:
        """Keep a reservation on the relay at `address` from now on.

        Raises:
            AddressError: it is not the WebSocket address of a relay.
        """
        if isinstance(parse_target(address), CircuitTarget):
            raise AddressError("This is the address of a person behind a relay, not of a relay.")
        self._relay_client.add(address)

    def attend(self, uses: Callable[[Connection], bool], active: Callable[[], bool]) -> None:
        """Look after what conversations need.

        Args:
            uses: whether a conversation goes on with the peer of a connection.
            active: whether one goes on at this moment, so that relays are needed, too.
        """
        self.liveness.busy = lambda connection: uses(connection) or (active() and self._serves(connection))
        # A relay that is slow for a moment would be slower still if all its clients came anew.
        self.liveness.patient = lambda connection: not uses(connection) and self._serves(connection)
        self.host.hurried = active

    def relays(self) -> list[RelayInfo]:
        """Return how we stand with every relay."""
        return self._relay_client.relays()

    def addresses(self) -> list[Multiaddr]:
        """Return the complete addresses at which others can reach us, best first."""
        return self._relay_client.addresses()

    def info(self, peer: PeerId) -> PeerInfo | None:
        """Return what a connected peer said about itself."""
        return self.identify.info(peer)

    async def connect(self, address: Multiaddr) -> Connection:
        """Connect to a relay or a peer and return the best connection there is: direct, or else the circuit.

        Raises:
            AddressError: the address cannot be dialled, or is our own.
            DialError, RelayError: the relay or the peer could not be reached; nothing is left open to the peer.
        """
        target = parse_target(address)
        if target.peer == self.peer:
            raise AddressError("That is your own address. Send it to somebody, and paste theirs here.")
        if not isinstance(target, CircuitTarget):
            return await self.host.dial(address)
        async with self._dial_locks[target.peer]:
            best = next((c for c in self.host.connections(target.peer) if c.direct), None)
            return best if best is not None else await self._connect_through(target, address)

    async def reach(self, addresses: Sequence[Multiaddr]) -> Connection:
        """Connect to one peer through whichever of its circuit addresses answers first, all tried side by side.

        Returns:
            the best connection there is, as `connect` does; one that there was already is returned at once.

        Raises:
            AddressError: none of them leads to a peer behind a relay.
            DialError, RelayError: none of them works; the reason is that of the last.
        """
        targets = [(parse_target(address), address) for address in addresses]
        circuits = [(target, address) for target, address in targets if isinstance(target, CircuitTarget)]
        if not circuits:
            raise AddressError("None of the addresses leads to a person behind a relay.")
        peer = circuits[0][0].peer
        async with self._dial_locks[peer]:
            if existing := self.host.connections(peer):
                return existing[0]
            timer, circuit, address = await self._first_circuit(circuits)
            return await self._upgraded(circuit, address, timer)

    async def improve(self, circuit: Connection) -> Connection:
        """Try once more to make a direct connection to the peer of `circuit`, or return the one there is.

        Raises:
            P2PChatError: it did not work; the circuit stays.
        """
        async with self._dial_locks[circuit.peer]:
            direct = next((c for c in self.host.connections(circuit.peer) if not c.relayed), None)
            if direct is not None:
                return direct
            timer = StepTimer(circuit.peer, self.host.clock, self._listener.on_step)
            return await self._direct.upgrade(circuit, circuit.remote_address, timer)

    async def renew(self, connection: Connection, addresses: Sequence[Multiaddr] = ()) -> Connection:
        """Make another connection of the same kind, which takes the place of `connection`; that ends soon after.

        A circuit is opened anew through its own relay, or where that does not work at `addresses`. A direct
        connection is made again by signalling over itself, which takes no relay, or if it is dead over a circuit.

        Raises:
            P2PChatError: it did not work; `connection` stays.
        """
        if not connection.direct:
            return await self._another_circuit([connection.remote_address, *addresses])
        async with self._dial_locks[connection.peer]:
            return await self._renew_direct(connection, addresses)

    async def stand_by(self, peer: PeerId, addresses: Sequence[Multiaddr]) -> Connection:
        """Open a circuit to `peer` at whichever of `addresses` answers first, beside what there is.

        Raises:
            P2PChatError: none works.
        """
        targets = [(parse_target(address), address) for address in addresses]
        circuits = [(target, address) for target, address in targets if isinstance(target, CircuitTarget)]
        return (await self._first_circuit([one for one in circuits if one[0].peer == peer]))[1]

    async def open_stream(
        self, peer: PeerId, protocols: Sequence[str], *, allow_limited: bool = False
    ) -> Stream:
        """Open a stream on the best connection to `peer`; see `Host.open_stream`."""
        return await self.host.open_stream(peer, protocols, allow_limited=allow_limited)

    async def ping(self, connection: Connection) -> float:
        """Return the round trip on `connection` in seconds; see `p2pchat_core.net.ping.ping`."""
        return await ping(connection, self.host.clock)

    def look_around(self) -> None:
        """Check every connection and try every relay at once: the network may have changed."""
        self.liveness.check_now()
        self._relay_client.retry_now()

    async def load(self) -> None:
        """Import the WebRTC stack now rather than at the first connection."""
        await self._direct.load()

    async def stop(self) -> None:
        """End every connection and task. Never raises."""
        await self._relay_client.close()
        await self.host.close()

    # --- how --------------------------------------------------------------------------------------------------------

    async def _renew_direct(self, connection: Connection, addresses: Sequence[Multiaddr]) -> Connection:
        carrier = connection
        if connection.silent_since is not None or not await self._answers(connection):
            circuits = [c for c in self.host.connections(connection.peer) if c.relayed]
            others = sorted(circuits, key=lambda one: one.silent_since is not None)
            carrier = others[0] if others else await self._another_circuit(addresses)
        timer = StepTimer(connection.peer, self.host.clock, self._listener.on_step)
        return await self._direct.upgrade(carrier, connection.remote_address, timer)

    async def _answers(self, connection: Connection) -> bool:
        try:
            async with asyncio.timeout(limits.DIRECT_RENEW_PROBE):
                await self.ping(connection)
        except (P2PChatError, TimeoutError):
            return False
        return True

    async def _another_circuit(self, addresses: Sequence[Multiaddr]) -> Connection:
        """Open a circuit beside what there is: through the first relay alone, else through whichever answers first."""
        targets = [(parse_target(address), address) for address in addresses]
        circuits = [(target, address) for target, address in targets if isinstance(target, CircuitTarget)]
        if not circuits:
            raise AddressError("No address leads to the peer through a relay.")
        try:
            return (await self._circuit(circuits[0][0]))[1]
        except P2PChatError:
            if len(circuits) == 1:
                raise
        return (await self._first_circuit(circuits[1:]))[1]

    async def _connect_through(self, target: CircuitTarget, address: Multiaddr) -> Connection:
        timer, circuit = await self._circuit(target)
        return await self._upgraded(circuit, address, timer)

    async def _first_circuit(
        self, targets: list[tuple[CircuitTarget, Multiaddr]]
    ) -> tuple[StepTimer, Connection, Multiaddr]:
        tasks = {asyncio.ensure_future(self._circuit(target)): address for target, address in targets}
        failure: P2PChatError = DialError("No address of the peer works.")
        try:
            while tasks:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    address = tasks.pop(task)
                    try:
                        timer, circuit = task.result()
                    except P2PChatError as error:
                        failure = error
                    else:
                        return timer, circuit, address
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
        raise failure

    async def _circuit(self, target: CircuitTarget) -> tuple[StepTimer, Connection]:
        timer = StepTimer(target.peer, self.host.clock, self._listener.on_step)
        timer.done(Step.ADDRESS)
        try:
            relay = await self.host.dial(target.relay)
        except P2PChatError as error:
            timer.failed(Step.HOP, str(error))
            raise
        return timer, await self._circuits.dial(relay, target.peer, timer)

    async def _upgraded(self, circuit: Connection, address: Multiaddr, timer: StepTimer) -> Connection:
        try:
            return await self._direct.upgrade(circuit, address, timer)
        except P2PChatError as error:
            if circuit.closed:
                raise
            logger.info("no direct connection to %s: %s", circuit.peer.short(), error)
            return circuit

    def _serves(self, connection: Connection) -> bool:
        """Whether this is a relay that we hold a reservation on, or that carries a circuit of ours."""
        if not connection.plain:
            return False
        relay = connection.peer
        return self._relay_client.holds(relay) or any(
            PeerId.of(one.remote_address.before("p2p-circuit")) == relay
            for one in self.host.connections()
            if one.relayed
        )

    def _listening(self, addresses: list[Multiaddr]) -> None:
        self.identify.push()
        self._listener.on_listening(addresses)

    def _advertised(self) -> list[Multiaddr]:
        webrtc = self._relay_client.addresses()
        circuits = [a.before("p2p-circuit") / "/p2p-circuit" / self.peer.as_multiaddr() for a in webrtc]
        return [*webrtc, *dict.fromkeys(circuits)]

    def _ice(self, circuit: Connection) -> IceConfig:
        ice = self._config.ice
        if not self._config.relay_stun:
            return ice
        found = dict.fromkeys(ice.stun)
        # The relay of the circuit too: whoever only dials need not have a reservation anywhere.
        for address in (circuit.remote_address, *(relay.address for relay in self.relays())):
            found.update(dict.fromkeys(_stun_of(address)))
        return replace(ice, stun=tuple(found))


def _stun_of(relay: Multiaddr) -> list[str]:
    """Return the STUN server that a relay at this address runs, unless it is on this machine, where it is no help."""
    host = next((value for name in ("ip4", "dns4", "dns") if (value := relay.value(name)) is not None), None)
    port = relay.value("tcp")
    if host is None or port is None or host.startswith("127.") or host == "localhost":
        return []
    return [f"stun:{host}:{port}"]

"""Finding our own ICE candidates: host addresses at once, what STUN and TURN servers say whenever they say it.

Nothing here delays a connection: every server is asked in parallel from the sockets already in use, and an answer that
comes late is sent to the peer late (trickle ICE). A server that is down costs nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from typing import TYPE_CHECKING, Final

import ifaddr
from aioice import ice, stun

from p2pchat_core.limits import ICE_MAX_HOSTS, STUN_TIMEOUT
from p2pchat_core.net.webrtc.config import IceConfig, ServerAddress, parse_server_url
from p2pchat_core.net.webrtc.ice_guard import GuardedIce, GuardedStun, make_candidate
from p2pchat_core.wire.candidate import CandidatePolicy, is_private

if TYPE_CHECKING:
    from collections.abc import Callable

    from aioice import Candidate

    from p2pchat_core.net.webrtc.config import TurnServer

__all__ = ["find_addresses", "gather_from_servers", "policy_for"]

logger = logging.getLogger(__name__)

_LOOPBACK: Final = "127.0.0.1"


def find_addresses(config: IceConfig) -> list[str]:
    """Return the local addresses to offer; loopback only if there is nothing else, or if it is asked for."""
    if config.addresses is not None:
        return list(config.addresses)
    found: list[str] = []
    for adapter in ifaddr.get_adapters():
        for entry in adapter.ips:
            # IPv6 comes as address, flow info and scope; one with a scope means nothing to the peer.
            text = entry.ip if isinstance(entry.ip, str) else entry.ip[0] if entry.ip[2] == 0 else None
            if text is not None and _offered(text):
                found.append(text)
    found = found[:ICE_MAX_HOSTS]
    if config.allow_loopback or (config.allow_loopback is None and not found):
        found.append(_LOOPBACK)
    return found


def policy_for(config: IceConfig, addresses: list[str]) -> CandidatePolicy:
    """Return which addresses of the peer may be used by a machine that has `addresses`."""
    loopback = [ipaddress.ip_address(address).is_loopback for address in addresses]
    private = [is_private(address) for address in addresses]
    return CandidatePolicy(
        loopback=bool(config.allow_loopback) or (config.allow_loopback is None and all(loopback)),
        private=any(private) or any(loopback) or bool(config.turn),
    )


def _offered(text: str) -> bool:
    address = ipaddress.ip_address(text)
    return not (
        address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast
    )


async def gather_from_servers(
    connection: GuardedIce, config: IceConfig, found: Callable[[Candidate], None]
) -> None:
    """Ask every STUN and TURN server at once and report each new candidate; ends when all have answered or failed."""
    known = {(candidate.host, candidate.port) for candidate in connection.local_candidates}

    def report(candidate: Candidate) -> None:
        if (candidate.host, candidate.port) not in known:
            known.add((candidate.host, candidate.port))
            found(candidate)

    async with asyncio.TaskGroup() as group:
        for url in config.stun:
            group.create_task(_ask_stun(connection, parse_server_url(url), report))
        for server in config.turn:
            group.create_task(_ask_turn(connection, server, report))


async def _ask_stun(
    connection: GuardedIce, server: ServerAddress, report: Callable[[Candidate], None]
) -> None:
    try:
        async with asyncio.timeout(STUN_TIMEOUT):
            address = await _resolve(server)
            async with asyncio.TaskGroup() as group:
                for protocol in connection.protocols:
                    base = protocol.local_candidate
                    if (
                        base.type == "host"
                        and _is_ipv4(base.host)
                        and not _is_loopback_mismatch(base.host, address[0])
                    ):
                        group.create_task(_ask_from(protocol, address, report))
    except (TimeoutError, OSError) as exc:
        logger.debug("no answer from STUN server %s: %r", server.host, exc)


async def _ask_from(
    protocol: ice.StunProtocol, server: tuple[str, int], report: Callable[[Candidate], None]
) -> None:
    request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    try:
        response, _ = await protocol.request(request, server)
        host, port = response.attributes["XOR-MAPPED-ADDRESS"]
    except (stun.TransactionError, KeyError) as exc:
        logger.debug("no answer from STUN server %s: %r", server[0], exc)
        return
    report(make_candidate("srflx", host, port, base=protocol.local_candidate))


async def _ask_turn(connection: GuardedIce, server: TurnServer, report: Callable[[Candidate], None]) -> None:
    parsed = parse_server_url(server.url)
    try:
        async with asyncio.timeout(STUN_TIMEOUT):
            candidate, protocol = await ice.relayed_candidate(
                component=1,
                hide_related_address=False,
                protocol_factory=lambda: GuardedStun(connection),
                turn_server=(parsed.host, parsed.port),
                turn_username=server.username,
                turn_password=server.credential,
                turn_ssl=parsed.scheme == "turns",
                turn_transport=parsed.transport,
            )
    except (TimeoutError, OSError, stun.TransactionError, ValueError, KeyError) as exc:
        logger.info("no relayed address from TURN server %s: %r", parsed.host, exc)
        return
    connection.add_relayed(protocol)
    report(candidate)


async def _resolve(server: ServerAddress) -> tuple[str, int]:
    if _is_ipv4(server.host):
        return server.host, server.port
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(server.host, server.port, family=socket.AF_INET, type=socket.SOCK_DGRAM)
    host, port = found[0][4][:2]
    return str(host), int(port)


def _is_ipv4(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 4
    except ValueError:
        return False


def _is_loopback_mismatch(base: str, server: str) -> bool:
    """A socket bound to loopback cannot send to the world."""
    return ipaddress.ip_address(base).is_loopback and not ipaddress.ip_address(server).is_loopback

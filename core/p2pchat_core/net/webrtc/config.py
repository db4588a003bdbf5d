"""What the user can choose about direct connections, checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from p2pchat_core.errors import ConfigError

__all__ = ["CandidateInfo", "IceConfig", "ServerAddress", "TurnServer", "parse_server_url"]

_URL: Final = re.compile(
    r"(?P<scheme>stun|turns?):(?://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]?:/@\s]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?:\?transport=(?P<transport>udp|tcp))?"
)
_DEFAULT_PORT: Final = 3478
_DEFAULT_TLS_PORT: Final = 5349


@dataclass(frozen=True, slots=True)
class TurnServer:
    """A server that forwards UDP for two peers whose networks do not let it through directly.

    Attributes:
        url: ``turn:host:port?transport=udp`` or ``turns:host:port`` (RFC 7065).
    """

    url: str
    username: str
    credential: str


@dataclass(frozen=True, slots=True)
class IceConfig:
    """How direct connections are tried.

    Attributes:
        stun: servers that tell us our public address, as ``stun:host:port`` (RFC 7064).
        turn: servers that forward for us.
        allow_loopback: use loopback addresses; ``None`` does so on a machine that has nothing else.
        addresses: the local addresses to use; ``None`` finds them out.
    """

    stun: tuple[str, ...] = ()
    turn: tuple[TurnServer, ...] = ()
    allow_loopback: bool | None = None
    addresses: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check every URL, so that a typing mistake is told at the start.

        Raises:
            ConfigError: one cannot be used.
        """
        for url in self.stun:
            if parse_server_url(url).scheme != "stun":
                raise ConfigError(f"{url!r} is not a STUN server; write it as stun:host:port.")
        for server in self.turn:
            if parse_server_url(server.url).scheme == "stun":
                raise ConfigError(f"{server.url!r} is not a TURN server; write it as turn:host:port.")


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A STUN or TURN URL in parts; `transport` is ``udp`` or ``tcp``."""

    scheme: str
    host: str
    port: int
    transport: str


def parse_server_url(url: str) -> ServerAddress:
    """Parse the URL of a STUN or TURN server.

    Raises:
        ConfigError: it is not one.
    """
    match = _URL.fullmatch(url)
    if match is None or (match["scheme"] == "stun" and match["transport"]):
        raise ConfigError(
            f"{url!r} is not the URL of a STUN or TURN server; an example is stun:stun.example.org:3478."
        )
    tls = match["scheme"] == "turns"
    port = int(match["port"]) if match["port"] else (_DEFAULT_TLS_PORT if tls else _DEFAULT_PORT)
    if not 1 <= port <= 65535:
        raise ConfigError(f"{url!r} has a port that does not exist.")
    return ServerAddress(
        match["scheme"], match["host"].strip("[]"), port, match["transport"] or ("tcp" if tls else "udp")
    )


@dataclass(frozen=True, slots=True)
class CandidateInfo:
    """One end of the pair that carries a direct connection.

    Attributes:
        type: ``host``, ``srflx`` (seen by a STUN server), ``prflx`` (seen by the peer) or ``relay`` (TURN).
    """

    type: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.type} {host}:{self.port}"

"""STUN and TURN servers as the user writes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from p2pchat_core.errors import ConfigError
from p2pchat_core.net.webrtc.config import IceConfig, TurnServer

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ice_config"]

_TURN: Final = re.compile(r"(?P<scheme>turns?):(?P<user>[^:@/]+):(?P<password>[^@]*)@(?P<server>[^@]+)")


def ice_config(stun: Sequence[str], turn: Sequence[str]) -> IceConfig:
    """Return the servers that ``stun:host:port`` and ``turn:user:password@host:port`` name.

    Raises:
        ConfigError: one of them is not such a URL.
    """
    return IceConfig(stun=tuple(stun), turn=tuple(map(_turn_server, turn)))


def _turn_server(url: str) -> TurnServer:
    match = _TURN.fullmatch(url)
    if match is None:
        # The text may hold a password, so it is not repeated.
        raise ConfigError(
            "A TURN server is written as turn:user:password@host:port (%40 for an @ in the password)."
        )
    return TurnServer(
        f"{match['scheme']}:{match['server']}", unquote(match["user"]), unquote(match["password"])
    )

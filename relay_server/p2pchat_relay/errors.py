"""What keeps a relay from starting, besides a bad configuration (`ConfigError`)."""

from __future__ import annotations

from p2pchat_core.errors import P2PChatError

__all__ = ["RelayStartError"]


class RelayStartError(P2PChatError):
    """The relay cannot start here and now: a port is taken, or another relay uses the directory."""

    code = "relay_start"

"""What dialling and listening have in common: families, and what the system says as sentences a user can act on."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from typing import Any, Final

from p2pchat_core.wire.ip import parse_ip

__all__ = ["FAMILY", "dial_failure", "happy_eyeballs", "listen_failure", "settle_accepted"]

FAMILY: Final = {
    "ip4": socket.AF_INET,
    "dns4": socket.AF_INET,
    "ip6": socket.AF_INET6,
    "ip6zone": socket.AF_INET6,
    "dns6": socket.AF_INET6,
}
"""The address family that the first component of a multiaddr asks for; any, where it is not in here."""

_UNREACHABLE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN})


def happy_eyeballs(host: str) -> dict[str, Any]:
    """Return the option that tries a name's next address before the first has failed (RFC 8305), if there is one.

    The loops of asyncio have it, uvloop does not. An IP address has no next one, and asyncio forgets to close the
    socket of such a race when it is cancelled at the wrong moment.
    """
    loop = asyncio.get_running_loop()
    if parse_ip(host) is not None or not isinstance(loop, asyncio.BaseEventLoop):
        return {}
    return {"happy_eyeballs_delay": 0.25}


async def settle_accepted() -> None:
    """Let what a listener had accepted when it was closed come in, so that it can be closed like the others.

    asyncio takes one turn of the loop to make the transport and another to tell the protocol of it.
    """
    for _ in range(3):
        await asyncio.sleep(0)


def dial_failure(host: str, port: int, error: OSError, timeout: float) -> str:
    """Return why connecting failed; `timeout` is how many seconds it was tried."""
    place = f"{host} port {port}"
    if isinstance(error, TimeoutError):
        return f"{place} did not answer within {timeout:g} seconds."
    if isinstance(error, socket.gaierror):
        return f"The name {host} could not be found: check the spelling and the network."
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"The certificate of {place} is not to be trusted: {error.verify_message}."
    if isinstance(error, ssl.SSLError):
        return f"{place} does not speak TLS as expected: is it a plain ws address?"
    if isinstance(error, ConnectionRefusedError) or "refused" in str(error).lower():
        # For a name with several addresses asyncio joins the failures into one text.
        return f"Nothing answers at {place}: is the relay running?"
    if isinstance(error, ConnectionError):
        return f"{place} cut the connection at once: is it the relay's port?"
    if error.errno in _UNREACHABLE:
        return f"No network leads to {place}: is this machine online?"
    return f"Connecting to {place} failed: {os.strerror(error.errno) if error.errno else error}."


def listen_failure(host: str, port: int, error: OSError) -> str:
    """Return why listening is not possible."""
    place = f"{host} port {port}"
    if error.errno == errno.EADDRINUSE:
        return f"Another program listens at {place} already: stop it or choose another port."
    if error.errno == errno.EACCES:
        return f"Listening at {place} is not allowed: choose a port above 1023."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"This machine does not have the address {host}: listen at one of its own, or at 0.0.0.0."
    return f"Listening at {place} failed: {os.strerror(error.errno) if error.errno else error}."

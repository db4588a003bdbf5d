"""ICE candidates as they travel in signalling messages: JSON around one line of SDP (docs/wire.md section 9.2).

Browsers write ``candidate:1 1 udp …``, node-datachannel ``a=candidate:1 1 UDP …``; both come out as the
former.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from typing import Final

from p2pchat_core.limits import MAX_DNS_NAME

__all__ = [
    "BadCandidateError",
    "IceCandidate",
    "ParsedCandidate",
    "normalise_candidate",
    "parse_candidate_json",
]

_NUMBER: Final = re.compile(r"[0-9]{1,10}")
_FOUNDATION: Final = re.compile(r"[A-Za-z0-9+/]{1,32}")  # RFC 8839 section 5.1
_MDNS_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,63}\.local", re.IGNORECASE)
_TYPES: Final = frozenset({"host", "srflx", "prflx", "relay"})
_MAX_PRIORITY: Final = 2**32 - 1
_MAX_PORT: Final = 2**16 - 1


class BadCandidateError(ValueError):
    """The candidate cannot be used; the text says why and contains nothing that the peer chose."""


@dataclass(frozen=True, slots=True)
class IceCandidate:
    """One of our own candidates, to be sent.

    Attributes:
        text: ``candidate:…``; a leading ``a=`` is tolerated, and removed when it is sent.
        username_fragment: the ICE ufrag it belongs to.
    """

    text: str
    username_fragment: str | None = None

    def to_json(self) -> str:
        """Return it as `RTCIceCandidate.toJSON` does. Node refuses it without an index and a mid."""
        return json.dumps(
            {
                "candidate": self.text.removeprefix("a="),
                "sdpMid": "0",
                "sdpMLineIndex": 0,
                "usernameFragment": self.username_fragment,
            },
            separators=(",", ":"),
        )


@dataclass(frozen=True, slots=True)
class ParsedCandidate:
    """A candidate of the peer.

    Attributes:
        text: ``candidate:<foundation> 1 udp <priority> <host> <port> typ <type>``, and the related address if
            given.
        mdns: the host is a ``.local`` name, not an address.
    """

    text: str
    mdns: bool


def parse_candidate_json(data: str | bytes) -> ParsedCandidate | None:
    """Parse the data of an ICE_CANDIDATE message; ``None`` marks the end of candidates in any of its forms.

    Raises:
        BadCandidateError: it is damaged, or of a kind that is not supported.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as exc:  # 16 KiB of "[" exceed the recursion limit
        raise BadCandidateError("not valid JSON") from exc
    if isinstance(value, dict):
        value = value.get("candidate")
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise BadCandidateError("not a candidate object")
    return normalise_candidate(value)


def normalise_candidate(text: str) -> ParsedCandidate:
    """Parse one candidate line, with or without ``a=`` and ``candidate:``; unknown extensions are left out.

    Raises:
        BadCandidateError: it is damaged, or not component 1 over UDP.
    """
    fields = text.strip().removeprefix("a=").removeprefix("candidate:").split(" ")
    if len(fields) < 8 or fields[6] != "typ":
        raise BadCandidateError("not a candidate line")
    foundation, component, transport, priority, host, port, _, kind = fields[:8]
    if not _FOUNDATION.fullmatch(foundation) or kind not in _TYPES:
        raise BadCandidateError("a foundation or type that does not exist")
    if transport.lower() != "udp":
        raise BadCandidateError("not over UDP")
    if component != "1":
        raise BadCandidateError("not for component 1")
    _check_number(priority, 1, _MAX_PRIORITY)
    _check_number(port, 1, _MAX_PORT)
    mdns = _check_host(host)
    parts = [f"candidate:{foundation} 1 udp {priority} {host} {port} typ {kind}"]
    extensions = dict(zip(fields[8::2], fields[9::2], strict=False))
    if "raddr" in extensions and "rport" in extensions:
        related = _related(extensions["raddr"], extensions["rport"])
        if related is not None:
            parts.append(related)
    return ParsedCandidate(" ".join(parts), mdns)


def _check_number(text: str, minimum: int, maximum: int) -> None:
    if not _NUMBER.fullmatch(text) or not minimum <= int(text) <= maximum:
        raise BadCandidateError("a number that is not one or is out of range")


def _check_host(host: str) -> bool:
    """Return whether `host` is an mDNS name; other names are never resolved for a stranger."""
    if len(host) <= MAX_DNS_NAME and _MDNS_NAME.fullmatch(host):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError as exc:
        raise BadCandidateError("neither an IP address nor a .local name") from exc
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise BadCandidateError("an IPv6 address with a zone")
    return False


def _related(host: str, port: str) -> str | None:
    """Return the related address, which is only shown; browsers write 0.0.0.0 port 9 or 0 to hide it."""
    try:
        _check_host(host)
        _check_number(port, 0, _MAX_PORT)
    except BadCandidateError:
        return None
    return f"raddr {host} rport {port}"

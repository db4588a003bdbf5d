"""The lines of the log, worded as the browser page this program talks to words them.

`Dialing '…'`, `Listening on …`, `Connected to '…'`, `RTT to … was …ms`, `Sending message '…'` and
`Received message '…'` are exact; everything else is a quieter note or an error.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from textual.content import Content

from p2pchat_tui.safe_text import Kind, safe_text, visible

__all__ = [
    "LineKind",
    "LogLine",
    "connected",
    "dialing",
    "endpoint",
    "failed",
    "format_ms",
    "listening",
    "note",
    "quoted",
    "received",
    "round_trip",
    "sending",
    "short_peer",
]


class LineKind(enum.Enum):
    """What a line is about; the value is the sign drawn before it."""

    NOTE = "·"
    DIALING = "→"
    LISTENING = "◆"
    CONNECTED = "●"
    ROUND_TRIP = "↔"
    SENT = "›"
    RECEIVED = "‹"
    FAILED = "✗"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One entry of the log, safe to draw.

    Attributes:
        serial: its place; also its identity.
        at: Unix seconds.
    """

    serial: int
    kind: LineKind
    at: float
    body: Content


def dialing(address: str) -> Content:
    """`Dialing '…'`."""
    return quoted("Dialing '", address, "'", Kind.ADDRESS)


def listening(address: str) -> Content:
    """`Listening on …`."""
    return quoted("Listening on ", address, "", Kind.ADDRESS)


def connected(address: str) -> Content:
    """`Connected to '…'`."""
    return quoted("Connected to '", address, "'", Kind.ADDRESS)


def round_trip(peer: str, ms: float) -> Content:
    """`RTT to … was …ms`."""
    return quoted("RTT to ", peer, f" was {format_ms(ms)}ms", Kind.ADDRESS)


def sending(text: str) -> Content:
    """`Sending message '…'`."""
    return quoted("Sending message '", text, "'", Kind.MESSAGE, "$foreground")


def received(text: str) -> Content:
    """`Received message '…'`."""
    return quoted("Received message '", text, "'", Kind.MESSAGE, "$text-peer")


def failed(sentence: str) -> Content:
    """What went wrong, in a sentence."""
    return safe_text(sentence, Kind.SENTENCE, "$text-error")


def note(sentence: str) -> Content:
    """Something worth knowing, in a sentence of ours that may quote remote text."""
    return safe_text(sentence, Kind.SENTENCE, "$text-muted")


def quoted(before: str, text: str, after: str, kind: Kind, style: str = "$foreground 80%") -> Content:
    """Set remote `text` between two constants of ours, the constants quieter than the text."""
    return Content.assemble((before, "$text-muted"), safe_text(text, kind, style), (after, "$text-muted"))


def short_peer(peer: str) -> str:
    """Return a peer id as people compare it, `…VMYyERmC`, safe to draw.

    The beginning says nothing: it is the same for every Ed25519 key.
    """
    shown = visible(peer, Kind.ADDRESS)
    return shown if len(shown) <= 12 else "…" + shown[-8:]


def endpoint(address: str) -> str:
    """Return `host:port` of a multiaddr, or the address itself if it has another form; safe to draw."""
    parts = address.split("/")
    if len(parts) > 4 and parts[3] in ("tcp", "udp"):
        host = f"[{parts[2]}]" if ":" in parts[2] else parts[2]
        return visible(f"{host}:{parts[4]}", Kind.ADDRESS)
    return visible(address, Kind.ADDRESS)


def format_ms(ms: float) -> str:
    """Return milliseconds with as many digits as mean something: `0.3`, `4.2`, `63`, `1250`."""
    return f"{ms:.1f}" if ms < 10 else f"{ms:.0f}"

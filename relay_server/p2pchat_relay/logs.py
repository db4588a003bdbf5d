"""What the relay writes about itself: plain lines or JSON, with as much of peer ids as the operator wants kept."""

from __future__ import annotations

import datetime
import json
import logging
import re
import sys
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["JsonFormatter", "LogFormat", "PeerIds", "PlainFormatter", "configure_logging", "with_peer_ids"]

LogFormat = Literal["plain", "json"]
PeerIds = Literal["full", "short", "none"]

# A PeerId as base58 (Ed25519 and secp256k1 keys inline, hashes of others), as CID in base32 or base36, and what
# `PeerId.short` makes of the first.
_BASE58: Final = "[1-9A-HJ-NP-Za-km-z]"
_FULL: Final = re.compile(
    rf"\b(?:12D3KooW{_BASE58}{{44}}|16Uiu2HA{_BASE58}{{44,46}}|Qm{_BASE58}{{44}}|bafz[a-z2-7]{{40,120}}|k5[0-9a-z]{{50,70}})\b"
)
_SHORT: Final = re.compile(rf"\b(?:12D3KooW|16Uiu2HA|Qm{_BASE58}{{6}})…{_BASE58}{{4}}\b")
_LEFT_OUT: Final = "(peer)"
# What would begin a new line, or steer a terminal, in a log that somebody reads with `cat`.
_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code != 0x09}
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def with_peer_ids(text: str, peer_ids: PeerIds) -> str:
    """Return `text` with every peer id in it as it is (full), as ``12D3KooW…ERmC`` (short), or replaced (none)."""
    if peer_ids == "full":
        return text
    if peer_ids == "short":
        return _FULL.sub(lambda found: f"{found[0][:8]}…{found[0][-4:]}", text)
    return _SHORT.sub(_LEFT_OUT, _FULL.sub(_LEFT_OUT, text))


class PlainFormatter(logging.Formatter):
    """One line for people, without line breaks from anywhere but a traceback."""

    def __init__(self, peer_ids: PeerIds = "short") -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        self._peer_ids = peer_ids

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line without the traceback."""
        return super().formatMessage(record).translate(_CONTROL)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return with_peer_ids(super().format(record), self._peer_ids)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, ``error``.

    What a caller passes as `extra` is added under its own names.
    """

    def __init__(self, peer_ids: PeerIds = "short") -> None:
        super().__init__()
        self._peer_ids = peer_ids

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        fields: dict[str, Any] = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps(
            {name: self._value(value) for name, value in fields.items()}, ensure_ascii=False, allow_nan=False
        )

    def _value(self, value: object) -> object:
        if value is None or isinstance(value, bool | int):
            return value
        return with_peer_ids(str(value), self._peer_ids)


def configure_logging(
    level: str = "info",
    *,
    style: LogFormat = "plain",
    peer_ids: PeerIds = "short",
    stream: TextIO | None = None,
) -> None:
    """Write everything of `level` and above to `stream` (standard error), in place of what was set up before.

    Can be called again at any time; on a reload, for example.
    """
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter(peer_ids) if style == "json" else PlainFormatter(peer_ids))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # A full disk or a closed pipe behind standard error must not become a traceback for every line.
    logging.raiseExceptions = False

"""DCEP, the two messages that open a WebRTC data channel (RFC 8832, docs/wire.md section 10.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from p2pchat_core.errors import RemoteProtocolError

__all__ = ["ACK", "ChannelOpen", "parse_dcep"]

_OPEN: Final = 0x03
_HEADER: Final = struct.Struct("!BBHLHH")

ACK: Final = b"\x02"


@dataclass(frozen=True, slots=True)
class ChannelOpen:
    """DATA_CHANNEL_OPEN.

    Attributes:
        kind: the channel type: 0 is reliable and ordered, the only one that libp2p uses.
    """

    label: str = ""
    protocol: str = ""
    kind: int = 0

    @property
    def reliable_ordered(self) -> bool:
        """Whether every message arrives, and in order."""
        return self.kind == 0

    def encode(self) -> bytes:
        """Return the message; priority and reliability parameter are zero."""
        label, protocol = self.label.encode(), self.protocol.encode()
        return _HEADER.pack(_OPEN, self.kind, 0, 0, len(label), len(protocol)) + label + protocol


def parse_dcep(data: bytes) -> ChannelOpen | None:
    """Parse one DCEP message; ``None`` is DATA_CHANNEL_ACK.

    Raises:
        RemoteProtocolError: it is neither, is cut short, or has names that are not UTF-8.
    """
    if data[:1] == ACK:
        return None
    if len(data) < _HEADER.size or data[0] != _OPEN:
        raise RemoteProtocolError("The peer sent a damaged request to open a data channel.")
    _, kind, _, _, label_length, protocol_length = _HEADER.unpack_from(data)
    names = data[_HEADER.size :]
    if len(names) < label_length + protocol_length:
        raise RemoteProtocolError("The peer sent a damaged request to open a data channel.")
    try:
        label = names[:label_length].decode()
        protocol = names[label_length : label_length + protocol_length].decode()
    except UnicodeDecodeError as exc:
        raise RemoteProtocolError("The peer named a data channel in bytes that are not UTF-8.") from exc
    return ChannelOpen(label, protocol, kind)

"""Whether an SCTP packet is safe to hand to aiortc's parser.

The parser of aiortc 1.16 walks parameter lists by the lengths found in them: a length of 0 makes it loop for ever and
eat the memory, and a SACK may name gaps of 65,535 chunks by the hundred, each expanded one by one. Only the
authenticated peer can send such packets, but no peer may freeze the program.
"""

from __future__ import annotations

import struct
from typing import Final

from p2pchat_core.errors import RemoteProtocolError

__all__ = ["check_packet"]

_COMMON_HEADER: Final = 12
_CHUNK_HEADER: Final = struct.Struct("!BBH")
_PARAMETER: Final = struct.Struct("!HH")
_SACK: Final = struct.Struct("!LLHH")
_GAP: Final = struct.Struct("!HH")

_DATA: Final = 0
_INIT: Final = 1
_SACK_TYPE: Final = 3
_SHORTEST: Final = {_DATA: 12, 1: 16, 2: 16, _SACK_TYPE: 12, 7: 4}
"""Fixed part of the chunks that have one, without the chunk header: DATA, INIT, INIT ACK, SACK, SHUTDOWN."""
_PARAMETERS_AT: Final = {1: 16, 2: 16, 4: 0, 5: 0, 6: 0, 9: 0, 130: 0}
"""Where parameters begin: INIT, INIT ACK, HEARTBEAT, its ACK, ABORT, ERROR, RE-CONFIG."""
_RECONFIG: Final = 130
_RECONFIG_SHORTEST: Final = {0x000D: 12, 0x0010: 8, 0x0011: 8}
"""Values of outgoing reset request, response and add-streams request (RFC 6525)."""


def check_packet(packet: bytes, in_flight: int) -> None:
    """Check the lengths in `packet` and the sense of its acknowledgements.

    Args:
        packet: one SCTP packet; its checksum and tag are checked elsewhere.
        in_flight: how many of our chunks the peer may acknowledge.

    Raises:
        RemoteProtocolError: a chunk or parameter is cut short, or an acknowledgement names chunks never sent.
    """
    position, end = _COMMON_HEADER, len(packet)
    while position + _CHUNK_HEADER.size <= end:
        kind, _, length = _CHUNK_HEADER.unpack_from(packet, position)
        if length < _CHUNK_HEADER.size or position + length > end:
            raise _bad()
        body = packet[position + _CHUNK_HEADER.size : position + length]
        if len(body) < _SHORTEST.get(kind, 0):
            raise _bad()
        if kind in _PARAMETERS_AT:
            _check_parameters(body[_PARAMETERS_AT[kind] :], reconfig=kind == _RECONFIG)
        elif kind == _SACK_TYPE:
            _check_sack(body, in_flight)
        if kind == _INIT and (position != _COMMON_HEADER or position + length + _padding(length) < end):
            raise _bad()
        position += length + _padding(length)


def _check_parameters(data: bytes, *, reconfig: bool) -> None:
    position = 0
    while position + _PARAMETER.size <= len(data):
        kind, length = _PARAMETER.unpack_from(data, position)
        if length < _PARAMETER.size or position + length > len(data):
            raise _bad()
        if reconfig:
            size = length - _PARAMETER.size
            if size < _RECONFIG_SHORTEST.get(kind, 0) or size % 2:
                raise _bad()
        position += length + _padding(length)


def _check_sack(body: bytes, in_flight: int) -> None:
    _, _, gaps, duplicates = _SACK.unpack_from(body)
    if len(body) < _SACK.size + 4 * (gaps + duplicates):
        raise _bad()
    previous = 0
    for index in range(gaps):
        start, stop = _GAP.unpack_from(body, _SACK.size + _GAP.size * index)
        # In order, apart, and within what is under way; an old SACK may still count from further back.
        if not previous < start <= stop or stop > in_flight + _OLD_SACK:
            raise RemoteProtocolError("The peer acknowledged data that was never sent.")
        previous = stop


_OLD_SACK: Final = 4096


def _padding(length: int) -> int:
    return -length % 4


def _bad() -> RemoteProtocolError:
    return RemoteProtocolError("The peer sent a damaged SCTP packet.")

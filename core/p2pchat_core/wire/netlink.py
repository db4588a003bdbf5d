"""What the Linux kernel says about interfaces, addresses and routes (rtnetlink), as far as it decides on our paths.

`NetworkState` is fed datagrams and tells which of them change anything: most only renew what is known, such as the
lifetime of an address. Nothing here raises, whatever the bytes: what cannot be read counts as a change.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Final

from p2pchat_core import limits

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["GROUPS", "NetworkState", "dump_request"]

_LINK, _IPV4_ADDRESS, _IPV4_ROUTE, _IPV6_ADDRESS, _IPV6_ROUTE = 0x1, 0x10, 0x40, 0x100, 0x400
GROUPS: Final = _LINK | _IPV4_ADDRESS | _IPV4_ROUTE | _IPV6_ADDRESS | _IPV6_ROUTE
"""The multicast groups to join when binding the socket."""

_ERROR, _DONE = 2, 3
_NEW_LINK, _DEL_LINK, _GET_LINK = 16, 17, 18
_NEW_ADDRESS, _DEL_ADDRESS, _GET_ADDRESS = 20, 21, 22
_NEW_ROUTE, _DEL_ROUTE, _GET_ROUTE = 24, 25, 26
_REQUEST_DUMP: Final = 0x1 | 0x300

_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_LINK_INFO: Final = struct.Struct("=BxHiII")  # family, type, index, flags, change
_ADDRESS_INFO: Final = struct.Struct("=BBBBI")  # family, prefix, flags, scope, index
_ROUTE_INFO: Final = struct.Struct("=BBBBBBBBI")  # family, dst, src, tos, table, protocol, scope, type, flags
_ATTRIBUTE: Final = struct.Struct("=HH")

_UP: Final = 0x1
_RUNNING: Final = 0x40
_TENTATIVE: Final = 0x40
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_RTA_OIF, _RTA_GATEWAY, _RTA_PREFERRED = 4, 5, 7
_LINK_SCOPE: Final = 253
_MAIN_TABLE: Final = 254


def dump_request(sequence: int) -> list[bytes]:
    """Return the datagrams that ask for everything there is; they are to be sent one after the other's answer."""
    return [
        _HEADER.pack(_HEADER.size + 1, kind, _REQUEST_DUMP, sequence + number, 0) + b"\0"
        for number, kind in enumerate((_GET_LINK, _GET_ADDRESS, _GET_ROUTE))
    ]


class NetworkState:
    """The links that run, the addresses others can see, and the default routes.

    Attributes:
        dumped: how many of the dumps that were asked for have come to their end, or were refused.
    """

    def __init__(self) -> None:
        self.dumped = 0
        self._facts: dict[tuple[object, ...], object] = {}

    def receive(self, datagram: bytes) -> bool:
        """Take one datagram; whether it changes what is known."""
        changed, offset = False, 0
        while offset + _HEADER.size <= len(datagram):
            length, kind, _flags, _sequence, _port = _HEADER.unpack_from(datagram, offset)
            if length < _HEADER.size or offset + length > len(datagram):
                return True  # cut off: something happened, and what it was is lost
            body = datagram[offset + _HEADER.size : offset + length]
            offset += (length + 3) & ~3
            if kind in (_DONE, _ERROR):
                self.dumped += 1
            else:
                changed |= self._message(kind, body)
        return changed

    def _message(self, kind: int, body: bytes) -> bool:
        try:
            match kind:
                case 16 | 17:
                    return self._link(body, gone=kind == _DEL_LINK)
                case 20 | 21:
                    return self._address(body, gone=kind == _DEL_ADDRESS)
                case 24 | 25:
                    return self._route(body, gone=kind == _DEL_ROUTE)
        except struct.error:
            return True
        return False

    def _link(self, body: bytes, *, gone: bool) -> bool:
        _family, _type, index, flags, _change = _LINK_INFO.unpack_from(body)
        works = flags & _UP and flags & _RUNNING
        return self._set(("link", index), True if works and not gone else None)

    def _address(self, body: bytes, *, gone: bool) -> bool:
        family, _prefix, flags, scope, index = _ADDRESS_INFO.unpack_from(body)
        attributes = dict(_attributes(body[_ADDRESS_INFO.size :]))
        address = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
        more = attributes.get(_IFA_FLAGS, b"")
        flags = int.from_bytes(more[:4], sys.byteorder) if len(more) >= 4 else flags
        if address is None or scope >= _LINK_SCOPE:
            return False
        usable = not gone and not flags & _TENTATIVE
        return self._set(("address", family, index, address), True if usable else None)

    def _route(self, body: bytes, *, gone: bool) -> bool:
        family, length, _src, _tos, table, *_rest = _ROUTE_INFO.unpack_from(body)
        if length or table != _MAIN_TABLE:
            return False
        attributes = dict(_attributes(body[_ROUTE_INFO.size :]))
        through = (attributes.get(_RTA_OIF), attributes.get(_RTA_GATEWAY), attributes.get(_RTA_PREFERRED))
        return self._set(("default", family, *through), None if gone else True)

    def _set(self, key: tuple[object, ...], value: object) -> bool:
        if self._facts.get(key) == value:
            return False
        if value is None:
            del self._facts[key]
        elif len(self._facts) < limits.NETWORK_MAX_FACTS:
            self._facts[key] = value
        return True


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size or offset + length > len(data):
            return
        yield kind & 0x3FFF, data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3

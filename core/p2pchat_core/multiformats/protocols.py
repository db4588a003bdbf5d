"""The one table of multiaddr protocols: names, codes, and values as text and as bytes (docs/wire.md section 1.1)."""

from __future__ import annotations

import ipaddress
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote_to_bytes

from p2pchat_core.errors import AddressError
from p2pchat_core.limits import MAX_DNS_NAME
from p2pchat_core.multiformats import multibase
from p2pchat_core.multiformats.base58 import b58encode
from p2pchat_core.multiformats.multihash import Multihash
from p2pchat_core.multiformats.peer_text import decode_peer_text, parse_peer_multihash
from p2pchat_core.multiformats.quoting import quoted, unprintable_character

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BY_CODE", "BY_NAME", "Protocol"]

_MAX_LABEL: Final = 63


@dataclass(frozen=True, slots=True)
class Protocol:
    """One kind of component.

    Attributes:
        name: its text form.
        code: its number on the wire.
        size: bytes of its value; 0 for no value, ``None`` for a value behind its length.
        encode: value text to bytes; raises AddressError.
        decode: value bytes to text, the inverse; raises AddressError.
        example: a good value, for messages.
    """

    name: str
    code: int
    size: int | None
    encode: Callable[[str], bytes]
    decode: Callable[[bytes], str]
    example: str = ""


def _no_value(_: object) -> bytes:
    return b""


def _no_text(_: bytes) -> str:
    return ""


def _ip4_encode(text: str) -> bytes:
    try:
        return ipaddress.IPv4Address(text).packed
    except ValueError as error:
        raise AddressError(f"{quoted(text)} is not an IPv4 address.") from error


def _ip4_decode(data: bytes) -> str:
    return str(ipaddress.IPv4Address(data))


def _ip6_encode(text: str) -> bytes:
    if "%" in text:
        raise AddressError(f"{quoted(text)} has a zone; write /ip6zone/<zone> in front of /ip6 instead.")
    try:
        return ipaddress.IPv6Address(text).packed
    except ValueError as error:
        raise AddressError(f"{quoted(text)} is not an IPv6 address.") from error


def _ip6_decode(data: bytes) -> str:
    address = ipaddress.IPv6Address(data)
    # Python prints this one differently from version to version; dotted is what RFC 5952 and go write.
    mapped = address.ipv4_mapped
    return str(address) if mapped is None else f"::ffff:{mapped}"


def _number_codec(
    maximum: int, size: int, what: str
) -> tuple[Callable[[str], bytes], Callable[[bytes], str]]:
    """Build the codec of a decimal number in `size` big-endian bytes."""

    def encode(text: str) -> bytes:
        # No sign, blank, underscore or leading zero: one text per number, none that could be read as octal.
        if not (text.isascii() and text.isdigit() and len(text) <= 5 and str(int(text)) == text):
            raise AddressError(f"{quoted(text)} is not {what} (a number from 0 to {maximum}).")
        if int(text) > maximum:
            raise AddressError(f"{text} is not {what} (a number from 0 to {maximum}).")
        return int(text).to_bytes(size, "big")

    def decode(data: bytes) -> str:
        return str(int.from_bytes(data, "big"))

    return encode, decode


def _text_encode(text: str) -> bytes:
    _check_plain(text)
    return text.encode()


def _text_decode(data: bytes) -> str:
    text = _utf8(data)
    _check_plain(text)
    return text


def _check_plain(text: str) -> None:
    if "/" in text:
        raise AddressError(f'{quoted(text)} contains a "/", which separates the parts of an address.')
    flaw = unprintable_character(text)
    if flaw is not None:
        raise AddressError(f"{quoted(text)} contains {flaw}.")


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise AddressError("A text inside the address is not valid UTF-8.") from error


def _name_encode(text: str) -> bytes:
    _check_name(text)
    return text.encode()


def _name_decode(data: bytes) -> str:
    text = _utf8(data)
    _check_name(text)
    return text


def _check_name(text: str) -> None:
    """Allow what a host name is made of and nothing that means something in a URL (``@ : ? # %``)."""
    _check_plain(text)
    if len(text.encode()) > MAX_DNS_NAME:
        raise AddressError(
            f"{quoted(text)} is too long for a host name: at most {MAX_DNS_NAME} bytes are possible."
        )
    for character in text:
        if character not in "-._" and unicodedata.category(character)[0] not in "LMN":
            raise AddressError(f"{quoted(text)} is not a host name: {quoted(character)} cannot occur in one.")
    if not all(0 < len(label) <= _MAX_LABEL for label in text.removesuffix(".").split(".")):
        raise AddressError(f"{quoted(text)} is not a host name: a part between dots is empty or too long.")


def _percent_encode(text: str) -> str:
    return quote(text, safe="!*'()")


def _path_encode(text: str) -> bytes:
    data = unquote_to_bytes(text)
    _utf8(data)
    return data


def _path_decode(data: bytes) -> str:
    return _percent_encode(_utf8(data))


def _http_path_encode(text: str) -> bytes:
    return b"/" + _path_encode(text)


def _http_path_decode(data: bytes) -> str:
    # js writes the path with its first slash, go without it; both print it without.
    text = _path_decode(data.removeprefix(b"/"))
    if not text:
        raise AddressError("An http-path inside the address is empty.")
    return text


def _peer_decode(data: bytes) -> str:
    parse_peer_multihash(data)
    return b58encode(data)


def _certhash_encode(text: str) -> bytes:
    try:
        data = multibase.decode(text)
        Multihash.from_bytes(data)
    except AddressError as error:
        raise AddressError(f"{quoted(text)} is not a certificate hash. {error}") from error
    return data


def _certhash_decode(data: bytes) -> str:
    Multihash.from_bytes(data)
    return multibase.encode("base64url", data)


_PORT: Final = _number_codec(65535, 2, "a port")
_PREFIX_LENGTH: Final = _number_codec(255, 1, "a prefix length")


def _flag(name: str, code: int) -> Protocol:
    return Protocol(name, code, 0, _no_value, _no_text)


def _port(name: str, code: int) -> Protocol:
    return Protocol(name, code, 2, *_PORT, example="4001")


def _name(name: str, code: int) -> Protocol:
    return Protocol(name, code, None, _name_encode, _name_decode, example="relay.example.org")


_TABLE: Final = (
    Protocol("ip4", 4, 4, _ip4_encode, _ip4_decode, "192.0.2.7"),
    _port("tcp", 6),
    _port("dccp", 33),
    Protocol("ip6", 41, 16, _ip6_encode, _ip6_decode, "2001:db8::7"),
    Protocol("ip6zone", 42, None, _text_encode, _text_decode, "eth0"),
    Protocol("ipcidr", 43, 1, *_PREFIX_LENGTH, "24"),
    _name("dns", 53),
    _name("dns4", 54),
    _name("dns6", 55),
    _name("dnsaddr", 56),
    _port("sctp", 132),
    _port("udp", 273),
    _flag("webrtc-direct", 280),
    _flag("webrtc", 281),
    _flag("p2p-circuit", 290),
    Protocol("unix", 400, None, _path_encode, _path_decode, "%2Frun%2Fchat.sock"),
    Protocol("p2p", 421, None, decode_peer_text, _peer_decode, "12D3KooW…"),
    _flag("https", 443),
    _flag("tls", 448),
    _name("sni", 449),
    _flag("noise", 454),
    _flag("quic", 460),
    _flag("quic-v1", 461),
    _flag("webtransport", 465),
    Protocol("certhash", 466, None, _certhash_encode, _certhash_decode, "uEi…"),
    _flag("ws", 477),
    _flag("wss", 478),
    _flag("http", 480),
    Protocol("http-path", 481, None, _http_path_encode, _http_path_decode, "files%2Fchat"),
    # As js writes it. go means eight bytes of integer by the same code, so neither can read the other's.
    Protocol("memory", 777, None, _text_encode, _text_decode, "node-1"),
)

BY_CODE: Final = {protocol.code: protocol for protocol in _TABLE}
BY_NAME: Final = {protocol.name: protocol for protocol in _TABLE} | {"ipfs": BY_CODE[421]}
"""`ipfs` is the former name of `p2p`; it is read and never written."""

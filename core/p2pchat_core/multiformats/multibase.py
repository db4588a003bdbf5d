"""Multibase: bytes as text behind one character that names the base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from p2pchat_core.errors import AddressError, LocalProtocolError
from p2pchat_core.limits import MAX_MULTIADDR_TEXT
from p2pchat_core.multiformats.base58 import radix_decode, radix_encode
from p2pchat_core.multiformats.quoting import quoted

__all__ = ["decode", "encode"]

_LOWER: Final = "abcdefghijklmnopqrstuvwxyz"
_DIGITS: Final = "0123456789"
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_FLICKR: Final = "123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"
_BASE32: Final = _LOWER + "234567"
_BASE32HEX: Final = _DIGITS + _LOWER[:22]
_BASE64: Final = _LOWER.upper() + _LOWER + _DIGITS + "+/"
_BASE64URL: Final = _LOWER.upper() + _LOWER + _DIGITS + "-_"


@dataclass(frozen=True, slots=True)
class _Base:
    """One base: `bits` per character (0: it is no power of two), padded to `group` characters (0: not)."""

    name: str
    prefix: str
    alphabet: str
    bits: int
    group: int = 0

    def encode(self, data: bytes) -> str:
        if not self.bits:
            return radix_encode(self.alphabet, data)
        characters = []
        buffer = held = 0
        for byte in data:
            buffer = buffer << 8 | byte
            held += 8
            while held >= self.bits:
                held -= self.bits
                characters.append(self.alphabet[buffer >> held])
                buffer &= (1 << held) - 1
        if held:
            characters.append(self.alphabet[buffer << (self.bits - held)])
        if self.group:
            characters.append("=" * (-len(characters) % self.group))
        return "".join(characters)

    def decode(self, text: str) -> bytes:
        if not self.bits:
            return radix_decode(self.alphabet, text)
        body = text.rstrip("=") if self.group else text
        data = bytearray()
        buffer = held = 0
        for character in body:
            digit = self.alphabet.find(character)
            if digit < 0:
                raise AddressError(f"The character {quoted(character)} cannot occur in {self.name}.")
            buffer = buffer << self.bits | digit
            held += self.bits
            if held >= 8:
                held -= 8
                data.append(buffer >> held)
                buffer &= (1 << held) - 1
        # One text per value: whole characters too many, bits left over or wrong padding are all refused.
        if held >= self.bits or buffer or (self.group and len(body) + -len(body) % self.group != len(text)):
            raise AddressError(f"It is not complete {self.name}: characters are missing or were added.")
        return bytes(data)


_BASES: Final = (
    _Base("base2", "0", "01", 1),
    _Base("base8", "7", _DIGITS[:8], 3),
    _Base("base10", "9", _DIGITS, 0),
    _Base("base16", "f", _DIGITS + "abcdef", 4),
    _Base("base16upper", "F", _DIGITS + "ABCDEF", 4),
    _Base("base32", "b", _BASE32, 5),
    _Base("base32upper", "B", _BASE32.upper(), 5),
    _Base("base32pad", "c", _BASE32, 5, 8),
    _Base("base32padupper", "C", _BASE32.upper(), 5, 8),
    _Base("base32hex", "v", _BASE32HEX, 5),
    _Base("base32hexupper", "V", _BASE32HEX.upper(), 5),
    _Base("base32hexpad", "t", _BASE32HEX, 5, 8),
    _Base("base32hexpadupper", "T", _BASE32HEX.upper(), 5, 8),
    _Base("base32z", "h", "ybndrfg8ejkmcpqxot1uwisza345h769", 5),
    _Base("base36", "k", _DIGITS + _LOWER, 0),
    _Base("base36upper", "K", _DIGITS + _LOWER.upper(), 0),
    _Base("base58btc", "z", _BASE58, 0),
    _Base("base58flickr", "Z", _FLICKR, 0),
    _Base("base64", "m", _BASE64, 6),
    _Base("base64pad", "M", _BASE64, 6, 4),
    _Base("base64url", "u", _BASE64URL, 6),
    _Base("base64urlpad", "U", _BASE64URL, 6, 4),
)
_BY_NAME: Final = {base.name: base for base in _BASES}
_BY_PREFIX: Final = {base.prefix: base for base in _BASES}


def encode(base: str, data: bytes) -> str:
    """Return `data` in the base named `base` (``base32``, ``base64url``, ...), prefix included.

    Raises:
        LocalProtocolError: there is no such base.
    """
    if base not in _BY_NAME:
        raise LocalProtocolError(f"There is no multibase named {quoted(base)}.")
    found = _BY_NAME[base]
    return found.prefix + found.encode(data)


def decode(text: str) -> bytes:
    """Return the bytes of a multibase text.

    Raises:
        AddressError: it is too long, its first character names no base, or the rest is not of that base.
    """
    if len(text) > MAX_MULTIADDR_TEXT:
        raise AddressError(f"It is too long: at most {MAX_MULTIADDR_TEXT} characters are allowed.")
    base = _BY_PREFIX.get(text[:1])
    if base is None:
        raise AddressError(f"The first character {quoted(text[:1])} names no encoding.")
    return base.decode(text[1:])

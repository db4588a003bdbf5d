"""base58btc, the usual text form of a peer id."""

from __future__ import annotations

from typing import Final

from p2pchat_core.errors import AddressError
from p2pchat_core.limits import MAX_BASE58_TEXT
from p2pchat_core.multiformats.quoting import quoted

__all__ = ["b58decode", "b58encode", "radix_decode", "radix_encode"]

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def b58encode(data: bytes) -> str:
    """Return `data` in base58btc."""
    return radix_encode(_ALPHABET, data)


def b58decode(text: str) -> bytes:
    """Return the bytes of a base58btc text.

    Raises:
        AddressError: it is longer than `MAX_BASE58_TEXT` or holds a character outside the alphabet.
    """
    return radix_decode(_ALPHABET, text)


def radix_encode(alphabet: str, data: bytes) -> str:
    """Write `data` as one number in the base of the alphabet, each leading zero byte as one zero digit."""
    body = data.lstrip(b"\0")
    number = int.from_bytes(body, "big")
    digits = []
    while number:
        number, digit = divmod(number, len(alphabet))
        digits.append(alphabet[digit])
    return alphabet[0] * (len(data) - len(body)) + "".join(reversed(digits))


def radix_decode(alphabet: str, text: str) -> bytes:
    """Undo `radix_encode`.

    Raises:
        AddressError: the text is longer than `MAX_BASE58_TEXT` (this takes quadratic time), or holds a
            character outside the alphabet.
    """
    if len(text) > MAX_BASE58_TEXT:
        raise AddressError(f"It is too long: at most {MAX_BASE58_TEXT} characters are allowed.")
    number = 0
    for character in text:
        digit = alphabet.find(character)
        if digit < 0:
            raise AddressError(f"The character {quoted(character)} cannot occur in it.")
        number = number * len(alphabet) + digit
    zeros = len(text) - len(text.lstrip(alphabet[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")

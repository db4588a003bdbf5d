"""Multiaddr: an address as a path of components, in text and in bytes (docs/wire.md section 1)."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from p2pchat_core.errors import AddressError, RemoteProtocolError
from p2pchat_core.limits import (
    MAX_MULTIADDR_BYTES,
    MAX_MULTIADDR_CIRCUITS,
    MAX_MULTIADDR_COMPONENTS,
    MAX_MULTIADDR_TEXT,
)
from p2pchat_core.multiformats.protocols import BY_CODE, BY_NAME, Protocol
from p2pchat_core.multiformats.quoting import quoted, unprintable_character
from p2pchat_core.multiformats.varint import decode_uvarint, encode_uvarint, length_prefixed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Component", "Multiaddr"]

_EXAMPLE: Final = "A good address looks like /dns4/relay.example.org/tcp/443/tls/ws/p2p/12D3KooW…"
_URL_SCHEMES: Final = ("ws://", "wss://", "http://", "https://")


@dataclass(frozen=True, slots=True)
class Component:
    """One part of an address.

    Attributes:
        name: the protocol, for example ``tcp``.
        value: its value as it stands in the text (paths percent-encoded), or ``None`` when it has none.
        raw: its value as bytes, without code and length; for ``p2p`` the multihash.
    """

    name: str
    value: str | None
    raw: bytes

    def to_bytes(self) -> bytes:
        """Return code, length where the protocol has one, and value."""
        protocol = BY_NAME[self.name]
        return encode_uvarint(protocol.code) + (
            length_prefixed(self.raw) if protocol.size is None else self.raw
        )

    def __str__(self) -> str:
        return f"/{self.name}" if self.value is None else f"/{self.name}/{self.value}"


class Multiaddr:
    """An immutable address. Equal addresses have equal bytes, however they were written.

    Whatever exists can be printed and parsed again: all limits hold for both forms. ``Multiaddr()`` is the
    address without components, useful to build on; it has no text that could be parsed.
    """

    __slots__ = ("_bytes", "_components", "_text")

    def __init__(self, components: Iterable[Component] = ()) -> None:
        """Join components taken from other addresses.

        Raises:
            AddressError: the result is longer than the limits allow.
        """
        self._components = tuple(components)
        self._text = "".join(map(str, self._components))
        self._bytes = b"".join(component.to_bytes() for component in self._components)
        if len(self._components) > MAX_MULTIADDR_COMPONENTS:
            raise AddressError(f"{quoted(self._text)} has more than {MAX_MULTIADDR_COMPONENTS} parts.")
        if len(self._text) > MAX_MULTIADDR_TEXT or len(self._bytes) > MAX_MULTIADDR_BYTES:
            raise AddressError(
                f"{quoted(self._text)} is too long for an address (limit: {MAX_MULTIADDR_TEXT} characters)."
            )
        if self.names.count("p2p-circuit") > MAX_MULTIADDR_CIRCUITS:
            raise AddressError(
                f"{quoted(self._text)} leads through more than {MAX_MULTIADDR_CIRCUITS} relays."
            )

    @classmethod
    def parse(cls, text: str) -> Multiaddr:
        """Parse the text form. Blanks around it and slashes at its end do not matter.

        Raises:
            AddressError: it is not an address; the message tells a person what is wrong and what a good one
                looks like.
        """
        if len(text) > MAX_MULTIADDR_TEXT:
            raise AddressError(
                f"The text has {len(text)} characters; {MAX_MULTIADDR_TEXT} are allowed at most. {_EXAMPLE}"
            )
        text = text.strip()
        _check_text(text)
        try:
            return cls(_split(text.rstrip("/").split("/")[1:]))
        except AddressError as error:
            raise AddressError(f"{error} {_EXAMPLE}") from error

    @classmethod
    def from_bytes(cls, data: bytes) -> Multiaddr:
        """Parse the binary form.

        Raises:
            AddressError: there are no bytes, a protocol is unknown, the data ends early, or a value is not valid.
        """
        if not data:
            raise AddressError("The address is empty.")
        if len(data) > MAX_MULTIADDR_BYTES:
            raise AddressError(
                f"The address has {len(data)} bytes, at most {MAX_MULTIADDR_BYTES} are allowed."
            )
        try:
            return cls(_decode(bytes(data)))
        except RemoteProtocolError as error:
            raise AddressError("The address ends early, or a number in it is malformed.") from error

    def to_bytes(self) -> bytes:
        """Return the binary form."""
        return self._bytes

    @property
    def names(self) -> tuple[str, ...]:
        """The protocols, in order."""
        return tuple(component.name for component in self._components)

    def has(self, name: str) -> bool:
        """Tell whether a component named `name` occurs."""
        return self._index(name) is not None

    def value(self, name: str) -> str | None:
        """Return the value of the first component named `name`; ``None`` when there is no such value."""
        index = self._index(name)
        return None if index is None else self._components[index].value

    def before(self, name: str) -> Multiaddr:
        """Return what precedes the first component named `name`; everything when there is none."""
        return Multiaddr(self._components[: self._index(name)])

    def after(self, name: str) -> Multiaddr:
        """Return what follows the first component named `name`; nothing when there is none."""
        index = self._index(name)
        return Multiaddr() if index is None else Multiaddr(self._components[index + 1 :])

    def encapsulate(self, other: Multiaddr | str) -> Multiaddr:
        """Return this address followed by `other`; the same as ``self / other``.

        Raises:
            AddressError: `other` is not an address, or both together exceed the limits.
        """
        tail = Multiaddr.parse(other) if isinstance(other, str) else other
        return Multiaddr((*self._components, *tail))

    def without_trailing_p2p(self) -> Multiaddr:
        """Return the address without its last component, if that is a ``p2p``."""
        if self._components and self._components[-1].name == "p2p":
            return Multiaddr(self._components[:-1])
        return self

    @property
    def last_p2p(self) -> bytes | None:
        """The multihash of the last ``p2p`` component: the peer the address leads to."""
        return next(
            (component.raw for component in reversed(self._components) if component.name == "p2p"), None
        )

    def _index(self, name: str) -> int | None:
        return next(
            (index for index, component in enumerate(self._components) if component.name == name), None
        )

    def __truediv__(self, other: Multiaddr | str) -> Multiaddr:
        return self.encapsulate(other)

    def __iter__(self) -> Iterator[Component]:
        return iter(self._components)

    def __len__(self) -> int:
        return len(self._components)

    def __eq__(self, other: object) -> bool:
        return self._bytes == other._bytes if isinstance(other, Multiaddr) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Multiaddr({self._text!r})"


def _check_text(text: str) -> None:
    """Refuse what cannot be an address at all, with a hint for the usual mistakes."""
    if not text:
        raise AddressError(f"There is no address. {_EXAMPLE}")
    flaw = unprintable_character(text)
    if flaw is not None:
        raise AddressError(f"The address contains {flaw}; remove it. {_EXAMPLE}")
    if text.startswith("/"):
        if not text.strip("/"):
            raise AddressError(f"{quoted(text)} has no parts. {_EXAMPLE}")
        return
    if text.lower().startswith(_URL_SCHEMES):
        reason = "is a web address; the same host and port have to be written as a multiaddr"
    elif text.startswith(("12D3KooW", "16Uiu2", "Qm", "bafz", "k51qzi")):
        reason = "is a peer id alone; the way to the peer has to stand in front of it"
    else:
        reason = 'is not an address: it does not start with "/"'
    raise AddressError(f"{quoted(text)} {reason}. {_EXAMPLE}")


def _split(parts: list[str]) -> Iterator[Component]:
    """Read the components from the parts between the slashes."""
    remaining = iter(parts)
    for name in remaining:
        protocol = BY_NAME.get(name)
        if protocol is None:
            raise AddressError(_unknown(name))
        if protocol.size == 0:
            yield Component(protocol.name, None, b"")
            continue
        value = next(remaining, "")
        if not value:
            raise AddressError(f"/{name} needs a value behind it, for example /{name}/{protocol.example}.")
        try:
            raw = protocol.encode(value)
            # Decoded again, the value has its one normal form, and whatever was parsed can be parsed again.
            yield Component(protocol.name, protocol.decode(raw), raw)
        except AddressError as error:
            raise AddressError(f"The part behind /{name} is wrong: {error}") from error


def _unknown(name: str) -> str:
    if not name:
        return 'There is an empty part ("//") in the address.'
    similar = difflib.get_close_matches(name.lower(), BY_NAME, n=1) if len(name) <= 20 else []
    hint = (
        f"did you mean {similar[0]}?"
        if similar
        else "a kind of address part was expected there, such as ip4 or tcp."
    )
    return f"{quoted(name)} is not known; {hint}"


def _decode(data: bytes) -> Iterator[Component]:
    """Read the components from bytes.

    Raises:
        RemoteProtocolError: a varint is malformed or the data ends early.
        AddressError: anything else.
    """
    offset = 0
    while offset < len(data):
        code, offset = decode_uvarint(data, offset)
        protocol = BY_CODE.get(code)
        if protocol is None:
            raise AddressError(f"The address has a part of unknown kind {code}.")
        if protocol.size == 0:
            yield Component(protocol.name, None, b"")
            continue
        raw, offset = _take_value(data, offset, protocol)
        yield Component(protocol.name, protocol.decode(raw), raw)


def _take_value(data: bytes, offset: int, protocol: Protocol) -> tuple[bytes, int]:
    size = protocol.size
    if size is None:
        size, offset = decode_uvarint(data, offset)
        if size == 0:
            raise AddressError(f"The address has an empty {protocol.name}.")
    end = offset + size
    if end > len(data):
        raise RemoteProtocolError("The address ends inside a value.")
    return data[offset:end], end

"""Any input is parsed or refused with the documented error, and what is parsed survives the way there and back."""

from __future__ import annotations

import string
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from p2pchat_core.errors import AddressError, RemoteProtocolError
from p2pchat_core.limits import (
    MAX_BASE58_TEXT,
    MAX_MULTIADDR_BYTES,
    MAX_MULTIADDR_COMPONENTS,
    MAX_MULTIADDR_TEXT,
)
from p2pchat_core.multiformats import multibase
from p2pchat_core.multiformats.base58 import b58decode, b58encode
from p2pchat_core.multiformats.multiaddr import Multiaddr
from p2pchat_core.multiformats.multihash import Multihash
from p2pchat_core.multiformats.peer_text import cid_text, decode_peer_text
from p2pchat_core.multiformats.protocols import BY_CODE, BY_NAME
from p2pchat_core.multiformats.quoting import quoted, unprintable_character
from p2pchat_core.multiformats.varint import (
    LengthPrefixedReader,
    decode_uvarint,
    encode_uvarint,
    length_prefixed,
)

PREFIXES = list("079fFbBcCvVtThkKzZmMuU")
BASES = [
    "base2",
    "base8",
    "base10",
    "base16",
    "base32",
    "base32padupper",
    "base32z",
    "base36",
    "base58btc",
    "base64",
]

fast = settings(max_examples=100, deadline=None)

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)
PEERS = st.one_of(
    st.binary(min_size=32, max_size=32).map(lambda digest: b"\x12\x20" + digest),
    st.binary(min_size=1, max_size=42).map(lambda key: bytes((0, len(key))) + key),
)
PLAIN = st.text(min_size=1, max_size=20).filter(
    lambda text: "/" not in text and not unprintable_character(text)
)
NAMES = st.lists(
    st.text(string.ascii_letters + string.digits + "-_ü漢", min_size=1, max_size=20), min_size=1, max_size=3
)
PATHS = st.text(min_size=1, max_size=20).map(lambda text: quote(text, safe=""))
VALUES = {
    "ip4": st.ip_addresses(v=4).map(str),
    "ip6": st.ip_addresses(v=6).map(str),
    "ipcidr": st.integers(0, 255).map(str),
    "certhash": st.builds(
        lambda base, digest: multibase.encode(base, Multihash(0x11, digest).to_bytes()),
        st.sampled_from(BASES),
        st.binary(max_size=32),
    ),
    **dict.fromkeys(("tcp", "udp", "sctp", "dccp"), st.integers(0, 65535).map(str)),
    **dict.fromkeys(("dns", "dns4", "dns6", "dnsaddr", "sni"), NAMES.map(".".join)),
    **dict.fromkeys(("p2p", "ipfs"), st.one_of(PEERS.map(b58encode), PEERS.map(cid_text))),
    **dict.fromkeys(("ip6zone", "memory"), PLAIN),
    **dict.fromkeys(("unix", "http-path"), PATHS),
}
PARTS = st.sampled_from(sorted(BY_NAME)).flatmap(
    lambda name: VALUES[name].map(lambda value: f"/{name}/{value}") if name in VALUES else st.just(f"/{name}")
)
ADDRESSES = st.lists(PARTS, min_size=1, max_size=8).map("".join)


def parse_or_none(text: str) -> Multiaddr | None:
    """Parse; a refusal must be the documented one, short and safe to print."""
    try:
        return Multiaddr.parse(text)
    except AddressError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 1500
        return None


def check_round_trip(address: Multiaddr) -> None:
    text, data = str(address), address.to_bytes()
    assert Multiaddr.from_bytes(data) == address
    assert str(Multiaddr.from_bytes(data)) == text
    assert Multiaddr.parse(text) == address
    assert str(Multiaddr.parse(text)) == text
    assert 0 < len(text) <= MAX_MULTIADDR_TEXT
    assert 0 < len(data) <= MAX_MULTIADDR_BYTES
    assert 0 < len(address) <= MAX_MULTIADDR_COMPONENTS
    assert text.isprintable()


@fast
@given(ADDRESSES)
def test_good_addresses_survive(text: str) -> None:
    assume(len(text) <= MAX_MULTIADDR_TEXT and text.count("/p2p-circuit") <= 2)
    check_round_trip(Multiaddr.parse(text))


@fast
@given(st.one_of(ANY_TEXT, ANY_TEXT.map("/".__add__)))
@example("/" * 1_000_000)
@example("/p2p/" + "1" * 1_000_000)
@example("/dns4/" + "a" * 1000)
def test_any_text(text: str) -> None:
    address = parse_or_none(text)
    if address is not None:
        check_round_trip(address)


@fast
@given(
    st.lists(st.one_of(PARTS, st.sampled_from(["/", "//", "\0", "%", "x"]), ANY_TEXT), max_size=12).map(
        "".join
    )
)
def test_text_made_of_good_and_bad_pieces(text: str) -> None:
    address = parse_or_none(text)
    if address is not None:
        check_round_trip(address)


@fast
@given(ADDRESSES, st.data())
def test_text_with_one_character_changed(text: str, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(text) - 1))
    changed = text[:position] + data.draw(st.characters(exclude_categories=())) + text[position + 1 :]
    address = parse_or_none(changed)
    if address is not None:
        check_round_trip(address)


def check_bytes(data: bytes) -> None:
    try:
        address = Multiaddr.from_bytes(data)
    except AddressError as error:
        assert str(error).isprintable()
        return
    assert address.to_bytes() == data
    again = Multiaddr.parse(str(address))
    assert str(again) == str(address)
    if not address.has("http-path"):  # go and js have different bytes for the same text
        assert again == address


@fast
@given(st.binary(max_size=200))
@example(b"\x01" * (MAX_MULTIADDR_BYTES + 1))
@example(b"\xc0\x03" * 512)
def test_any_bytes(data: bytes) -> None:
    check_bytes(data)


@fast
@given(
    st.lists(st.tuples(st.sampled_from(sorted(BY_CODE)), st.binary(max_size=40), st.booleans()), max_size=6)
)
def test_bytes_of_known_protocols_with_any_value(parts: list[tuple[int, bytes, bool]]) -> None:
    data = b""
    for code, value, whole in parts:
        size = BY_CODE[code].size
        if size is None:
            value = length_prefixed(value)
        elif whole:
            value = value[:size].ljust(size, b"\1")
        data += encode_uvarint(code) + value
    check_bytes(data)


@fast
@given(ADDRESSES, st.data())
def test_bytes_cut_or_changed(text: str, data: st.DataObject) -> None:
    address = parse_or_none(text)
    assume(address is not None)
    assert address is not None
    encoded = bytearray(address.to_bytes())
    encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    check_bytes(bytes(encoded[: data.draw(st.integers(0, len(encoded)))]))


@fast
@given(ADDRESSES, ADDRESSES, st.sampled_from(sorted(BY_NAME)))
def test_joining_and_splitting(first: str, second: str, name: str) -> None:
    one, other = parse_or_none(first), parse_or_none(second)
    assume(one is not None and other is not None)
    assert one is not None
    assert other is not None
    try:
        whole = one / other
    except AddressError:
        assert len(one) + len(other) > 1  # too long together
        return
    assert whole.to_bytes() == one.to_bytes() + other.to_bytes()
    assert whole == one / second
    if whole.has(name):
        assert len(whole.before(name)) + 1 + len(whole.after(name)) == len(whole)
        assert not whole.before(name).has(name)


@fast
@given(st.integers(0, 2**63 - 1), st.binary(max_size=4))
def test_varints_survive(value: int, tail: bytes) -> None:
    encoded = encode_uvarint(value)
    assert decode_uvarint(encoded + tail) == (value, len(encoded))


@fast
@given(st.binary(max_size=12), st.integers(0, 14))
def test_any_varint_bytes(data: bytes, offset: int) -> None:
    try:
        value, end = decode_uvarint(data, offset)
    except RemoteProtocolError:
        return
    assert encode_uvarint(value) == data[offset:end]


@fast
@given(st.lists(st.binary(max_size=300), max_size=5), st.binary(max_size=20), st.integers(1, 400))
def test_framing_in_any_pieces(messages: list[bytes], tail: bytes, piece: int) -> None:
    data = b"".join(map(length_prefixed, messages)) + tail
    reader = LengthPrefixedReader(300)
    received: list[bytes] = []
    for start in range(0, len(data), piece):
        reader.feed(data[start : start + piece])
        while len(received) < len(messages) and (message := reader.next()) is not None:
            received.append(message)
    assert received == messages
    assert reader.remaining() == tail


@fast
@given(st.lists(st.binary(max_size=20), max_size=8))
def test_framing_of_any_bytes(pieces: list[bytes]) -> None:
    reader = LengthPrefixedReader(16)
    for piece in pieces:
        reader.feed(piece)
        try:
            message = reader.next()
        except RemoteProtocolError:
            return
        assert message is None or len(message) <= 16


@fast
@given(st.binary(max_size=90))
def test_base58_survives(data: bytes) -> None:
    assert b58decode(b58encode(data)) == data


@fast
@given(st.one_of(ANY_TEXT, st.text(string.ascii_letters + string.digits, max_size=MAX_BASE58_TEXT + 2)))
def test_any_base58_text(text: str) -> None:
    try:
        data = b58decode(text)
    except AddressError:
        return
    assert b58encode(data) == text


@pytest.mark.parametrize("base", BASES)
@fast
@given(data=st.binary(max_size=48))
def test_multibase_survives(base: str, data: bytes) -> None:
    assert multibase.decode(multibase.encode(base, data)) == data


@fast
@given(st.sampled_from(PREFIXES), st.one_of(ANY_TEXT, st.text("01234567abcdefABCDEF=-+/", max_size=60)))
def test_any_multibase_text(prefix: str, text: str) -> None:
    try:
        data = multibase.decode(prefix + text)
    except AddressError:
        return
    for base in multibase._BASES:
        if base.prefix == prefix:
            assert prefix + base.encode(data) == prefix + text  # one text per value


@fast
@given(st.binary(max_size=140))
def test_any_multihash(data: bytes) -> None:
    try:
        parsed = Multihash.from_bytes(data)
    except AddressError:
        return
    assert parsed.to_bytes() == data


@fast
@given(st.one_of(ANY_TEXT, ANY_TEXT.map("1".__add__), ANY_TEXT.map("b".__add__)))
def test_any_peer_text(text: str) -> None:
    try:
        decode_peer_text(text)
    except AddressError as error:
        assert str(error).isprintable()


@fast
@given(ANY_TEXT)
def test_quoting_is_safe_and_bounded(text: str) -> None:
    assert quoted(text).isprintable()
    assert len(quoted(text)) <= 10 * 48 + 3
    flaw = unprintable_character(text)
    assert flaw is not None or all(character.isprintable() and not character.isspace() for character in text)

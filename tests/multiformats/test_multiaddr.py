from __future__ import annotations

from typing import Any

import pytest

from p2pchat_core.errors import AddressError
from p2pchat_core.limits import MAX_MULTIADDR_BYTES, MAX_MULTIADDR_COMPONENTS, MAX_MULTIADDR_TEXT
from p2pchat_core.multiformats.multiaddr import Component, Multiaddr
from tests.support.vectors import vectors

RELAY_ID = "12D3KooWCKq9ZvccjmCqhBbPsrgpAKBHWQpgB61ruM19CyAvH1Cp"
PEER_ID = "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"
RELAY = f"/ip4/127.0.0.1/tcp/57708/ws/p2p/{RELAY_ID}"
TARGET = f"{RELAY}/p2p-circuit/webrtc/p2p/{PEER_ID}"
EXAMPLE = "A good address looks like /dns4/relay.example.org/tcp/443/tls/ws/p2p/12D3KooW…"


@pytest.mark.parametrize("vector", vectors("multiaddr"), ids=lambda vector: vector["name"])
def test_vectors(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    parsed = Multiaddr.parse(vector["string"])
    assert parsed.to_bytes() == data
    assert Multiaddr.from_bytes(data) == parsed
    assert str(Multiaddr.from_bytes(data)) == str(parsed)
    if vector["roundtrip"]:  # js keeps a CID as it was typed, until the address has been through bytes once
        assert str(parsed) == vector["canonical"]


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("/ip4/127.0.0.1/tcp/80/", "/ip4/127.0.0.1/tcp/80"),
        ("/ip4/127.0.0.1/tcp/80/ws///", "/ip4/127.0.0.1/tcp/80/ws"),
        (" \n/ip4/127.0.0.1\t", "/ip4/127.0.0.1"),
        (f"/ipfs/{PEER_ID}", f"/p2p/{PEER_ID}"),
        ("/p2p/bafzaajaiaejcaa5ba677htqqxyoxbxiy45f4bglh4tldbg5fbvpr3xegmqjfkmny", f"/p2p/{PEER_ID}"),
        ("/p2p/k51qzi5uqu5dg9ufswxt229ntzdy7p4125xzv5rtyjso89ajdujg6csfxcj260", f"/p2p/{PEER_ID}"),
        ("/ip6/0:0:0:0:0:0:0:1", "/ip6/::1"),
        ("/ip6/2001:DB8::FF00:0042:8329", "/ip6/2001:db8::ff00:42:8329"),
        ("/ip6/::ffff:102:304", "/ip6/::ffff:1.2.3.4"),
        ("/unix/%2ftmp%2fa%20b", "/unix/%2Ftmp%2Fa%20b"),
        ("/unix/a%zz", "/unix/a%25zz"),
        ("/unix/a:b", "/unix/a%3Ab"),
        ("/http-path/a%2fb!", "/http-path/a%2Fb!"),
        ("/dns4/example.org.", "/dns4/example.org."),
        ("/dns/_x.münchen.example", "/dns/_x.münchen.example"),
        # the same hash in base16 and as js and go print it
        (
            "/certhash/f1220241f96b80cf18a52e3818d8c340a0c23bdc24224c0f62bfd5a96e291feda5ebd",
            "/certhash/uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ",
        ),
    ],
)
def test_text_is_normalised(text: str, normal: str) -> None:
    parsed = Multiaddr.parse(text)
    assert str(parsed) == normal
    assert parsed == Multiaddr.parse(normal)
    assert str(Multiaddr.from_bytes(parsed.to_bytes())) == normal


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("/tcp/0", "060000"),
        ("/dccp/65535", "21ffff"),
        ("/sctp/1", "84010001"),
        ("/udp/4001", "91020fa1"),
        ("/ipcidr/255", "2bff"),
        ("/https/tls/noise/quic/http", "bb03c003c603cc03e003"),
        ("/sni/a", "c1030161"),
        ("/unix/%C3%A9%00", "900303c3a900"),
        ("/http-path/a", "e103022f61"),
        ("/memory/7", "89060137"),
    ],
)
def test_bytes(text: str, data: str) -> None:
    assert Multiaddr.parse(text).to_bytes().hex() == data
    assert str(Multiaddr.from_bytes(bytes.fromhex(data))) == text


def test_http_path_of_go_prints_like_that_of_js() -> None:
    from_go = Multiaddr.from_bytes(bytes.fromhex("e103 07 666f6f2f626172"))
    assert str(from_go) == "/http-path/foo%2Fbar"
    assert from_go.to_bytes().hex() == "e10307666f6f2f626172"  # what came is kept as it came


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "There is no address."),
        ("   ", "There is no address."),
        ("/", "'/' has no parts."),
        ("////", "'////' has no parts."),
        ("hello", "'hello' is not an address: it does not start with \"/\"."),
        ("ip4/127.0.0.1/tcp/80", "'ip4/127.0.0.1/tcp/80' is not an address: it does not start with \"/\"."),
        ("wss://relay.example.org:443", "'wss://relay.example.org:443' is a web address;"),
        (PEER_ID, "is a peer id alone;"),
        ("/ipv4/127.0.0.1", "'ipv4' is not known; did you mean ip4?"),
        ("/IP4/127.0.0.1", "'IP4' is not known; did you mean ip4?"),
        ("/" + "x" * 500, "is not known; a kind of address part was expected there, such as ip4 or tcp."),
        ("/ip4/127.0.0.1//tcp/80", 'There is an empty part ("//") in the address.'),
        ("//ip4/127.0.0.1", 'There is an empty part ("//") in the address.'),
        ("/ip4", "/ip4 needs a value behind it, for example /ip4/192.0.2.7."),
        ("/ip4//tcp/80", "/ip4 needs a value behind it, for example /ip4/192.0.2.7."),
        ("/ip4/127.0.0.1/tcp/", "/tcp needs a value behind it, for example /tcp/4001."),
        ("/ip4/127.0.0.1:80", "The part behind /ip4 is wrong: '127.0.0.1:80' is not an IPv4 address."),
        ("/ip4/127.0.0.01", "'127.0.0.01' is not an IPv4 address."),
        ("/ip4/localhost", "'localhost' is not an IPv4 address."),
        ("/ip4/１２７.0.0.1", "is not an IPv4 address."),
        ("/ip6/127.0.0.1", "'127.0.0.1' is not an IPv6 address."),
        ("/ip6/[::1]", "'[::1]' is not an IPv6 address."),
        ("/ip6/fe80::1%eth0", "'fe80::1%eth0' has a zone; write /ip6zone/<zone> in front of /ip6 instead."),
        ("/tcp/65536", "65536 is not a port (a number from 0 to 65535)."),
        ("/tcp/-1", "'-1' is not a port (a number from 0 to 65535)."),
        ("/tcp/080", "'080' is not a port (a number from 0 to 65535)."),
        ("/tcp/8_0", "'8_0' is not a port"),
        ("/tcp/８０", "is not a port"),
        ("/tcp/" + "9" * 900, "is not a port"),
        ("/ip4/10.0.0.0/ipcidr/256", "256 is not a prefix length (a number from 0 to 255)."),
        ("/dns4/user@example.org", "'user@example.org' is not a host name: '@' cannot occur in one."),
        ("/dns4/example.org:443", "'example.org:443' is not a host name: ':' cannot occur in one."),
        ("/dns4/a%2Fb", "'%' cannot occur in one."),
        ("/dns4/a..b", "'a..b' is not a host name: a part between dots is empty or too long."),
        ("/dns4/.", "a part between dots is empty or too long."),
        ("/dns4/" + "a" * 64, "a part between dots is empty or too long."),
        ("/dns4/" + "a." * 130, "is too long for a host name"),
        ("/dns4/" + "é." * 100, "is too long for a host name"),
        ("/sni/a?b", "'?' cannot occur in one."),
        (
            "/p2p/12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBf0SB",
            "The character '0' cannot occur in it.",
        ),
        (f"/p2p/{PEER_ID[:-4]}", "is not a peer id. It announces a hash of"),
        ("/p2p/Qm", "is not a peer id."),
        ("/certhash/xyz", "'xyz' is not a certificate hash. The first character 'x' names no encoding."),
        ("/certhash/uEiAk", "is not a certificate hash. It announces a hash of 32 bytes, but 1 are there."),
        ("/unix/%FF", "A text inside the address is not valid UTF-8."),
        ("/p2p-circuit" * 3, "leads through more than 2 relays."),
        ("/tls" * (MAX_MULTIADDR_COMPONENTS + 1), f"has more than {MAX_MULTIADDR_COMPONENTS} parts."),
        ("/p2p-circuit" * 5000, "The text has 60000 characters; 1024 are allowed at most."),
        ("/unix/" + "é" * 1000, "is too long for an address"),
    ],
)
def test_rubbish_is_explained(text: str, reason: str) -> None:
    with pytest.raises(AddressError) as caught:
        Multiaddr.parse(text)
    message = str(caught.value)
    assert reason in message
    assert message.endswith(EXAMPLE)
    assert message.isprintable()
    assert len(message) < 500


@pytest.mark.parametrize(
    "character",
    ["\0", "\x1b", "\n", "\r", " ", "\t", "\x7f", "\x9b", "\xa0", "\u200b", "\u202e", "\ufeff", "\ud800"],
)
def test_invisible_characters_are_named_and_not_echoed(character: str) -> None:
    with pytest.raises(AddressError) as caught:
        Multiaddr.parse(f"/dns4/exa{character}mple.org/tcp/443")
    message = str(caught.value)
    assert f"(U+{ord(character):04X}) at position 10; remove it. " in message
    assert message.isprintable()


@pytest.mark.parametrize(
    "data",
    [
        "04",  # value missing
        "047f0000",
        "06",
        "0600",
        "8401",
        "36",  # length missing
        "3605616263",
        "36ffffffffffffffff7f61",
        "3600",  # empty
        "360161" + "ff",
        "3680 00",
        "8400047f000001",  # code not minimal
        "36 8100 61",  # length not minimal
        "05",  # unknown code
        "8f4e",
        "ffffffffffffffffffff",
        "3601ff",  # not UTF-8
        "3601 2f",  # a slash
        "3601 40",
        "3601 00",
        "2a03 e280ae",  # a direction override in a zone
        "8906 01 20",
        "c103 02 2e2e",
        "9003 01 ff",
        "e103 01 2f",  # an empty path
        "a503 00",
        "a503 02 0000",
        "a503 03 110161",
        "a503 22 1220" + "00" * 31,
        "d203 02 1220",
    ],
)
def test_malformed_bytes(data: str) -> None:
    with pytest.raises(AddressError):
        Multiaddr.from_bytes(bytes.fromhex(data))


def test_limits_of_bytes() -> None:
    with pytest.raises(AddressError, match="1025 bytes"):
        Multiaddr.from_bytes(bytes(MAX_MULTIADDR_BYTES + 1))
    with pytest.raises(AddressError, match="parts"):
        Multiaddr.from_bytes(b"\xc0\x03" * 500)
    with pytest.raises(AddressError, match="relays"):
        Multiaddr.from_bytes(b"\xa2\x02" * 3)
    # Its text could not be parsed again: every byte takes three characters there.
    with pytest.raises(AddressError, match="too long"):
        Multiaddr.from_bytes(b"\x90\x03\xac\x02" + b"\x01" * 300 + b"\x90\x03\xac\x02" + b"\x01" * 300)


def test_longest_text() -> None:
    filler = MAX_MULTIADDR_TEXT - len("/memory/")
    assert len(str(Multiaddr.parse("/memory/" + "a" * filler))) == MAX_MULTIADDR_TEXT
    with pytest.raises(AddressError):
        Multiaddr.parse("/memory/" + "a" * (filler + 1))


def test_components() -> None:
    address = Multiaddr.parse("/ip4/1.2.3.4/tcp/80/ws")
    assert list(address) == [
        Component("ip4", "1.2.3.4", bytes((1, 2, 3, 4))),
        Component("tcp", "80", b"\0\x50"),
        Component("ws", None, b""),
    ]
    assert len(address) == 3
    assert address.names == ("ip4", "tcp", "ws")
    assert address.has("ws")
    assert not address.has("wss")
    assert address.value("tcp") == "80"
    assert address.value("ws") is None
    assert address.value("udp") is None


def test_equality_is_that_of_bytes() -> None:
    one, other = Multiaddr.parse("/ip6/::1/tcp/1"), Multiaddr.parse("/ip6/0::0:1/tcp/1")
    assert one == other
    assert hash(one) == hash(other)
    assert one != Multiaddr.parse("/ip6/::1/tcp/2")
    assert one != str(one)
    assert repr(one) == "Multiaddr('/ip6/::1/tcp/1')"


def test_joining_and_splitting() -> None:
    target = Multiaddr.parse(TARGET)
    assert Multiaddr.parse(RELAY) / "/p2p-circuit/webrtc" / Multiaddr.parse(f"/p2p/{PEER_ID}") == target
    assert Multiaddr.parse(RELAY).encapsulate("/p2p-circuit") == Multiaddr.parse(RELAY + "/p2p-circuit")
    assert str(target.before("p2p-circuit")) == RELAY
    assert str(target.after("p2p-circuit")) == f"/webrtc/p2p/{PEER_ID}"
    assert str(target.after("p2p")) == f"/p2p-circuit/webrtc/p2p/{PEER_ID}"
    assert target.before("udp") == target
    assert target.after("udp") == Multiaddr()
    assert target.after("webrtc").after("p2p") == Multiaddr()


def test_joining_keeps_to_the_limits() -> None:
    with pytest.raises(AddressError, match="relays"):
        Multiaddr.parse("/p2p-circuit/p2p-circuit") / "/p2p-circuit"
    with pytest.raises(AddressError, match="too long"):
        Multiaddr.parse("/memory/" + "a" * 600) / ("/memory/" + "a" * 600)
    with pytest.raises(AddressError, match="parts"):
        Multiaddr.parse("/tls" * 10) / ("/tls" * 10)


def test_peer_at_the_end() -> None:
    target = Multiaddr.parse(TARGET)
    assert target.last_p2p is not None
    assert target.last_p2p.hex() == vectors("ed25519")[0]["peer_id_multihash"]
    assert str(target.without_trailing_p2p()) == f"{RELAY}/p2p-circuit/webrtc"
    assert target.without_trailing_p2p().without_trailing_p2p() == target.without_trailing_p2p()
    assert Multiaddr.parse("/webrtc").last_p2p is None


def test_empty_address() -> None:
    empty = Multiaddr()
    assert str(empty) == ""
    assert empty.to_bytes() == b""
    assert len(empty) == 0
    with pytest.raises(AddressError, match="empty"):  # a peer must not be able to send it
        Multiaddr.from_bytes(b"")
    assert empty / "/ws" == Multiaddr.parse("/ws")
    assert empty.last_p2p is None
    assert empty.without_trailing_p2p() == empty

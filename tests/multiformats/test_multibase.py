from __future__ import annotations

import pytest

from p2pchat_core.errors import AddressError, LocalProtocolError
from p2pchat_core.limits import MAX_MULTIADDR_TEXT
from p2pchat_core.multiformats import multibase

# The example of the multibase specification.
SAMPLE = b"yes mani !"
SPEC = {
    "base2": "001111001011001010111001100100000011011010110000101101110011010010010000000100001",
    "base8": "7362625631006654133464440102",
    "base10": "9573277761329450583662625",
    "base16": "f796573206d616e692021",
    "base16upper": "F796573206D616E692021",
    "base32": "bpfsxgidnmfxgsibb",
    "base32upper": "BPFSXGIDNMFXGSIBB",
    "base32pad": "cpfsxgidnmfxgsibb",
    "base32padupper": "CPFSXGIDNMFXGSIBB",
    "base32hex": "vf5in683dc5n6i811",
    "base32hexupper": "VF5IN683DC5N6I811",
    "base32hexpad": "tf5in683dc5n6i811",
    "base32hexpadupper": "TF5IN683DC5N6I811",
    "base32z": "hxf1zgedpcfzg1ebb",
    "base36": "k2lcpzo5yikidynfl",
    "base36upper": "K2LCPZO5YIKIDYNFL",
    "base58btc": "z7paNL19xttacUY",
    "base58flickr": "Z7Pznk19XTTzBtx",
    "base64": "meWVzIG1hbmkgIQ",
    "base64pad": "MeWVzIG1hbmkgIQ==",
    "base64url": "ueWVzIG1hbmkgIQ",
    "base64urlpad": "UeWVzIG1hbmkgIQ==",
}


@pytest.mark.parametrize(("base", "text"), SPEC.items())
def test_specification(base: str, text: str) -> None:
    assert multibase.encode(base, SAMPLE) == text
    assert multibase.decode(text) == SAMPLE


@pytest.mark.parametrize("base", SPEC)
@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0ab", b"\xff" * 9, bytes(range(40))])
def test_round_trip(base: str, data: bytes) -> None:
    assert multibase.decode(multibase.encode(base, data)) == data


@pytest.mark.parametrize(
    "text",
    [
        "",
        "?abc",
        "\x00abc",
        "bpfs1",  # 1 is not in base32
        "BPFSxGIDNMFXGSIBB",  # two cases mixed
        "ba",  # a character that carries no whole byte
        "bpfsxgidnmfxgsibbb",
        "bab",  # bits left over
        "MeWVzIG1hbmkgIQ",  # padding missing
        "MeWVzIG1hbmkgIQ=",
        "MeWVzIG1hbmkgIQ===",
        "MeWVzIG1hbmkgIQ======",
        "meWVzIG1hbmkgIQ==",  # padding where there is none
        "u-_+/",
        "k" + "1" * 129,
        "9" + "1" * 129,
        "m" + "A" * MAX_MULTIADDR_TEXT,
        "9１",  # noqa: RUF100 - a digit, but of another script
    ],
)
def test_malformed(text: str) -> None:
    with pytest.raises(AddressError):
        multibase.decode(text)


def test_unknown_base_is_our_mistake() -> None:
    with pytest.raises(LocalProtocolError, match="base31"):
        multibase.encode("base31", b"")

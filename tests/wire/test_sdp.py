"""Session descriptions (docs/wire.md section 9.5)."""

from __future__ import annotations

import re

import pytest

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.limits import SDP_MAX_SIZE, SIGNALING_MAX_CANDIDATES
from p2pchat_core.wire.sdp import SessionDescription, Setup, parse_sdp

PRINT = bytes(range(32))
PRINT_TEXT = ":".join(f"{byte:02X}" for byte in PRINT)
UFRAG, PASSWORD = "aB3+", "abcdefghijklmnopqrstuv"

LIBDATACHANNEL = f"""v=0
o=rtc 3767197920 0 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=msid-semantic:WMS *
a=ice-options:ice2,trickle
a=fingerprint:sha-256 {PRINT_TEXT}
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=mid:0
a=sendrecv
a=sctp-port:5000
a=max-message-size:262144
a=setup:actpass
a=ice-ufrag:{UFRAG}
a=ice-pwd:{PASSWORD}
"""
CHROME = f"""v=0
o=- 4962303333179871722 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=extmap-allow-mixed
a=msid-semantic: WMS
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=ice-ufrag:{UFRAG}
a=ice-pwd:{PASSWORD}
a=ice-options:trickle
a=fingerprint:sha-256 {PRINT_TEXT.lower()}
a=setup:active
a=mid:0
a=sctp-port:5000
a=max-message-size:262144
"""


@pytest.mark.parametrize(("text", "setup"), [(LIBDATACHANNEL, Setup.ACTPASS), (CHROME, Setup.ACTIVE)])
@pytest.mark.parametrize("ending", ["\r\n", "\n"])
def test_both_styles_are_read(text: str, setup: Setup, ending: str) -> None:
    found = parse_sdp(text.replace("\n", ending))
    assert found == SessionDescription(UFRAG, PASSWORD, PRINT, setup, max_message_size=262144)


def test_round_trip() -> None:
    description = SessionDescription(
        UFRAG, PASSWORD, PRINT, Setup.PASSIVE, candidates=("candidate:1 1 udp 1 192.0.2.1 5000 typ host",)
    )
    text = description.to_text(session_id=7)
    assert parse_sdp(text) == description
    assert text.endswith("\r\n")
    assert "\n" not in text.replace("\r\n", "")


def test_defaults() -> None:
    text = re.sub(r"a=(sctp-port|max-message-size|setup):.*\n", "", LIBDATACHANNEL)
    found = parse_sdp(text)
    assert (found.sctp_port, found.max_message_size, found.setup) == (5000, 65536, Setup.ACTPASS)


def test_other_fingerprints_do_not_count() -> None:
    extra = LIBDATACHANNEL.replace("a=mid:0", "a=mid:0\na=fingerprint:sha-1 AA:BB")
    assert parse_sdp(extra).fingerprint == PRINT


def test_embedded_candidates_are_bounded() -> None:
    line = "a=candidate:1 1 udp 1 192.0.2.1 {} typ host\n"
    text = LIBDATACHANNEL + "".join(line.format(2000 + index) for index in range(100))
    assert len(parse_sdp(text).candidates) == SIGNALING_MAX_CANDIDATES


HOSTILE = {
    "empty": "",
    "not SDP": "hello",
    "no fingerprint": LIBDATACHANNEL.replace(f"a=fingerprint:sha-256 {PRINT_TEXT}\n", ""),
    "only another digest": LIBDATACHANNEL.replace("sha-256", "sha-512"),
    "short fingerprint": LIBDATACHANNEL.replace(PRINT_TEXT, PRINT_TEXT[:-3]),
    "fingerprint is no hex": LIBDATACHANNEL.replace(PRINT_TEXT, "ZZ" + PRINT_TEXT[2:]),
    "two different fingerprints": LIBDATACHANNEL.replace(
        "m=", f"a=fingerprint:sha-256 {PRINT_TEXT[:-2]}00\nm="
    ),
    "two sections": LIBDATACHANNEL + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\n",
    "an audio section too": LIBDATACHANNEL + "m=audio 9 UDP/TLS/RTP/SAVPF 111\n",
    "audio instead": LIBDATACHANNEL.replace(
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "m=audio 9 UDP/TLS/RTP/SAVPF 111"
    ),
    "no section": LIBDATACHANNEL[: LIBDATACHANNEL.index("m=")],
    "rejected section": LIBDATACHANNEL.replace("m=application 9", "m=application 0"),
    "media port too large": LIBDATACHANNEL.replace("m=application 9", "m=application 65536"),
    "port 0": LIBDATACHANNEL.replace("sctp-port:5000", "sctp-port:0"),
    "port too large": LIBDATACHANNEL.replace("sctp-port:5000", "sctp-port:65536"),
    "port no number": LIBDATACHANNEL.replace("sctp-port:5000", "sctp-port:٥000"),
    "no ufrag": LIBDATACHANNEL.replace(f"a=ice-ufrag:{UFRAG}\n", ""),
    "short ufrag": LIBDATACHANNEL.replace(f"a=ice-ufrag:{UFRAG}", "a=ice-ufrag:abc"),
    "ufrag with a space": LIBDATACHANNEL.replace(f"a=ice-ufrag:{UFRAG}", "a=ice-ufrag:ab cd"),
    "short password": LIBDATACHANNEL.replace(PASSWORD, PASSWORD[:-1]),
    "two passwords": LIBDATACHANNEL + f"a=ice-pwd:{PASSWORD}x\n",
    "unknown setup": LIBDATACHANNEL.replace("actpass", "holdconn"),
    "huge line": LIBDATACHANNEL + "a=x:" + "y" * 2000 + "\n",
    "too many lines": LIBDATACHANNEL + "a=x\n" * 300,
    "too long": LIBDATACHANNEL + ("a=x:" + "y" * 500 + "\n") * (SDP_MAX_SIZE // 500),
    "damaged line": LIBDATACHANNEL + "nonsense\n",
    "damaged mid": LIBDATACHANNEL.replace("a=mid:0", "a=mid:a b"),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_descriptions_are_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_sdp(text)
    assert len(str(caught.value)) < 100

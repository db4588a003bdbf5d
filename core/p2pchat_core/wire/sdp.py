"""The session descriptions of `/webrtc-signaling/0.0.1`: one section (docs/wire.md section 9.5).

Browsers put fingerprint and ICE credentials into the media section, libdatachannel before it; both are read. What is
written is the smallest description that js, browsers and libdatachannel accept.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import Final

from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.limits import RTC_MAX_FRAME, SDP_MAX_SIZE, SIGNALING_MAX_CANDIDATES

__all__ = ["SessionDescription", "Setup", "parse_sdp"]

_MAX_LINES: Final = 256
_MAX_LINE: Final = 1024
_ICE_TEXT: Final = r"[A-Za-z0-9+/]"
_UFRAG: Final = re.compile(_ICE_TEXT + r"{4,256}")
_PASSWORD: Final = re.compile(_ICE_TEXT + r"{22,256}")
_FINGERPRINT: Final = re.compile(r"[0-9A-F]{2}(?::[0-9A-F]{2}){31}", re.IGNORECASE)
_MEDIA: Final = re.compile(
    r"application ([0-9]{1,5}) (?:UDP/DTLS/SCTP|DTLS/SCTP|UDP/TLS/SCTP) webrtc-datachannel"
)
_MID: Final = re.compile(r"[!-~]{1,16}")
_NUMBER: Final = re.compile(r"[0-9]{1,10}")
_DEFAULT_SCTP_PORT: Final = 5000
_DEFAULT_MAX_MESSAGE: Final = 65536
_BOTH_LEVELS: Final = frozenset({"ice-ufrag", "ice-pwd", "setup", "fingerprint", "ice-options"})


class Setup(enum.Enum):
    """Who begins the DTLS handshake."""

    ACTPASS = "actpass"
    ACTIVE = "active"
    PASSIVE = "passive"


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """An offer or answer for one data channel transport.

    Attributes:
        fingerprint: SHA-256 of the DTLS certificate, 32 bytes.
        max_message_size: bytes the sender of this description takes in one message; 0 means any size.
        candidates: candidate lines found inside, beginning with ``candidate:``; normally empty (trickle).
    """

    ufrag: str
    password: str
    fingerprint: bytes
    setup: Setup
    mid: str = "0"
    sctp_port: int = _DEFAULT_SCTP_PORT
    max_message_size: int = RTC_MAX_FRAME
    candidates: tuple[str, ...] = ()

    def to_text(self, session_id: int) -> str:
        """Return the description. `session_id` is any random number below 2**62."""
        fingerprint = ":".join(f"{byte:02X}" for byte in self.fingerprint)
        lines = [
            "v=0",
            f"o=- {session_id} 1 IN IP4 127.0.0.1",
            "s=-",
            "t=0 0",
            f"a=group:BUNDLE {self.mid}",
            "a=msid-semantic:WMS *",
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            "c=IN IP4 0.0.0.0",
            f"a=mid:{self.mid}",
            "a=sendrecv",
            f"a=ice-ufrag:{self.ufrag}",
            f"a=ice-pwd:{self.password}",
            "a=ice-options:trickle",
            f"a=fingerprint:sha-256 {fingerprint}",
            f"a=setup:{self.setup.value}",
            f"a=sctp-port:{self.sctp_port}",
            f"a=max-message-size:{self.max_message_size}",
            *(f"a={candidate}" for candidate in self.candidates),
        ]
        return "\r\n".join(lines) + "\r\n"


@dataclass(slots=True)
class _Section:
    """The attributes of the session or of its one media section."""

    attributes: dict[str, str] = field(default_factory=dict)
    fingerprints: set[bytes] = field(default_factory=set)
    candidates: list[str] = field(default_factory=list)

    def add(self, name: str, value: str) -> None:
        if name == "fingerprint":
            self._add_fingerprint(value)
        elif name == "candidate":
            if len(self.candidates) < SIGNALING_MAX_CANDIDATES:
                self.candidates.append(f"candidate:{value}")
        elif self.attributes.setdefault(name, value) != value and name in _BOTH_LEVELS:
            raise _bad(f"contradicts itself about {name}")

    def _add_fingerprint(self, value: str) -> None:
        algorithm, _, digest = value.partition(" ")
        if algorithm.lower() != "sha-256":
            return
        digest = digest.strip()
        if not _FINGERPRINT.fullmatch(digest):
            raise _bad("has a damaged certificate fingerprint")
        self.fingerprints.add(bytes.fromhex(digest.replace(":", "")))


def parse_sdp(text: str) -> SessionDescription:
    """Read a description from the peer.

    Raises:
        RemoteProtocolError: it is damaged or too large, describes something besides one data channel section, or
            lacks a SHA-256 fingerprint or ICE credentials.
    """
    session, media = _sections(text)
    found = media.fingerprints or session.fingerprints
    if len(found) != 1:
        raise _bad(
            "has no SHA-256 certificate fingerprint" if not found else "has several certificate fingerprints"
        )

    def value(name: str, default: str) -> str:
        return media.attributes.get(name, session.attributes.get(name, default))

    ufrag, password = value("ice-ufrag", ""), value("ice-pwd", "")
    if not _UFRAG.fullmatch(ufrag) or not _PASSWORD.fullmatch(password):
        raise _bad("has no usable ICE credentials")
    try:
        setup = Setup(value("setup", Setup.ACTPASS.value))
    except ValueError as exc:
        raise _bad("names no role for DTLS") from exc
    mid = media.attributes.get("mid", "0")
    if not _MID.fullmatch(mid):
        raise _bad("has a damaged section name")
    return SessionDescription(
        ufrag=ufrag,
        password=password,
        fingerprint=next(iter(found)),
        setup=setup,
        mid=mid,
        sctp_port=_number(media.attributes.get("sctp-port", str(_DEFAULT_SCTP_PORT)), 1, 65535),
        max_message_size=_number(
            media.attributes.get("max-message-size", str(_DEFAULT_MAX_MESSAGE)), 0, 2**32 - 1
        ),
        candidates=tuple((session.candidates + media.candidates)[:SIGNALING_MAX_CANDIDATES]),
    )


def _sections(text: str) -> tuple[_Section, _Section]:
    if len(text) > SDP_MAX_SIZE:
        raise _bad("is too long")
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    if len(lines) > _MAX_LINES or lines[0] != "v=0":
        raise _bad("is damaged")
    session, media = _Section(), None
    for line in lines:
        if len(line) > _MAX_LINE or line[1:2] != "=":
            raise _bad("has a damaged line")
        kind, content = line[0], line[2:]
        if kind == "m":
            if media is not None:
                raise _bad("describes more than data channels")
            media = _Section()
            _check_media(content)
        elif kind == "a":
            name, _, value = content.partition(":")
            (session if media is None else media).add(name, value)
    if media is None:
        raise _bad("has no section for data channels")
    return session, media


def _check_media(content: str) -> None:
    match = _MEDIA.fullmatch(content)
    if match is None:
        raise _bad("describes something else than data channels")
    # Port 0 rejects a section (RFC 3264 section 6); 9 stands for "candidates follow".
    _number(match[1], 1, 65535)


def _number(text: str, minimum: int, maximum: int) -> int:
    if not _NUMBER.fullmatch(text) or not minimum <= int(text) <= maximum:
        raise _bad("has a number that is out of range")
    return int(text)


def _bad(what: str) -> RemoteProtocolError:
    """The text holds nothing that the peer chose."""
    return RemoteProtocolError(f"The peer's session description {what}.")

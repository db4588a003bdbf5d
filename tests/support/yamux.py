"""Yamux sessions without a network: a joined pair, and the frames they say."""

from __future__ import annotations

from p2pchat_core import limits
from p2pchat_core.wire.yamux import SessionEnded, StreamOpened, YamuxSession
from p2pchat_core.wire.yamux_frames import ACK, GO_AWAY, PING, SYN, FrameDecoder, FrameHeader, encode_header

__all__ = [
    "PING_0",
    "PONG_0",
    "WINDOW",
    "Pair",
    "assert_refused",
    "feed",
    "frames",
    "headers",
    "output",
    "send",
]

WINDOW = limits.YAMUX_INITIAL_WINDOW
PING_0 = encode_header(PING, SYN, 0, 0)
PONG_0 = encode_header(PING, ACK, 0, 0)


def frames(data: bytes) -> list[tuple[FrameHeader, bytes]]:
    """Cut `data` into whole frames."""
    found: list[tuple[FrameHeader, bytes]] = []
    for item in FrameDecoder().feed(data):
        if isinstance(item, memoryview):
            header, payload = found[-1]
            found[-1] = (header, payload + bytes(item))
        else:
            found.append((item, b""))
    return found


def headers(session: YamuxSession) -> list[FrameHeader]:
    """Take everything a session wants to send and return the headers."""
    return [header for header, _ in frames(output(session))]


def output(session: YamuxSession) -> bytes:
    parts = []
    while data := session.take_output(65519):
        assert len(data) <= 65519
        parts.append(data)
    assert not session.has_output
    return b"".join(parts)


def feed(
    session: YamuxSession, type_: int, flags: int, stream_id: int, length: int, payload: bytes = b""
) -> None:
    session.receive_data(encode_header(type_, flags, stream_id, length) + payload, 0.0)


def send(session: YamuxSession, stream_id: int, data: bytes) -> int:
    return session.send_data(stream_id, memoryview(data))


class Pair:
    """A client and a server session and the wire between them, moved by hand."""

    def __init__(self) -> None:
        self.client = YamuxSession(client=True, now=0.0)
        self.server = YamuxSession(client=False, now=0.0)

    def move(self, now: float = 0.0) -> None:
        """Carry bytes both ways until nobody says anything more."""
        while self.client.has_output or self.server.has_output:
            self.server.receive_data(output(self.client), now)
            self.client.receive_data(output(self.server), now)

    def open(self) -> int:
        """Open a stream from the client, which the server accepts."""
        stream_id = self.client.open_stream(0.0)
        self.move()
        assert StreamOpened(stream_id) in self.server.take_events()
        self.server.accept(stream_id)
        return stream_id

    def forget_events(self) -> None:
        self.client.take_events()
        self.server.take_events()


def assert_refused(session: YamuxSession, words: str) -> None:
    """The session has ended because the peer broke a rule, and tells it so with GOAWAY 1."""
    assert session.ended is not None
    assert words in session.ended
    assert SessionEnded(session.ended) in session.take_events()
    assert headers(session) == [FrameHeader(GO_AWAY, 0, 0, 1)]

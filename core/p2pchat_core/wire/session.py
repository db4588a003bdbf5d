"""`/p2pchat/session/1.0.0`: messages that survive their connection (docs/session-protocol.md).

Each side opens streams for what it says itself. The one who opened a stream is its `Speaker`, the other its `Listener`;
both live as long as the stream. What must outlive it is one number for each direction and is kept by the callers: the
speaker's messages with their sequence numbers, and the listener's `Position`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from p2pchat_core.errors import LocalProtocolError, RemoteProtocolError
from p2pchat_core.limits import (
    CHAT_MAX_TEXT,
    SESSION_MAX_FRAME,
    SESSION_WINDOW,
    SESSION_WINDOW_BYTES,
)
from p2pchat_core.multiformats.varint import LengthPrefixedReader
from p2pchat_core.pb import session_pb2 as pb
from p2pchat_core.wire.session_frames import (
    FAREWELL,
    ID_SIZE,
    MAX_SEQUENCE,
    SESSION_PROTOCOL,
    SESSION_VERSION,
    Acknowledged,
    Farewell,
    Hello,
    Message,
    Position,
    Welcome,
    encode_frame,
    parse_farewell,
    parse_features,
    parse_frame,
    parse_id,
    resume_at,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "FAREWELL",
    "ID_SIZE",
    "MAX_SEQUENCE",
    "SESSION_PROTOCOL",
    "SESSION_VERSION",
    "Acknowledged",
    "Farewell",
    "Hello",
    "Listener",
    "Message",
    "Position",
    "Speaker",
    "Welcome",
    "resume_at",
]


class Speaker:
    """The side that opened the stream and speaks on it.

    Write `take_output` after construction and after `say`.

    Attributes:
        welcome: the listener's answer, once it came.
        next: the sequence of the message to say next, once welcomed.
        farewell: set once the listener has said good-bye.
    """

    def __init__(self, log: bytes, first: int, features: Iterable[str] = ()) -> None:
        """Begin with a hello; see `Hello` for the arguments."""
        self.welcome: Welcome | None = None
        self.next = 0
        self.farewell: Farewell | None = None
        self._parting = False
        self._first = first
        self._features = frozenset(features)
        self._held = 0
        self._limit = 0
        self._waiting: deque[tuple[int, int]] = deque()  # (sequence, size) said and not acknowledged
        self._bytes = 0
        self._sign_of_life = 0.0
        self._reader = LengthPrefixedReader(SESSION_MAX_FRAME)
        hello = pb.Hello(version=SESSION_VERSION, features=sorted(self._features), log=log, first=first)
        self._output = bytearray(encode_frame(pb.Frame(hello=hello)))

    @property
    def outstanding(self) -> int:
        """Messages said on this stream and not yet acknowledged."""
        return len(self._waiting)

    @property
    def outstanding_bytes(self) -> int:
        """The same in bytes."""
        return self._bytes

    @property
    def room(self) -> int:
        """How many messages may be said now."""
        if self.welcome is None or self._parting or self._bytes >= SESSION_WINDOW_BYTES:
            return 0
        return max(0, min(self._limit + 1 - self.next, SESSION_WINDOW - len(self._waiting)))

    def take_output(self) -> bytes:
        """Return what to write now, once."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def say(self, messages: Sequence[Message], now: float) -> None:
        """Say the messages that come next.

        Raises:
            LocalProtocolError: they are not the next, or more than there is `room` for.
        """
        if len(messages) > self.room:
            raise LocalProtocolError("There is no room for these messages now.")
        for message in messages:
            if message.sequence != self.next:
                raise LocalProtocolError(f"Message {message.sequence} was said instead of {self.next}.")
            if not self._waiting:
                self._sign_of_life = now
            body = pb.Message(sequence=message.sequence, id=message.message_id, sent_at=message.sent_at)
            if message.text is not None:
                body.text = message.text
            frame = encode_frame(pb.Frame(message=body))
            self._output += frame
            self._waiting.append((message.sequence, len(frame)))
            self._bytes += len(frame)
            self.next += 1

    def receive_data(self, data: bytes, now: float) -> list[Welcome | Acknowledged]:
        """Take what the listener answered; several acknowledgements become the last.

        Raises:
            RemoteProtocolError: it broke the protocol.
        """
        self._reader.feed(data)
        found: list[Welcome | Acknowledged] = []
        while (raw := self._reader.next()) is not None:
            frame = parse_frame(raw)
            if frame.HasField("welcome"):
                found.append(self._welcomed(frame.welcome))
            elif frame.HasField("acknowledgement"):
                acknowledged = self._acknowledged(frame.acknowledgement)
                if found and isinstance(found[-1], Acknowledged):
                    found.pop()
                found.append(acknowledged)
            elif frame.HasField("farewell"):
                if self.welcome is None:
                    raise RemoteProtocolError("A listener said good-bye before its welcome.")
                self.farewell = parse_farewell(frame.farewell, self.welcome.features)
            elif frame.HasField("hello") or frame.HasField("message"):
                raise RemoteProtocolError("A listener spoke on a stream that is not its own.")
            self._sign_of_life = now
        return found

    def say_farewell(self, reason: Farewell) -> bool:
        """Say good-bye, and nothing after it; whether the listener understands that."""
        if self.welcome is None or FAREWELL not in self.welcome.features:
            return False
        if not self._parting:
            self._parting = True
            self._output += encode_frame(pb.Frame(farewell=pb.Farewell(reason=reason.value)))
        return True

    @property
    def owed_since(self) -> float | None:
        """Since when the listener has given no sign of life although it should; ``None`` if it owes none."""
        return self._sign_of_life if self._waiting else None

    @property
    def put_off(self) -> bool:
        """Whether the listener has said "not now" (a window of zero), so that its silence means less."""
        return self.welcome is not None and self._limit == self._held

    def excuse(self, now: float) -> None:
        """Count the listener's silence from now: we have not listened ourselves."""
        self._sign_of_life = now

    def _welcomed(self, welcome: pb.Welcome) -> Welcome:
        if self.welcome is not None:
            raise RemoteProtocolError("A listener welcomed a speaker twice.")
        if not 1 <= welcome.version <= SESSION_VERSION:
            raise RemoteProtocolError(
                f"The peer wants version {welcome.version} of the session, which was not offered."
            )
        held = welcome.held
        if not self._first - 1 <= held <= MAX_SEQUENCE:
            raise RemoteProtocolError("A listener claims to hold less than it has acknowledged before.")
        held_id = parse_id(welcome.held_id, "message") if welcome.HasField("held_id") else None
        self._held, self.next, self._limit = held, held + 1, held + welcome.window
        self.welcome = Welcome(
            welcome.version, parse_features(welcome.features), held, held_id, welcome.window
        )
        return self.welcome

    def _acknowledged(self, ack: pb.Acknowledgement) -> Acknowledged:
        if self.welcome is None:
            raise RemoteProtocolError("A listener acknowledged something before its welcome.")
        if not self._held <= ack.held < self.next:
            raise RemoteProtocolError(
                "A listener acknowledged what was not said, or took an acknowledgement back."
            )
        self._held, self._limit = ack.held, ack.held + ack.window
        while self._waiting and self._waiting[0][0] <= ack.held:
            self._bytes -= self._waiting.popleft()[1]
        return Acknowledged(ack.held, ack.window)


class Listener:
    """The side that listens on a stream which the other opened.

    After the `Hello` call `welcome`; after messages are stored call `acknowledge`; write `take_output` after both.

    Attributes:
        hello: the speaker's greeting, once it came.
        received: the last sequence that came on this stream, or was held before.
        farewell: set once the speaker has said good-bye; nothing may follow.
    """

    def __init__(self, features: Iterable[str] = ()) -> None:
        self.hello: Hello | None = None
        self.received = 0
        self.farewell: Farewell | None = None
        self._features = frozenset(features)
        self._welcomed = False
        self._acknowledged = 0
        self._reader = LengthPrefixedReader(SESSION_MAX_FRAME)
        self._output = bytearray()

    def take_output(self) -> bytes:
        """Return what to write now, once."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def receive_data(self, data: bytes) -> list[Message]:
        """Take what the speaker said and return whole messages, each the successor of the one before.

        `hello` is set when the greeting was among it.

        Raises:
            RemoteProtocolError: it broke the protocol.
        """
        self._reader.feed(data)
        found: list[Message] = []
        while (raw := self._reader.next()) is not None:
            frame = parse_frame(raw)
            if self.farewell is not None:
                raise RemoteProtocolError("A speaker went on after its good-bye.")
            if frame.HasField("hello"):
                self._greeted(frame.hello)
            elif frame.HasField("message"):
                found.append(self._message(frame.message))
            elif frame.HasField("farewell"):
                if not self._welcomed:
                    raise RemoteProtocolError("A speaker said good-bye before it was welcomed.")
                self.farewell = parse_farewell(frame.farewell, self._shared)
            elif frame.HasField("welcome") or frame.HasField("acknowledgement"):
                raise RemoteProtocolError("A speaker answered on its own stream.")
        return found

    def receive_eof(self) -> None:
        """The speaker ended its side.

        Raises:
            RemoteProtocolError: in the middle of a frame.
        """
        if self._reader.buffered:
            raise RemoteProtocolError("The stream ended in the middle of a message.")

    def welcome(self, position: Position, window: int = SESSION_WINDOW) -> None:
        """Answer the hello: we hold everything up to `position`.

        Raises:
            LocalProtocolError: there was no hello, or it was answered already.
        """
        if self.hello is None or self._welcomed:
            raise LocalProtocolError("Nobody waits for a welcome.")
        self._welcomed = True
        self.received = self._acknowledged = position.held
        welcome = pb.Welcome(
            version=min(self.hello.version, SESSION_VERSION),
            features=sorted(self._shared),
            held=position.held,
            window=window,
        )
        if position.held_id is not None:
            welcome.held_id = position.held_id
        self._output += encode_frame(pb.Frame(welcome=welcome))

    def acknowledge(self, sequence: int, window: int = SESSION_WINDOW) -> None:
        """Say that everything up to `sequence` is stored for good, and that `window` more may come.

        Raises:
            LocalProtocolError: it was not received on this stream, or less than was acknowledged already.
        """
        if not self._welcomed or not self._acknowledged <= sequence <= self.received:
            raise LocalProtocolError(f"Message {sequence} cannot be acknowledged on this stream.")
        self._acknowledged = sequence
        self._output += encode_frame(
            pb.Frame(acknowledgement=pb.Acknowledgement(held=sequence, window=window))
        )

    def say_farewell(self, reason: Farewell) -> bool:
        """Say good-bye; whether the speaker understands that."""
        if not self._welcomed or FAREWELL not in self._shared:
            return False
        self._output += encode_frame(pb.Frame(farewell=pb.Farewell(reason=reason.value)))
        return True

    @property
    def acknowledged(self) -> int:
        """What was acknowledged last."""
        return self._acknowledged

    @property
    def _shared(self) -> frozenset[str]:
        return frozenset() if self.hello is None else self._features & self.hello.features

    def _greeted(self, hello: pb.Hello) -> None:
        if self.hello is not None:
            raise RemoteProtocolError("A speaker said hello twice.")
        if hello.version < 1:
            raise RemoteProtocolError("A speaker did not say which version of the session it speaks.")
        if not 1 <= hello.first <= MAX_SEQUENCE:
            raise RemoteProtocolError("A speaker did not say with which number it begins.")
        self.hello = Hello(
            hello.version, parse_features(hello.features), parse_id(hello.log, "log"), hello.first
        )

    def _message(self, message: pb.Message) -> Message:
        if not self._welcomed:
            raise RemoteProtocolError("A speaker spoke before it was welcomed.")
        if message.sequence != self.received + 1:
            raise RemoteProtocolError(f"Message {message.sequence} came after {self.received}.")
        if message.sequence - self._acknowledged > SESSION_WINDOW:
            raise RemoteProtocolError("A speaker said more than the window allows.")
        text = message.text if message.HasField("text") else None
        if text is not None and len(text.encode()) > CHAT_MAX_TEXT:
            raise RemoteProtocolError(f"A message is longer than {CHAT_MAX_TEXT} bytes.")
        found = Message(message.sequence, parse_id(message.id, "message"), message.sent_at, text)
        self.received = message.sequence
        return found

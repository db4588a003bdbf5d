"""One libp2p stream over one WebRTC data channel: flags, half-close and framing (docs/wire.md sections 10.2 and 10.3).

The two directions are separate little machines, each a table below; nothing here knows what a channel is. Feed it
messages, then take the data and the messages to send. Ends are said with FIN and confirmed with FIN_ACK, because a
channel that is closed may lose what was still queued in it.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from p2pchat_core.errors import LocalProtocolError, RemoteProtocolError
from p2pchat_core.limits import RTC_MAX_FRAME, RTC_MAX_PAYLOAD
from p2pchat_core.multiformats.varint import (
    LengthPrefixedReader,
    decode_uvarint,
    encode_uvarint,
    length_prefixed,
)
from p2pchat_core.pb import rtc_stream_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["READ_TABLE", "WRITE_TABLE", "Flag", "Input", "ReadState", "RtcStream", "WriteState"]


class Flag(enum.IntEnum):
    """What a message can say besides carrying data."""

    FIN = 0
    STOP_SENDING = 1
    RESET = 2
    FIN_ACK = 3


class Input(enum.Enum):
    """What can happen to a stream."""

    DATA = "data received"
    FIN = "FIN received"
    FIN_ACK = "FIN_ACK received"
    STOP_SENDING = "STOP_SENDING received"
    RESET = "RESET received"
    CLOSE_WRITE = "we end our direction"
    CLOSE_READ = "we stop reading"
    ABORT = "we give the stream up"
    CHANNEL_CLOSED = "the channel is gone"


class WriteState(enum.Enum):
    """Our direction."""

    OPEN = "open"
    STOPPED = "stopped"
    """The remote does not read any more; our end has not been said yet."""
    FIN_SENT = "FIN sent"
    """Waiting for FIN_ACK."""
    CLOSED = "closed"
    """The remote has everything, or the channel is gone."""
    RESET = "reset"


class ReadState(enum.Enum):
    """The remote's direction."""

    OPEN = "open"
    STOPPED = "stopped"
    """We do not want more and said so; what still comes is dropped."""
    EOF = "ended"
    RESET = "reset"


WRITE_TABLE: Final[Mapping[tuple[WriteState, Input], tuple[WriteState, Flag | None]]] = {
    (WriteState.OPEN, Input.CLOSE_WRITE): (WriteState.FIN_SENT, Flag.FIN),
    (WriteState.OPEN, Input.STOP_SENDING): (WriteState.STOPPED, None),
    (WriteState.OPEN, Input.FIN_ACK): (WriteState.OPEN, None),
    (WriteState.OPEN, Input.ABORT): (WriteState.RESET, Flag.RESET),
    (WriteState.OPEN, Input.RESET): (WriteState.RESET, None),
    (WriteState.OPEN, Input.CHANNEL_CLOSED): (WriteState.RESET, None),
    # The remote waits for our end even if it did not want our data.
    (WriteState.STOPPED, Input.CLOSE_WRITE): (WriteState.FIN_SENT, Flag.FIN),
    (WriteState.STOPPED, Input.STOP_SENDING): (WriteState.STOPPED, None),
    (WriteState.STOPPED, Input.FIN_ACK): (WriteState.STOPPED, None),
    (WriteState.STOPPED, Input.ABORT): (WriteState.RESET, Flag.RESET),
    (WriteState.STOPPED, Input.RESET): (WriteState.RESET, None),
    (WriteState.STOPPED, Input.CHANNEL_CLOSED): (WriteState.RESET, None),
    (WriteState.FIN_SENT, Input.CLOSE_WRITE): (WriteState.FIN_SENT, None),
    # Not an answer to FIN: js says it on the way out and sends FIN_ACK all the same.
    (WriteState.FIN_SENT, Input.STOP_SENDING): (WriteState.FIN_SENT, None),
    (WriteState.FIN_SENT, Input.FIN_ACK): (WriteState.CLOSED, None),
    (WriteState.FIN_SENT, Input.ABORT): (WriteState.RESET, Flag.RESET),
    (WriteState.FIN_SENT, Input.RESET): (WriteState.RESET, None),
    (WriteState.FIN_SENT, Input.CHANNEL_CLOSED): (WriteState.CLOSED, None),
    (WriteState.CLOSED, Input.CLOSE_WRITE): (WriteState.CLOSED, None),
    (WriteState.CLOSED, Input.STOP_SENDING): (WriteState.CLOSED, None),
    (WriteState.CLOSED, Input.FIN_ACK): (WriteState.CLOSED, None),
    # The other direction may still be open, and the remote must hear that it is given up.
    (WriteState.CLOSED, Input.ABORT): (WriteState.RESET, Flag.RESET),
    (WriteState.CLOSED, Input.RESET): (WriteState.RESET, None),
    (WriteState.CLOSED, Input.CHANNEL_CLOSED): (WriteState.CLOSED, None),
    **{
        (WriteState.RESET, event): (WriteState.RESET, None)
        for event in (
            Input.CLOSE_WRITE,
            Input.STOP_SENDING,
            Input.FIN_ACK,
            Input.ABORT,
            Input.RESET,
            Input.CHANNEL_CLOSED,
        )
    },
}
"""Our direction: state and input to next state and the flag to send. Inputs that are not here do not concern it."""

READ_TABLE: Final[Mapping[tuple[ReadState, Input], tuple[ReadState, Flag | None]]] = {
    (ReadState.OPEN, Input.DATA): (ReadState.OPEN, None),
    (ReadState.OPEN, Input.FIN): (ReadState.EOF, Flag.FIN_ACK),
    (ReadState.OPEN, Input.CLOSE_READ): (ReadState.STOPPED, Flag.STOP_SENDING),
    (ReadState.OPEN, Input.ABORT): (ReadState.RESET, None),
    (ReadState.OPEN, Input.RESET): (ReadState.RESET, None),
    # As in js. What js sent before it closed the channel has all arrived: the SCTP reset waits for it.
    (ReadState.OPEN, Input.CHANNEL_CLOSED): (ReadState.EOF, None),
    (ReadState.STOPPED, Input.DATA): (ReadState.STOPPED, None),
    (ReadState.STOPPED, Input.FIN): (ReadState.EOF, Flag.FIN_ACK),
    (ReadState.STOPPED, Input.CLOSE_READ): (ReadState.STOPPED, None),
    (ReadState.STOPPED, Input.ABORT): (ReadState.RESET, None),
    (ReadState.STOPPED, Input.RESET): (ReadState.RESET, None),
    (ReadState.STOPPED, Input.CHANNEL_CLOSED): (ReadState.EOF, None),
    # js ignores data behind its FIN as well; a repeated FIN is confirmed again, or js waits ten seconds.
    (ReadState.EOF, Input.DATA): (ReadState.EOF, None),
    (ReadState.EOF, Input.FIN): (ReadState.EOF, Flag.FIN_ACK),
    (ReadState.EOF, Input.CLOSE_READ): (ReadState.EOF, None),
    (ReadState.EOF, Input.ABORT): (ReadState.EOF, None),
    (ReadState.EOF, Input.RESET): (ReadState.RESET, None),
    (ReadState.EOF, Input.CHANNEL_CLOSED): (ReadState.EOF, None),
    **{
        (ReadState.RESET, event): (ReadState.RESET, None)
        for event in (
            Input.DATA,
            Input.FIN,
            Input.CLOSE_READ,
            Input.ABORT,
            Input.RESET,
            Input.CHANNEL_CLOSED,
        )
    },
}
"""The remote's direction, in the same form."""


class RtcStream:
    """The machine of one stream.

    After every call that can change something, take the output and send each message, in order, as one binary
    data channel message.
    """

    def __init__(self) -> None:
        self._write = WriteState.OPEN
        self._read = ReadState.OPEN
        self._frames = LengthPrefixedReader(RTC_MAX_FRAME)
        self._data: list[bytes] = []
        self._output: list[bytes] = []

    @property
    def write_state(self) -> WriteState:
        """Our direction."""
        return self._write

    @property
    def read_state(self) -> ReadState:
        """The remote's direction."""
        return self._read

    @property
    def buffered(self) -> int:
        """Bytes held of a frame that is not complete."""
        return self._frames.buffered

    @property
    def is_reset(self) -> bool:
        """Whether either side gave the stream up."""
        return self._write is WriteState.RESET and self._read is ReadState.RESET

    @property
    def finished(self) -> bool:
        """Whether both directions have ended for both sides, so that the channel can be closed."""
        if self._write is WriteState.RESET:
            return True
        return self._write is WriteState.CLOSED and self._read in (ReadState.EOF, ReadState.RESET)

    def receive_message(self, message: bytes) -> None:
        """Take one data channel message: normally one frame, but a frame may also be spread over several.

        Raises:
            RemoteProtocolError: a frame is damaged or too long; abort the stream.
        """
        if not self._frames.buffered and (data := _only_data(message)):
            if self._read is ReadState.OPEN:
                self._data.append(data)
            self._step(Input.DATA)
            return
        self._frames.feed(message)
        while (frame := self._frames.next()) is not None:
            self._receive_frame(frame)

    def take_data(self) -> list[bytes]:
        """Return the data received since the last call, in order."""
        data, self._data = self._data, []
        return data

    def take_output(self) -> list[bytes]:
        """Return the messages to send, once."""
        output, self._output = self._output, []
        return output

    def send_data(self, data: bytes) -> None:
        """Queue `data`, cut into frames.

        Raises:
            LocalProtocolError: our direction is not open.
        """
        if self._write is not WriteState.OPEN:
            raise LocalProtocolError(f"Cannot send data: this direction is {self._write.value}.")
        for start in range(0, len(data), RTC_MAX_PAYLOAD):
            payload = data[start : start + RTC_MAX_PAYLOAD] if len(data) > RTC_MAX_PAYLOAD else data
            # Written by hand: the generated class would copy the data twice more.
            field = _MESSAGE_FIELD + encode_uvarint(len(payload))
            self._output.append(b"".join((encode_uvarint(len(field) + len(payload)), field, payload)))

    def close_write(self) -> None:
        """End our direction with FIN; does nothing if it has ended."""
        self._step(Input.CLOSE_WRITE)

    def close_read(self) -> None:
        """Stop reading: what is there and what still comes is dropped."""
        self._step(Input.CLOSE_READ)
        self._data.clear()

    def abort(self) -> None:
        """Give up both directions; does nothing if both have ended."""
        if self.finished:
            return
        self._step(Input.ABORT)
        self._data.clear()

    def channel_closed(self) -> None:
        """The channel is gone. Inside a frame that is a reset, otherwise the end of the remote's direction."""
        if self._frames.buffered and self._read in (ReadState.OPEN, ReadState.STOPPED):
            self._step(Input.RESET)
        self._step(Input.CHANNEL_CLOSED)
        self._output.clear()

    def _receive_frame(self, frame: bytes) -> None:
        message = rtc_stream_pb2.Message()
        try:
            message.ParseFromString(frame)
        except DecodeError as exc:
            raise RemoteProtocolError("The peer sent a damaged message on a data channel.") from exc
        # A message may carry both; js and go take the data first.
        if message.message:
            if self._read is ReadState.OPEN:
                self._data.append(message.message)
            self._step(Input.DATA)
        if message.HasField("flag"):
            self._step(_FLAG_INPUTS[Flag(message.flag)])

    def _step(self, event: Input) -> None:
        """Apply `event` to both directions; what a table does not contain does not concern that direction."""
        self._write, said = WRITE_TABLE.get((self._write, event), (self._write, None))
        self._read, answer = READ_TABLE.get((self._read, event), (self._read, None))
        for flag in (said, answer):
            if flag is not None:
                frame = rtc_stream_pb2.Message(flag=int(flag)).SerializeToString()  # type: ignore[arg-type]
                self._output.append(length_prefixed(frame))


_MESSAGE_FIELD: Final = b"\x12"
"""How the field `message` begins: number 2, length-delimited."""


def _only_data(message: bytes) -> bytes | None:
    """Return the data if `message` is one whole frame with nothing else in it: nearly all of them are."""
    if len(message) > RTC_MAX_FRAME:
        return None
    try:
        length, start = decode_uvarint(message)
        if length != len(message) - start or message[start : start + 1] != _MESSAGE_FIELD:
            return None
        size, start = decode_uvarint(message, start + 1)
    except RemoteProtocolError:
        return None  # said by whoever looks at it more closely
    return message[start:] if size == len(message) - start else None


_FLAG_INPUTS: Final = {
    Flag.FIN: Input.FIN,
    Flag.STOP_SENDING: Input.STOP_SENDING,
    Flag.RESET: Input.RESET,
    Flag.FIN_ACK: Input.FIN_ACK,
}

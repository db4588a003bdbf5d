"""Circuit relay v2: the HOP and STOP messages, and the four short exchanges they are used in.

docs/wire.md section 8. Each machine carries one request and one answer. It is fed with whatever the stream
delivers and never reads past the message that ends the exchange: what follows belongs to the circuit and
comes out of `remaining`.

=================== ============ ========================= ==============================
machine             runs on      sends                     receives
=================== ============ ========================= ==============================
`HopClient`         client       RESERVE or CONNECT        STATUS
`HopServerExchange` relay        STATUS                    RESERVE or CONNECT
`StopClient`        relay        CONNECT                   STATUS
`StopServer`        target       STATUS                    CONNECT
=================== ============ ========================= ==============================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from p2pchat_core.errors import LocalProtocolError, RemoteProtocolError
from p2pchat_core.limits import PROTOBUF_MAX_MESSAGE
from p2pchat_core.multiformats.varint import LengthPrefixedReader
from p2pchat_core.wire.circuit_messages import (
    HOP_PROTOCOL,
    STOP_PROTOCOL,
    HopConnect,
    HopMessage,
    HopReserve,
    HopStatus,
    Limit,
    Reservation,
    Status,
    StopConnect,
    StopMessage,
    StopStatus,
    decode_hop,
    decode_stop,
    encode,
)

if TYPE_CHECKING:
    from p2pchat_core.identity.peer_id import PeerId

__all__ = [
    "HOP_PROTOCOL",
    "STOP_PROTOCOL",
    "HopClient",
    "HopConnect",
    "HopMessage",
    "HopReserve",
    "HopServerExchange",
    "HopStatus",
    "Limit",
    "Reservation",
    "Status",
    "StopClient",
    "StopConnect",
    "StopMessage",
    "StopServer",
    "StopStatus",
    "decode_hop",
    "decode_stop",
    "encode",
]

_Received = TypeVar("_Received")


class _Exchange(Generic[_Received]):
    """One message in, one message out, in whichever order; the subclasses know which.

    Feed `receive_data` until `result` is set or it raises; write `take_output` whenever something may have
    been queued; then hand `remaining` to whoever uses the stream next.

    Attributes:
        result: the message received, once it is complete.
        failure: set when `receive_data` raised: the status with which a server should answer.
    """

    _what: str

    def __init__(self) -> None:
        self.result: _Received | None = None
        self.failure: Status | None = None
        self._reader = LengthPrefixedReader(PROTOBUF_MAX_MESSAGE)
        self._output = b""

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the stream.

        Raises:
            RemoteProtocolError: the message is damaged, too long, or not one that may come here.
            LocalProtocolError: the exchange is already over.
        """
        if self.result is not None or self.failure is not None:
            raise LocalProtocolError(f"The {self._what} was already received.")
        self._reader.feed(data)
        self.failure = Status.MALFORMED_MESSAGE  # unless all goes well
        message = self._reader.next()
        if message is not None:
            self.result = self._accept(message)
        self.failure = None

    def receive_eof(self) -> None:
        """The remote ended its side.

        Raises:
            RemoteProtocolError: before the message was complete.
        """
        if self.result is None and self.failure is None:
            self.failure = Status.MALFORMED_MESSAGE
            raise RemoteProtocolError(f"The stream ended before the {self._what} was complete.")

    def take_output(self) -> bytes:
        """Return what to write now, once."""
        output, self._output = self._output, b""
        return output

    def remaining(self) -> bytes:
        """Return, once, the bytes that came after the message: they belong to the circuit."""
        return self._reader.remaining() if self.result is not None else b""

    def _accept(self, message: bytes) -> _Received:
        raise NotImplementedError

    def _unexpected(self, sentence: str) -> RemoteProtocolError:
        self.failure = Status.UNEXPECTED_MESSAGE
        return RemoteProtocolError(sentence)


class _Server(_Exchange[_Received]):
    _answered = False

    def _answer(self, message: HopStatus | StopStatus) -> None:
        if self._answered:
            raise LocalProtocolError("This request was already answered.")
        if self.result is None and (self.failure is None or message.status is Status.OK):
            raise LocalProtocolError("There is no request to answer like this yet.")
        self._answered = True
        self._output = encode(message)


class HopClient(_Exchange[HopStatus]):
    """Asks a relay for a reservation or a circuit. The STATUS is the `result`, whether OK or not."""

    _what = "relay's answer"

    def __init__(self, request: HopReserve | HopConnect) -> None:
        super().__init__()
        self._request = request
        self._output = encode(request)

    @classmethod
    def reserve(cls) -> HopClient:
        """Ask for a reservation."""
        return cls(HopReserve())

    @classmethod
    def connect(cls, peer: PeerId) -> HopClient:
        """Ask for a circuit to `peer`."""
        return cls(HopConnect(peer))

    def _accept(self, message: bytes) -> HopStatus:
        status = decode_hop(message)
        if not isinstance(status, HopStatus):
            raise self._unexpected("The relay answered with a request instead of a STATUS.")
        granted = status.status is Status.OK and isinstance(self._request, HopReserve)
        if granted and status.reservation is None:
            raise RemoteProtocolError("The relay says that it reserved, but sent no reservation.")
        return status


class HopServerExchange(_Server[HopReserve | HopConnect]):
    """The relay's side of HOP: reads the request, then `respond` answers it (also after a failure)."""

    _what = "request to the relay"

    def respond(self, status: HopStatus) -> None:
        """Queue the answer.

        Raises:
            LocalProtocolError: there is nothing to answer, or it was answered before.
        """
        self._answer(status)

    def _accept(self, message: bytes) -> HopReserve | HopConnect:
        request = decode_hop(message)
        if isinstance(request, HopStatus):
            raise self._unexpected("The client sent a STATUS instead of a request.")
        return request


class StopClient(_Exchange[StopStatus]):
    """The relay's side of STOP: tells the target who wants to reach it, and reads its answer."""

    _what = "target's answer"

    def __init__(self, peer: PeerId, limit: Limit | None = None) -> None:
        super().__init__()
        self._output = encode(StopConnect(peer, limit))

    def _accept(self, message: bytes) -> StopStatus:
        status = decode_stop(message)
        if not isinstance(status, StopStatus):
            raise self._unexpected("The target answered with a request instead of a STATUS.")
        return status


class StopServer(_Server[StopConnect]):
    """The target's side of STOP: reads who wants to reach it, then `respond` accepts or refuses."""

    _what = "relay's call"

    def respond(self, status: Status) -> None:
        """Queue the answer; `Status.OK` accepts the circuit, which starts right after it.

        Raises:
            LocalProtocolError: there is nothing to answer, or it was answered before.
        """
        self._answer(StopStatus(status))

    def _accept(self, message: bytes) -> StopConnect:
        request = decode_stop(message)
        if not isinstance(request, StopConnect):
            raise self._unexpected("The relay sent a STATUS instead of a call.")
        return request

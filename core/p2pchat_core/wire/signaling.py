"""`/webrtc-signaling/0.0.1`: SDP offer, SDP answer and ICE candidates over a circuit (docs/wire.md section 9).

The dialer offers, the listener answers, and both send candidates, each only after its own SDP: js fails the
dial for a candidate that comes before the answer. What the peer's candidates contain is checked here for form
only; which of them may be used is decided where the connection is made.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from google.protobuf.message import DecodeError

from p2pchat_core.errors import LocalProtocolError, RemoteProtocolError
from p2pchat_core.limits import (
    SDP_MAX_SIZE,
    SIGNALING_MAX_CANDIDATES,
    SIGNALING_MAX_MDNS,
    SIGNALING_MAX_MESSAGE,
    SIGNALING_MAX_TOTAL,
)
from p2pchat_core.multiformats.varint import LengthPrefixedReader, length_prefixed
from p2pchat_core.pb import signaling_pb2
from p2pchat_core.wire.ice_candidate import BadCandidateError, IceCandidate, parse_candidate_json

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "SIGNALING_PROTOCOL",
    "AnswerReceived",
    "CandidateReceived",
    "CandidateSkipped",
    "EndOfCandidates",
    "IceCandidate",
    "OfferReceived",
    "RemoteEnded",
    "SignalingDialer",
    "SignalingEvent",
    "SignalingListener",
]

SIGNALING_PROTOCOL: Final = "/webrtc-signaling/0.0.1"


@dataclass(frozen=True, slots=True)
class OfferReceived:
    """The dialer's session description."""

    sdp: str


@dataclass(frozen=True, slots=True)
class AnswerReceived:
    """The listener's session description."""

    sdp: str


@dataclass(frozen=True, slots=True)
class CandidateReceived:
    """One address where the peer may be reached, as ``candidate:1 1 udp …`` whoever sent it."""

    candidate_text: str


@dataclass(frozen=True, slots=True)
class CandidateSkipped:
    """A candidate that cannot be used was left out; `reason` contains nothing the peer chose."""

    reason: str


@dataclass(frozen=True, slots=True)
class EndOfCandidates:
    """The peer says that it has no more. js v3 never does; nobody may wait for it."""


@dataclass(frozen=True, slots=True)
class RemoteEnded:
    """The peer ended its side. That is not an error: the connection may still come up."""


SignalingEvent = (
    OfferReceived | AnswerReceived | CandidateReceived | CandidateSkipped | EndOfCandidates | RemoteEnded
)


class State(enum.Enum):
    """Where the exchange is, as seen from one side."""

    START = "start"
    """Nothing was said."""
    OFFERED = "offered"
    """The offer was sent (dialer) or received (listener)."""
    OFFERED_ENDED = "offered-ended"
    """The dialer ended its side before the listener answered."""
    ANSWERED = "answered"
    ENDED = "ended"
    """Both descriptions were exchanged, and the remote ended its side."""
    FAILED = "failed"
    """The remote broke the rules."""


class Action(enum.Enum):
    """What can happen to either side."""

    SEND_OFFER = "send offer"
    SEND_ANSWER = "send answer"
    SEND_CANDIDATE = "send candidate"
    RECEIVE_OFFER = "receive offer"
    RECEIVE_ANSWER = "receive answer"
    RECEIVE_CANDIDATE = "receive candidate"
    RECEIVE_UNKNOWN = "receive something unknown"
    RECEIVE_END = "receive end"


_RECEIVED_ACTIONS: Final = frozenset(action for action in Action if action.value.startswith("receive"))

Table = dict[tuple[State, Action], State]

_ONCE_ENDED: Final[Table] = {(State.FAILED, action): State.FAILED for action in _RECEIVED_ACTIONS} | {
    (State.ENDED, action): State.ENDED for action in _RECEIVED_ACTIONS
}
"""After the end or a failure whatever still comes is ignored."""

_CANDIDATES: Final[Table] = {
    (State.ANSWERED, Action.SEND_CANDIDATE): State.ANSWERED,
    (State.ANSWERED, Action.RECEIVE_CANDIDATE): State.ANSWERED,
    # A peer may mark the end of its candidates with a message type of its own (py-libp2p does).
    (State.ANSWERED, Action.RECEIVE_UNKNOWN): State.ANSWERED,
    # "EOF or reset before connected is tolerated: it goes on waiting" (section 9.3).
    (State.ANSWERED, Action.RECEIVE_END): State.ENDED,
    (State.ENDED, Action.SEND_CANDIDATE): State.ENDED,
}

DIALER_TRANSITIONS: Final[Table] = {
    (State.START, Action.SEND_OFFER): State.OFFERED,
    (State.OFFERED, Action.SEND_CANDIDATE): State.OFFERED,
    # "It must be SDP_ANSWER, else SDPHandshakeFailedError" (section 9.3): nothing else may come here.
    (State.OFFERED, Action.RECEIVE_ANSWER): State.ANSWERED,
    **_CANDIDATES,
    **_ONCE_ENDED,
}

LISTENER_TRANSITIONS: Final[Table] = {
    (State.START, Action.RECEIVE_OFFER): State.OFFERED,
    # The dialer's candidates follow its offer without waiting for the answer.
    (State.OFFERED, Action.RECEIVE_CANDIDATE): State.OFFERED,
    (State.OFFERED, Action.RECEIVE_UNKNOWN): State.OFFERED,
    (State.OFFERED, Action.RECEIVE_END): State.OFFERED_ENDED,
    (State.OFFERED, Action.SEND_ANSWER): State.ANSWERED,
    (State.OFFERED_ENDED, Action.SEND_ANSWER): State.ENDED,
    **{(State.OFFERED_ENDED, action): State.OFFERED_ENDED for action in _RECEIVED_ACTIONS},
    **_CANDIDATES,
    **_ONCE_ENDED,
}

_MUTE: Final = frozenset({State.OFFERED_ENDED, State.ENDED, State.FAILED})
"""States in which nothing that is received has an effect."""

_MESSAGES: Final[Mapping[int, Action]] = {
    signaling_pb2.Message.SDP_OFFER: Action.RECEIVE_OFFER,
    signaling_pb2.Message.SDP_ANSWER: Action.RECEIVE_ANSWER,
    signaling_pb2.Message.ICE_CANDIDATE: Action.RECEIVE_CANDIDATE,
}


class _Signaling:
    """What both roles share. Feed it, then take the events and write the output."""

    _transitions: ClassVar[Table]

    def __init__(self) -> None:
        self._state = State.START
        self._reader = LengthPrefixedReader(SIGNALING_MAX_MESSAGE)
        self._received = 0
        self._candidates = 0
        self._mdns = 0
        self._end_seen = False
        self._events: list[SignalingEvent] = []
        self._output = bytearray()

    @property
    def state(self) -> State:
        """Where the exchange is."""
        return self._state

    def candidate(self, candidate: IceCandidate) -> None:
        """Queue one of our candidates.

        Raises:
            LocalProtocolError: our own SDP has not been sent yet, or the exchange failed.
        """
        self._step(Action.SEND_CANDIDATE)
        self._send(signaling_pb2.Message.ICE_CANDIDATE, candidate.to_json())

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the stream; `take_events` afterwards, also when this raises.

        Raises:
            RemoteProtocolError: a message is damaged, too long, or not one that may come now. The exchange
                has failed, and whatever else comes is ignored.
        """
        if self._state in _MUTE:
            return
        try:
            self._received += len(data)
            if self._received > SIGNALING_MAX_TOTAL:
                raise RemoteProtocolError(
                    f"The peer sent more than {SIGNALING_MAX_TOTAL} bytes of signalling messages."
                )
            self._reader.feed(data)
            while (message := self._reader.next()) is not None:
                self._receive_message(message)
        except RemoteProtocolError:
            self._state = State.FAILED
            raise

    def receive_eof(self) -> None:
        """The remote ended its side, or reset the stream.

        Raises:
            RemoteProtocolError: before the SDP that we are waiting for.
        """
        heard = self._state not in _MUTE
        self._step(Action.RECEIVE_END)
        if heard:
            self._events.append(RemoteEnded())

    def take_events(self) -> list[SignalingEvent]:
        """Return what has been received since the last call, in order."""
        events, self._events = self._events, []
        return events

    def take_output(self) -> bytes:
        """Return what to write now, once."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def _step(self, action: Action) -> None:
        target = self._transitions.get((self._state, action))
        if target is not None:
            self._state = target
            return
        if action not in _RECEIVED_ACTIONS:
            raise LocalProtocolError(f"Cannot {action.value} in state {self._state.value}.")
        before, self._state = self._state, State.FAILED
        raise RemoteProtocolError(_complaint(before, action))

    def _receive_message(self, data: bytes) -> None:
        message = signaling_pb2.Message()
        try:
            message.ParseFromString(data)
        except DecodeError as exc:
            raise RemoteProtocolError("The peer sent a damaged signalling message.") from exc
        # A missing type is not taken for the first one: js does not either (section 9.2).
        action = _MESSAGES[message.type] if message.HasField("type") else Action.RECEIVE_UNKNOWN
        self._step(action)
        if action is Action.RECEIVE_OFFER:
            self._events.append(OfferReceived(_sdp(message.data)))
        elif action is Action.RECEIVE_ANSWER:
            self._events.append(AnswerReceived(_sdp(message.data)))
        elif action is Action.RECEIVE_CANDIDATE:
            self._receive_candidate(message.data if message.HasField("data") else "null")

    def _receive_candidate(self, data: str | bytes) -> None:
        try:
            parsed = parse_candidate_json(data)
        except BadCandidateError as exc:
            self._count_candidate(CandidateSkipped(str(exc)))
            return
        if parsed is None:
            if not self._end_seen:
                self._end_seen = True
                self._events.append(EndOfCandidates())
            return
        if parsed.mdns:
            self._mdns += 1
            if self._mdns > SIGNALING_MAX_MDNS:
                self._count_candidate(CandidateSkipped(f"more than {SIGNALING_MAX_MDNS} .local names"))
                return
        self._count_candidate(CandidateReceived(parsed.text))

    def _count_candidate(self, event: CandidateReceived | CandidateSkipped) -> None:
        """Add `event`, but only for as many candidates as the limit allows, good and bad together."""
        self._candidates += 1
        if self._candidates <= SIGNALING_MAX_CANDIDATES:
            self._events.append(event)
        elif self._candidates == SIGNALING_MAX_CANDIDATES + 1:
            self._events.append(CandidateSkipped(f"more than {SIGNALING_MAX_CANDIDATES} candidates"))

    def _send(self, kind: signaling_pb2.Message.Type, data: str) -> None:
        message = signaling_pb2.Message(type=kind, data=data).SerializeToString()
        if len(message) > SIGNALING_MAX_MESSAGE:
            raise LocalProtocolError(f"A signalling message of {len(message)} bytes is too long to send.")
        self._output += length_prefixed(message)


class SignalingDialer(_Signaling):
    """The side that opened the stream: `offer`, then its candidates; receives the answer and candidates."""

    _transitions = DIALER_TRANSITIONS

    def offer(self, sdp: str) -> None:
        """Queue the offer; once, and before anything else.

        Raises:
            LocalProtocolError: it was sent already.
        """
        self._step(Action.SEND_OFFER)
        self._send(signaling_pb2.Message.SDP_OFFER, sdp)


class SignalingListener(_Signaling):
    """The side that was called: receives the offer and candidates; `answer`, then its candidates."""

    _transitions = LISTENER_TRANSITIONS

    def answer(self, sdp: str) -> None:
        """Queue the answer; once, and after the offer was received.

        Raises:
            LocalProtocolError: there is no offer, or it was answered already.
        """
        self._step(Action.SEND_ANSWER)
        self._send(signaling_pb2.Message.SDP_ANSWER, sdp)


def _sdp(data: str | bytes) -> str:
    # The protobuf runtime hands out a string field that is not UTF-8 as bytes.
    if not isinstance(data, str):
        raise RemoteProtocolError("The peer sent a session description that is not UTF-8.")
    if not data or len(data) > SDP_MAX_SIZE:
        raise RemoteProtocolError("The peer sent a session description that is empty or too long.")
    return data


def _complaint(state: State, action: Action) -> str:
    expected = {State.START: "an SDP offer", State.OFFERED: "an SDP answer"}.get(state, "ICE candidates")
    got = {
        Action.RECEIVE_OFFER: "sent an SDP offer",
        Action.RECEIVE_ANSWER: "sent an SDP answer",
        Action.RECEIVE_CANDIDATE: "sent an ICE candidate",
        Action.RECEIVE_UNKNOWN: "sent a message without a known type",
        Action.RECEIVE_END: "ended the signalling stream",
    }[action]
    return f"The peer {got} where {expected} must come."

"""One stream inside a yamux session: its state, its windows, what waits to be sent and to be read."""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING, Final

from p2pchat_core.errors import LocalProtocolError, RemoteProtocolError
from p2pchat_core.limits import (
    YAMUX_INITIAL_WINDOW,
    YAMUX_MAX_WINDOW,
    YAMUX_SMALL_WRITE,
    YAMUX_STREAM_SEND_BUFFER,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["IGNORED", "TRANSITIONS", "Change", "State", "Substream"]

_MAX_CREDIT: Final = 2**32 - 1


class State(enum.Enum):
    """Which directions are still open. The names say who has ended theirs."""

    OPEN = "open"
    LOCAL_ENDED = "local-ended"
    REMOTE_ENDED = "remote-ended"
    ENDED = "ended"
    RESET = "reset"


class Change(enum.Enum):
    """What can happen to the state."""

    SEND_FIN = "send-fin"
    RECEIVE_FIN = "receive-fin"
    RESET = "reset"


TRANSITIONS: Final[Mapping[tuple[State, Change], State]] = {
    (State.OPEN, Change.SEND_FIN): State.LOCAL_ENDED,
    (State.OPEN, Change.RECEIVE_FIN): State.REMOTE_ENDED,
    (State.OPEN, Change.RESET): State.RESET,
    (State.LOCAL_ENDED, Change.RECEIVE_FIN): State.ENDED,
    (State.LOCAL_ENDED, Change.RESET): State.RESET,
    (State.REMOTE_ENDED, Change.SEND_FIN): State.ENDED,
    (State.REMOTE_ENDED, Change.RESET): State.RESET,
}
IGNORED: Final[frozenset[tuple[State, Change]]] = frozenset(
    {
        # js and go both send a second FIN, or a reset, when their own close and an abort meet.
        (State.REMOTE_ENDED, Change.RECEIVE_FIN),
        (State.ENDED, Change.RECEIVE_FIN),
        (State.ENDED, Change.RESET),
        (State.RESET, Change.RECEIVE_FIN),
        (State.RESET, Change.RESET),
    }
)


class Substream:
    """The record of one stream; the session owns it and does all the talking.

    Receiving, ``unread + receive_credit <= receive_window``. A byte returns to the peer only once the
    application has read it (or has said it never will), so what a peer can make us hold is the window.
    """

    def __init__(self, stream_id: int, *, outbound: bool, now: float) -> None:
        self.stream_id = stream_id
        self.outbound = outbound
        self.state = State.OPEN
        self.acknowledged = not outbound
        """Whether the peer has shown that it knows the stream."""
        self.send_credit = YAMUX_INITIAL_WINDOW
        self.queued = 0
        """Bytes taken from the writer and not yet framed."""
        self.fin_wanted = False
        self.scheduled = False
        """Whether it waits in the sending rotation."""
        self.receive_window = YAMUX_INITIAL_WINDOW
        self.receive_credit = YAMUX_INITIAL_WINDOW
        self.discarding = False
        """The application has closed the stream: what still comes is dropped."""
        self._queue: deque[memoryview] = deque()
        self._unread = bytearray()
        self._epoch = now

    def change(self, change: Change) -> bool:
        """Apply `change`; return whether it had an effect."""
        after = TRANSITIONS.get((self.state, change))
        if after is None:
            if (self.state, change) not in IGNORED:
                raise LocalProtocolError(f"A stream that is {self.state.value} cannot {change.value}.")
            return False
        self.state = after
        return True

    @property
    def remote_ended(self) -> bool:
        """Whether the peer has ended its direction."""
        return self.state is State.REMOTE_ENDED or self.state is State.ENDED

    @property
    def send_ended(self) -> bool:
        """Whether our direction has ended, or will once what is queued is out."""
        return self.fin_wanted or self.state not in (State.OPEN, State.REMOTE_ENDED)

    @property
    def done(self) -> bool:
        """Whether both sides have ended and nothing is left to read."""
        return self.state is State.ENDED and not self._unread

    @property
    def unread(self) -> int:
        """Bytes received and not yet read."""
        return len(self._unread)

    # --- sending ------------------------------------------------------------------------------------------

    def room(self, shared: int) -> int:
        """Return how many bytes may be queued, `shared` being what is left in the buffer of the session."""
        own = YAMUX_STREAM_SEND_BUFFER - self.queued
        return max(0, min(self.send_credit, own, max(shared, YAMUX_SMALL_WRITE - self.queued)))

    def push(self, data: memoryview) -> None:
        """Queue `data`, which must fit into `room`."""
        self.send_credit -= len(data)
        self.queued += len(data)
        self._queue.append(data)

    def pull(self, max_bytes: int) -> list[memoryview]:
        """Take up to `max_bytes` of what is queued, as the parts of one payload."""
        parts: list[memoryview] = []
        while self._queue and max_bytes > 0:
            part = self._queue.popleft()
            if len(part) > max_bytes:
                self._queue.appendleft(part[max_bytes:])
                part = part[:max_bytes]
            parts.append(part)
            max_bytes -= len(part)
            self.queued -= len(part)
        return parts

    def drop_queued(self) -> int:
        """Forget what is queued and return how many bytes that were."""
        dropped, self.queued = self.queued, 0
        self._queue.clear()
        return dropped

    def add_credit(self, delta: int) -> None:
        """The peer lets us send `delta` bytes more.

        Raises:
            RemoteProtocolError: the sum does not fit 32 bits.
        """
        if self.send_credit + delta > _MAX_CREDIT:
            raise RemoteProtocolError("The remote side granted a yamux window of more than 4 GiB.")
        self.send_credit += delta

    # --- receiving ----------------------------------------------------------------------------------------

    def spend(self, length: int) -> None:
        """A Data frame of `length` bytes begins.

        Raises:
            RemoteProtocolError: more than the peer was granted.
        """
        if length > self.receive_credit:
            raise RemoteProtocolError(
                f"The remote side sent {length} bytes into a yamux window with {self.receive_credit} left."
            )
        self.receive_credit -= length

    def store(self, piece: memoryview) -> None:
        """Keep a piece of payload for the application."""
        self._unread += piece

    def read(self, max_bytes: int) -> bytes:
        """Take up to `max_bytes` of what came."""
        with memoryview(self._unread) as view:
            data = bytes(view[:max_bytes])
        # Deleting from the front of a bytearray moves a pointer, not the bytes.
        del self._unread[:max_bytes]
        return data

    def drop_unread(self) -> int:
        """Forget what nobody read and return how many bytes that were."""
        dropped = len(self._unread)
        self._unread.clear()
        return dropped

    def grant(self, now: float, rtt: float | None, budget: int, pending: int) -> int:
        """Return the delta to announce to the peer, 0 for none yet.

        As go does it: nothing before half of the window is free, so that updates are few; and twice the
        window if one was used up within four round trips, since then the window is what limits the speed.

        Args:
            now: seconds.
            rtt: round trip in seconds, if known.
            budget: bytes by which this window may grow at most.
            pending: bytes of a frame that were announced but have not come yet; they are the peer's already.
        """
        if self.remote_ended or self.state is State.RESET:
            return 0
        held = len(self._unread) + pending + self.receive_credit
        if self.receive_window - held < self.receive_window // 2:
            return 0
        if rtt is not None and now - self._epoch < 4 * rtt:
            self.receive_window += max(
                0, min(self.receive_window, YAMUX_MAX_WINDOW - self.receive_window, budget)
            )
        self._epoch = now
        delta = self.receive_window - held
        self.receive_credit += delta
        return delta

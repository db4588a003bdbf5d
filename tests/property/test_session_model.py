"""Two sides of the session over paths that break, lag behind one another and repeat, with crashes of either side.

The machines and the tables are the real ones; only the pipes between them and the timing are made up. Whatever happens,
what a side has shown is a prefix of what the other has said, and once the world is kind again it is all of it.
"""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from p2pchat_core import limits
from p2pchat_core.chat import message_table, session_table
from p2pchat_core.chat.model import MessageState
from p2pchat_core.chat.store import Store
from p2pchat_core.chat.store_file import prepare
from p2pchat_core.errors import RemoteProtocolError
from p2pchat_core.wire.session import FAREWELL, Acknowledged, Farewell, Listener, Speaker, Welcome

PEER = "the other"
NOW = 1_700_000_000.0


class Side:
    """One program: what is on its disk, what it said, and what it has shown."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.db = sqlite3.connect(":memory:", check_same_thread=False)
        prepare(Path("unused"), self.db)
        self.store = Store(Path("unused"), self.db, ThreadPoolExecutor(1))
        self.said: list[str] = []
        self.shown: list[str] = []
        self.delivered: list[str] = []
        self.line: Path_ | None = None
        self.parted_by = 0

    def say(self, text: str) -> None:
        message_id = f"{self.number:02x}{len(self.said):030x}"
        message_table.add(self.db, PEER, message_id, text, True, NOW, MessageState.QUEUED)
        self.said.append(text)

    def pump(self, most: int) -> None:
        """Say what there is room for on the present line."""
        if self.line is None:
            return
        machine = self.line.speaker
        room = min(machine.room, most)
        if room:
            messages = session_table.next_to_say(self.db, PEER, self.line.log, machine.next, room)
            machine.say(messages, 0.0)
            self.line.forth += machine.take_output()


class Path_:
    """One stream from a speaker to a listener, with the bytes that are under way in both directions."""

    def __init__(self, speaking: Side, listening: Side) -> None:
        self.speaking = speaking
        self.listening = listening
        self.log, first = session_table.begin(speaking.db, PEER)
        self.speaker = Speaker(self.log, first, [FAREWELL])
        self.listener = Listener([FAREWELL])
        self.welcomed = False
        self.parted: Farewell | None = None  # said by the speaker
        self.reserve = False  # opened beside others: a welcome that comes late does not count
        self.abandoned = False  # by the speaker, which does not hear it any more
        self.ended = False
        self.forth = bytearray(self.speaker.take_output())
        self.back = bytearray()
        self.record = bytearray()

    def end(self) -> None:
        self.ended = True
        if self.speaking.line is self:
            self.speaking.line = None

    def deliver(self, count: int, *, crash: str = "") -> bool:
        """Give the listener some bytes; return whether its program crashed over them."""
        data = bytes(self.forth[:count])
        del self.forth[:count]
        self.record += data
        try:
            greeted = self.listener.hello is not None
            messages = self.listener.receive_data(data)
        except RemoteProtocolError:
            assert isinstance(self, Replayed), "our own speaker broke the protocol"
            self.end()
            return False
        if not greeted and self.listener.hello is not None:
            hello = self.listener.hello
            self.listener.welcome(session_table.greet(self.listening.db, PEER, hello.log, hello.first))
        if messages:
            if crash == "before":
                return True
            assert self.listener.hello is not None
            fresh = session_table.receive(
                self.listening.db, PEER, self.listener.hello.log, messages, NOW, limits.SESSION_MAX_AGE
            )
            if fresh is None:
                self.end()
                return False
            self.listening.shown += [message.text for message in fresh]
            if crash == "after":
                return True
            self.listener.acknowledge(self.listener.received)
        self.back += self.listener.take_output()
        if self.listener.farewell is not None:
            assert self.listener.farewell is self.parted
            self.listening.parted_by += 1
            self.hang_up()
        return False

    def hang_up(self) -> None:
        """The listener ends a stream on which good-bye was said; what it answered may still arrive."""
        self.answer(1_000_000)
        self.end()

    def answer(self, count: int) -> None:
        """Give the speaker some bytes."""
        data = bytes(self.back[:count])
        del self.back[:count]
        if self.abandoned:
            return
        for event in self.speaker.receive_data(data, 0.0):
            if isinstance(event, Welcome) and self.reserve and self.speaking.line is not None:
                self.abandoned = True  # another was quicker
                self.end()
                return
            if isinstance(event, Acknowledged):
                found: list[str] | None = session_table.mark_held(
                    self.speaking.db, PEER, self.log, event.held
                )
            else:
                found = session_table.resume(self.speaking.db, PEER, self.log, event.held, event.held_id)
                assert found is not None, "a listener that lost nothing fits"
                self.welcomed = True
                if self.speaking.line is not None:
                    self.speaking.line.abandoned = True
                self.speaking.line = self
            assert found is not None
            self.speaking.delivered += found
        if self.speaker.farewell is not None:
            self.speaking.parted_by += 1
            self.end()


class Replayed(Path_):
    """A stream that repeats to the listener, byte for byte, what came on an earlier one."""

    def __init__(self, original: Path_) -> None:
        super().__init__(original.speaking, original.listening)
        self.forth = bytearray(original.record)
        self.abandoned = True
        self.parted = original.parted


INDEX = st.integers(0, 7)
COUNT = st.one_of(st.integers(1, 40), st.integers(1, 400), st.just(1_000_000))


class SessionModel(RuleBasedStateMachine):
    """See the module."""

    @initialize(start=st.integers(0, 3))
    def begin(self, start: int) -> None:
        self.sides = [Side(0), Side(1)]
        self.paths: list[Path_] = []
        for _ in range(start):
            self.open(0)
            self.paths[-1].deliver(1_000_000)
            self.paths[-1].answer(1_000_000)

    def alive(self) -> list[Path_]:
        return [path for path in self.paths if not path.ended]

    def pick(self, index: int) -> Path_ | None:
        alive = self.alive()
        return alive[index % len(alive)] if alive else None

    @rule(side=st.integers(0, 1), count=st.integers(1, 5), pump=st.booleans())
    def say(self, side: int, count: int, pump: bool) -> None:
        for _ in range(count):
            self.sides[side].say(f"{side}:{len(self.sides[side].said)} ☃")
        if pump:
            self.sides[side].pump(100)

    @rule(side=st.integers(0, 1), count=st.integers(1, 5), forth=COUNT, back=COUNT)
    def talk(self, side: int, count: int, forth: int, back: int) -> None:
        """Say something on a path that works so far, a new one if need be."""
        if self.sides[side].line is None:
            self.move(side)
        self.say(side, count, True)
        line = self.sides[side].line
        if line is not None:
            line.deliver(forth)
            line.answer(back)

    @rule(side=st.integers(0, 1))
    def move(self, side: int) -> None:
        """Go on with another path; what is under way on the present one may still come."""
        self.open(side)
        path = self.paths[-1]
        path.deliver(1_000_000)
        path.answer(1_000_000)
        self.sides[side].pump(100)

    @rule(
        side=st.integers(0, 1), count=st.integers(1, 3), order=st.permutations([0, 1, 2]), pump=st.booleans()
    )
    def suspect(self, side: int, count: int, order: list[int], pump: bool) -> None:
        """Open streams side by side and use whichever is welcomed first.

        The suspected one stays in use until then; what is under way there, in both directions, may still come later.
        """
        for _ in range(count):
            self.open(side)
        opened = [self.paths[-1 - at] for at in order if at < count]
        if pump:
            self.sides[side].pump(3)  # still on the suspected one
        for path in opened:
            path.deliver(1_000_000)
        for number, path in enumerate(opened):
            path.reserve = number > 0
            if not path.ended:
                path.answer(1_000_000)
        if self.sides[side].line is not None:
            self.sides[side].pump(100)

    @rule(index=INDEX, reason=st.sampled_from(list(Farewell)), speaker=st.booleans())
    def hang_up(self, index: int, reason: Farewell, speaker: bool) -> None:
        """Say good-bye on a stream; it may arrive late or never."""
        path = self.pick(index)
        if path is None or isinstance(path, Replayed):
            return
        if speaker and path.speaker.say_farewell(reason):
            path.parted = path.parted or reason
            path.forth += path.speaker.take_output()
        elif not speaker and path.listener.say_farewell(reason):
            path.back += path.listener.take_output()

    @rule(side=st.integers(0, 1))
    def open(self, side: int) -> None:
        if len(alive := self.alive()) >= 8:
            alive[0].end()
        self.paths.append(Path_(self.sides[side], self.sides[1 - side]))

    @rule(side=st.integers(0, 1), most=st.integers(1, 6))
    def pump(self, side: int, most: int) -> None:
        self.sides[side].pump(most)

    @rule(index=INDEX, count=COUNT)
    def deliver(self, index: int, count: int) -> None:
        if (path := self.pick(index)) is not None:
            path.deliver(count)

    @rule(index=INDEX, count=COUNT)
    def answer(self, index: int, count: int) -> None:
        if (path := self.pick(index)) is not None:
            path.answer(count)

    @rule(index=INDEX)
    def exchange(self, index: int) -> None:
        """One path works as it should for a moment."""
        if (path := self.pick(index)) is not None:
            path.deliver(1_000_000)
            path.answer(1_000_000)

    @rule(index=INDEX)
    def cut(self, index: int) -> None:
        if (path := self.pick(index)) is not None:
            path.end()

    @precondition(lambda self: self.paths)
    @rule(index=INDEX)
    def repeat(self, index: int) -> None:
        if len(self.alive()) < 8:
            self.paths.append(Replayed(self.paths[index % len(self.paths)]))

    @rule(side=st.integers(0, 1), sure=st.integers(0, 3))
    def restart(self, side: int, sure: int) -> None:
        """Either program ends: so do all streams, which all lead from one to the other."""
        if not sure:
            for path in self.alive():
                path.end()

    @rule(index=INDEX, when=st.sampled_from(["before", "after"]), count=COUNT)
    def crash_while_storing(self, index: int, when: str, count: int) -> None:
        if (path := self.pick(index)) is not None and path.deliver(count, crash=when):
            self.restart(path.listening.number, 0)

    @invariant()
    def nothing_lost_doubled_or_reordered(self) -> None:
        for side, other in (self.sides, self.sides[::-1]) if hasattr(self, "sides") else ():
            assert other.shown == side.said[: len(other.shown)]
            assert len(side.delivered) == len(set(side.delivered)) <= len(other.shown)

    def teardown(self) -> None:
        """The world is kind again: everything arrives."""
        if not hasattr(self, "sides"):
            return
        for path in self.alive():
            path.end()
        for side, other in (self.sides, self.sides[::-1]):
            path = Path_(side, other)
            for _ in range(3 + len(side.said) // 10):
                path.deliver(1_000_000)
                path.answer(1_000_000)
                side.pump(1000)
            assert other.shown == side.said
            states = {m.state for m in message_table.history(side.db, PEER, 10_000, None, None) if m.outgoing}
            assert states <= {MessageState.DELIVERED}
            assert len(side.delivered) == len(side.said)
        for side in self.sides:
            side.db.close()


SessionModel.TestCase.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
TestSessionModel: Any = SessionModel.TestCase


FRAMES = st.lists(st.binary(max_size=60), max_size=20).map(b"".join)


@settings(max_examples=100)
@given(data=FRAMES, greeted=st.booleans(), step=st.integers(1, 50))
def test_whatever_comes_is_a_message_or_an_error(data: bytes, greeted: bool, step: int) -> None:
    listener = Listener()
    speaker = Speaker(bytes(16), 1)
    if greeted:
        listener.receive_data(speaker.take_output())
        listener.welcome(session_table.resume_at(None, bytes(16), 1))
        speaker.receive_data(listener.take_output(), 0.0)
    try:
        for start in range(0, len(data), step):
            listener.receive_data(data[start : start + step])
    except RemoteProtocolError:
        pass
    try:
        for start in range(0, len(data), step):
            speaker.receive_data(data[start : start + step], 0.0)
    except RemoteProtocolError:
        pass

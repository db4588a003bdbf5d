"""One conversation's messages: order, states, serials, bounds."""

from __future__ import annotations

from p2pchat_core import limits
from p2pchat_tui.conversation import Conversation, Delivery, Message, OpenPath
from tests.tui.fake_service import BOB, NOW, Stored, contact, opened


def conversation(count: int = 0) -> Conversation:
    made = Conversation(BOB, contact=contact(BOB))
    for number in range(count):
        made.append(Message(f"m{number}", f"text {number}", NOW + number))
    return made


def test_serials_stay_when_older_messages_come_and_go() -> None:
    talk = conversation(3)
    second = talk.first + 1
    talk.remember([Stored("old1", "a", False), Stored("old2", "b", True), Stored("m0", "text 0", False)])
    assert [m.text for m in talk.messages] == ["a", "b", "text 0", "text 1", "text 2"]
    found = talk.message(second)
    assert found is not None
    assert found.text == "text 1"
    talk.trim(1, 1000)
    assert len(talk.messages) == 5  # too few to be worth it
    talk.trim(5, 8)
    assert talk.message(second) is None
    assert talk.messages[-1].text == "text 2"
    assert not talk.knows("m0")


def test_trimming_asks_for_the_history_again() -> None:
    talk = conversation(300)
    talk.asked = True
    talk.trim(100, 1 << 20)
    assert len(talk.messages) == 100
    assert not talk.asked
    assert talk.end == talk.first + 100


def test_what_the_history_has_twice_is_there_once() -> None:
    talk = conversation(2)
    stored = [Stored("m0", "text 0", False), Stored("m1", "text 1", False)]
    talk.remember(stored)
    talk.remember([*stored, Stored("m2", "text 2", False)])
    assert [m.message_id for m in talk.messages] == ["m0", "m1", "m2"]


def test_texts_of_ours_come_newest_first_and_once() -> None:
    talk = conversation(2)
    for number, text in enumerate(("one", "two", "one")):
        talk.append(Message(f"o{number}", text, NOW, Delivery.QUEUED))
    assert talk.said_by_us() == ["one", "two"]


def test_early_confirmations_are_bounded() -> None:
    talk = conversation()
    for number in range(limits.SCREEN_HELD_MESSAGES * 2):
        talk.confirm(f"e{number}", Delivery.SENT)
    talk.append(Message("e0", "x", NOW, Delivery.QUEUED))
    talk.append(Message("e199", "x", NOW, Delivery.QUEUED))
    assert [m.state for m in talk.messages] == [Delivery.QUEUED, Delivery.SENT]


def test_a_path_counts_what_it_carries() -> None:
    talk = conversation()
    talk.append(Message("before", "nobody carries this", NOW))
    event = opened(BOB)
    talk.paths[event.path] = OpenPath(event, 0.0)
    talk.append(Message("1", "héllo", NOW))
    assert talk.paths[event.path].carried == 6

"""What events do to the state behind the screen."""

from __future__ import annotations

import pytest

from p2pchat_core import limits
from p2pchat_core.chat.events import (
    ContactEvent,
    ErrorEvent,
    ListeningEvent,
    PathKind,
    RelayEvent,
    RelayState,
    SentEvent,
    StepEvent,
)
from p2pchat_core.chat.model import Standing
from p2pchat_tui.addresses import peer_of
from p2pchat_tui.conversation import Delivery
from p2pchat_tui.model import ChatModel
from tests.tui.fake_service import (
    BOB,
    CAROL,
    ME,
    RELAY,
    RELAY_ADDRESS,
    FixedClock,
    Stored,
    address_of,
    closed,
    contact,
    opened,
    said,
    steps,
)


@pytest.fixture
def model() -> ChatModel:
    return ChatModel(FixedClock())


def texts(model: ChatModel) -> list[str]:
    return [line.body.plain for line in model.lines()]


def dial(model: ChatModel, peer: str = BOB) -> None:
    model.begin_dial(address_of(peer))
    model.contact(contact(peer))
    model.apply(opened(peer))
    model.dialed(address_of(peer), peer, 0.34)


def accept(model: ChatModel, peer: str) -> None:
    """What happens when the user lets a stranger in."""
    model.apply(ContactEvent(contact(peer)))
    model.accepted_now(peer)


def test_the_log_has_the_words_of_the_page(model: ChatModel) -> None:
    model.apply(ListeningEvent((address_of(ME),)))
    model.begin_dial(RELAY_ADDRESS)
    model.dialed_relay(RELAY_ADDRESS)
    dial(model)
    model.stored(BOB, "helloa", "01")
    model.apply(said(BOB, "hellob"))
    assert [t for t in texts(model) if "is connected" not in t] == [
        f"Listening on {address_of(ME)}",
        f"Dialing '{RELAY_ADDRESS}'",
        f"Connected to '{RELAY_ADDRESS}'",
        f"Dialing '{address_of(BOB)}'",
        f"Connected to '{address_of(BOB)}'",
        f"RTT to {BOB} was 0.3ms",
        "Sending message 'helloa'",
        "Received message 'hellob'",
    ]


def test_an_address_is_announced_once(model: ChatModel) -> None:
    model.apply(ListeningEvent(("/a",)))
    model.apply(ListeningEvent(("/a", "/b")))
    assert texts(model) == ["Listening on /a", "Listening on /b"]
    assert model.addresses == ("/a", "/b")


def test_what_a_stranger_says_is_held_until_accepted(model: ChatModel) -> None:
    model.apply(opened(BOB))
    model.apply(said(BOB, "psst"))
    assert [c.peer for c in model.strangers] == [BOB]
    assert not any("psst" in text for text in texts(model))
    assert model.selected is None
    accept(model, BOB)
    assert model.selected == BOB
    assert texts(model)[-1] == "Received message 'psst'"
    assert model.strangers == []


def test_a_declined_stranger_asks_again_only_by_saying_something(model: ChatModel) -> None:
    model.apply(opened(BOB))
    model.turned_away(BOB)
    model.apply(said(BOB, "still under way"))
    assert model.strangers == [] == model.accepted
    model.apply(closed(BOB))
    model.apply(opened(BOB))
    assert model.strangers == []
    model.apply(said(BOB, "please"))
    assert [c.peer for c in model.strangers] == [BOB]
    accept(model, BOB)
    assert not any("under way" in text for text in texts(model))


def test_a_blocked_peer_is_neither_shown_nor_asked_about(model: ChatModel) -> None:
    dial(model)
    model.apply(said(BOB, "hi"))
    model.apply(ContactEvent(contact(BOB, Standing.BLOCKED)))
    assert model.selected is None
    assert model.accepted == [] == model.strangers
    model.apply(opened(BOB))
    model.apply(said(BOB, "hello?"))
    assert model.strangers == []
    model.apply(ContactEvent(contact(BOB)))
    assert [c.peer for c in model.accepted] == [BOB]
    assert not any("hello?" in text for text in texts(model))


def test_a_forgotten_contact_is_gone(model: ChatModel) -> None:
    dial(model)
    dial(model, CAROL)
    model.apply(ContactEvent(contact(CAROL), forgotten=True))
    assert model.selected == BOB
    assert CAROL not in model.conversations
    assert model.roster.get(CAROL) is None


def test_a_borrowed_name_is_said_once(model: ChatModel) -> None:
    model.apply(ContactEvent(contact(BOB, name="Bob")))
    model.apply(opened(CAROL))
    fake = contact(CAROL, Standing.STRANGER, calls_itself="Bob", impersonates="Bob")
    for _ in range(2):
        model.apply(ContactEvent(fake))
    assert sum("uses the name of Bob" in text for text in texts(model)) == 1
    assert model.conversations[CAROL].name == f"~Bob …{CAROL[-8:]}"


def test_a_stranger_that_leaves_without_a_word_is_not_asked_about(model: ChatModel) -> None:
    model.apply(opened(BOB))
    model.apply(closed(BOB))
    assert model.strangers == []


def test_held_messages_and_strangers_are_bounded(model: ChatModel) -> None:
    for number in range(limits.SCREEN_HELD_MESSAGES + 7):
        model.apply(said(BOB, f"m{number}"))
    assert len(model.conversations[BOB].held) == limits.SCREEN_HELD_MESSAGES
    accept(model, BOB)
    assert texts(model)[-1] == "7 more messages came and are in the history."
    for number in range(limits.SCREEN_STRANGERS + 9):
        model.apply(opened(f"peer{number}"))
    assert len(model.strangers) == limits.SCREEN_STRANGERS
    assert sum("Too many strangers" in text for text in texts(model)) == 1


def test_idle_peers_make_room(model: ChatModel) -> None:
    for number in range(limits.SCREEN_CONVERSATIONS * 2):
        model.apply(StepEvent(f"peer{number}", 4, "", 1, True))
    assert len(model.conversations) <= limits.SCREEN_CONVERSATIONS
    dial(model)
    assert model.selected == BOB


def test_one_peer_cannot_push_another_out_of_the_log(model: ChatModel) -> None:
    dial(model)
    model.apply(said(BOB, "keep me"))
    model.apply(opened(CAROL))
    accept(model, CAROL)
    for number in range(limits.SCREEN_LOG_LINES * 5):
        model.apply(said(CAROL, f"flood {number}", f"{number}"))
    assert "Received message 'keep me'" in texts(model)
    assert len(model.conversations[CAROL].lines) == limits.SCREEN_LOG_LINES
    assert len(model.conversations[CAROL].messages) <= limits.SCREEN_MESSAGES_IDLE + 64


def test_unread_counts_what_was_not_seen(model: ChatModel) -> None:
    dial(model)
    model.apply(opened(CAROL))
    accept(model, CAROL)
    model.apply(said(CAROL, "one"))
    model.apply(said(CAROL, "two"))
    assert (model.selected, model.conversations[CAROL].unread) == (BOB, 2)
    assert not any("one" in text for text in texts(model))
    model.select_next(1)
    assert (model.selected, model.conversations[CAROL].unread) == (CAROL, 0)
    model.select_next(1)
    assert model.selected == BOB
    model.select_next(-1)
    assert model.selected == CAROL


def test_a_message_is_shown_once(model: ChatModel) -> None:
    dial(model)
    model.apply(said(BOB, "hi", "77"))
    model.apply(said(BOB, "hi", "77"))
    assert texts(model).count("Received message 'hi'") == 1


@pytest.mark.parametrize("early", [True, False])
def test_confirmations_find_their_message(model: ChatModel, early: bool) -> None:
    dial(model)
    if not early:
        model.stored(BOB, "hi", "01")
        assert model.conversations[BOB].messages[-1].state is Delivery.QUEUED
    model.apply(SentEvent(BOB, "01"))
    if early:
        model.stored(BOB, "hi", "01")
    assert model.conversations[BOB].messages[-1].state is Delivery.SENT
    model.apply(SentEvent(BOB, "01", delivered=True))
    model.apply(SentEvent(BOB, "01"))  # late, and no news
    assert model.conversations[BOB].messages[-1].state is Delivery.DELIVERED


def test_history_comes_above(model: ChatModel) -> None:
    model.contact(contact(BOB))
    model.apply(said(BOB, "now", "9"))
    model.history(BOB, [Stored("1", "before", False), Stored("2", "answer", True), Stored("9", "now", False)])
    shown = model.conversations[BOB].messages
    assert [message.text for message in shown] == ["before", "answer", "now"]
    assert [message.state for message in shown] == [None, Delivery.DELIVERED, None]
    assert model.selected is None


def test_history_of_a_stranger_stays_closed(model: ChatModel) -> None:
    model.apply(opened(BOB))
    model.history(BOB, [Stored("1", "before", True)])
    assert model.accepted == []
    assert model.conversations[BOB].messages == []


def test_older_pages_are_asked_for_one_at_a_time_and_until_there_are_no_more(model: ChatModel) -> None:
    dial(model)
    assert model.wants_older(BOB) is None  # there is nothing that others could be older than
    model.history(BOB, [Stored("5", "five", False)])
    assert model.wants_older(BOB) == "5"
    assert model.wants_older(BOB) is None
    model.history(BOB, [Stored("4", "four", False)])
    assert model.wants_older(BOB) == "4"
    model.history(BOB, [Stored("3", "three", False)], complete=True)
    assert model.wants_older(BOB) is None
    assert [message.text for message in model.conversations[BOB].messages] == ["three", "four", "five"]


def test_a_new_attempt_starts_the_steps_again(model: ChatModel) -> None:
    model.begin_dial(address_of(BOB))
    for step in steps(BOB, 7, "No pair of candidates connected."):
        model.apply(step)
    assert set(model.conversations[BOB].steps) == {2, 3, 4, 5, 6, 7}
    model.apply(StepEvent(BOB, 6, "", 1, True))
    assert set(model.conversations[BOB].steps) == {2, 3, 4, 5, 6}
    model.begin_dial(address_of(BOB))
    assert model.conversations[BOB].steps == {}


def test_step_one_is_ours_only_when_we_listen(model: ChatModel) -> None:
    model.apply(RelayEvent(RELAY_ADDRESS, RelayState.RESERVED, 1.0))
    model.apply(StepEvent(RELAY, 1, "", 41, True))
    assert RELAY not in model.conversations
    assert model.reservation is not None
    model.begin_dial(address_of(BOB))
    assert model.reservation is None


def test_direct_is_preferred_and_its_end_falls_back(model: ChatModel) -> None:
    dial(model)
    model.apply(opened(BOB, PathKind.RELAYED, RELAY_ADDRESS))
    conversation = model.conversations[BOB]
    assert conversation.path == "direct"
    model.rtt(BOB, 4.0)
    model.apply(closed(BOB, PathKind.DIRECT, "The peer went silent."))
    assert conversation.path == "relayed"
    assert texts(model)[-1] == "The direct connection ended. The peer went silent."
    model.apply(closed(BOB, PathKind.RELAYED))
    assert (conversation.path, conversation.rtt_ms) == (None, None)


def test_relay_trouble_is_said_once(model: ChatModel) -> None:
    for _ in range(3):
        model.apply(RelayEvent(RELAY_ADDRESS, RelayState.LOST, reason="The relay does not answer."))
    assert texts(model) == ["The relay does not answer."]


def test_errors_go_to_their_conversation(model: ChatModel) -> None:
    dial(model)
    model.apply(ErrorEvent("x", "Not delivered.", BOB))
    model.apply(ErrorEvent("x", "General trouble.\x1b[31m"))
    assert texts(model)[-2:] == ["Not delivered.", "General trouble.␛[31m"]


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        (address_of(BOB), BOB),
        (RELAY_ADDRESS, RELAY),
        (RELAY_ADDRESS + "/", RELAY),
        ("/ip4/1.2.3.4/tcp/1/ws", None),
        ("/p2p/", None),
        ("", None),
        ("p2p", None),
    ],
)
def test_the_peer_at_the_end_of_an_address(address: str, peer: str | None) -> None:
    assert peer_of(address) == peer

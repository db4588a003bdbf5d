"""The phrase that two people compare."""

from __future__ import annotations

from p2pchat_core.chat.verification import verification_phrase
from p2pchat_core.chat.word_list import WORDS
from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.identity.peer_id import PeerId

ALICE, BOB, EVE = (PeerId.from_public_key(PrivateKey.from_seed(bytes([n]) * 32).public_key) for n in range(3))


def test_it_is_the_same_on_both_sides_and_of_every_version() -> None:
    assert verification_phrase(ALICE, BOB) == verification_phrase(BOB, ALICE)
    assert verification_phrase(ALICE, BOB) == (
        "salmon",
        "believe",
        "drive",
        "among",
        "dose",
        "reduce",
        "lecture",
        "culture",
    )


def test_each_identity_has_a_half_of_its_own() -> None:
    with_bob, with_eve = set(verification_phrase(ALICE, BOB)), set(verification_phrase(ALICE, EVE))
    assert len(with_bob & with_eve) == 4, "only Alice's words are in both"


def test_the_words_cannot_be_confused() -> None:
    assert len(WORDS) == len({word[:4] for word in WORDS}) == 2048
    assert all(word.isascii() and word.isalpha() and word.islower() for word in WORDS)

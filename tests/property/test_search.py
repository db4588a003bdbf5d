"""Searching: whatever is typed or was said, nothing fails, and the index finds what reading every message would."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from p2pchat_core import limits
from p2pchat_core.chat import message_table, search_index
from p2pchat_core.chat.contact_table import Person, save
from p2pchat_core.chat.model import MessageState
from p2pchat_core.chat.names import skeleton
from p2pchat_core.chat.search_words import Query, excerpt, index_text
from p2pchat_core.chat.store_file import prepare

SYNTAX = [
    '"',
    "'",
    "*",
    "^",
    "(",
    ")",
    "{",
    "}",
    ":",
    "+",
    "-",
    "AND",
    "OR",
    "NOT",
    "NEAR",
    "NEAR/2",
    "words:",
    "\x00",
]
ALPHABET = st.sampled_from(
    [*SYNTAX, " ", "a", "b", "ab", "É", "e\u0301", "ß", "ﬁ", "天", "气", "か", "が", "한", "🏴‍☠️", "❤️", "_"]
)
TEXT = st.one_of(st.lists(ALPHABET, max_size=12).map("".join), st.text(max_size=30))


def history(texts: list[str]) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:")
    prepare(Path("unused"), db)
    for number, text in enumerate(texts):
        message_table.add(db, "p", f"{number:032x}", text, True, float(number), MessageState.SENT)
    return db


def storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXT.map(storable), max_size=6), TEXT)
@example(["x" * 100_000], "x" * 300)
@example(["a"], "\ud800")
def test_the_index_finds_what_reading_everything_finds(texts: list[str], text: str) -> None:
    db = history(texts)
    query = Query.parse(text)
    hits = message_table.search(db, query, None, 100)
    expected = [t for t in reversed(texts) if query.matches(t)]
    assert [hit.message.text for hit in hits] == expected
    db.executescript(search_index._DETACH)
    assert message_table.search(db, query, None, 100) == hits, "the fallback finds the same"
    for hit in hits:
        assert hit.spans or len(hit.message.text) > limits.SEARCH_EXCERPT
        assert len(hit.excerpt) <= limits.SEARCH_EXCERPT
        assert hit.excerpt in hit.message.text
        for (start, end), after in zip(hit.spans, [*hit.spans[1:], (len(hit.excerpt), 0)], strict=True):
            assert 0 <= start < end <= after[0]
    db.close()


@settings(max_examples=100)
@given(TEXT, st.integers(0, 30), st.integers(1, 8))
def test_what_was_said_is_found_by_a_word_of_it(text: str, start: int, length: int) -> None:
    words = index_text(text).split()
    for word in words:
        assert Query.parse(word).matches(text)
        assert Query.parse(word[:length]).matches(text)


@settings(max_examples=100)
@given(TEXT)
def test_any_name_has_a_shape(name: str) -> None:
    assert skeleton(skeleton(name)) == skeleton(name)
    assert skeleton(f" {name}\u200b") == skeleton(name)


@pytest.mark.parametrize(
    ("text", "query", "marked"),
    [
        ("Hello, World", "hello wor", ["Hello", "Wor"]),
        ("Hello, World", "hello", ["Hello"]),
        ("Hello, World", "WORLD hel", ["World", "Hel"]),
        ("Hello, World", "ello", None),
        ("Hello, World", "hel x", None),
        ("Hello, World", "hell wor", None),
        ("une école d'été", "ecole ete", ["école", "été"]),
        ("une e\u0301cole", "éco", ["e\u0301co"]),
        ("Straße", "strasse", ["Straße"]),
        ("今天天气很好", "天气", ["天气"]),
        ("今天天气很好", "气天", None),
        ("我们 tomorrow 见", "tom 见", None),
        ("我们 tomorrow 见", "们 tom", ["们", "tom"]),
        ("カタカナで", "ﾀｶ", ["タカ"]),
        ("안녕하세요", "녕하", ["녕하"]),
        ("안녕하세요", "하ㅅ", ["하세"]),  # as it is typed
        ("안녕하세요", "하녕", None),
        ("สวัสดีครับ", "ดีครับ", ["ดีครับ"]),
        ("I ❤️ you 🏴‍☠️", "❤", ["❤"]),
        ("see https://example.org/a-b", "example.org/a", ["example.org/a"]),
        ("a.b", "...", None),
        ("snake_case", "case", ["case"]),
        ("", "", None),
    ],
)
def test_words(text: str, query: str, marked: list[str] | None) -> None:
    db = history([text])
    parsed = Query.parse(query)
    hits = message_table.search(db, parsed, None, 1)
    assert parsed.matches(text) == (marked is not None) == bool(hits)
    if marked is not None:
        part, spans = excerpt(text, parsed)
        assert sorted(part[a:b] for a, b in spans) == sorted(marked)
    db.close()


def test_an_excerpt_of_a_long_message_is_around_what_was_found() -> None:
    text = "x " * 5000 + "needle " + "y " * 5000
    part, ((start, end),) = excerpt(text, Query.parse("needle"))
    assert part[start:end] == "needle"
    assert len(part) == limits.SEARCH_EXCERPT


def test_strangers_and_the_blocked_are_not_found_and_one_conversation_can_be_searched() -> None:
    db = history(["hello"])
    for number, peer in enumerate(["q", "stranger", "blocked"]):
        message_table.add(db, peer, f"{number:032x}", "hello", False, 1.0, MessageState.RECEIVED)
    save(db, Person("q", 0.0, accepted=True))
    save(db, Person("stranger", 0.0))
    save(db, Person("blocked", 0.0, accepted=True, blocked=True))
    query = Query.parse("hello")

    def found(peer: str | None, limit: int = 9) -> list[str]:
        return [hit.message.peer for hit in message_table.search(db, query, peer, limit)]

    for _ in range(2):
        assert found(None) == ["q", "p"]
        assert found(None, 1) == ["q"]
        assert found("p") == ["p"]
        assert found("stranger") == found("blocked") == found("nobody") == []
        db.executescript(search_index._DETACH)  # the second time by reading everything
    db.close()


def test_an_index_that_was_not_kept_is_made_anew() -> None:
    db = history(["hello"])
    db.executescript(search_index._DETACH)
    message_table.add(db, "p", "ff" * 16, "hello again", True, 1.0, MessageState.SENT)
    search_index.attach(db)
    assert search_index._kept(db)
    assert len(message_table.search(db, Query.parse("hello"), None, 9)) == 2
    db.close()


def test_without_fts5_messages_are_stored_and_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_index, "has_fts5", lambda _db: False)
    db = history(["hello"])
    assert not search_index._kept(db)
    assert len(message_table.search(db, Query.parse("hel"), None, 9)) == 1
    search_index.compact(db)
    db.close()

"""The rules of the sanitiser, one row each."""

from __future__ import annotations

import time

import pytest

from p2pchat_core import limits
from p2pchat_tui.safe_text import Kind, clean_input, safe_text, visible

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("hi [/b] there", "hi [/b] there"),
        ("[@click=app.quit]x[/]", "[@click=app.quit]x[/]"),
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\x1b]52;c;aGk=\x07", "␛]52;c;aGk=␇"),
        ("\x9b2J", "<\\x9b>2J"),
        ("a\x7fb", "a␡b"),
        ("a\rb", "a␍b"),
        ("a\r\nb\nc", "a\nb\nc"),
        ("a\u2028b", "a\nb"),
        ("a\tb", "a    b"),
        ("user\u202egnp.exe", "user<U+202E>gnp.exe"),
        ("\u2066x\u2069\u200e\u061c", "<U+2066>x<U+2069><U+200E><U+061C>"),
        ("a\u200b\u200b\ufeffb", "a<hidden>b"),
        ("\U000e0041\U000e0042", "<hidden>"),
        ("\ud800", "\ufffd"),
        ("\uffff", "\ufffd"),
        ("\u0301x", "◌\u0301x"),
        ("e" + "\u0301" * 30 + "!", "e" + "\u0301" * 4 + "<+26 marks>!"),
        (FAMILY, FAMILY),
        ("❤\ufe0f", "❤\ufe0f"),
        ("a\u200db", "a<U+200D>b"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("a\xa0b", "a b"),
        ("日本語", "日本語"),
    ],
)
def test_messages(said: str, shown: str) -> None:
    assert visible(said, Kind.MESSAGE) == shown


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("  ｂｏｂ ", "bob"),
        ("a\nb", "a␊b"),
        ("bob\u200b", "bob<U+200B>"),
        ("x" * 40, "x" * 31 + "…"),
        ("日" * 40, "日" * 15 + "…"),
    ],
)
def test_names(said: str, shown: str) -> None:
    assert visible(said, Kind.NAME) == shown


def test_markup_in_content_is_text() -> None:
    content = safe_text("[b]x[/] [/nope]", Kind.MESSAGE)
    assert content.plain == "[b]x[/] [/nope]"
    assert not content.spans


def test_long_messages_are_folded_and_counted() -> None:
    shown = visible("x" * 1_000_000, Kind.MESSAGE)
    assert shown.startswith("x" * limits.SCREEN_MESSAGE_CHARS + "… ")
    assert shown.endswith("983 616 more characters")
    shown = visible("y\n" * 1000, Kind.MESSAGE)
    assert shown.count("\n") < limits.SCREEN_MESSAGE_LINES
    assert shown.endswith("more characters")


def test_a_chain_of_joined_emoji_ends() -> None:
    shown = visible("\u200d".join(["\U0001f468"] * 40), Kind.MESSAGE)
    assert "\U0001f468<U+200D>\U0001f468" in shown
    assert max(len(part) for part in shown.split("<U+200D>")) <= 9


@pytest.mark.parametrize(
    ("pasted", "typed"),
    [
        ("/ip4/127.0.0.1/\n  tcp/1/ws\r\n", "/ip4/127.0.0.1/tcp/1/ws"),
        ("│ /ip4/1.2.3.4 │\n│ /tcp/1       │", "/ip4/1.2.3.4/tcp/1"),
        ("\x1b[31m/ip4\x00", "[31m/ip4"),
        ("\n\n", ""),
    ],
)
def test_an_address_is_put_together_again(pasted: str, typed: str) -> None:
    assert clean_input(pasted, lines=False) == typed


def test_a_pasted_message_keeps_its_lines() -> None:
    assert clean_input("a\r\n\tb\x1b\x07\u202ec", lines=True) == "a\n    bc"
    assert len(clean_input("x" * 10**6, lines=True)) == limits.SCREEN_PASTE


def test_the_largest_message_costs_little() -> None:
    began = time.process_time()
    visible("é\u0301\u200b" * 400_000, Kind.MESSAGE)
    assert time.process_time() - began < 5  # a quadratic loop would take minutes

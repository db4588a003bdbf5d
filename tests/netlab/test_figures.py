"""What the tables are computed from: the verdict, the silences, the disk. No laboratory is needed for these."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from p2pchat_core.chat.model import MessageState
from p2pchat_core.chat.store import Store
from tests.netlab import strikes
from tests.netlab.fault_table import FAULTS
from tests.netlab.faults import Fault, Outcome, faults_of, judge
from tests.netlab.killer import Blow, silence_of
from tests.netlab.ledger import read_ledger
from tests.netlab.matrix import expected_path
from tests.netlab.nat import NatKind
from tests.netlab.traffic import Line, Traffic, Verdict

if TYPE_CHECKING:
    from pathlib import Path

FAULT = Fault("a fault", "it is survived", strikes.wait(0), gap=2, healed=6)
GOOD = Verdict(sent=10, lost=0, doubled=0, reordered=0, refused=0, gap=1.0, p50=0.1, p99=0.2)


def line(*times: float) -> Line:
    return Line(got=list(enumerate(times)))


@pytest.mark.parametrize(
    ("change", "notes", "objection"),
    [
        ({}, {}, None),
        ({"lost": 1}, {}, "1 of 10 lost"),
        ({"doubled": 1}, {}, "1 of 10 doubled"),
        ({"reordered": 2}, {}, "2 of 10 out of order"),
        ({"refused": 1}, {}, "1 of 10 refused"),
        ({"sent": 0}, {}, "nothing was sent"),
        ({"gap": 2.1}, {}, "silent for 2.1 s, allowed are 2 s"),
        ({}, {"healed": 6.1}, "healed after 6.1 s, allowed are 6 s"),
        ({}, {"reserved again": 11.0}, "reserved again after 11.0 s, allowed are 10 s"),
        ({}, {"damaged": 1}, "1 damaged"),
        ({}, {"not on disk": 3}, "3 not on disk"),
        ({}, {"wrong on disk": 2}, "2 wrong on disk"),
        ({}, {"connections lost": 1}, "1 connections lost"),
        ({}, {"kills": 20, "damaged": 0}, None),
    ],
)
def test_a_row_is_judged(change: dict[str, int], notes: dict[str, float], objection: str | None) -> None:
    outcome = Outcome(replace(GOOD, **change), 0.5, dict(notes))
    assert judge(FAULT, outcome) == ([] if objection is None else [objection])


def test_what_may_be_lost_may_not_be_doubled() -> None:
    assert judge(replace(FAULT, who="ours/js"), Outcome(replace(GOOD, lost=3), 0.5)) == ["3 of 10 lost"]
    raw = replace(FAULT, who="ours/js", losses=True)
    assert judge(raw, Outcome(replace(GOOD, lost=3), 0.5)) == []
    assert judge(raw, Outcome(replace(GOOD, doubled=1), 0.5)) == ["1 of 10 doubled"]


def test_a_verdict_counts_what_is_lost_doubled_and_out_of_order() -> None:
    class Nobody:
        peer = "nobody"

    traffic = Traffic(Nobody(), Nobody(), rate=1, size=8)  # type: ignore[arg-type]
    traffic.there.sent = dict.fromkeys(range(6), 0.0)
    traffic.there.got = [(number, 1.0) for number in (0, 2, 1, 1, 3)]
    verdict = traffic.verdict()
    assert (verdict.lost, verdict.doubled, verdict.reordered) == (2, 1, 1)
    traffic.found(1, [0, 1, 2, 3, 4, 5])  # stored, and killed before it could say so
    assert traffic.verdict().lost == 0
    assert traffic.verdict().doubled == 1


def test_a_silence_belongs_to_the_blow_it_began_in() -> None:
    blow = Blow("direct", left=True, began=10, healed=13, next=15)
    assert silence_of(blow, line(9, 9.9, 10.2, 13.7, 14, 19)) == 5
    assert silence_of(blow, line(9, 9.9, 10.2, 13.7, 14.9, 15, 30)) == pytest.approx(3.5)
    assert silence_of(blow, line(1, 9)) == 0


def test_where_no_path_is_left_the_time_to_come_back_counts() -> None:
    blow = Blow("all", left=False, began=10, healed=13, next=15)
    assert silence_of(blow, line(10.2, 13.7)) == pytest.approx(0.7)
    assert silence_of(blow, line(10.2, 12.0)) == 0


async def test_a_ledger_reads_what_was_stored_and_sees_damage(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "history.sqlite3")
    for number in range(3):
        await store.add(
            f"{number:032x}", "peer", f"..<{number}>", outgoing=True, sent_at=1.0, state=MessageState.QUEUED
        )
    ledger = read_ledger(tmp_path)  # while it is open: as after a kill, what is new is in the write-ahead log
    assert (ledger.said, ledger.heard, ledger.whole) == ([0, 1, 2], [], True)
    await store.close()
    with closing(sqlite3.connect(tmp_path / "history.sqlite3")) as database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_schema SET rootpage = 3 WHERE name = 'messages_of_peer'")
        database.commit()
    assert not read_ledger(tmp_path).whole
    (tmp_path / "history.sqlite3.damaged-20260101-000000").touch()
    assert read_ledger(tmp_path).aside == 1


@pytest.mark.parametrize(
    ("stored", "wrong"),
    [
        ([0, 1, 2, 4], ""),
        ([0, 1], "missing [2]"),
        ([0, 1, 1, 2], "doubled [1]"),
        ([0, 2, 1], "out of order [1]"),
    ],
)
def test_a_disk_is_compared_with_what_was_sent(stored: list[int], wrong: str) -> None:
    assert faults_of(stored, [0, 1, 2]) == wrong


def test_what_theory_says() -> None:
    assert expected_path("ours/js", NatKind.PORT, NatKind.PORT) == "direct"
    assert expected_path("ours/js", NatKind.PORT, NatKind.SYMMETRIC) == "relayed"
    assert expected_path("js/ours", NatKind.PORT, NatKind.SYMMETRIC) == "none"


def test_no_two_rows_have_one_name() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(names) == len(set(names))

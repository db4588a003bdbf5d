"""The connection in words: steps that open, why this path, what is left of it, how quick it is."""

from __future__ import annotations

import pytest

from p2pchat_core.chat.events import (
    ConnectionEvent,
    ConnectionState,
    PathKind,
    RelayEvent,
    RelayState,
    StepEvent,
)
from p2pchat_tui.conversation import Conversation, Message, OpenPath
from p2pchat_tui.widgets.path_text import duration, path_text, relays_text, sparkline
from p2pchat_tui.widgets.timeline import STEP_LABELS, Timeline, timeline
from tests.tui.fake_service import BOB, NOW, RELAY_ADDRESS, FakeService, closed, opened, steps
from tests.tui.harness import SIZES, dial, running, screen_text, settle


def talk(event: ConnectionEvent, detail: str = "") -> Conversation:
    made = Conversation(BOB)
    made.paths[event.path] = OpenPath(event, 100.0)
    if detail:
        made.steps[8] = StepEvent(BOB, 8, "", 1.0, True, detail)
    return made


def path(conversation: Conversation, now: float = 100.0) -> str:
    return path_text(conversation, False, now, 36).plain


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ("host 192.168.1.2:1 ⇄ host 192.168.1.3:2", "host: both ends see each other's own address"),
        ("host 192.168.1.2:1 ⇄ srflx 203.0.113.3:2", "reflexive: through the address a router shows outside"),
        ("prflx 1.2.3.4:1 ⇄ host 192.168.1.3:2", "reflexive: through an address found while trying"),
        ("host 1.2.3.4:1 ⇄ relay 203.0.113.3:2", "relayed by TURN: no address worked"),
    ],
)
def test_a_direct_path_says_why(detail: str, words: str) -> None:
    text = path(talk(opened(BOB), detail))
    assert "● direct, without relay" in text
    assert words in " ".join(text.split())
    assert all(row.startswith("  ") for row in text.splitlines()[1:])
    assert all(end in text for end in detail.split(" ⇄ "))


def test_a_direct_path_without_its_pair_says_where_it_leads() -> None:
    assert "with 127.0.0.1:50123" in path(talk(opened(BOB)))


def test_a_relayed_path_counts_its_limits_down() -> None:
    event = ConnectionEvent(
        BOB,
        PathKind.RELAYED,
        ConnectionState.OPEN,
        RELAY_ADDRESS,
        True,
        limit_bytes=131072,
        limit_seconds=120,
    )
    conversation = talk(event)
    conversation.append(Message("1", "x" * 32768, NOW))
    text = path(conversation, 133.5)
    assert "◐ relayed, through the relay" in text
    assert "time 1:26 of 2:00 left" in text
    assert "data 96 KiB of 128 KiB left" in text
    assert "0:00 of 2:00 left" in path(conversation, 1000.0)


def test_a_relayed_path_of_unknown_limits_counts_up() -> None:
    text = " ".join(path(talk(opened(BOB, PathKind.RELAYED, RELAY_ADDRESS)), 107.0).split())
    assert "the relay will end it; 0:07 and 0 B used" in " ".join(text.split())
    assert "a direct connection is being tried" in text
    conversation = talk(opened(BOB, PathKind.RELAYED, RELAY_ADDRESS))
    conversation.steps[8] = StepEvent(BOB, 8, "", 1.0, False, "No pair.")
    assert "direct did not work" in path(conversation)


def test_round_trips_are_a_graph() -> None:
    conversation = talk(opened(BOB))
    conversation.rtt_ms = 2.0
    conversation.round_trips.extend([1.0, 2.0, 4.0])
    text = path(conversation)
    assert "RTT  2.0 ms" in text
    assert "▂▄█" in text
    assert "1.0 to 4.0 ms, last 3" in text
    assert sparkline([]) == ""
    assert sparkline([0.0, 0.0]) == "▁▁"
    assert sparkline([5.0] * 3) == "███"


def test_reservations_are_counted_down() -> None:
    relay = RelayEvent(RELAY_ADDRESS, RelayState.RESERVED, NOW + 3540)
    assert "reserved, 59:00 left" in relays_text([relay], NOW, precise=True).plain
    assert "reserved, 58:59 left" in relays_text([relay], NOW + 1, precise=True).plain
    assert "reserved, 59 min left" in relays_text([relay], NOW + 1, precise=False).plain
    assert "no relay yet" in relays_text([], NOW, precise=True).plain
    assert duration(3725) == "1:02:05"


def test_steps_open_to_what_they_are() -> None:
    reports = {report.step: report for report in steps(BOB, 8)}
    reports[8] = StepEvent(BOB, 8, "", 63.0, True, "host a ⇄ host b")
    closed_ = timeline(reports, False, 36)
    assert [len(block.plain.splitlines()) for block in closed_] == [1] * 8
    opened_ = timeline(reports, False, 36, set(STEP_LABELS))
    assert "HOP CONNECT" in opened_[2].plain
    assert "host a ⇄ host b" in opened_[7].plain
    assert all(line.startswith("    ") for block in opened_ for line in block.plain.splitlines()[1:])
    assert all(len(line) <= 36 for block in opened_ for line in block.plain.splitlines())


@pytest.mark.parametrize("size", SIZES)
async def test_the_pane_at_every_size(size: tuple[int, int]) -> None:
    service = FakeService()
    async with running(service, size) as (app, pilot):
        await dial(app, pilot)
        await pilot.press("f6")
        await settle(pilot)
        text = screen_text(app)
        assert "HOP CONNECT asks" in text
        await pilot.press("f6")
        await settle(pilot)
        text = screen_text(app)
        assert "HOP CONNECT" not in text
        assert "8 ✓ direct WebRTC" in text
        assert "reserved, 59:00 left" in text
        service.emit(opened(BOB, PathKind.RELAYED, RELAY_ADDRESS), closed(BOB))
        await settle(pilot)
        assert "◐ relayed" in screen_text(app)


async def test_one_step_opens_by_key_and_by_mouse() -> None:
    service = FakeService()
    async with running(service, (120, 40)) as (app, pilot):
        await dial(app, pilot)
        steps_ = app.main.query_one(Timeline)
        steps_.focus()
        await pilot.press("down", "down", "enter")
        await settle(pilot)
        assert "HOP CONNECT" in screen_text(app)
        assert "STOP CONNECT" not in screen_text(app)
        await pilot.click(steps_, offset=(5, 3))  # a line of the explanation belongs to its step
        await settle(pilot)
        assert "HOP CONNECT" not in screen_text(app)
        await pilot.click(steps_, offset=(5, 3))
        await settle(pilot)
        assert "STOP CONNECT" in screen_text(app)


def test_a_step_opens_to_all_that_was_sent_and_shows_one_line_before() -> None:
    sent = "offer\nv=0\n\x1b[31ma=candidate:1 1 udp 1 192.168.1.2 4444 typ host"
    report = {7: StepEvent(BOB, 7, "", 1.0, True, sent)}
    closed_up = "\n".join(block.plain for block in timeline(report, False, 60))
    assert "v=0" not in closed_up
    opened_up = [line.strip() for line in timeline(report, False, 60, {7})[6].plain.splitlines()]
    assert opened_up[-3:] == ["offer", "v=0", "␛[31ma=candidate:1 1 udp 1 192.168.1.2 4444 typ host"]
    failed = {7: StepEvent(BOB, 7, "", 1.0, False, sent)}
    assert timeline(failed, False, 60)[6].plain.splitlines()[1:] == ["    offer"]


def test_the_pair_of_a_direct_path_is_its_first_line() -> None:
    text = path(talk(opened(BOB), "host 192.168.1.2:1 ⇄ host 192.168.1.3:2\nfingerprint sha-256 AB"))
    assert "them host 192.168.1.3:2" in text
    assert "fingerprint" not in text


def test_no_limit_is_no_countdown() -> None:
    event = ConnectionEvent(BOB, PathKind.RELAYED, ConnectionState.OPEN, RELAY_ADDRESS)
    assert "left" not in path(talk(event))

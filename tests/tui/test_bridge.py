"""The bridge alone: order, backpressure, errors as sentences, a bounded end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from p2pchat_core import limits
from p2pchat_core.chat.events import MessageEvent, ReadyEvent
from p2pchat_core.errors import DialError
from p2pchat_tui import answers as to
from p2pchat_tui.bridge import BATCH, Bridge, sentence_of
from tests.tui.fake_service import BOB, FakeService, RowStatus, address_of, said

if TYPE_CHECKING:
    from textual.message import Message


class Screen:
    """Takes messages; handles events at once unless told to wait."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.holding = False

    def post(self, message: Message) -> bool:
        self.messages.append(message)
        if isinstance(message, to.EventsArrived) and not self.holding:
            message.done()
        return True

    def of(self, kind: type[Message]) -> list[Message]:
        return [message for message in self.messages if isinstance(message, kind)]


@pytest.fixture
def screen() -> Screen:
    return Screen()


def bridge(screen: Screen, service: FakeService) -> Bridge:
    async def factory() -> FakeService:
        return service

    return Bridge(factory, screen.post)


async def turns(count: int = 30) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_events_come_in_order_and_no_faster_than_they_are_handled(screen: Screen) -> None:
    service = FakeService()
    screen.holding = True
    running = asyncio.create_task(bridge(screen, service).run())
    await turns()
    for number in range(1000):
        service.emit(said(BOB, str(number), str(number)))
    await turns()
    (first,) = screen.of(to.EventsArrived)
    assert isinstance(first, to.EventsArrived)
    assert len(service.events) >= 1000 - BATCH
    screen.holding = False
    first.done()
    await turns(3000)
    got = [event for batch in screen.of(to.EventsArrived) for event in batch.events]  # type: ignore[attr-defined]
    assert isinstance(got[0], ReadyEvent)
    assert [e.text for e in got if isinstance(e, MessageEvent)] == [str(n) for n in range(1000)]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_it_ends_when_the_service_does(screen: Screen) -> None:
    service = FakeService()
    both = bridge(screen, service)
    running = asyncio.create_task(both.run())
    await turns()
    await both.stop()
    await asyncio.wait_for(running, 5)
    assert service.stopped
    assert screen.of(to.ServiceFailed) == []
    await both.stop()  # again: nothing


async def test_commands_before_the_start_say_so(screen: Screen) -> None:
    await bridge(screen, FakeService()).connect(address_of(BOB))
    (failed,) = screen.of(to.CommandFailed)
    assert isinstance(failed, to.CommandFailed)
    assert failed.sentence == "p2pchat is still starting; try again in a moment."


async def test_a_bug_in_the_service_is_a_sentence_and_no_crash(
    screen: Screen, caplog: pytest.LogCaptureFixture
) -> None:
    service = FakeService(start_failure=RuntimeError("[/b] secret"))
    await bridge(screen, service).run()
    (failed,) = screen.of(to.ServiceFailed)
    assert isinstance(failed, to.ServiceFailed)
    assert "RuntimeError" in failed.sentence
    assert "secret" not in failed.sentence
    assert "secret" in caplog.text


async def test_a_service_that_hangs_or_breaks_while_stopping_does_not_keep_the_user(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service = FakeService()
    both = bridge(screen, service)
    running = asyncio.create_task(both.run())
    await turns()

    async def hang() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(limits, "SCREEN_STOP_TIMEOUT", 0.01)
    monkeypatch.setattr(service, "stop", hang)
    await both.stop()
    assert "did not stop cleanly" in caplog.text
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_round_trips_are_those_of_the_best_path(screen: Screen) -> None:
    service = FakeService(rtts=(RowStatus(BOB, "direct", 0.3), RowStatus(BOB, "relayed", 9.0)))
    running = asyncio.create_task(bridge(screen, service).run())
    await turns()
    status = screen.of(to.StatusRead)[0]
    assert isinstance(status, to.StatusRead)
    assert status.rtts == {BOB: 0.3}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (DialError("Nobody answers."), "Nobody answers."),
        (OSError(28, "No space left on device"), "The system refused: No space left on device."),
        (DialError(), "Something went wrong inside p2pchat (DialError). A log file (--log-file) tells more."),
    ],
)
def test_sentences(error: Exception, sentence: str) -> None:
    assert sentence_of(error) == sentence

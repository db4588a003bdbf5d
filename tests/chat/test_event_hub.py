"""Many listeners, none of which can hold up the others."""

from __future__ import annotations

import asyncio

import pytest

from p2pchat_core import limits
from p2pchat_core.chat.event_hub import EventHub, EventStream
from p2pchat_core.chat.events import (
    ErrorEvent,
    Event,
    ListeningEvent,
    MessageEvent,
    RelayEvent,
    RelayState,
    StepEvent,
)
from p2pchat_core.errors import ConfigError


def message(number: int) -> MessageEvent:
    return MessageEvent("peer", f"text {number}", f"{number:032x}", 0.0)


async def drain(stream: EventStream) -> list[Event]:
    stream.close()
    return [event async for event in stream]


async def test_every_listener_hears_everything_in_order() -> None:
    hub = EventHub()
    first, second = hub.subscribe(), hub.subscribe()
    sent = [message(number) for number in range(5)]
    for event in sent:
        hub.emit(event)
    assert await drain(first) == sent
    assert await drain(second) == sent


async def test_a_waiting_listener_is_woken_by_an_event_and_by_the_end() -> None:
    hub = EventHub()
    stream = hub.subscribe()
    heard: list[Event] = []

    async def listen() -> None:
        heard.extend([event async for event in stream])

    task = asyncio.create_task(listen())
    await asyncio.sleep(0)
    hub.emit(message(1))
    await asyncio.sleep(0)
    hub.close()
    await task
    assert heard == [message(1)]


async def test_a_full_queue_loses_the_oldest_and_says_how_many() -> None:
    hub = EventHub(capacity=10)
    stream = hub.subscribe()
    for number in range(13):
        hub.emit(message(number))
    lost, *rest = await drain(stream)
    assert isinstance(lost, ErrorEvent)
    assert lost.code == "events_lost"
    assert lost.error.startswith("3 ")
    assert rest == [message(number) for number in range(3, 13)]


async def test_facts_that_replace_one_another_are_coalesced_under_pressure() -> None:
    hub = EventHub(capacity=20)
    stream = hub.subscribe()
    for number in range(11):
        hub.emit(message(number))
    for number in range(100):
        hub.emit(ListeningEvent((f"address {number}",)))
        hub.emit(RelayEvent("one", RelayState.LOST, reason=str(number)))
        hub.emit(StepEvent("peer", 3, "name", float(number), True))
    events = await drain(stream)
    assert events[:11] == [message(number) for number in range(11)]
    assert events[11:] == [
        ListeningEvent(("address 99",)),
        RelayEvent("one", RelayState.LOST, reason="99"),
        StepEvent("peer", 3, "name", 99.0, True),
    ]


async def test_without_pressure_every_step_is_told() -> None:
    hub = EventHub()
    stream = hub.subscribe()
    steps: list[Event] = [StepEvent("peer", 3, "name", float(number), True) for number in range(5)]
    for step in steps:
        hub.emit(step)
    assert await drain(stream) == steps


async def test_readers_of_peers_wait_while_a_listener_is_behind() -> None:
    hub = EventHub(capacity=10)
    quick, slow = hub.subscribe(), hub.subscribe()
    for number in range(6):
        hub.emit(message(number))
        await anext(quick)
    waiting = asyncio.create_task(hub.wait_for_room())
    await asyncio.sleep(0)
    assert not waiting.done()
    await anext(slow)
    await waiting
    await hub.wait_for_room()


async def test_a_listener_that_never_reads_does_not_stop_them_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("p2pchat_core.chat.event_hub.EVENT_ROOM_TIMEOUT", 0.01)
    hub = EventHub(capacity=2)
    stuck = hub.subscribe()
    for number in range(9):
        hub.emit(message(number))
    await hub.wait_for_room()
    stuck.close()
    await hub.wait_for_room()


async def test_a_closed_listener_hears_no_more() -> None:
    hub = EventHub()
    stream = hub.subscribe()
    stream.close()
    stream.close()
    hub.emit(message(1))
    assert await drain(stream) == []


async def test_listeners_are_limited() -> None:
    hub = EventHub()
    streams = [hub.subscribe() for _ in range(limits.EVENT_SUBSCRIBERS)]
    with pytest.raises(ConfigError):
        hub.subscribe()
    streams[0].close()
    hub.subscribe()

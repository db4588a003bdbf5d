"""Between the chat service and the screen: events become Textual messages, actions become commands.

Only this module talks to the service. Each command runs as a worker of the screen, so it ends with it, and its
result comes back as a message like everything else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from textual.message import Message

from p2pchat_core import limits
from p2pchat_core.errors import P2PChatError

if TYPE_CHECKING:
    from p2pchat_core.chat.events import Event
    from p2pchat_tui.conversation import HistoryMessage

__all__ = [
    "Bridge",
    "CommandFailed",
    "Dialed",
    "EventsArrived",
    "HistoryLoaded",
    "MessageStored",
    "Service",
    "ServiceFactory",
    "ServiceFailed",
    "StatusRead",
    "sentence_of",
]

_log = logging.getLogger(__name__)

STATUS_INTERVAL = 2.0
"""Seconds between two looks at round-trip times."""
PINGED = 16
"""Connected peers whose round-trip time is kept up to date."""
BATCH = 256
"""Events handed to the screen at once."""


class EventSource(Protocol):
    """What `Service.subscribe` returns."""

    def __aiter__(self) -> AsyncIterator[Event]: ...
    def __len__(self) -> int: ...
    def close(self) -> None: ...


class DialResult(Protocol):
    """What `Service.connect` returns."""

    @property
    def kind(self) -> str: ...
    @property
    def peer(self) -> str: ...
    @property
    def rtt_ms(self) -> float | None: ...


class PeerStatus(Protocol):
    """One open connection in `Service.status`."""

    @property
    def peer(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def rtt_ms(self) -> float | None: ...


class ServiceStatus(Protocol):
    """What `Service.status` returns."""

    @property
    def connections(self) -> Sequence[PeerStatus]: ...


class Service(Protocol):
    """The part of the chat service that the screen uses."""

    def subscribe(self) -> EventSource: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def connect(self, address: str) -> DialResult: ...
    async def send(self, peer: str, text: str) -> str: ...
    async def ping(self, peer: str) -> float: ...
    async def disconnect(self, peer: str) -> None: ...
    async def history(self, peer: str, limit: int = 100) -> Sequence[HistoryMessage]: ...
    def peers(self) -> Sequence[str]: ...
    def status(self) -> ServiceStatus: ...


ServiceFactory = Callable[[], Awaitable[Service]]
"""Makes a service that is not started yet; it may take its time, so it is called after the first frame."""


@dataclass
class EventsArrived(Message):
    """Events of the service, in order. The handler calls `done`, and only then are more read."""

    events: Sequence[Event]
    done: Callable[[], None]


@dataclass
class ServiceFailed(Message):
    """The service could not start; `sentence` says why."""

    sentence: str


@dataclass
class Dialed(Message):
    """`connect` succeeded."""

    address: str
    result: DialResult


@dataclass
class MessageStored(Message):
    """`send` succeeded."""

    peer: str
    text: str
    message_id: str


@dataclass
class CommandFailed(Message):
    """A command failed. `command` is `connect`, `send` or `disconnect`; what it was about is in `subject`."""

    command: str
    subject: str
    sentence: str


@dataclass
class HistoryLoaded(Message):
    """What was said with `peer` before, oldest first."""

    peer: str
    messages: Sequence[HistoryMessage]


@dataclass
class StatusRead(Message):
    """Round-trip times by peer, from time to time. A newer one replaces one that waits."""

    rtts: dict[str, float | None]

    def can_replace(self, message: Message) -> bool:
        """Tell Textual that only the newest matters."""
        return isinstance(message, StatusRead)


def sentence_of(error: BaseException) -> str:
    """Return what the user should read about `error`; surprises are logged with their traceback."""
    if isinstance(error, P2PChatError) and str(error):
        return str(error)
    if isinstance(error, OSError):
        return f"The system refused: {error.strerror or error}."
    _log.error("unexpected error", exc_info=error)
    return (
        f"Something went wrong inside p2pchat ({type(error).__name__}). A log file (--log-file) tells more."
    )


class Bridge:
    """Owns the service for as long as the program runs.

    Args:
        factory: makes the service.
        post: where messages go; the screen's `post_message`.
    """

    def __init__(self, factory: ServiceFactory, post: Callable[[Message], bool]) -> None:
        self._factory = factory
        self._post = post
        self._service: Service | None = None

    async def run(self) -> None:
        """Make and start the service, then hand on its events until cancelled."""
        try:
            service = await self._factory()
            events = service.subscribe()
            self._service = service
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(self._read(events))
                await service.start()
                poller = group.create_task(self._poll(service))
                for peer in service.peers()[-limits.SCREEN_PAST :]:
                    await self.load_history(peer, limits.SCREEN_PREVIEW)
                await reader
                poller.cancel()
        except Exception as error:
            failure = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
            self._post(ServiceFailed(sentence_of(failure)))

    async def stop(self) -> None:
        """Stop the service, whatever state it is in; never raises and is bounded in time."""
        service, self._service = self._service, None
        if service is None:
            return
        try:
            async with asyncio.timeout(limits.SCREEN_STOP_TIMEOUT):
                await service.stop()
        except Exception:
            _log.exception("the service did not stop cleanly")

    async def connect(self, address: str) -> None:
        """Dial a relay's or a peer's address; answers `Dialed` or `CommandFailed`."""
        try:
            result = await self._running().connect(address)
        except Exception as error:
            self._post(CommandFailed("connect", address, sentence_of(error)))
        else:
            self._post(Dialed(address, result))

    async def send(self, peer: str, text: str) -> None:
        """Say `text` to `peer`; answers `MessageStored` or `CommandFailed`."""
        try:
            message_id = await self._running().send(peer, text)
        except Exception as error:
            self._post(CommandFailed("send", peer, sentence_of(error)))
        else:
            self._post(MessageStored(peer, text, message_id))

    async def disconnect(self, peer: str) -> None:
        """Close every connection to `peer`; answers only `CommandFailed`."""
        try:
            await self._running().disconnect(peer)
        except Exception as error:
            self._post(CommandFailed("disconnect", peer, sentence_of(error)))

    async def load_history(self, peer: str, limit: int = limits.SCREEN_HISTORY) -> None:
        """Read the last `limit` messages with `peer`; answers `HistoryLoaded` or `CommandFailed`."""
        try:
            messages = await self._running().history(peer, limit)
        except Exception as error:
            self._post(CommandFailed("history", peer, sentence_of(error)))
        else:
            self._post(HistoryLoaded(peer, messages))

    async def _read(self, source: EventSource) -> None:
        batch: list[Event] = []
        handled = asyncio.Event()
        try:
            async for event in source:
                batch.append(event)
                if len(source) and len(batch) < BATCH:
                    continue
                handled.clear()
                if self._post(EventsArrived(tuple(batch), handled.set)):
                    # Reading on only now lets a flood wait in the service's queue, which is bounded.
                    await handled.wait()
                batch.clear()
        finally:
            source.close()

    async def _poll(self, service: Service) -> None:
        while True:
            peers = list(dict.fromkeys(connection.peer for connection in service.status().connections))
            # Asking also keeps the figure on the screen a present one.
            await asyncio.gather(*(service.ping(peer) for peer in peers[:PINGED]), return_exceptions=True)
            rtts: dict[str, float | None] = {}
            for connection in service.status().connections:
                if connection.path == "direct" or connection.peer not in rtts:
                    rtts[connection.peer] = connection.rtt_ms
            self._post(StatusRead(rtts))
            await asyncio.sleep(STATUS_INTERVAL)

    def _running(self) -> Service:
        if self._service is None:
            raise P2PChatError("p2pchat is still starting; try again in a moment.")
        return self._service

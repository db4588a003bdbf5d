"""Between the chat service and the screen: events become Textual messages, actions become commands.

Only this module talks to the service. Each command runs as a worker of the screen, so it ends with it, and its
result comes back as a message (`p2pchat_tui.answers`) like everything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from p2pchat_core import limits
from p2pchat_core.chat.model import Standing
from p2pchat_core.errors import NotConnectedError, P2PChatError
from p2pchat_tui import answers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from textual.message import Message

    from p2pchat_core.chat.events import Event
    from p2pchat_core.chat.model import Contact, ExportFormat, Retention
    from p2pchat_tui.services import EventSource, Service, ServiceFactory

__all__ = ["Bridge", "sentence_of"]

_log = logging.getLogger(__name__)

STATUS_INTERVAL = 2.0
"""Seconds between two looks at round-trip times."""
PINGED = 16
"""Connected peers whose round-trip time is kept up to date."""
BATCH = 256
"""Events handed to the screen at once."""


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
    """Owns the service for as long as the program runs. A command that fails answers `CommandFailed`.

    Args:
        factory: makes the service.
        post: where messages go; the screen's `post_message`.
    """

    def __init__(self, factory: ServiceFactory, post: Callable[[Message], bool]) -> None:
        self._factory = factory
        self._post = post
        self._service: Service | None = None

    # --- life -------------------------------------------------------------------------------------------------------

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
                await self._load_contacts(service)
                await reader
                poller.cancel()
        except Exception as error:
            failure = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
            self._post(answers.ServiceFailed(sentence_of(failure)))

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

    async def _load_contacts(self, service: Service) -> None:
        contacts = await service.contacts()
        self._post(answers.ContactsLoaded(contacts))
        known = [contact.peer for contact in contacts if contact.standing is Standing.CONTACT]
        for peer in known[-limits.SCREEN_PAST :]:
            await self.load_history(peer, limits.SCREEN_PREVIEW)

    async def _read(self, source: EventSource) -> None:
        batch: list[Event] = []
        handled = asyncio.Event()
        try:
            async for event in source:
                batch.append(event)
                if len(source) and len(batch) < BATCH:
                    continue
                handled.clear()
                if self._post(answers.EventsArrived(tuple(batch), handled.set)):
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
            self._post(answers.StatusRead(rtts))
            await asyncio.sleep(STATUS_INTERVAL)

    # --- connecting and talking ---------------------------------------------------------------------------------------

    async def connect(self, address: str) -> None:
        """Dial a relay's or a peer's address; answers `Dialed`."""

        async def connect(service: Service) -> Message:
            result = await service.connect(address)
            contact = await service.contact(result.peer) if result.kind == "peer" else None
            return answers.Dialed(address, result, contact)

        await self._run("connect", address, connect)

    async def send(self, peer: str, text: str) -> None:
        """Say `text` to `peer`; answers `MessageStored`."""

        async def send(service: Service) -> Message:
            return answers.MessageStored(peer, text, await service.send(peer, text))

        await self._run("send", peer, send)

    async def disconnect(self, peer: str) -> None:
        """Close every connection to `peer`; answers nothing."""
        await self._run("disconnect", peer, lambda service: service.disconnect(peer))

    async def load_history(
        self, peer: str, limit: int = limits.SCREEN_HISTORY, *, before: str | None = None
    ) -> None:
        """Read the last `limit` messages with `peer`, or the last before that one; answers `HistoryLoaded`."""

        async def load(service: Service) -> Message:
            messages = await service.history(peer, limit, before=before)
            return answers.HistoryLoaded(peer, messages, len(messages) < limit)

        await self._run("history", peer, load)

    async def load_back_to(self, peer: str, message_id: str, first: str | None, room: int) -> None:
        """Read page after page, at most `room` messages, until one of them is loaded; answers `MessageReached`.

        Args:
            first: the oldest message that is here already.
        """

        async def load(service: Service) -> Message:
            before, left = first, room
            while left > 0:
                page = await service.history(peer, limits.SCREEN_HISTORY, before=before)
                complete = len(page) < limits.SCREEN_HISTORY
                self._post(answers.HistoryLoaded(peer, page, complete))
                if any(message.message_id == message_id for message in page):
                    return answers.MessageReached(peer, message_id, True)
                if complete:
                    break
                before, left = page[0].message_id, left - len(page)
            return answers.MessageReached(peer, message_id, False)

        await self._run("history", peer, load)

    async def search(self, text: str) -> None:
        """Look for `text` in everything that contacts and we have said; answers `Found`."""

        async def search(service: Service) -> Message:
            hits = await service.search(text, limit=limits.SCREEN_HITS) if text.strip() else []
            return answers.Found(text, hits)

        await self._run("search", text, search)

    async def export(self, path: Path, format: ExportFormat, peer: str | None) -> None:
        """Write the conversation with `peer`, or all of them, to a new file; answers `Exported`."""

        async def export(service: Service) -> Message:
            return answers.Exported(path, await service.export(path, format, peer=peer))

        await self._run("export", peer or "", export)

    # --- people -------------------------------------------------------------------------------------------------------

    async def accept(self, peer: str) -> None:
        """Let a stranger in; answers `ContactChanged`."""
        await self._change("accept", peer, lambda service: service.accept(peer))

    async def block(self, peer: str) -> None:
        """Hear nothing from a peer any more; answers `ContactChanged`."""
        await self._change("block", peer, lambda service: service.block(peer))

    async def unblock(self, peer: str) -> None:
        """Let a blocked peer ask again; answers `ContactChanged`."""
        await self._change("unblock", peer, lambda service: service.unblock(peer))

    async def rename(self, peer: str, name: str) -> None:
        """Give a peer a name of our own; answers `ContactChanged`."""
        await self._change("rename", peer, lambda service: service.rename(peer, name))

    async def annotate(self, peer: str, notes: str) -> None:
        """Keep a note about a peer; answers `ContactChanged`."""
        await self._change("annotate", peer, lambda service: service.annotate(peer, notes))

    async def set_verified(self, peer: str, verified: bool) -> None:
        """Record whether the words were the same on both sides; answers `ContactChanged`."""
        await self._change("verify", peer, lambda service: service.set_verified(peer, verified))

    async def set_retention(self, peer: str, retention: Retention) -> None:
        """Say how long a conversation is kept; answers `ContactChanged`."""
        await self._change("retention", peer, lambda service: service.set_retention(peer, retention))

    async def decline(self, peer: str, *, known: bool) -> None:
        """Turn a stranger away; answers `Forgotten`. One not `known` has called and said nothing."""

        async def decline(service: Service) -> Message:
            if known:
                await service.decline(peer)
            else:
                with contextlib.suppress(NotConnectedError):
                    await service.disconnect(peer)
            return answers.Forgotten(peer, declined=True)

        await self._run("decline", peer, decline)

    async def forget(self, peer: str) -> None:
        """Delete a contact and all that was said with it; answers `Forgotten`."""

        async def forget(service: Service) -> Message:
            await service.forget(peer)
            return answers.Forgotten(peer, declined=False)

        await self._run("forget", peer, forget)

    async def read_phrase(self, peer: str) -> None:
        """Ask for the words to compare; answers `PhraseRead`."""

        async def read(service: Service) -> Message:
            return answers.PhraseRead(peer, await service.verification_phrase(peer))

        await self._run("phrase", peer, read)

    # --- inside -------------------------------------------------------------------------------------------------------

    async def _change(self, name: str, peer: str, command: Callable[[Service], Awaitable[None]]) -> None:
        async def change(service: Service) -> Message:
            await command(service)
            contact: Contact = await service.contact(peer)
            return answers.ContactChanged(name, contact)

        await self._run(name, peer, change)

    async def _run(
        self, name: str, subject: str, command: Callable[[Service], Awaitable[Message | None]]
    ) -> None:
        """Run a command and post its answer, or why there is none."""
        try:
            if self._service is None:
                raise P2PChatError("p2pchat is still starting; try again in a moment.")
            answer = await command(self._service)
        except Exception as error:
            self._post(answers.CommandFailed(name, subject, sentence_of(error)))
        else:
            if answer is not None:
                self._post(answer)

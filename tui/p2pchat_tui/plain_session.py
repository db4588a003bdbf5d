"""What the line mode does with a line, and what it says about an event."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, ClassVar, Final

from p2pchat_core import limits
from p2pchat_core.chat.events import (
    ConnectionEvent,
    ContactEvent,
    ErrorEvent,
    Event,
    ListeningEvent,
    MessageEvent,
    ReadyEvent,
    RelayEvent,
    RelayState,
    SentEvent,
    StepEvent,
)
from p2pchat_core.errors import CommandError, P2PChatError
from p2pchat_tui import plain_words as words
from p2pchat_tui.log_lines import format_ms
from p2pchat_tui.plain_people import PeopleCommands
from p2pchat_tui.safe_text import clean_input

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from p2pchat_core.chat.service import ChatService
    from p2pchat_tui.plain_lines import Lines

__all__ = ["Session"]

logger = logging.getLogger(__name__)

_QUOTED: Final = 40
"""Characters of our own message that a line about its fate repeats."""


class Session(PeopleCommands):
    """Runs what is typed and says what happens. `stopping` is set when it should end.

    Args:
        echo: say our own messages too, because nobody has seen them being typed.
    """

    def __init__(self, service: ChatService, lines: Lines, *, echo: bool) -> None:
        super().__init__(service, lines)
        self.stopping = asyncio.Event()
        self._echo = echo
        self._addresses: tuple[str, ...] = ()
        self._sent: dict[str, str] = {}

    # --- what is typed ----------------------------------------------------------------------------------------------

    async def run_line(self, line: str) -> None:
        """Do what one line says; what goes wrong is said in a sentence."""
        try:
            if line.startswith("/") and not line.startswith("//"):
                name, _, argument = line[1:].partition(" ")
                command = self._COMMANDS.get(name.lower())
                if command is None:
                    raise CommandError(f"There is no command /{name[:40]}; /help lists them.")
                await command(self, argument.strip())
            elif line.strip():
                await self._send(line.removeprefix("/"))
        except P2PChatError as error:
            await self._lines.say(f"Error: {words.sentence(str(error))}")
        except Exception as error:
            logger.exception("a command failed")
            await self._lines.say(f"Error: This is a defect in p2pchat: {words.sentence(repr(error))}")

    async def _send(self, text: str) -> None:
        peer = self._current()
        message_id = await self._service.send(peer, text)
        shown = words.one_line(text)
        self._sent[message_id] = shown if len(shown) <= _QUOTED else shown[: _QUOTED - 1] + "…"
        while len(self._sent) > limits.SCREEN_LOG_LINES:
            del self._sent[next(iter(self._sent))]
        if self._echo:
            await self._lines.say(f"You to {self._talk.name(peer)}: {shown}")

    async def _connect(self, address: str) -> None:
        if not address:
            raise CommandError("Say where to: /connect ADDRESS.")
        address = clean_input(address, lines=False)
        await self._lines.say(f"Connecting to {words.address(address)}")
        self._talk.dial(address)
        try:
            result = await self._service.connect(address)
        finally:
            self._talk.dial(None)
        rtt = f", round trip {format_ms(result.rtt_ms)} ms" if result.rtt_ms is not None else ""
        if result.kind == "relay":
            await self._lines.say(f"The relay is connected{rtt}.")
            return
        await self._known(result.peer)
        await self._select(result.peer, rtt)

    async def _peers(self, _argument: str) -> None:
        listed = self._talk.listed()
        if not listed:
            await self._lines.say("There is nobody yet. Give your address (/address) to a friend.")
        paths = {status.peer: status.path.value for status in reversed(self._service.status().connections)}
        for number, peer in enumerate(listed, 1):
            about = [paths.get(peer, "not connected")]
            if peer in self._talk.waiting:
                about.append(f"waiting with {len(self._talk.waiting[peer])} messages")
            elif peer == self._talk.current:
                about.append("you talk to them now")
            await self._lines.say(f"{number}. {self._talk.name(peer)}: {', '.join(about)}")

    async def _to(self, name: str) -> None:
        if not name:
            raise CommandError("Say to whom: /to NAME.")
        peer = self._talk.find(name)
        if peer in self._talk.waiting:
            raise CommandError(f"{self._talk.name(peer)} is waiting; /accept first.")
        await self._select(peer)

    async def _address(self, _argument: str) -> None:
        if not self._addresses:
            await self._lines.say(
                "You have no address yet; it is said here as soon as a relay gives you one."
            )
        for address in self._addresses:
            await self._lines.say(f"Your address: {words.address(address)}")

    async def _status(self, _argument: str) -> None:
        status = self._service.status()
        await self._lines.say(f"You are {status.peer_id}.")
        await self._address("")
        for relay in status.relays:
            await self._lines.say(words.relay_status(relay, time.time()))
        for connection in status.connections:
            await self._lines.say(words.connection_status(connection, self._talk.name(connection.peer)))
        if not status.connections:
            await self._lines.say("Nobody is connected.")

    async def _disconnect(self, _argument: str) -> None:
        await self._service.disconnect(self._current())

    async def _cancel(self, _argument: str) -> None:
        await self._lines.say("There is nothing to cancel.")

    async def _quit(self, _argument: str) -> None:
        self.stopping.set()

    async def _help(self, _argument: str) -> None:
        for line in words.help_lines():
            await self._lines.say(line)

    _COMMANDS: ClassVar[Mapping[str, Callable[[Session, str], Awaitable[None]]]] = {
        "connect": _connect,
        "peers": _peers,
        "to": _to,
        "address": _address,
        "status": _status,
        "accept": PeopleCommands._accept,
        "decline": PeopleCommands._decline,
        "block": PeopleCommands._block,
        "unblock": PeopleCommands._unblock,
        "contacts": PeopleCommands._contacts,
        "contact": PeopleCommands._contact,
        "rename": PeopleCommands._rename,
        "notes": PeopleCommands._notes,
        "verify": PeopleCommands._verify,
        "keep": PeopleCommands._keep,
        "forget": PeopleCommands._forget,
        "history": PeopleCommands._history,
        "search": PeopleCommands._search,
        "links": PeopleCommands._links,
        "export": PeopleCommands._export,
        "disconnect": _disconnect,
        "cancel": _cancel,
        "quit": _quit,
        "help": _help,
    }

    # --- what happens -----------------------------------------------------------------------------------------------

    async def show(self, events: AsyncIterator[Event]) -> None:
        """Say every event until there are no more."""
        async for event in events:
            # That everything ends is what the user has asked for; whether a message still arrived is news.
            if not self.stopping.is_set() or isinstance(event, SentEvent):
                await self.show_event(event)

    async def show_event(self, event: Event) -> None:
        """Say one event."""
        match event:
            case ReadyEvent():
                await self._lines.say(f"You are {event.peer_id}. /help lists the commands.")
            case ListeningEvent():
                await self._listening(event)
            case RelayEvent():
                self._talk.relay(event)
                if event.state is not RelayState.CONNECTING:
                    await self._lines.say(words.relay(event))
            case StepEvent() if not self._talk.is_relay(event.peer) or not event.ok:
                await self._lines.say(words.step(event, self._talk.name(event.peer)))
            case ConnectionEvent():
                await self._connection(event)
            case ContactEvent():
                if event.forgotten:
                    self._talk.forget(event.contact.peer)
                else:
                    await self.contact_changed(event.contact)
            case MessageEvent():
                shown, ask = self._talk.message(event)
                if shown:
                    await self._say_message(event)
                elif ask:
                    await self._meet(event.peer)
            case SentEvent():
                text = self._sent.get(event.message_id, "")
                done = "Delivered" if event.delivered else "Sent"
                await self._lines.say(f"{done} to {self._talk.name(event.peer)}: {text}".rstrip(": "))
            case ErrorEvent():
                await self._lines.say(words.error(event))
            case _:
                pass

    async def _listening(self, event: ListeningEvent) -> None:
        before, self._addresses = self._addresses, event.addresses[: limits.SCREEN_ADDRESSES]
        for address in self._addresses:
            if address not in before:
                await self._lines.say(f"Your address: {words.address(address)}")
        if before and not self._addresses:
            await self._lines.say("You have no address any more, until a relay gives you one.")

    async def _connection(self, event: ConnectionEvent) -> None:
        if self._talk.is_relay(event.peer):
            return
        ask = self._talk.connection(event)
        await self._lines.say(words.connection(event, self._talk.name(event.peer)))
        if ask:
            await self._meet(event.peer)

    async def _meet(self, peer: str) -> None:
        """Ask about a caller."""
        await self._lines.say(words.stranger(self._talk.name(peer)))

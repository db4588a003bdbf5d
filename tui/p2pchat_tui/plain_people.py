"""The commands of the line mode about people and about what was said: each is the action of the screen in words."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from p2pchat_core import limits
from p2pchat_core.chat.model import Retention, Standing
from p2pchat_core.errors import CommandError, NotConnectedError
from p2pchat_tui import plain_words as words
from p2pchat_tui.links import links_in
from p2pchat_tui.plain_talk import Talk
from p2pchat_tui.screens.export import format_of

if TYPE_CHECKING:
    from p2pchat_core.chat.events import MessageEvent
    from p2pchat_core.chat.model import Contact
    from p2pchat_core.chat.service import ChatService
    from p2pchat_tui.plain_lines import Lines

__all__ = ["PeopleCommands"]

_DATE: Final = "%Y-%m-%d %H:%M"


class PeopleCommands:
    """Needs a service to command and lines to say things on; `p2pchat_tui.plain_session.Session` is one."""

    def __init__(self, service: ChatService, lines: Lines) -> None:
        self._service = service
        self._lines = lines
        self._talk = Talk()

    # --- who they are -------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Read who is known; before that, everybody would be a stranger."""
        for contact in await self._service.contacts():
            self._talk.contact(contact)

    async def contact_changed(self, contact: Contact) -> None:
        """Take what the service says into account, and say what of it matters."""
        before, held = self._talk.contact(contact)
        if contact.impersonates and (before is None or before.impersonates != contact.impersonates):
            await self._lines.say(words.impersonation(contact))
        for event in held:
            await self._say_message(event)

    async def _known(self, peer: str) -> Contact:
        contact = await self._service.contact(peer)
        await self.contact_changed(contact)
        return contact

    async def _say_message(self, event: MessageEvent) -> None:
        await self._lines.say(
            f"{self._talk.name(event.peer)}: {words.one_line(event.text)}", at=event.sent_at
        )

    def _current(self) -> str:
        if self._talk.current is None:
            raise CommandError("You talk to nobody yet: /connect ADDRESS, or /to NAME.")
        return self._talk.current

    async def _select(self, peer: str, more: str = "") -> None:
        name = self._talk.name(peer)
        self._talk.current = peer
        self._lines.prompt = f"to {name}> "
        await self._lines.say(f"You talk to {name} now{more}.")

    # --- strangers ----------------------------------------------------------------------------------------------------

    async def _accept(self, name: str) -> None:
        peer = self._talk.waiting_peer(name)
        await self._service.accept(peer)
        await self._lines.say(f"You let {self._talk.name(peer)} in.")
        await self._known(peer)
        if self._talk.current is None:
            await self._select(peer)

    async def _decline(self, name: str) -> None:
        peer = self._talk.waiting_peer(name)
        if self._talk.roster.get(peer) is not None:
            await self._service.decline(peer)
        else:  # it has called and said nothing, so there is nothing to forget
            with contextlib.suppress(NotConnectedError):
                await self._service.disconnect(peer)
        self._talk.decline(peer)
        await self._lines.say(f"You turned {self._talk.name(peer)} away.")

    async def _block(self, name: str) -> None:
        if name or not self._talk.waiting:
            if not name:
                raise CommandError("Say whom: /block NAME.")
            peer = self._talk.find(name)
        else:
            peer = self._talk.waiting_peer("")
        called = self._talk.name(peer)
        await self._service.block(peer)
        self._talk.waiting.pop(peer, None)
        await self._known(peer)
        await self._lines.say(f"{called} is blocked. They are not told.")

    async def _unblock(self, name: str) -> None:
        if not name:
            raise CommandError("Say whom: /unblock NAME.")
        peer = self._talk.find(name, among=Standing.BLOCKED)
        await self._service.unblock(peer)
        await self._known(peer)
        await self._lines.say(f"{self._talk.name(peer)} is no longer blocked.")

    # --- contacts -----------------------------------------------------------------------------------------------------

    async def _contacts(self, _argument: str) -> None:
        await self.begin()
        everybody = self._talk.roster.contacts
        if not everybody:
            await self._lines.say("There is nobody yet. Give your address (/address) to a friend.")
        for contact in sorted(everybody.values(), key=lambda one: one.standing):
            await self._lines.say(words.contact(contact, self._talk.name(contact.peer)))

    async def _contact(self, name: str) -> None:
        peer = self._talk.find(name) if name else self._current()
        contact = await self._known(peer)
        for line in words.card(contact, self._talk.name(peer)):
            await self._lines.say(line)

    async def _rename(self, name: str) -> None:
        peer = self._current()
        await self._service.rename(peer, name)
        await self._known(peer)
        self._lines.prompt = f"to {self._talk.name(peer)}> "
        await self._lines.say(f"They are called {self._talk.name(peer)} now.")

    async def _notes(self, text: str) -> None:
        peer = self._current()
        if text:
            await self._service.annotate(peer, text)
        contact = await self._known(peer)
        noted = words.one_line(contact.notes)
        await self._lines.say(f"Your note: {noted}" if noted else "There is no note; /notes TEXT makes one.")

    async def _verify(self, answer: str) -> None:
        peer, name = self._current(), self._talk.name(self._current())
        if answer.lower() in ("yes", "no"):
            await self._service.set_verified(peer, answer.lower() == "yes")
            await self._known(peer)
            done = "verified" if answer.lower() == "yes" else "not verified any more"
            await self._lines.say(f"{name} is {done}.")
            return
        phrase = " ".join(words.sentence(word) for word in await self._service.verification_phrase(peer))
        await self._lines.say(f"The words of you and {name}: {phrase}.")
        await self._lines.say(
            "If they see the same words, say /verify yes. If not, it is somebody else: /verify no."
        )

    async def _keep(self, argument: str) -> None:
        peer = self._current()
        if argument:
            await self._service.set_retention(peer, _retention(argument))
        contact = await self._known(peer)
        await self._lines.say(words.kept(contact.retention))

    async def _forget(self, answer: str) -> None:
        peer = self._current()
        name = self._talk.name(peer)
        if answer.lower() != "yes":
            await self._lines.say(
                f"This deletes {name} and everything that was said, for good. Say /forget yes to do it."
            )
            return
        await self._service.forget(peer)
        self._talk.forget(peer)
        self._lines.prompt = "> "
        await self._lines.say(f"{name} and everything that was said is forgotten.")

    # --- what was said ------------------------------------------------------------------------------------------------

    async def _history(self, argument: str) -> None:
        if argument and not (argument.isdecimal() and 1 <= int(argument[:9]) <= limits.HISTORY_PAGE):
            raise CommandError(f"/history takes a number from 1 to {limits.HISTORY_PAGE}.")
        peer = self._current()
        name = self._talk.name(peer)
        messages = await self._service.history(peer, int(argument or limits.PLAIN_HISTORY))
        if not messages:
            await self._lines.say(f"Nothing was said with {name} yet.")
        for message in messages:
            who = f"You ({message.state.value})" if message.outgoing else name
            at = time.strftime(_DATE, time.localtime(message.sent_at))
            await self._lines.say(f"History, {at}, {who}: {words.one_line(message.text)}")

    async def _search(self, text: str) -> None:
        if not text:
            raise CommandError("Say what for: /search WORDS.")
        hits = await self._service.search(text, limit=limits.PLAIN_HISTORY)
        if not hits:
            await self._lines.say("Nothing was said with these words.")
        for hit in reversed(hits):
            message = hit.message
            name = self._talk.name(message.peer)
            who = f"you to {name}" if message.outgoing else name
            at = time.strftime(_DATE, time.localtime(message.sent_at))
            await self._lines.say(f"Found, {at}, {who}: {words.one_line(message.text)}")

    async def _links(self, _argument: str) -> None:
        messages = await self._service.history(self._current(), limits.HISTORY_PAGE)
        links = links_in(message.text for message in reversed(messages))
        if not links:
            await self._lines.say("There are no links in the last messages.")
        for link in links[: limits.PLAIN_HISTORY]:
            warning = f" Look twice: {link.warning}." if link.warning else ""
            await self._lines.say(
                f"Link to {words.sentence(link.place)}: {words.address(link.target)}{warning}"
            )

    async def _export(self, argument: str) -> None:
        name, _, rest = argument.partition(" ")
        everything = name.lower() == "all" and bool(rest)
        path = _path(rest.strip() if everything else argument)
        if not argument or (wanted := format_of(path)) is None:
            raise CommandError("Say where to: /export FILE or /export all FILE; it ends with .txt or .jsonl.")
        peer = None if everything else self._current()
        count = await self._service.export(path, wanted, peer=peer)
        await self._lines.say(f"{count} messages were written to {words.sentence(str(path))}.")


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except (OSError, RuntimeError, ValueError) as error:  # no such user's home
        raise CommandError(f"{text!r:.80} is no place for a file.") from error


def _retention(argument: str) -> Retention:
    match argument.lower().split():
        case ["default"]:
            return Retention()
        case ["nothing"]:
            return Retention(ephemeral=True)
        case [days] | [days, "days" | "day"] if (
            days.isdecimal() and 1 <= int(days[:9]) <= limits.RETENTION_MAX_DAYS
        ):
            return Retention(days=int(days))
    raise CommandError("/keep takes a number of days, 'nothing', or 'default' for what is set for all.")

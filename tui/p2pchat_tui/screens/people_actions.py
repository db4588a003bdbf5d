"""What the main screen does about people: strangers, contact cards, and who is blocked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p2pchat_core.chat.model import Standing
from p2pchat_tui.roster import name_of
from p2pchat_tui.safe_text import Kind, visible
from p2pchat_tui.screens.base import BaseScreen
from p2pchat_tui.screens.confirm import ConfirmScreen
from p2pchat_tui.screens.contact import PARTS, ContactCard
from p2pchat_tui.screens.people import PeopleScreen

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from p2pchat_core.chat.model import Contact
    from p2pchat_tui import answers
    from p2pchat_tui.widgets.message_view import MessageView
    from p2pchat_tui.widgets.stranger_bar import StrangerBar

__all__ = ["PeopleActions"]


class PeopleActions(BaseScreen):
    """Every change is a command of the service; the screen shows what the service then says."""

    # --- what the service tells -------------------------------------------------------------------------------------

    def on_contacts_loaded(self, message: answers.ContactsLoaded) -> None:
        """Everybody there is at the start."""
        self.model.contacts(message.contacts)
        self._changed()

    def on_contact_changed(self, message: answers.ContactChanged) -> None:
        """A command about a contact succeeded."""
        contact = message.contact
        self.model.contact(contact)
        self.contact_changed(contact)
        if message.command == "accept":
            self.model.accepted_now(contact.peer)
            self._read_history(contact.peer)
            if self.model.selected == contact.peer and self.app.screen is self:
                self._to_conversation()
            self._changed(to_end=True)
        elif message.command in ("block", "unblock"):
            done = "blocked" if contact.standing is Standing.BLOCKED else "no longer blocked"
            words = visible(f"{name_of(contact)} is {done}.", Kind.SENTENCE)
            self.notify(words, title="People", markup=False)
        self._changed()

    def on_forgotten(self, message: answers.Forgotten) -> None:
        """A contact is deleted, or a stranger turned away."""
        if message.declined:
            self.model.turned_away(message.peer)
        else:
            self.model.forget(message.peer)
        if (card := self._card) is not None and card.peer == message.peer:
            card.dismiss()
        self._changed()

    def on_phrase_read(self, message: answers.PhraseRead) -> None:
        """The words to compare."""
        if (card := self._card) is not None and card.peer == message.peer:
            card.phrase(message.words)

    def contact_changed(self, contact: Contact) -> None:
        """Show it on the card, if that is open."""
        if (card := self._card) is not None and card.peer == contact.peer:
            card.show(contact)

    @property
    def _card(self) -> ContactCard | None:
        return next((screen for screen in self.app.screen_stack if isinstance(screen, ContactCard)), None)

    # --- what the user does -------------------------------------------------------------------------------------------

    def on_stranger_bar_decided(self, message: StrangerBar.Decided) -> None:
        """A button of the question was pressed, or the question itself."""
        if message.answer == "card":
            self._open_card(message.peer)
        elif message.answer == "block":
            self._ask_to_block(message.peer)
        else:
            self._do(message.answer, message.peer)

    def on_message_view_title_clicked(self, message: MessageView.TitleClicked) -> None:
        """The name above a conversation was clicked."""
        self._open_card(message.peer)

    def on_contact_card_change(self, message: ContactCard.Change) -> None:
        """Something on the card was changed."""
        peer, bridge = message.peer, self.bridge
        match message.what:
            case "rename":
                self._command(bridge.rename(peer, message.text))
            case "annotate":
                self._command(bridge.annotate(peer, message.text))
            case "verify" | "unverify":
                self._command(bridge.set_verified(peer, message.what == "verify"))
            case "retention":
                self._command(bridge.set_retention(peer, message.retention))
            case "copy":
                self._command(self._copy_of(peer, message.text))
            case "talk":
                if (card := self._card) is not None:
                    card.action_close()
                self.show_peer(peer)
            case "block":
                self._ask_to_block(peer)
            case "forget":
                self._ask_to_forget(peer)
            case what:
                self._do(what, peer)

    async def _copy_of(self, peer: str, address: str) -> None:
        await self._copy(visible(address, Kind.ADDRESS), f"Address of {self.model.roster.name_of(peer)}")

    def _do(self, what: str, peer: str) -> None:
        if what == "accept":
            self._command(self.bridge.accept(peer))
        elif what == "decline":
            self._command(self.bridge.decline(peer, known=self.model.roster.get(peer) is not None))
        elif what == "unblock":
            self._command(self.bridge.unblock(peer))

    def _command(self, command: Coroutine[None, None, None]) -> None:
        self.run_worker(command, group="people")

    def _ask_to_block(self, peer: str) -> None:
        name = self.model.roster.name_of(peer)

        def answered(yes: bool | None) -> None:
            if yes:
                self._command(self.bridge.block(peer))

        about = "Their connections are closed, and whatever they say later is not heard. They are not told."
        self.app.push_screen(ConfirmScreen(f"Block {name}?", about, "Yes, block"), answered)

    def _ask_to_forget(self, peer: str) -> None:
        name = self.model.roster.name_of(peer)

        def answered(yes: bool | None) -> None:
            if yes:
                self._command(self.bridge.forget(peer))

        about = "The contact and everything that was said with it are deleted here. It cannot be undone."
        self.app.push_screen(ConfirmScreen(f"Forget {name}?", about, "Yes, forget"), answered)

    def _open_card(self, peer: str, part: str = "#card-name") -> None:
        contact = self.model.roster.get(peer)
        if contact is None or self._card is not None:
            return
        self.app.push_screen(ContactCard(contact, part=part))
        if contact.standing is Standing.CONTACT:
            self._command(self.bridge.read_phrase(peer))

    # --- actions ------------------------------------------------------------------------------------------------------

    def action_accept(self) -> None:
        """Let the first stranger in."""
        if strangers := self.model.strangers:
            self._do("accept", strangers[0].peer)

    def action_decline(self) -> None:
        """Turn the first stranger away."""
        if strangers := self.model.strangers:
            self._do("decline", strangers[0].peer)

    def action_block(self) -> None:
        """Block the first stranger, after asking."""
        if strangers := self.model.strangers:
            self._ask_to_block(strangers[0].peer)

    def action_people(self) -> None:
        """List everybody."""
        paths = {peer: talk.path for peer, talk in self.model.conversations.items()}
        waiting = {conversation.peer for conversation in self.model.strangers}
        self.app.push_screen(PeopleScreen(self.model.roster, paths, waiting), self._chosen)

    def _chosen(self, peer: str | None) -> None:
        if peer is not None:
            self._open_card(peer)

    def action_contact(self) -> None:
        """Open the card of the selected conversation."""
        if self.model.selected is not None:
            self._open_card(self.model.selected)

    def action_rename(self) -> None:
        """Go to the name on the card."""
        self._go_to_part("rename")

    def action_notes(self) -> None:
        """Go to the notes on the card."""
        self._go_to_part("notes")

    def action_verify(self) -> None:
        """Go to the words on the card."""
        self._go_to_part("verify")

    def action_retention(self) -> None:
        """Go to how long messages are kept."""
        self._go_to_part("retention")

    def _go_to_part(self, name: str) -> None:
        if self.model.selected is not None:
            self._open_card(self.model.selected, PARTS[name])

    def action_block_contact(self) -> None:
        """Block the selected contact, after asking."""
        if self.model.selected is not None:
            self._ask_to_block(self.model.selected)

    def action_forget(self) -> None:
        """Forget the selected contact, after asking."""
        if self.model.selected is not None:
            self._ask_to_forget(self.model.selected)

"""The card of one peer: what you call them, who they say they are, whether it is them, and what is kept."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Button, Input, OptionList, Static
from textual.widgets.option_list import Option

from p2pchat_core import limits
from p2pchat_core.chat.model import Retention, Standing
from p2pchat_tui.addresses import reach
from p2pchat_tui.roster import badges, name_of
from p2pchat_tui.safe_text import Kind, clean_input, safe_text, visible
from p2pchat_tui.widgets.clean_field import CleanField

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from p2pchat_core.chat.model import Contact

__all__ = ["PARTS", "RETENTIONS", "ContactCard"]

_AS_FOR_ALL: Final = Retention()
RETENTIONS: Final = (
    ("As set for all", _AS_FOR_ALL),
    ("1 day", Retention(days=1)),
    ("7 days", Retention(days=7)),
    ("30 days", Retention(days=30)),
    ("1 year", Retention(days=365)),
    ("Nothing", Retention(ephemeral=True)),
)
"""What can be chosen; another one, from elsewhere, is shown as it is."""
PARTS: Final = {
    "rename": "#card-name",
    "notes": "#card-notes",
    "verify": "#card-verify",
    "retention": "#card-retention",
}
"""Action -> the part of the card that it goes to."""
_LABEL: Final = 14


class ContactCard(ModalScreen[None]):
    """A page over the main screen. What is changed is asked for at once; `show` brings what came of it.

    Args:
        part: the selector of what has the focus.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f9", "close", "Close", show=False),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    @dataclass
    class Change(Message):
        """The user wants something done about `peer`.

        `what` is one of: rename, annotate, verify, unverify, retention, talk, accept, decline, block, unblock, forget,
        copy.
        """

        peer: str
        what: str
        text: str = ""
        retention: Retention = _AS_FOR_ALL

    def __init__(self, contact: Contact, *, part: str = "#card-name") -> None:
        super().__init__()
        self.peer = contact.peer
        self._contact = contact
        self._part = part
        self._words: tuple[str, ...] | None = None
        self._made = False

    def compose(self) -> ComposeResult:
        """Make the card."""
        page = VerticalScroll(id="card", classes="pane", can_focus=False)
        page.border_title = Content("Contact")
        page.border_subtitle = Content("Tab next · Enter does it · Esc closes")
        with page:
            yield Static(id="card-who")
            with Horizontal(classes="card-row"):
                yield Static(Content.styled("Your name", "$text-muted"), classes="card-label")
                yield CleanField(
                    placeholder="a name for them, only for you",
                    id="card-name",
                    compact=True,
                    max_length=limits.SETTINGS_MAX_NAME,
                )
            with Horizontal(classes="card-row"):
                yield Static(Content.styled("Notes", "$text-muted"), classes="card-label")
                yield CleanField(
                    placeholder="only for you",
                    id="card-notes",
                    compact=True,
                    max_length=limits.CONTACT_MAX_NOTES,
                )
            with Horizontal(classes="card-row", id="card-keep-row"):
                yield Static(Content.styled("Keep", "$text-muted"), classes="card-label")
                yield Button(Content(""), id="card-retention", compact=True)
                yield Static(id="card-retention-note")
            with Vertical(id="card-verification"):
                yield Static(id="card-words")
                yield Button(Content(""), id="card-verify", compact=True)
            yield Static(Content.styled("Addresses", "$text-muted"), id="card-addresses-label")
            yield OptionList(id="card-addresses", compact=True, markup=False)
            with Horizontal(id="card-buttons"):
                yield Button(Content("Talk"), id="card-talk", compact=True, variant="primary")
                yield Button(Content("Accept"), id="card-accept", compact=True, variant="success")
                yield Button(Content("Decline"), id="card-decline", compact=True)
                yield Button(Content("Block"), id="card-block", compact=True, variant="warning")
                yield Button(Content("Unblock"), id="card-unblock", compact=True)
                yield Button(Content("Forget"), id="card-forget", compact=True, variant="error")

    def on_mount(self) -> None:
        """Fill in what is known."""
        contact, self._made = self._contact, True
        self.query_one("#card-name", Input).value = _typed(contact.name)
        self.query_one("#card-notes", Input).value = _typed(contact.notes)
        self.show(contact)
        wanted = self.query_one(self._part)
        if wanted.display and wanted.focusable:
            wanted.focus()
        if self._part == PARTS["verify"]:
            self.call_after_refresh(self.query_one("#card-verification").scroll_visible, animate=False)

    # --- what the screen tells --------------------------------------------------------------------------------------

    def show(self, contact: Contact) -> None:
        """Show the contact as the service knows it now; what is being typed stays."""
        before, self._contact = self._contact, contact
        if not self._made:
            return
        self.query_one("#card-who", Static).update(_who(contact))
        is_contact = contact.standing is Standing.CONTACT
        for name in ("accept", "decline"):
            self.query_one(f"#card-{name}").display = contact.standing is Standing.STRANGER
        self.query_one("#card-talk").display = is_contact
        self.query_one("#card-block").display = contact.standing is not Standing.BLOCKED
        self.query_one("#card-unblock").display = contact.standing is Standing.BLOCKED
        self.query_one("#card-forget").display = contact.standing is not Standing.STRANGER
        for row in ("#card-keep-row", "#card-verification"):
            self.query_one(row).display = is_contact
        self._show_retention()
        self._show_words()
        addresses = self.query_one(OptionList)
        addresses.display = bool(contact.addresses)
        self.query_one("#card-addresses-label").display = bool(contact.addresses)
        if contact.addresses != before.addresses or not addresses.option_count:
            addresses.clear_options()
            addresses.add_options(Option(_address(address)) for address in contact.addresses)

    def phrase(self, words: Sequence[str]) -> None:
        """Show the words to compare."""
        self._words = tuple(words)
        if self._made:
            self._show_words()

    def _show_retention(self) -> None:
        kept = self._contact.retention
        name = next((name for name, known in RETENTIONS if known == kept), f"{kept.days} days")
        self.query_one("#card-retention", Button).label = Content(f"{name} ▸")
        words = "nothing is written to the disk" if kept.ephemeral else "Enter or a click changes it"
        self.query_one("#card-retention-note", Static).update(Content.styled(words, "$text-muted"))

    def _show_words(self) -> None:
        contact, button = self._contact, self.query_one("#card-verify", Button)
        verified = contact.verified_at is not None
        name = name_of(contact)
        if self._words is None:
            words = Content.styled("… working out the words", "$text-muted")
        else:
            spoken = "  ".join(visible(word, Kind.NAME) for word in self._words)
            ask = f"Is it really {name}? By telephone or face to face, compare these words with theirs:"
            words = Content.assemble((ask, "$text-muted"), "\n  ", (spoken, "bold $text-accent"))
        if contact.verified_at is not None:
            day = time.strftime("%Y-%m-%d", time.localtime(contact.verified_at))
            words = words.append(
                Content.styled(f"\n✓ verified: you found them the same on {day}", "$text-success")
            )
        self.query_one("#card-words", Static).update(words)
        button.label = Content("Not verified any more" if verified else "The words are the same: verified")
        button.variant = "default" if verified else "success"
        button.disabled = self._words is None

    # --- what the user does -------------------------------------------------------------------------------------------

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep what was typed, and go on."""
        event.stop()
        self._keep(event.input)
        self.focus_next()

    def on_descendant_blur(self) -> None:
        """Keep what was typed when the field is left."""
        for field in self.query(Input):
            self._keep(field)

    def action_close(self) -> None:
        """Keep what was typed, and close."""
        for field in self.query(Input):
            self._keep(field)
        self.dismiss()

    def _keep(self, field: Input) -> None:
        naming = field.id == "card-name"
        text = clean_input(field.value, lines=True).replace("\n", " ").strip()
        before = self._contact.name if naming else self._contact.notes
        if text != _typed(before):
            self._ask("rename" if naming else "annotate", text=text)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Do what the button says."""
        event.stop()
        what = (event.button.id or "").removeprefix("card-")
        if what == "retention":
            self._ask(what, retention=_next(self._contact.retention))
        elif what == "verify":
            self._ask("unverify" if self._contact.verified_at is not None else "verify")
        else:
            self._ask(what)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Copy the address."""
        event.stop()
        self._ask("copy", text=self._contact.addresses[event.option_index])

    def _ask(self, what: str, *, text: str = "", retention: Retention = _AS_FOR_ALL) -> None:
        self.app.screen_stack[0].post_message(self.Change(self.peer, what, text, retention))


def _next(kept: Retention) -> Retention:
    known = [retention for _, retention in RETENTIONS]
    return known[(known.index(kept) + 1) % len(known)] if kept in known else known[0]


def _typed(text: str) -> str:
    """Return what is kept as it may stand in a field."""
    return clean_input(text, lines=True).replace("\n", " ").strip()


def _address(address: str) -> Content:
    where = Content.styled(f"{reach(address)}  ", "$text-muted")
    return Content.assemble("  ", where, safe_text(address, Kind.ADDRESS, "$foreground"))


def _who(contact: Contact) -> Content:
    title: list[Content | str | tuple[str, str]] = [(name_of(contact), "bold $foreground")]
    for words, style in badges(contact):
        title += ["  ", (words, style)]
    if contact.standing is Standing.CONTACT and contact.verified_at is None:
        title += ["  ", ("◌ not verified", "$text-warning")]
    elif contact.standing is Standing.STRANGER:
        title += ["  ", ("? a stranger", "$text-warning")]
    lines = [Content.assemble(*title)]
    if contact.impersonates:
        known = visible(contact.impersonates, Kind.NAME)
        words = f"They use the name of your contact {known}, but have another identity. Ask {known} about it."
        lines.append(Content.styled(words, "$text-error"))
    claimed = visible(contact.calls_itself, Kind.NAME) or "nothing they have told"
    rows = {
        "Call themselves": claimed,
        "Peer id": visible(contact.peer, Kind.ADDRESS),
        "Known since": time.strftime("%Y-%m-%d", time.localtime(contact.added_at)),
    }
    lines += [
        Content.assemble((label.ljust(_LABEL + 2), "$text-muted"), (value, "$foreground"))
        for label, value in rows.items()
    ]
    return Content("\n").join(lines)

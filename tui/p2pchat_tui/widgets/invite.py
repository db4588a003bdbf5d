"""Where a conversation begins: our address to give away, and a field for somebody else's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from p2pchat_core.chat.events import RelayEvent, RelayState
from p2pchat_tui.bindings import ACTIONS
from p2pchat_tui.keys import keys_of
from p2pchat_tui.log_lines import endpoint, short_peer
from p2pchat_tui.safe_text import Kind, clean_input, safe_text, visible

if TYPE_CHECKING:
    from collections.abc import Collection

    from textual import events
    from textual.app import ComposeResult

__all__ = ["AddressCard", "AddressInput", "AddressLine", "ConnectField", "Invite", "describe_address"]

_TAKEN = frozenset(action.key for action in ACTIONS)


class AddressLine(Static):
    """One complete address. Wrapping adds no spaces, so selecting it with the mouse gives it whole."""

    @dataclass
    class Clicked(Message):
        """The user wants this address copied."""

        address: str

    def __init__(self, address: str) -> None:
        super().__init__(safe_text(address, Kind.ADDRESS))
        self.address = address

    def on_click(self, event: events.Click) -> None:
        """A double click copies; a single one may be the start of a selection."""
        if event.chain == 2:
            self.post_message(self.Clicked(self.address))


class AddressCard(VerticalScroll, can_focus=False):
    """Our addresses, the one to give away first."""

    def __init__(self) -> None:
        super().__init__(id="address-card", classes="pane")
        self.border_title = Content("Your address · send it to a friend")
        self._shown: tuple[str, ...] | None = None

    def compose(self) -> ComposeResult:
        """Start with a word instead of an address."""
        yield Static(Content("Starting…"), id="address-state")

    def show(self, addresses: tuple[str, ...], relays: Collection[RelayEvent], trouble: bool) -> None:
        """Show all `addresses`, or why there is none yet."""
        state = self.query_one("#address-state", Static)
        state.display = not addresses
        if not addresses:
            state.update(_why_no_address(relays, trouble))
        if addresses == self._shown:
            return
        self._shown = addresses
        self.query(AddressLine).remove()
        self.mount_all(AddressLine(address) for address in addresses)
        self.border_subtitle = (
            Content.styled(f"{keys_of(self.app).shown('copy_address')} copy", "$text-accent")
            if addresses
            else Content("")
        )

    def copied(self, how: str) -> None:
        """Say that the address was copied, and by what means."""
        self.border_subtitle = Content.styled(f"✓ copied to the clipboard {how}", "bold $text-success")


def _why_no_address(relays: Collection[RelayEvent], trouble: bool) -> Content:
    if trouble:
        return Content.styled(
            "There is no address: p2pchat could not start. The log below says why.", "$text-error"
        )
    if any(relay.state in (RelayState.LOST, RelayState.REFUSED) for relay in relays):
        labels = ", ".join(endpoint(relay.address) for relay in relays)
        return Content.styled(
            f"No relay can be reached now ({labels}). p2pchat keeps trying.", "$text-warning"
        )
    if relays:
        return Content.styled("Reserving a slot on the relay…", "$text-muted")
    return Content.styled("Starting…", "$text-muted")


class AddressInput(Input, inherit_bindings=False):
    """A field in which an address in several pieces becomes one again."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(b for b in Input.BINDINGS if isinstance(b, Binding) and not _TAKEN & set(b.key.split(","))),
    ]

    def _on_paste(self, event: events.Paste) -> None:
        event.text = clean_input(event.text, lines=False)
        super()._on_paste(event)
        event.prevent_default()

    def validate_value(self, value: str) -> str:
        """Let nothing in that could not have been typed, wherever it comes from."""
        return clean_input(value, lines=False)


class ConnectField(Vertical):
    """Takes a peer's or a relay's address, and says what it is before anything is dialled."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Back", show=False)]

    @dataclass
    class Submitted(Message):
        """The user wants `address` dialled."""

        address: str

    class Left(Message):
        """The user wants to go back to the conversation, or give up the dial."""

    def __init__(self) -> None:
        super().__init__(id="connect-field", classes="pane")
        self.border_title = Content("Paste a friend's address here")
        self._busy = False

    def compose(self) -> ComposeResult:
        """Make the field and the line that explains what is in it."""
        yield AddressInput(placeholder="/ip4/…/p2p-circuit/webrtc/p2p/…", id="address-input", compact=True)
        yield Static(_HINT, id="connect-hint")

    @property
    def input(self) -> Input:
        """The field itself."""
        return self.query_one(AddressInput)

    def busy(self) -> None:
        """A dial is under way."""
        self._busy = True
        self._hint(Content.styled("… dialing; Esc gives up", "$text-warning"))

    def succeeded(self) -> None:
        """The dial succeeded: be empty for the next."""
        self._busy = False
        self.input.clear()
        self._hint(_HINT)

    def failed(self, sentence: str) -> None:
        """The dial failed: keep the address, so that it can be mended."""
        self._busy = False
        self._hint(Content.assemble(("✗ ", "$text-error"), safe_text(sentence, Kind.SENTENCE, "$text-error")))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Explain what the text is."""
        event.stop()
        if not self._busy:
            self._hint(describe_address(event.value) if event.value else _HINT)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Dial."""
        event.stop()
        if event.value and not self._busy:
            self.post_message(self.Submitted(event.value))

    def action_leave(self) -> None:
        """Escape was pressed."""
        self.post_message(self.Left())

    def _hint(self, content: Content) -> None:
        self.query_one("#connect-hint", Static).update(content)


_HINT = Content.styled("A relay's address works too. Enter connects.", "$text-muted")


def describe_address(text: str) -> Content:
    """Say whom `text` would dial, from its words alone, or what is wrong with it."""
    from p2pchat_core.errors import AddressError
    from p2pchat_core.multiformats.multiaddr import Multiaddr

    try:
        address = Multiaddr.parse(text)
    except AddressError as error:
        return safe_text(f"◌ {error}", Kind.SENTENCE, "$text-warning")
    peer = visible(short_peer(text.rstrip("/").rsplit("/", 1)[-1]), Kind.ADDRESS)
    if not address.has("p2p"):
        return Content.styled("◌ The address does not end with /p2p/ and a peer id yet.", "$text-warning")
    if address.has("p2p-circuit"):
        words = f"✓ Peer {peer} through the relay {endpoint(text)}. Enter connects."
    else:
        words = f"✓ Relay {peer} at {endpoint(text)}. Enter reserves a slot there."
    return safe_text(words, Kind.SENTENCE, "$text-success")


class Invite(Container):
    """The address card and the connect field, beside or above each other."""

    def __init__(self) -> None:
        super().__init__(id="invite")

    def compose(self) -> ComposeResult:
        """Make both."""
        yield AddressCard()
        yield ConnectField()

"""What every part of the main screen stands on: the panes, the model, what the service answers, and drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer

from p2pchat_core import limits
from p2pchat_core.chat.events import ConnectionEvent, ConnectionState, ContactEvent, Event, ReadyEvent
from p2pchat_tui.bindings import ACTIONS
from p2pchat_tui.bridge import Bridge
from p2pchat_tui.model import ChatModel
from p2pchat_tui.safe_text import Kind, visible
from p2pchat_tui.widgets.connection_pane import ConnectionPane
from p2pchat_tui.widgets.conversations import ConversationItem, ConversationList
from p2pchat_tui.widgets.invite import AddressCard, ConnectField, Invite
from p2pchat_tui.widgets.log_view import LogView
from p2pchat_tui.widgets.message_input import MessageInput
from p2pchat_tui.widgets.message_view import MessageView
from p2pchat_tui.widgets.stranger_bar import StrangerBar
from p2pchat_tui.widgets.title_bar import TitleBar

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.worker import Worker

    from p2pchat_core.chat.model import Contact
    from p2pchat_core.clock import Clock
    from p2pchat_tui import answers
    from p2pchat_tui.app import P2PChatApp
    from p2pchat_tui.clipboard import Copied
    from p2pchat_tui.services import ServiceFactory

__all__ = ["BaseScreen"]

_TICK = 1.0


class BaseScreen(Screen[None]):
    """Title, invitation, conversations, messages, input, connection, log; dialling and talking.

    Args:
        factory: makes the service, called after the first frame.
        name: what the user calls themselves.
        connect: an address to dial as soon as the service runs, or "".
        ephemeral: nothing of what is said is kept, which the user should see.
    """

    AUTO_FOCUS = "#address-input"
    # Textual declares these as instance variables, so that mypy wants no ClassVar here.
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-narrow"),
        (72, "-medium"),
        (112, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (18, "-short"), (34, "-tall")]  # noqa: RUF012

    def __init__(
        self,
        factory: ServiceFactory,
        clock: Clock,
        *,
        name: str = "",
        connect: str = "",
        ephemeral: bool = False,
    ) -> None:
        super().__init__()
        self.model = ChatModel(clock)
        self.bridge = Bridge(factory, self.post_message)
        self._nick = name
        self._connect = connect
        self._ephemeral = ephemeral
        self._trouble = False
        self._dirty = False
        self._dial: Worker[None] | None = None
        self._to_end = False
        self._invited = False
        self._possible: list[str] = []

    def compose(self) -> ComposeResult:
        """Make the panes."""
        yield TitleBar(self._nick, ephemeral=self._ephemeral)
        yield Invite()
        yield StrangerBar()
        with Vertical(id="chat"):
            yield ConnectionPane()
            with Horizontal(id="panes"):
                yield ConversationList()
                with Vertical(id="talk"):
                    yield MessageView()
                    yield MessageInput()
            yield LogView(id="log")
        yield Footer(show_command_palette=True, compact=True)

    def on_mount(self) -> None:
        """Draw the first frame, then start what takes time."""
        self.query_one("#log").border_title = Content("Log")
        self._sync()
        self.call_after_refresh(self._start)
        self.set_interval(_TICK, self._count)

    def _start(self) -> None:
        self.run_worker(self.bridge.run(), group="service", exit_on_error=False)

    # --- what the service tells ------------------------------------------------------------------------------------

    def on_events_arrived(self, message: answers.EventsArrived) -> None:
        """Take events into account, then let more come."""
        for event in message.events:
            self.model.apply(event)
            self._notice(event)
        self._changed()
        self.call_after_refresh(message.done)

    def _notice(self, event: Event) -> None:
        if isinstance(event, ReadyEvent) and self._connect:
            address, self._connect = self._connect, ""
            self._dial_address(address)
        elif isinstance(event, ConnectionEvent) and event.state is ConnectionState.OPEN:
            self._read_history(event.peer)
        elif isinstance(event, ContactEvent) and not event.forgotten:
            self.contact_changed(event.contact)

    def contact_changed(self, contact: Contact) -> None:
        """A contact is not what it was; whoever shows it has to know."""

    def _read_history(self, peer: str | None) -> None:
        if peer is not None and self.model.wants_history(peer):
            self.run_worker(self.bridge.load_history(peer), group="history")

    def on_service_failed(self, message: answers.ServiceFailed) -> None:
        """Say why nothing works; the screen stays, so that it can be read."""
        self._trouble = True
        self.model.fail(message.sentence)
        self._changed()

    def on_dialed(self, message: answers.Dialed) -> None:
        """A dial succeeded."""
        self.query_one(ConnectField).succeeded()
        if message.result.kind == "relay":
            self.model.dialed_relay(message.address)
        else:
            if message.contact is not None:
                self.model.contact(message.contact)
            self.model.dialed(message.address, message.result.peer, message.result.rtt_ms)
            self._to_conversation()
        self._changed()

    def on_message_stored(self, message: answers.MessageStored) -> None:
        """One of our messages is safe."""
        self.query_one(MessageInput).sent(message.peer, message.text)
        self.model.stored(message.peer, message.text, message.message_id)
        self._changed(to_end=True)

    def on_command_failed(self, message: answers.CommandFailed) -> None:
        """Say what did not work; nothing that was typed is lost."""
        if message.command == "connect":
            self.query_one(ConnectField).failed(message.sentence)
            self.model.dial_failed(message.sentence)
        else:
            if message.command == "send":
                self.query_one(MessageInput).failed(message.subject)
            elif message.command == "history" and (talk := self.model.conversations.get(message.subject)):
                talk.loading = False
            self.model.fail(message.sentence, message.subject)
        self._changed(to_end=True)

    def on_status_read(self, message: answers.StatusRead) -> None:
        """Round-trip times."""
        for peer, rtt_ms in message.rtts.items():
            self.model.rtt(peer, rtt_ms)
        self._count()

    # --- dialling and talking ----------------------------------------------------------------------------------------

    def on_connect_field_submitted(self, message: ConnectField.Submitted) -> None:
        """Dial the address in the field."""
        self._dial_address(message.address)

    def _dial_address(self, address: str) -> None:
        self.query_one(ConnectField).busy()
        self.model.begin_dial(address)
        self._dial = self.run_worker(self.bridge.connect(address), group="dial", exclusive=True)
        self._changed(to_end=True)

    def on_connect_field_left(self) -> None:
        """Escape gives a dial up; without one it goes back to the conversation."""
        if self._dial is not None and self._dial.is_running:
            self._dial.cancel()
            self.query_one(ConnectField).failed("You gave this dial up.")
            self.model.dial_failed("You gave the dial up.")
            self._changed()
        elif self.model.current is not None:
            self._to_conversation()

    def on_message_input_submitted(self, message: MessageInput.Submitted) -> None:
        """Send, unless it is too long; then say so and keep the text."""
        size = len(message.text.encode("utf-8", "replace"))
        if size <= limits.CHAT_MAX_TEXT:
            self.run_worker(self.bridge.send(message.peer, message.text), group="send")
            return
        self.query_one(MessageInput).failed(message.peer)
        self.model.fail(
            f"The message has {size} bytes and {limits.CHAT_MAX_TEXT} is the limit. Send it in parts.",
            message.peer,
        )
        self._changed(to_end=True)

    def on_conversation_item_chosen(self, message: ConversationItem.Chosen) -> None:
        """A conversation was clicked."""
        self.show_peer(message.peer)

    def show_peer(self, peer: str) -> None:
        """Show the conversation with `peer`."""
        self.model.select(peer)
        self._to_conversation()
        self._changed(to_end=True)

    def _to_conversation(self) -> None:
        self._invited = False
        self._changed()
        self.call_after_refresh(self.query_one(MessageInput).focus)

    async def _copy(self, text: str, title: str) -> Copied:
        """Copy `text`, which is safe to draw, and say how that was done."""
        copied = await cast("P2PChatApp", self.app).copy(text)
        self.notify(copied.sentence, title=title, markup=False, timeout=6)
        return copied

    # --- drawing ---------------------------------------------------------------------------------------------------

    def _changed(self, *, to_end: bool = False) -> None:
        """Draw once for everything that has happened since the last frame."""
        self._to_end = to_end or (self._dirty and self._to_end)
        if not self._dirty:
            self._dirty = True
            self.call_next(self._sync)

    def _count(self) -> None:
        """Let the clocks on the screen go on."""
        self.query_one(ConnectionPane).count(self.model)

    def _sync(self) -> None:
        self._dirty = False
        model, current = self.model, self.model.current
        relays = list(model.relays.values())
        self.set_class(current is not None, "-chatting")
        self.set_class(bool(model.accepted), "-listing")
        self.set_class(self._invited, "-inviting")
        self.query_one(TitleBar).show(model.peer_id, relays, self._trouble)
        self.query_one(AddressCard).show(model.addresses, relays, self._trouble)
        self.query_one(ConversationList).show(model.accepted, model.selected)
        self.query_one(StrangerBar).show(model.strangers)
        self._read_history(model.selected)
        us = visible(self._nick, Kind.NAME) or "You"
        self.query_one(MessageView).show(current, us, model.clock.time(), to_end=self._to_end)
        lines = model.lines()
        if current is not None and not self.has_class("log-large"):
            lines = lines[-limits.SCREEN_LOG_SHORT :]
        self.query_one(LogView).show(lines, to_end=self._to_end)
        self.query_one(MessageInput).show(current)
        self.query_one(ConnectionPane).show(model)
        possible = [action.name for action in ACTIONS if self.check_action(action.name, ())]
        if possible != self._possible:
            self._possible = possible
            self.refresh_bindings()

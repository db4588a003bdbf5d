"""The one screen of the program: panes around a model that the service's events change."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer

from p2pchat_core import limits
from p2pchat_core.chat.events import ConnectionEvent, ConnectionState, Event, ReadyEvent
from p2pchat_tui import bridge as to
from p2pchat_tui.bindings import ACTIONS, bindings
from p2pchat_tui.model import ChatModel
from p2pchat_tui.safe_text import Kind, visible
from p2pchat_tui.screens.addresses import AddressesScreen
from p2pchat_tui.screens.finder import FinderScreen
from p2pchat_tui.screens.help import HelpScreen
from p2pchat_tui.themes import THEMES
from p2pchat_tui.widgets.connection_pane import ConnectionPane
from p2pchat_tui.widgets.conversations import ConversationItem, ConversationList
from p2pchat_tui.widgets.invite import AddressCard, AddressLine, ConnectField, Invite
from p2pchat_tui.widgets.log_view import LogView
from p2pchat_tui.widgets.message_input import MessageInput
from p2pchat_tui.widgets.message_view import MessageView
from p2pchat_tui.widgets.stranger_bar import StrangerBar
from p2pchat_tui.widgets.title_bar import TitleBar

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.worker import Worker

    from p2pchat_core.clock import Clock
    from p2pchat_tui.app import P2PChatApp

__all__ = ["MainScreen"]

_TICK = 1.0


class MainScreen(Screen[None]):
    """Title, invitation, conversations, messages, input, connection, log.

    Args:
        factory: makes the service, called after the first frame.
        name: what the user calls themselves.
        connect: an address to dial as soon as the service runs, or "".
    """

    BINDINGS: ClassVar[list[BindingType]] = list(bindings())
    AUTO_FOCUS = "#address-input"
    # Textual declares these as instance variables, so that mypy wants no ClassVar here.
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-narrow"),
        (72, "-medium"),
        (112, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (18, "-short"), (34, "-tall")]  # noqa: RUF012

    def __init__(
        self, factory: to.ServiceFactory, clock: Clock, *, name: str = "", connect: str = ""
    ) -> None:
        super().__init__()
        self.model = ChatModel(clock)
        self.bridge = to.Bridge(factory, self.post_message)
        self._nick = name
        self._connect = connect
        self._trouble = False
        self._dirty = False
        self._dial: Worker[None] | None = None
        self._to_end = False
        self._invited = False
        self._possible: list[str] = []

    def compose(self) -> ComposeResult:
        """Make the panes."""
        yield TitleBar(self._nick)
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

    def on_events_arrived(self, message: to.EventsArrived) -> None:
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

    def _read_history(self, peer: str | None) -> None:
        if peer is not None and self.model.wants_history(peer):
            self.run_worker(self.bridge.load_history(peer), group="history")

    def on_service_failed(self, message: to.ServiceFailed) -> None:
        """Say why nothing works; the screen stays, so that it can be read."""
        self._trouble = True
        self.model.fail(message.sentence)
        self._changed()

    def on_dialed(self, message: to.Dialed) -> None:
        """A dial succeeded."""
        self.query_one(ConnectField).succeeded()
        if message.result.kind == "relay":
            self.model.dialed_relay(message.address)
        else:
            self.model.dialed(message.address, message.result.peer, message.result.rtt_ms)
            self._to_conversation()
        self._changed()

    def on_message_stored(self, message: to.MessageStored) -> None:
        """One of our messages is safe."""
        self.query_one(MessageInput).sent(message.peer, message.text)
        self.model.stored(message.peer, message.text, message.message_id)
        self._changed(to_end=True)

    def on_command_failed(self, message: to.CommandFailed) -> None:
        """Say what did not work; nothing that was typed is lost."""
        if message.command == "connect":
            self.query_one(ConnectField).failed(message.sentence)
            self.model.dial_failed(message.sentence)
        else:
            if message.command == "send":
                self.query_one(MessageInput).failed(message.subject)
            self.model.fail(message.sentence, message.subject)
        self._changed(to_end=True)

    def on_history_loaded(self, message: to.HistoryLoaded) -> None:
        """Show what was said before."""
        self.model.history(message.peer, message.messages)
        self._changed()

    def on_status_read(self, message: to.StatusRead) -> None:
        """Round-trip times."""
        for peer, rtt_ms in message.rtts.items():
            self.model.rtt(peer, rtt_ms)
        self._changed()

    # --- what the user does ----------------------------------------------------------------------------------------

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

    def on_stranger_bar_decided(self, message: StrangerBar.Decided) -> None:
        """A button of the question was pressed."""
        if message.accepted:
            self.action_accept()
        else:
            self.action_decline()

    def on_addresses_screen_copy(self, message: AddressesScreen.Copy) -> None:
        """An address was chosen on its page."""
        self._copy(message.address)

    def on_address_line_clicked(self, message: AddressLine.Clicked) -> None:
        """An address was double-clicked."""
        self._copy(message.address)

    def show_peer(self, peer: str) -> None:
        """Show the conversation with `peer`."""
        self.model.select(peer)
        self._to_conversation()
        self._changed(to_end=True)

    def _to_conversation(self) -> None:
        self._invited = False
        self._changed()
        self.call_after_refresh(self.query_one(MessageInput).focus)

    def _copy(self, address: str) -> None:
        self.run_worker(self._copy_and_say(visible(address, Kind.ADDRESS)), group="copy", exclusive=True)

    async def _copy_and_say(self, text: str) -> None:
        copied = await cast("P2PChatApp", self.app).copy(text)
        self.query_one(AddressCard).copied(copied.how)
        self.notify(copied.sentence, title="Your address", markup=False, timeout=6)

    # --- actions ---------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tell which actions make sense now."""
        if action in ("accept", "decline"):
            return bool(self.model.strangers)
        if action == "disconnect":
            return self.model.current is not None and self.model.current.connected
        if action in ("next_conversation", "previous_conversation", "find"):
            return bool(self.model.accepted)
        return True

    def action_connect(self) -> None:
        """Go to the address field."""
        self._invited = True
        self._changed()
        self.call_after_refresh(self.query_one(ConnectField).input.focus)

    def action_copy_address(self) -> None:
        """Copy the first address."""
        if self.model.addresses:
            self._copy(self.model.addresses[0])
        else:
            self.model.fail("There is no address to copy yet: no relay has given us a slot.")
            self._changed()

    def action_toggle_connection(self) -> None:
        """Show or hide the connection pane."""
        hidden = self.has_class("-narrow") != self.has_class("pane-toggled")
        self.toggle_class("pane-toggled")
        if hidden:
            self.query_one(ConnectionPane).scroll_home(animate=False)

    def action_help(self) -> None:
        """Explain."""
        self.app.push_screen(HelpScreen())

    def action_next_conversation(self) -> None:
        """Go down the list."""
        self._step(1)

    def action_previous_conversation(self) -> None:
        """Go up the list."""
        self._step(-1)

    def _step(self, step: int) -> None:
        self.model.select_next(step)
        self._changed(to_end=True)

    def action_accept(self) -> None:
        """Let the first stranger in."""
        if strangers := self.model.strangers:
            peer = strangers[0].peer
            self.model.accept(peer)
            self.run_worker(self.bridge.load_history(peer), group="history")
            if self.model.selected == peer:
                self._to_conversation()
            self._changed(to_end=True)

    def action_decline(self) -> None:
        """Turn the first stranger away."""
        if strangers := self.model.strangers:
            peer = strangers[0].peer
            self.model.decline(peer)
            self.run_worker(self.bridge.disconnect(peer), group="disconnect")
            self._changed()

    def action_disconnect(self) -> None:
        """Close the selected connection."""
        if self.model.current is not None:
            self.run_worker(self.bridge.disconnect(self.model.current.peer), group="disconnect")

    def action_find(self) -> None:
        """Find a conversation by its name."""
        self.app.push_screen(FinderScreen(self.model.accepted), self._found)

    def _found(self, peer: str | None) -> None:
        if peer is not None:
            self.show_peer(peer)

    def action_addresses(self) -> None:
        """List our addresses."""
        self.app.push_screen(AddressesScreen(self.model.addresses))

    def action_toggle_details(self) -> None:
        """Explain the steps."""
        self.query_one(ConnectionPane).toggle_details()

    def action_toggle_log(self) -> None:
        """Make the log larger, or small again."""
        self.toggle_class("log-large")
        self._changed()

    @property
    def _reading(self) -> MessageView | LogView:
        return self.query_one(LogView) if self.model.current is None else self.query_one(MessageView)

    def action_log_up(self) -> None:
        """Read what was said before."""
        self._reading.scroll_page_up(animate=False)

    def action_log_down(self) -> None:
        """Read on."""
        self._reading.scroll_page_down(animate=False)

    def action_log_end(self) -> None:
        """Go to what was said last."""
        self.query_one(MessageView).to_end()
        self.query_one(LogView).scroll_end(animate=False)

    def action_toggle_theme(self) -> None:
        """Go to the next of our themes."""
        names = [theme.name for theme in THEMES]
        at = names.index(self.app.theme) if self.app.theme in names else -1
        self.app.theme = names[(at + 1) % len(names)]

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

"""The top line: who we are, and whether others can reach us."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from p2pchat_core.chat.events import RelayEvent, RelayState
from p2pchat_tui.log_lines import endpoint, short_peer
from p2pchat_tui.safe_text import Kind, safe_text

if TYPE_CHECKING:
    from collections.abc import Collection

    from textual.app import ComposeResult

__all__ = ["RELAY_SIGNS", "TitleBar", "relay_summary"]

RELAY_SIGNS = {
    RelayState.RESERVED: ("●", "$text-success"),
    RelayState.CONNECTING: ("◌", "$text-warning"),
    RelayState.LOST: ("✗", "$text-error"),
    RelayState.REFUSED: ("✗", "$text-error"),
}
"""Each state has a sign of its own, so that colour is never needed."""


class TitleBar(Horizontal):
    """One line, always there."""

    def __init__(self, name: str, *, ephemeral: bool = False) -> None:
        super().__init__(id="title-bar")
        self._nick = name
        self._ephemeral = ephemeral

    def compose(self) -> ComposeResult:
        """Make the two halves."""
        yield Static(id="title-who")
        yield Static(id="title-relay")

    def show(self, peer_id: str, relays: Collection[RelayEvent], trouble: bool) -> None:
        """Show our identity and the state of our relays."""
        parts: list[Content | tuple[str, str]] = [("p2pchat", "bold $primary")]
        if self._nick:
            parts += [("  ", ""), safe_text(self._nick, Kind.NAME, "bold $foreground")]
        if peer_id:
            parts += [("  ", ""), (short_peer(peer_id), "$text-muted")]
        if self._ephemeral:
            parts += [("  ", ""), ("nothing kept", "$text-warning")]
        self.query_one("#title-who", Static).update(Content.assemble(*parts))
        self.query_one("#title-relay", Static).update(relay_summary(peer_id, relays, trouble))


def relay_summary(peer_id: str, relays: Collection[RelayEvent], trouble: bool) -> Content:
    """Say in a few words whether we can be reached."""
    if trouble:
        return Content.styled("✗ not running", "$text-error")
    if not relays:
        return Content.styled("◌ no relay yet" if peer_id else "◌ starting", "$text-warning")
    reserved = [relay for relay in relays if relay.state is RelayState.RESERVED]
    if len(relays) == 1:
        (relay,) = relays
        sign, style = RELAY_SIGNS[relay.state]
        words = {
            RelayState.RESERVED: "reachable through",
            RelayState.CONNECTING: "connecting to",
            RelayState.LOST: "lost relay",
            RelayState.REFUSED: "refused by",
        }[relay.state]
        return Content.assemble((f"{sign} {words} ", style), (endpoint(relay.address), "$foreground"))
    sign, style = RELAY_SIGNS[RelayState.RESERVED if reserved else RelayState.LOST]
    return Content.styled(f"{sign} reachable through {len(reserved)} of {len(relays)} relays", style)

"""How we are connected: the eight steps with their times, the path and why, and our relays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from p2pchat_core.chat.events import PathKind, RelayEvent, RelayState, StepEvent
from p2pchat_tui.log_lines import endpoint, format_ms, short_peer
from p2pchat_tui.safe_text import Kind, safe_text
from p2pchat_tui.widgets.conversations import path_sign
from p2pchat_tui.widgets.title_bar import RELAY_SIGNS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from textual.app import ComposeResult

    from p2pchat_tui.model import Conversation

__all__ = ["STEP_LABELS", "ConnectionPane", "timeline"]

STEP_LABELS: Final = {
    1: "reservation",
    2: "address",
    3: "dial relay, HOP",
    4: "relay call, STOP",
    5: "virtual link",
    6: "signalling",
    7: "SDP and ICE",
    8: "direct WebRTC",
}
"""The eight steps in words that fit the narrowest pane."""

_TIME_WIDTH: Final = 8


class ConnectionPane(VerticalScroll, can_focus=False):
    """The state of the selected connection and of our relays."""

    def __init__(self) -> None:
        super().__init__(id="connection", classes="pane")
        self.border_title = Content("Connection")

    def compose(self) -> ComposeResult:
        """Make the parts."""
        yield _Timeline()
        yield Static(id="path")
        yield Static(id="relays")

    def show(
        self,
        peer: str | None,
        conversation: Conversation | None,
        reservation: StepEvent | None,
        dialing: bool,
        relays: Collection[RelayEvent],
        now: float,
    ) -> None:
        """Show the connection to `peer`, if there is one, and `relays`.

        Args:
            reservation: how our own step 1 went, for timelines that have none of the peer's.
        """
        self.border_title = Content(f"Connection to {short_peer(peer)}") if peer else Content("Connection")
        steps = dict(conversation.steps) if conversation else {}
        if reservation is not None:
            steps.setdefault(1, reservation)
        busy = dialing or (conversation is not None and conversation.path is PathKind.RELAYED)
        self.query_one(_Timeline).show(steps, busy)
        self.query_one("#path", Static).update(_path(conversation, dialing))
        self.query_one("#relays", Static).update(_relays(relays, now))


class _Timeline(Static):
    """The eight steps; it knows its width, so that the times stand in a column."""

    def __init__(self) -> None:
        super().__init__(id="timeline")
        self._steps: Mapping[int, StepEvent] = {}
        self._busy = False

    def show(self, steps: Mapping[int, StepEvent], busy: bool) -> None:
        """Show these reports; `busy` if more are to come."""
        if (dict(steps), busy) != (dict(self._steps), self._busy):
            self._steps, self._busy = dict(steps), busy
            self.refresh(layout=True)

    def render(self) -> Content:
        """Draw the steps in the width there is."""
        return timeline(self._steps, self._busy, self.size.width or 28)

    def on_resize(self) -> None:
        """Move the times to the new edge."""
        self.refresh(layout=True)


def timeline(steps: Mapping[int, StepEvent], busy: bool, width: int) -> Content:
    """Return the eight steps as lines of `width` cells.

    A step was done (✓), failed (✗), is under way (…), is still to come (·), or was the other side's and not ours to
    see (–).
    """
    last = max((step for step in steps if step != 1), default=0)
    failed = any(not report.ok for report in steps.values())
    lines: list[Content] = []
    for number, label in STEP_LABELS.items():
        report = steps.get(number)
        if report is not None:
            sign, style = ("✓", "$text-success") if report.ok else ("✗", "$text-error")
            label_style = "$foreground"
        elif number < last:
            sign, style, label_style = "–", "$text-muted", "$text-muted"
        elif busy and not failed and number == (last or (1 if 1 in steps else 0)) + 1:
            sign, style, label_style = "…", "bold $text-warning", "$foreground"
        else:
            sign, style, label_style = "·", "$text-muted", "$text-muted"
        took = f"{format_ms(report.ms)} ms" if report is not None else ""
        room = max(1, width - 4 - cell_len(label))
        took = took.rjust(min(room, width)) if len(took) < room else " " + took
        lines.append(
            Content.assemble(
                (str(number), "$text-muted"), " ", (sign, style), " ", (label, label_style), (took, style)
            )
        )
        if report is not None and not report.ok and report.detail:
            lines.append(Content.assemble("    ", safe_text(report.detail, Kind.SENTENCE, "$text-error")))
    return Content("\n").join(lines)


def _path(conversation: Conversation | None, dialing: bool) -> Content:
    path = conversation.path if conversation else None
    sign, style = path_sign(path)
    if path is None:
        words = "… connecting" if dialing else "○ not connected"
        return Content.styled(words, "$text-warning" if dialing else "$text-muted")
    assert conversation is not None
    event = conversation.paths[path]
    if path is PathKind.DIRECT:
        lines = [Content.assemble((f"{sign} direct", f"bold {style}"), (", without relay", "$text-muted"))]
    else:
        kind = "through the relay, limited" if event.limited else "through the relay"
        lines = [Content.assemble((f"{sign} relayed", f"bold {style}"), (f", {kind}", "$text-muted"))]
        failure = next((s for s in conversation.steps.values() if not s.ok), None)
        why = "direct did not work" if failure else "direct connection is being tried"
        lines.append(Content.styled(f"  why: {why}", "$text-muted"))
    if conversation.rtt_ms is not None:
        lines.append(
            _field("RTT  ", Content.styled(f"{format_ms(conversation.rtt_ms)} ms", "bold $foreground"))
        )
    last = conversation.steps.get(8)
    ends = last.detail.split(" ⇄ ") if path is PathKind.DIRECT and last is not None and last.ok else []
    if len(ends) == 2:
        lines.append(_field("us   ", safe_text(ends[0], Kind.ADDRESS)))
        lines.append(_field("them ", safe_text(ends[1], Kind.ADDRESS)))
    else:
        lines.append(_field("with ", safe_text(endpoint(event.remote_address), Kind.ADDRESS)))
    return Content("\n").join(lines)


def _field(label: str, value: Content) -> Content:
    return Content.assemble((f"  {label}", "$text-muted"), value)


def _relays(relays: Collection[RelayEvent], now: float) -> Content:
    lines = []
    for relay in relays:
        sign, style = RELAY_SIGNS[relay.state]
        lines.append(Content.assemble((f"{sign} relay ", style), (endpoint(relay.address), "$foreground")))
        about = relay.state.value
        if relay.state is RelayState.RESERVED and relay.expires is not None:
            minutes = max(0, round((relay.expires - now) / 60))
            about = f"reserved, {minutes} min left"
        lines.append(Content.styled(f"  {about}", "$text-muted"))
        if relay.reason and relay.state is not RelayState.RESERVED:
            lines.append(Content.assemble("  ", safe_text(relay.reason, Kind.SENTENCE, "$text-error")))
    return Content("\n").join(lines) if lines else Content.styled("◌ no relay yet", "$text-muted")

"""The eight steps of a connection, live, each of which opens to what it is and what was said about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from p2pchat_tui.log_lines import format_ms
from p2pchat_tui.safe_text import Kind, safe_text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from textual import events

    from p2pchat_core.chat.events import StepEvent

__all__ = ["STEP_LABELS", "Timeline", "timeline"]

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

STEP_WORDS: Final = {
    1: "RESERVE asks the relay for a slot; STATUS OK brings the address others dial.",
    2: "The address names the relay and the peer behind it.",
    3: "HOP CONNECT asks the relay for a circuit to the peer.",
    4: "STOP CONNECT tells the peer who calls; STATUS OK comes back.",
    5: "Noise proves who is there, yamux divides the circuit into streams.",
    6: "A stream /webrtc-signaling/0.0.1 is opened on the circuit.",
    7: "SDP offer and answer, then ICE candidates, each in a message of its own.",
    8: "ICE found a pair of addresses; DTLS and SCTP came up on it.",
}


class Timeline(Static, can_focus=True):
    """The eight steps; it knows its width, so that the times stand in a column."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "choose(-1)", show=False),
        Binding("down", "choose(1)", show=False),
        Binding("enter,space", "expand", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(id="timeline")
        self._steps: Mapping[int, StepEvent] = {}
        self._busy = False
        self._open: set[int] = set()
        self._chosen = 1

    def show(self, steps: Mapping[int, StepEvent], busy: bool) -> None:
        """Show these reports; `busy` if more are to come."""
        if (dict(steps), busy) != (dict(self._steps), self._busy):
            self._steps, self._busy = dict(steps), busy
            self.refresh(layout=True)

    def toggle_all(self) -> None:
        """Open every step, or close all if any is open."""
        self._open = set() if self._open else set(STEP_LABELS)
        self.refresh(layout=True)

    def action_choose(self, rows: int) -> None:
        """Go to another step."""
        self._chosen = min(8, max(1, self._chosen + rows))
        self.refresh()

    def action_expand(self) -> None:
        """Open or close the chosen step."""
        self._open ^= {self._chosen}
        self.refresh(layout=True)

    def on_click(self, event: events.Click) -> None:
        """Open or close the step that was clicked."""
        at = event.get_content_offset(self)
        if at is None:
            return
        row = 0
        for number, block in enumerate(self._blocks(), 1):
            row += len(block.wrap(self.size.width))
            if at.y < row:
                self._chosen = number
                self.action_expand()
                return

    def on_focus(self) -> None:
        """Show which step the keys act on."""
        self.refresh()

    def on_blur(self) -> None:
        """Show none."""
        self.refresh()

    def render(self) -> Content:
        """Draw the steps in the width there is."""
        return Content("\n").join(self._blocks())

    def on_resize(self) -> None:
        """Move the times to the new edge."""
        self.refresh(layout=True)

    def _blocks(self) -> list[Content]:
        chosen = self._chosen if self.has_focus else 0
        return timeline(self._steps, self._busy, self.size.width or 28, self._open, chosen)


def timeline(
    steps: Mapping[int, StepEvent], busy: bool, width: int, opened: Collection[int] = (), chosen: int = 0
) -> list[Content]:
    """Return the eight steps as blocks of lines of `width` cells.

    A step was done (✓), failed (✗), is under way (…), is still to come (·), or was the other side's and not ours to
    see (–). Those in `opened` are explained; `chosen` is the one that keys act on.
    """
    last = max((step for step in steps if step != 1), default=0)
    failed = any(not report.ok for report in steps.values())
    blocks: list[Content] = []
    for number, label in STEP_LABELS.items():
        report = steps.get(number)
        label_style = "$foreground"
        if report is not None:
            sign, style = ("✓", "$text-success") if report.ok else ("✗", "$text-error")
        elif number < last:
            sign, style, label_style = "–", "$text-muted", "$text-muted"
        elif busy and not failed and number == (last or (1 if 1 in steps else 0)) + 1:
            sign, style = "…", "bold $text-warning"
        else:
            sign, style, label_style = "·", "$text-muted", "$text-muted"
        took = f"{format_ms(report.ms)} ms" if report is not None else ""
        room = max(1, width - 4 - cell_len(label))
        took = took.rjust(min(room, width)) if len(took) < room else " " + took
        if number == chosen:
            label_style = "reverse $foreground"
        lines = [
            Content.assemble(
                (str(number), "$text-muted"), " ", (sign, style), " ", (label, label_style), (took, style)
            )
        ]
        if number in opened:
            lines += _indented(Content.styled(STEP_WORDS[number], "$text-muted"), width)
        if report is not None and report.detail and (number in opened or not report.ok):
            style = "$foreground" if report.ok else "$text-error"
            # What was sent may have many lines (SDP, candidates); without being asked, one of them is enough.
            detail = report.detail if number in opened else report.detail.partition("\n")[0]
            lines += _indented(safe_text(detail, Kind.MESSAGE, style), width)
        blocks.append(Content("\n").join(lines))
    return blocks


def _indented(content: Content, width: int) -> list[Content]:
    return [Content.assemble("    ", line.rstrip()) for line in content.wrap(max(8, width - 4))]

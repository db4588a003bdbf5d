"""How a connection travels, in words: the path and one sentence of why, what is left of it, how quick it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from textual.content import Content

from p2pchat_core.chat.events import PathKind, RelayEvent, RelayState
from p2pchat_tui.log_lines import endpoint, format_ms
from p2pchat_tui.safe_text import Kind, safe_text
from p2pchat_tui.widgets.conversations import path_sign
from p2pchat_tui.widgets.title_bar import RELAY_SIGNS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from p2pchat_tui.conversation import Conversation, OpenPath

__all__ = ["duration", "path_text", "relays_text", "sparkline"]

_BARS: Final = "▁▂▃▄▅▆▇█"
_WHY: Final = {
    "host": "both ends see each other's own address",
    "srflx": "through the address a router shows outside",
    "prflx": "through an address found while trying",
    "relay": "no address worked, so a TURN server passes it on",
}
"""By the kind of candidate that says most about the pair, see `_kind`."""
_NAMES: Final = {"host": "host", "srflx": "reflexive", "prflx": "reflexive", "relay": "relayed by TURN"}


def path_text(conversation: Conversation | None, dialing: bool, now: float, width: int) -> Content:
    """Say how `conversation` is connected.

    Args:
        dialing: a connection is being made.
        now: monotonic seconds.
        width: cells for the graph.
    """
    path = conversation.path if conversation else None
    sign, style = path_sign(path)
    if path is None or conversation is None:
        words = "… connecting" if dialing else "○ not connected"
        return Content.styled(words, "$text-warning" if dialing else "$text-muted")
    way = conversation.paths[path]
    if path is PathKind.DIRECT:
        lines = _direct(conversation, way, sign, style, width)
    else:
        lines = _relayed(conversation, way, sign, style, now, width)
    lines += _speed(conversation, width)
    return Content("\n").join(lines)


def _direct(conversation: Conversation, way: OpenPath, sign: str, style: str, width: int) -> list[Content]:
    lines = [Content.assemble((f"{sign} direct", f"bold {style}"), (", without relay", "$text-muted"))]
    last = conversation.steps.get(8)
    ends = last.detail.partition("\n")[0].split(" ⇄ ") if last is not None and last.ok else []
    if len(ends) != 2:
        address = safe_text(endpoint(way.event.remote_address), Kind.ADDRESS)
        return [*lines, _field("with ", address)]
    kind = _kind(*ends)
    if kind in _WHY:
        lines += _wrapped(f"{_NAMES[kind]}: {_WHY[kind]}", width)
    lines.append(_field("us   ", safe_text(ends[0], Kind.ADDRESS)))
    lines.append(_field("them ", safe_text(ends[1], Kind.ADDRESS)))
    return lines


def _relayed(
    conversation: Conversation, way: OpenPath, sign: str, style: str, now: float, width: int
) -> list[Content]:
    lines = [Content.assemble((f"{sign} relayed", f"bold {style}"), (", through the relay", "$text-muted"))]
    failed = any(not report.ok for report in conversation.steps.values())
    why = "direct did not work, see above" if failed else "a direct connection is being tried"
    lines += _wrapped(f"why: {why}", width)
    age, event = max(0.0, now - way.opened_at), way.event
    if event.limit_seconds is not None:
        left = duration(max(0.0, event.limit_seconds - age))
        words = f"{left} of {duration(event.limit_seconds)} left"
        lines.append(_field("time ", Content.styled(words, "$text-warning")))
    if event.limit_bytes is not None:
        left = _size(max(0, event.limit_bytes - way.carried))
        words = f"{left} of {_size(event.limit_bytes)} left"
        lines.append(_field("data ", Content.styled(words, "$text-warning")))
    if event.limited and event.limit_seconds is None and event.limit_bytes is None:
        words = f"the relay will end it; {duration(age)} and {_size(way.carried)} used"
        lines += [line.stylize("$text-warning") for line in _wrapped(words, width)]
    lines.append(_field("with ", safe_text(endpoint(way.event.remote_address), Kind.ADDRESS)))
    return lines


def _speed(conversation: Conversation, width: int) -> list[Content]:
    if conversation.rtt_ms is None:
        return []
    lines = [_field("RTT  ", Content.styled(f"{format_ms(conversation.rtt_ms)} ms", "bold $foreground"))]
    times = list(conversation.round_trips)
    if len(times) > 1:
        room = max(4, width - 4)
        shown = times[-room:]
        lines.append(Content.assemble("  ", (sparkline(shown), "$primary")))
        words = f"  {format_ms(min(shown))} to {format_ms(max(shown))} ms, last {len(shown)}"
        lines.append(Content.styled(words, "$text-muted"))
    return lines


def _kind(us: str, them: str) -> str:
    kinds = {us.split(" ")[0], them.split(" ")[0]}
    return next((kind for kind in ("relay", "srflx", "prflx", "host") if kind in kinds), "")


def sparkline(values: Sequence[float]) -> str:
    """Return `values` as bars from nothing to the largest, so that a steady time looks steady."""
    top = max(values, default=0.0)
    if top <= 0:
        return _BARS[0] * len(values)
    return "".join(_BARS[min(7, int(value / top * 7.999))] for value in values)


def relays_text(relays: Collection[RelayEvent], now: float, *, precise: bool) -> Content:
    """Say where our relays stand.

    Args:
        now: Unix seconds.
        precise: count seconds down, not only minutes.
    """
    lines = []
    for relay in relays:
        sign, style = RELAY_SIGNS[relay.state]
        lines.append(Content.assemble((f"{sign} relay ", style), (endpoint(relay.address), "$foreground")))
        about = relay.state.value
        if relay.state is RelayState.RESERVED and relay.expires is not None:
            left = max(0.0, relay.expires - now)
            about = f"reserved, {duration(left) if precise else f'{round(left / 60)} min'} left"
        lines.append(Content.styled(f"  {about}", "$text-muted"))
        if relay.reason and relay.state is not RelayState.RESERVED:
            lines.append(Content.assemble("  ", safe_text(relay.reason, Kind.SENTENCE, "$text-error")))
    return Content("\n").join(lines) if lines else Content.styled("◌ no relay yet", "$text-muted")


def duration(seconds: float) -> str:
    """Return a time to come as a clock counts it down: `59:00`, `1:05:00`, `0:07`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _size(count: int) -> str:
    return (
        f"{count} B"
        if count < 1024
        else f"{count / 1024:.0f} KiB"
        if count < 1 << 20
        else f"{count / (1 << 20):.1f} MiB"
    )


def _wrapped(words: str, width: int) -> list[Content]:
    """Return a sentence below what it explains."""
    lines = Content.styled(words, "$text-muted").wrap(max(8, width - 2))
    return [Content.assemble("  ", line.rstrip()) for line in lines]


def _field(label: str, value: Content) -> Content:
    return Content.assemble((f"  {label}", "$text-muted"), value)

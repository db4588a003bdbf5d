"""What the line mode says about events, one line each, in plain words: no signs, no colours, nothing to obey.

Everything that came from outside goes through `visible`; the result of every function here is one line that a
terminal shows as it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from p2pchat_core.chat.events import (
    ConnectionEvent,
    ConnectionState,
    ErrorEvent,
    PathKind,
    RelayEvent,
    RelayState,
    StepEvent,
)
from p2pchat_tui.log_lines import endpoint, format_ms, short_peer
from p2pchat_tui.safe_text import Kind, visible

if TYPE_CHECKING:
    from p2pchat_core.chat.model import ConnectionStatus, RelayStatus

__all__ = [
    "COMMANDS",
    "address",
    "connection",
    "connection_status",
    "error",
    "help_lines",
    "one_line",
    "relay",
    "relay_status",
    "sentence",
    "step",
    "stranger",
]

COMMANDS: Final = {
    "/connect ADDRESS": "connect to a friend, or to a relay",
    "/accept": "let the person who is waiting talk to you; with a name, that one",
    "/decline": "turn the person who is waiting away; with a name, that one",
    "/peers": "list everybody you talk with, and everybody who waits",
    "/to NAME": "talk to this person from now on; NAME is the number in /peers or the end of the name",
    "/address": "say your own address, for a friend to connect to",
    "/status": "say how you are connected, and what your relays do",
    "/history": "say again what was said last; with a number, so many messages",
    "/disconnect": "close the connection to the person you talk to",
    "/cancel": "give up the command that is still under way",
    "/quit": "close every connection and leave",
    "/help": "say all this again",
}
_STEPS: Final = 8
_RELAY_WORDS: Final = {
    RelayState.CONNECTING: "is being connected to",
    RelayState.RESERVED: "makes you reachable",
    RelayState.LOST: "is lost",
    RelayState.REFUSED: "refused",
}


def one_line(text: str) -> str:
    """Return what a peer said on one line: lines of it are set apart by a slash, so none can pass for ours."""
    return " / ".join(visible(text, Kind.MESSAGE).split("\n"))


def sentence(text: str) -> str:
    """Return a sentence that may quote something from outside."""
    return visible(text, Kind.SENTENCE)


def address(text: str) -> str:
    """Return an address, complete."""
    return visible(text, Kind.ADDRESS)


def error(event: ErrorEvent) -> str:
    """Say that something went wrong."""
    return f"Error: {sentence(event.error)}"


def stranger(name: str) -> str:
    """Ask about somebody who called."""
    return f"{name} wants to talk to you. /accept lets them in, /decline turns them away."


def step(event: StepEvent) -> str:
    """Say how one of the eight steps to a direct connection went."""
    how = f"done in {format_ms(event.ms)} ms" if event.ok else f"failed after {format_ms(event.ms)} ms"
    why = f": {sentence(event.detail)}" if event.detail and not event.ok else "."
    return f"Step {event.step} of {_STEPS} with {short_peer(event.peer)}, {sentence(event.name)}, {how}{why}"


def connection(event: ConnectionEvent) -> str:
    """Say that a connection came or went."""
    who = short_peer(event.peer)
    direct = event.path is PathKind.DIRECT
    if event.state is ConnectionState.OPEN:
        how = "directly" if direct else "through the relay"
        limited = ", which limits time and amount" if event.limited else ""
        return f"{who} is connected {how} at {endpoint(event.remote_address)}{limited}."
    what = "The direct connection" if direct else "The connection through the relay"
    return f"{what} to {who} ended. {sentence(event.reason)}".rstrip()


def relay(event: RelayEvent) -> str:
    """Say what became of a relay."""
    reason = f" {sentence(event.reason)}" if event.reason and event.state is not RelayState.RESERVED else ""
    return f"The relay {endpoint(event.address)} {_RELAY_WORDS[event.state]}.{reason}"


def relay_status(status: RelayStatus, now: float) -> str:
    """Say how a relay stands."""
    left = ""
    if status.state is RelayState.RESERVED and status.expires is not None:
        left = f", for another {max(0, round((status.expires - now) / 60))} minutes"
    return f"The relay {endpoint(status.address)} {_RELAY_WORDS[status.state]}{left}."


def connection_status(status: ConnectionStatus) -> str:
    """Say how somebody is connected."""
    how = "directly" if status.path is PathKind.DIRECT else "through the relay"
    rtt = f", round trip {format_ms(status.rtt_ms)} ms" if status.rtt_ms is not None else ""
    return f"{short_peer(status.peer)} is connected {how} at {endpoint(status.remote_address)}{rtt}."


def help_lines() -> list[str]:
    """Return the commands, a line each."""
    lines = [f"{command}: {about}." for command, about in COMMANDS.items()]
    return [
        *lines,
        "Anything else is said to the person you talk to; begin with // to say something with a /.",
    ]

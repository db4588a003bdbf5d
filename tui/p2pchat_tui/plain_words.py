"""What the line mode says about events, one line each, in plain words: no signs, no colours, nothing to obey.

Everything that came from outside goes through `visible`; the result of every function here is one line that a
terminal shows as it stands.
"""

from __future__ import annotations

import time
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
from p2pchat_core.chat.model import Standing
from p2pchat_tui.log_lines import endpoint, format_ms
from p2pchat_tui.roster import name_of, retention_words
from p2pchat_tui.safe_text import Kind, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from p2pchat_core.chat.model import ConnectionStatus, Contact, RelayStatus, Retention

__all__ = [
    "COMMANDS",
    "address",
    "card",
    "connection",
    "connection_status",
    "contact",
    "error",
    "help_lines",
    "impersonation",
    "kept",
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
    "/block": "hear nothing of the person who is waiting again; with a name, of that one",
    "/unblock NAME": "let somebody you have blocked ask again",
    "/peers": "list everybody you talk with, and everybody who waits",
    "/to NAME": "talk to this person from now on; NAME is the number in /peers, a name, or the end of a peer id",
    "/contacts": "list everybody you know, and whom you have blocked",
    "/contact": "say everything about the person you talk to; with a name, about that one",
    "/rename NAME": "give the person you talk to a name of your own",
    "/notes TEXT": "keep a note about the person you talk to; without a text, say it",
    "/verify": "say the words to compare with the person you talk to; /verify yes if they are the same",
    "/keep": "say how long this conversation is kept; with a number of days, 'nothing' or 'default', change it",
    "/forget": "delete the person you talk to and everything that was said, after asking",
    "/search WORDS": "say everything that was said with these words, the newest last",
    "/history": "say again what was said last; with a number, so many messages",
    "/links": "say the links of this conversation, the newest first",
    "/export FILE": "write this conversation to a file, .txt or .jsonl; /export all FILE writes all",
    "/address": "say your own address, for a friend to connect to",
    "/status": "say how you are connected, and what your relays do",
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
    return f"{name} wants to talk to you. /accept lets them in, /decline turns them away, /block for good."


def impersonation(contact: Contact) -> str:
    """Warn of somebody who uses a contact's name."""
    known = visible(contact.impersonates, Kind.NAME)
    return f"Careful: {name_of(contact)} uses the name of your contact {known}, but is somebody else."


def contact(contact: Contact, name: str) -> str:
    """Say who somebody is, in one line."""
    about = {
        Standing.CONTACT: "verified" if contact.verified_at is not None else "not verified",
        Standing.STRANGER: "a stranger",
        Standing.BLOCKED: "blocked",
    }[contact.standing]
    more = [words for words in (retention_words(contact.retention), one_line(contact.notes)) if words]
    return f"{name}: {', '.join([about, *more])}."


def card(contact: Contact, name: str) -> Iterator[str]:
    """Yield everything about somebody."""
    if contact.impersonates:
        yield impersonation(contact)
    claimed = visible(contact.calls_itself, Kind.NAME)
    yield f"{name}: {(claimed and f'calls themselves {claimed}') or 'has not said what they are called'}."
    yield f"Peer id: {address(contact.peer)}"
    verified = contact.verified_at
    if verified is not None:
        yield f"Verified on {time.strftime('%Y-%m-%d', time.localtime(verified))}."
    else:
        yield "Not verified; /verify says how."
    if contact.notes:
        yield f"Your note: {one_line(contact.notes)}"
    yield kept(contact.retention)
    for known in contact.addresses:
        yield f"Address: {address(known)}"


def kept(retention: Retention) -> str:
    """Say how long a conversation is kept."""
    if retention.ephemeral:
        return "Nothing of this conversation is written to the disk."
    if retention.days is None:
        return "This conversation is kept as is set for all."
    return f"Messages of this conversation are kept {retention.days} day{'s' if retention.days != 1 else ''}."


def step(event: StepEvent, name: str) -> str:
    """Say how one of the eight steps to a direct connection went."""
    how = f"done in {format_ms(event.ms)} ms" if event.ok else f"failed after {format_ms(event.ms)} ms"
    why = f": {one_line(event.detail)}" if event.detail and not event.ok else "."
    return f"Step {event.step} of {_STEPS} with {name}, {sentence(event.name)}, {how}{why}"


def connection(event: ConnectionEvent, who: str) -> str:
    """Say that a connection came or went."""
    direct = event.path is PathKind.DIRECT
    if event.state is ConnectionState.OPEN:
        how = "directly" if direct else "through the relay"
        limited = _limits(event)
        return f"{who} is connected {how} at {endpoint(event.remote_address)}{limited}."
    what = "The direct connection" if direct else "The connection through the relay"
    return f"{what} to {who} ended. {sentence(event.reason)}".rstrip()


def _limits(event: ConnectionEvent) -> str:
    allowed = []
    if event.limit_seconds is not None:
        allowed.append(f"{event.limit_seconds} seconds")
    if event.limit_bytes is not None:
        allowed.append(f"{event.limit_bytes} bytes")
    if allowed:
        return f", for {' and '.join(allowed)}"
    return ", which limits time and amount" if event.limited else ""


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


def connection_status(status: ConnectionStatus, name: str) -> str:
    """Say how somebody is connected."""
    how = "directly" if status.path is PathKind.DIRECT else "through the relay"
    rtt = f", round trip {format_ms(status.rtt_ms)} ms" if status.rtt_ms is not None else ""
    return f"{name} is connected {how} at {endpoint(status.remote_address)}{rtt}."


def help_lines() -> list[str]:
    """Return the commands, a line each."""
    lines = [f"{command}: {about}." for command, about in COMMANDS.items()]
    return [
        *lines,
        "Anything else is said to the person you talk to; begin with // to say something with a /.",
    ]

"""Every action of the screen in one table: its key, its words, whether the footer shows it.

The footer, the command palette, the help screen and docs/keys.md are made from it, so none of them can forget one.
The name of an action is also the id of its binding: what the user writes in the settings to give it another key
(see `p2pchat_tui.keys`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.binding import Binding

__all__ = ["ACTIONS", "PALETTE", "Action", "bindings"]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing the user can do.

    Attributes:
        name: the screen's method is `action_<name>`; the settings call it so too.
        key: as Textual names it, unless the settings say otherwise; "" for those that have one only if the settings
            give it, and are otherwise found in the command palette.
        shown: `key` as people read it; see `p2pchat_tui.keys.Keys.shown` for the one that counts.
        label: two or three words.
        about: one sentence.
        footer: the footer has room for it.
    """

    name: str
    key: str
    shown: str
    label: str
    about: str
    footer: bool = False


ACTIONS: tuple[Action, ...] = (
    Action(
        "connect", "ctrl+o", "^O", "Connect", "Type or paste the address of a friend or of a relay.", True
    ),
    Action(
        "copy_address",
        "ctrl+y",
        "^Y",
        "Copy address",
        "Copy the address a friend needs to reach you.",
    ),
    Action(
        "toggle_connection",
        "f2",
        "F2",
        "Connection",
        "Show or hide the steps and paths of the connection.",
        True,
    ),
    Action("help", "f1", "F1", "Help", "Explain the keys and the signs.", True),
    Action("search", "ctrl+f", "^F", "Search", "Search everything that was said, as you type.", True),
    Action(
        "contact", "f9", "F9", "Contact", "Open the card of this contact: name, notes, verification.", True
    ),
    Action("people", "ctrl+r", "^R", "People", "List contacts, callers and whom you have blocked."),
    Action("links", "ctrl+l", "^L", "Links", "List the links of this conversation, to open or copy one."),
    Action("export", "ctrl+s", "^S", "Export", "Write this conversation, or all, to a file."),
    Action("next_conversation", "ctrl+n", "^N", "Next conversation", "Go to the next conversation."),
    Action("previous_conversation", "ctrl+b", "^B", "Previous conversation", "Go to the one before."),
    Action("find", "ctrl+k", "^K", "Find", "Find a conversation by a few of its letters."),
    Action("addresses", "f5", "F5", "My addresses", "List every address of yours, with a QR code."),
    Action("toggle_details", "f6", "F6", "Explain steps", "Explain every step of the connection, or none."),
    Action("toggle_log", "f7", "F7", "Log", "Make the log larger or small again."),
    Action("accept", "f3", "F3", "Accept", "Let the peer that is waiting talk to you."),
    Action("decline", "f4", "F4", "Decline", "Turn the peer that is waiting away."),
    Action("block", "alt+b", "Alt+B", "Block", "Block the peer that is waiting: hear nothing of it again."),
    Action("rename", "", "", "Rename contact", "Give this contact a name of your own."),
    Action("notes", "", "", "Notes", "Write a note about this contact, for yourself."),
    Action("verify", "", "", "Verify contact", "Compare words with this contact to know who it is."),
    Action("retention", "", "", "Keep messages", "Choose how long this conversation is kept."),
    Action("block_contact", "", "", "Block contact", "Block this contact, and hear nothing of it again."),
    Action("forget", "", "", "Forget contact", "Delete this contact and everything that was said."),
    Action("disconnect", "f8", "F8", "Disconnect", "Close the connection of this conversation."),
    Action("log_up", "pageup", "PgUp", "Scroll up", "Read what was said before."),
    Action("log_down", "pagedown", "PgDn", "Scroll down", "Read on."),
    Action("log_end", "ctrl+end", "^End", "Newest", "Go to the newest message."),
    Action("toggle_theme", "ctrl+t", "^T", "Next theme", "Change between dark, light and high contrast."),
    Action("quit", "ctrl+q", "^Q", "Quit", "Close every connection and leave.", True),
)

PALETTE = Action("command_palette", "ctrl+p", "^P", "Commands", "Find every command by name.")
"""Belongs to the program rather than to a screen, so it is not among `ACTIONS`."""


def bindings() -> list[Binding]:
    """Return the table as Textual bindings. They have priority: text fields use some of these keys otherwise."""
    from textual.binding import Binding  # here, because the settings read the table without a screen

    return [
        Binding(
            action.key or f"none-{action.name}",  # Textual wants something that the settings can replace
            f"app.{action.name}" if action.name == "quit" else action.name,
            action.label,
            show=action.footer,
            key_display=action.shown,
            priority=True,
            tooltip=action.about,
            id=action.name,
        )
        for action in ACTIONS
    ]

"""Every action of the screen in one table: its key, its words, whether the footer shows it.

The footer, the command palette and the help screen are made from it, so none of them can forget one.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding

__all__ = ["ACTIONS", "Action", "bindings"]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing the user can do.

    Attributes:
        name: the screen's method is `action_<name>`.
        key: as Textual names it.
        shown: as people read it.
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
        "Copy my address",
        "Copy the address a friend needs to reach you.",
        True,
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
    Action("next_conversation", "ctrl+n", "^N", "Next conversation", "Go to the next conversation."),
    Action("previous_conversation", "ctrl+b", "^B", "Previous conversation", "Go to the one before."),
    Action("accept", "f3", "F3", "Accept", "Let the peer that is waiting talk to you."),
    Action("decline", "f4", "F4", "Decline", "Turn the peer that is waiting away."),
    Action("disconnect", "f8", "F8", "Disconnect", "Close the connection of this conversation."),
    Action("log_up", "pageup", "PgUp", "Scroll up", "Read older lines of the log."),
    Action("log_down", "pagedown", "PgDn", "Scroll down", "Read newer lines of the log."),
    Action("toggle_theme", "ctrl+t", "^T", "Dark or light", "Change between the dark and the light theme."),
    Action("quit", "ctrl+q", "^Q", "Quit", "Close every connection and leave.", True),
)


def bindings() -> list[Binding]:
    """Return the table as Textual bindings. They have priority: text fields use some of these keys otherwise."""
    return [
        Binding(
            action.key,
            f"app.{action.name}" if action.name == "quit" else action.name,
            action.label,
            show=action.footer,
            key_display=action.shown,
            priority=True,
            tooltip=action.about,
        )
        for action in ACTIONS
    ]

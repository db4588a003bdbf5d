"""What the keys do and what the signs mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from p2pchat_tui.bindings import ACTIONS, PALETTE
from p2pchat_tui.keys import Keys, keys_of

if TYPE_CHECKING:
    from textual.app import ComposeResult

__all__ = ["HelpScreen"]

_SIGNS = (
    ("● ◐ ○", "a conversation: direct, through the relay, not connected"),
    ("✓ ✗ …", "a step: done, failed, under way"),
    ("– ·", "a step: the other side's, still to come"),
    ("◌ ✓ ✓✓", "a message: waiting, sent, received by the peer"),
    ("› ‹", "sent, received"),
    ("~ name", "what they call themselves; a name without ~ is one you gave"),
    ("✓ ver.", "verified: you compared the words of the contact card"),
    ("⚠ ⊘", "somebody with the name of a contact; blocked"),
)
_MORE_KEYS = (
    ("Enter", "Send the message, or connect to the address"),
    ("^J", "New line in a message"),
    ("Tab", "Next field or button"),
    ("Esc", "Leave the address field; give up a dial; close this help"),
)


class HelpScreen(ModalScreen[None]):
    """A page over the main screen; any of its keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f1,enter,q", "dismiss", "Close", show=False)]

    def compose(self) -> ComposeResult:
        """Make the page from the table of actions."""
        page = VerticalScroll(id="help-page", classes="pane")
        page.border_title = Content("Help")
        page.border_subtitle = Content("Esc closes")
        with page:
            yield Static(_page(keys_of(self.app)))


def _page(keys: Keys) -> Content:
    lines = [
        Content(
            f"Copy your address with {keys.shown('copy_address')} and send it to a friend, or paste theirs"
        ),
        Content(f"after {keys.shown('connect')}. A relay introduces you and then steps aside."),
        Content(""),
        Content.styled("Keys", "bold $primary"),
    ]
    having = [action for action in (*ACTIONS, PALETTE) if keys.key(action.name)]
    lines += [_row(keys.shown(action.name), action.about) for action in having]
    lines += [_row(key, about) for key, about in _MORE_KEYS]
    lines += [Content(""), Content.styled(f"Without a key, by {keys.shown(PALETTE.name)}", "bold $primary")]
    lines += [_row("", action.about) for action in ACTIONS if not keys.key(action.name)]
    lines += [Content(""), Content.styled("Signs", "bold $primary")]
    lines += [_row(sign, about) for sign, about in _SIGNS]
    return Content("\n").join(lines)


def _row(left: str, right: str) -> Content:
    return Content.assemble((f"  {left:<8}", "$text-accent"), (right, "$foreground"))

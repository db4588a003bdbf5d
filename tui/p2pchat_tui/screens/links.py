"""The links of a conversation: each shown whole, with where it leads, before anything is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from p2pchat_tui.safe_text import Kind, safe_text, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from p2pchat_tui.links import Link

__all__ = ["LinksScreen"]


class LinksScreen(ModalScreen[None]):
    """A page over the main screen; the newest link comes first.

    Args:
        can_open: there is a program to open links with.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,ctrl+l", "dismiss", "Close", show=False),
        Binding("y,ctrl+y", "copy", "Copy", show=False, priority=True),
    ]

    @dataclass
    class Open(Message):
        """The user wants this link opened outside."""

        link: Link

    @dataclass
    class Copy(Message):
        """The user wants this link copied."""

        link: Link

    def __init__(self, links: Sequence[Link], *, can_open: bool) -> None:
        super().__init__()
        self._links = tuple(links)
        self._can_open = can_open

    def compose(self) -> ComposeResult:
        """Make the list and the place for the whole target."""
        page = VerticalScroll(id="links-page", classes="pane", can_focus=False)
        page.border_title = Content("Links, the newest first")
        enter = "Enter opens · y copies" if self._can_open else "Enter or y copies"
        page.border_subtitle = Content(f"↑↓ choose · {enter} · Esc closes")
        with page:
            yield OptionList(
                *(Option(_entry(link)) for link in self._links),
                id="links-list",
                compact=True,
                markup=False,
            )
            yield Static(id="links-target")
            yield Static(id="links-note")

    def on_mount(self) -> None:
        """Choose the newest."""
        options = self.query_one(OptionList)
        options.display = bool(self._links)
        if self._links:
            options.highlighted = 0
            options.focus()
        self._draw()

    def on_option_list_option_highlighted(self) -> None:
        """Show the whole of the chosen one."""
        self._draw()

    def on_option_list_option_selected(self) -> None:
        """Open it, where that is possible."""
        if (link := self._chosen) is None:
            return
        if self._can_open:
            self.app.screen_stack[0].post_message(self.Open(link))
        else:
            self.action_copy()

    def action_copy(self) -> None:
        """Copy the chosen one."""
        if (link := self._chosen) is not None:
            self.app.screen_stack[0].post_message(self.Copy(link))

    @property
    def _chosen(self) -> Link | None:
        at = self.query_one(OptionList).highlighted if self._links else None
        return self._links[at] if at is not None else None

    def _draw(self) -> None:
        target, note = self.query_one("#links-target", Static), self.query_one("#links-note", Static)
        link = self._chosen
        target.display = link is not None
        if link is None:
            note.update(
                Content.styled("There is no link in what is loaded of this conversation.", "$text-muted")
            )
            return
        target.update(safe_text(link.target, Kind.ADDRESS, "$foreground"))
        lines = [Content.assemble(("Leads to ", "$text-muted"), (visible(link.place, Kind.ADDRESS), "bold"))]
        if link.warning:
            lines.append(Content.styled(f"⚠ Look twice: {link.warning}.", "bold $text-warning"))
        if not self._can_open:
            words = "There is no desktop here to open it on; copy it instead."
            lines.append(Content.styled(words, "$text-muted"))
        note.update(Content("\n").join(lines))


def _entry(link: Link) -> Content:
    sign = ("⚠ ", "$text-warning") if link.warning else ("  ", "")
    return Content.assemble(sign, (visible(link.target, Kind.ADDRESS), "$foreground"))

"""Every address others can reach us at, and a QR code of the one to give away."""

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

from p2pchat_tui.addresses import reach
from p2pchat_tui.safe_text import Kind, safe_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

__all__ = ["AddressesScreen", "qr_code"]

_QUIET = 2  # modules; phones do with two instead of four
_AROUND = (4, 12)  # cells that the page needs around the code
_BLOCKS = {(False, False): "█", (False, True): "▀", (True, False): "▄", (True, True): " "}
"""By whether the upper and the lower module are dark; light modules are the ones drawn, on a dark ground."""


class AddressesScreen(ModalScreen[None]):
    """A page over the main screen: addresses to choose from, the chosen one as a QR code."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f5,q", "dismiss", "Close", show=False),
        Binding("y,ctrl+y", "copy", "Copy", show=False, priority=True),
    ]

    @dataclass
    class Copy(Message):
        """The user wants this address copied."""

        address: str

    def __init__(self, addresses: Sequence[str]) -> None:
        super().__init__()
        self._addresses = tuple(addresses)

    def compose(self) -> ComposeResult:
        """Make the list and the code."""
        page = VerticalScroll(id="addresses-page", classes="pane", can_focus=False)
        page.border_title = Content("Your addresses")
        page.border_subtitle = Content("↑↓ choose · Enter or y copies · Esc closes")
        with page:
            yield OptionList(
                *(Option(_entry(address)) for address in self._addresses),
                id="addresses-list",
                compact=True,
                markup=False,
            )
            yield Static(id="addresses-code")
            yield Static(id="addresses-note")

    def on_mount(self) -> None:
        """Choose the first."""
        options = self.query_one(OptionList)
        options.display = bool(self._addresses)
        if self._addresses:
            options.highlighted = 0
            options.focus()
        self._draw()

    def on_resize(self) -> None:
        """The code may fit now, or no longer."""
        self._draw()

    def on_option_list_option_highlighted(self) -> None:
        """Draw the code of the one that was chosen."""
        self._draw()

    def on_option_list_option_selected(self) -> None:
        """Copy it."""
        self.action_copy()

    def action_copy(self) -> None:
        """Copy the chosen address; the main screen does it, and says how."""
        if (address := self._chosen) is not None:
            self.app.screen_stack[0].post_message(self.Copy(address))

    @property
    def _chosen(self) -> str | None:
        at = self.query_one(OptionList).highlighted if self._addresses else None
        return self._addresses[at] if at is not None else None

    def _draw(self) -> None:
        code, note = self.query_one("#addresses-code", Static), self.query_one("#addresses-note", Static)
        address = self._chosen
        if address is None:
            code.display = False
            note.update(
                Content.styled("There is no address yet: no relay has given us a slot.", "$text-muted")
            )
            return
        rows = qr_code(address)
        rows_needed, columns_needed = len(rows) + _AROUND[1], len(rows[0]) + _AROUND[0]
        code.display = self.size.width >= columns_needed and self.size.height >= rows_needed
        if code.display:
            code.update(Content("\n").join(Content.styled(row, "#ffffff on #000000") for row in rows))
            note.update(
                Content.styled("Point a camera at it to carry the address to a telephone.", "$text-muted")
            )
        else:
            note.update(
                Content.styled(
                    f"The QR code needs a window of {columns_needed}×{rows_needed}; "
                    f"this one has {self.size.width}×{self.size.height}.",
                    "$text-warning",
                )
            )


def qr_code(text: str) -> list[str]:
    """Return the QR code of `text` as rows of half blocks, light on dark, with a quiet zone."""
    import segno  # the first frame does not wait for it

    modules = [
        list(map(bool, row)) for row in segno.make(text, error="l", micro=False).matrix_iter(border=_QUIET)
    ]
    if len(modules) % 2:
        modules.append([False] * len(modules[0]))  # the quiet zone is one module higher below
    return [
        "".join(_BLOCKS[upper, lower] for upper, lower in zip(top, bottom, strict=True))
        for top, bottom in zip(modules[::2], modules[1::2], strict=True)
    ]


def _entry(address: str) -> Content:
    return Content.assemble(
        (f"{reach(address)}  ", "$text-muted"), safe_text(address, Kind.ADDRESS, "$foreground")
    )

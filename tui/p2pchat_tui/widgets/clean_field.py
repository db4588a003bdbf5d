"""A field of one line into which nothing gets that could not have been typed."""

from __future__ import annotations

from textual.widgets import Input

from p2pchat_tui.safe_text import clean_input

__all__ = ["CleanField"]


class CleanField(Input):
    """What is pasted, or put there by us, loses its control characters; lines are joined by blanks."""

    def validate_value(self, value: str) -> str:
        """Let nothing in that a terminal would obey."""
        return clean_input(value, lines=True).replace("\n", " ")

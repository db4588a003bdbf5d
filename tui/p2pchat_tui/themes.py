"""Our themes. Every colour that means something also comes with a sign or a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.theme import Theme

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONTRAST", "DARK", "LIGHT", "THEMES", "system_theme"]

DARK = Theme(
    name="p2pchat-dark",
    dark=True,
    primary="#5aa9e6",
    secondary="#7f8ea3",
    accent="#f2b872",
    foreground="#dbe3ec",
    background="#0f1419",
    surface="#151b22",
    panel="#1d252e",
    success="#6ccf97",
    warning="#e8c06a",
    error="#f0787f",
    variables={
        "text-peer": "#8ecbff",
        "text-muted": "#8b99a8",
        "text-accent": "#f2b872",
        "text-success": "#6ccf97",
        "text-warning": "#e8c06a",
        "text-error": "#f58a90",
        "line": "#33404d",
        "line-active": "#5aa9e6",
        "footer-background": "#151b22",
        "footer-key-foreground": "#f2b872",
        "footer-description-foreground": "#93a1b0",
        "input-cursor-background": "#dbe3ec",
        "input-cursor-foreground": "#0f1419",
        "input-selection-background": "#5aa9e6 35%",
        "screen-selection-background": "#5aa9e6 40%",
    },
)

LIGHT = Theme(
    name="p2pchat-light",
    dark=False,
    primary="#1c66b0",
    secondary="#5b6776",
    accent="#a4560a",
    foreground="#1d242c",
    background="#f7f8fa",
    surface="#ffffff",
    panel="#e8ecf1",
    success="#1b7a45",
    warning="#8a6100",
    error="#b3261e",
    variables={
        "text-peer": "#0d4f94",
        "text-muted": "#5a6673",
        "text-accent": "#8f4806",
        "text-success": "#136337",
        "text-warning": "#735100",
        "text-error": "#a31f18",
        "line": "#c3ccd6",
        "line-active": "#1c66b0",
        "footer-background": "#e8ecf1",
        "footer-key-foreground": "#a4560a",
        "footer-description-foreground": "#4b5663",
        "input-cursor-background": "#1d242c",
        "input-cursor-foreground": "#f7f8fa",
        "input-selection-background": "#1c66b0 25%",
        "screen-selection-background": "#1c66b0 25%",
    },
)

CONTRAST = Theme(
    name="p2pchat-contrast",
    dark=True,
    primary="#ffffff",
    secondary="#ffffff",
    accent="#ffff00",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#262626",
    success="#00ff66",
    warning="#ffff00",
    error="#ff8080",
    variables={
        "text-peer": "#66e0ff",
        "text-muted": "#e0e0e0",
        "text-accent": "#ffff00",
        "text-success": "#00ff66",
        "text-warning": "#ffff00",
        "text-error": "#ffb0b0",
        "line": "#b0b0b0",
        "line-active": "#ffff00",
        "footer-background": "#000000",
        "footer-key-foreground": "#ffff00",
        "footer-description-foreground": "#ffffff",
        "input-cursor-background": "#ffff00",
        "input-cursor-foreground": "#000000",
        "input-selection-background": "#0050c0",
        "screen-selection-background": "#0050c0",
    },
)

THEMES = (DARK, LIGHT, CONTRAST)
"""In the order in which one key goes through them."""


def system_theme(environment: Mapping[str, str]) -> Theme:
    """Return the theme that goes with the terminal, as far as it says what its background is.

    `COLORFGBG` is `foreground;background` in the numbers of the sixteen colours; many terminals set it. Without it the
    terminal is taken to be dark, as most are.
    """
    background = environment.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT if background in ("7", "9", "10", "11", "12", "13", "14", "15") else DARK

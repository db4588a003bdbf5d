"""Our two themes. Every colour that means something also comes with a sign or a word."""

from __future__ import annotations

from textual.theme import Theme

__all__ = ["DARK", "LIGHT"]

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

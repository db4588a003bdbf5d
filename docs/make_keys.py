# ruff: noqa: INP001
"""Writes docs/keys.md from the table of actions. Run it from the root: ``python docs/make_keys.py``."""

from __future__ import annotations

from pathlib import Path

from p2pchat_tui.bindings import ACTIONS, PALETTE

PAGE = Path(__file__).with_name("keys.md")
HEAD = """# Keys

This page is made from the program by `docs/make_keys.py`. The footer, the help (`F1`) and the command palette show
the keys as they are with your settings.

To give an action another key, name it in the settings file (`p2pchat config path` says where it is):

```toml
[keys]
connect = "ctrl+g"
help = "f12"
```

A key is a letter or digit with `ctrl`, `alt` or `super` in front (`shift` besides), or `f1` to `f24`, `pageup`,
`pagedown`, `insert`; with such a modifier also `home`, `end`, `delete` and the arrows. Not every terminal can send all
of them. Keys that are needed for typing cannot be taken, and no key can do two things.

| action | key | in the settings | what it does |
|---|---|---|---|
"""
WITHOUT = """
## Without a key of their own

These are in the command palette, and on the contact card where they concern a contact. The settings can give them a key
too: `verify = "alt+v"`.

| action | in the palette | what it does |
|---|---|---|
"""
TAIL = """
## While you write

| key | what it does |
|---|---|
| Enter | send the message, or connect to the address |
| ^J, Alt+Enter, Shift+Enter | a new line in the message |
| Tab, Shift+Tab | the next field or button, the one before |
| Esc | leave the address field; give up a dial; close the help |
| ^C | copy what is selected |
"""


def page() -> str:
    """Return the page as it should be."""
    having = [action for action in (*ACTIONS, PALETTE) if action.key]
    rows = [f"| `{a.name}` | {a.shown} | `{a.key}` | {a.about} |\n" for a in having]
    others = [f"| `{a.name}` | {a.label} | {a.about} |\n" for a in ACTIONS if not a.key]
    return HEAD + "".join(rows) + WITHOUT + "".join(others) + TAIL


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

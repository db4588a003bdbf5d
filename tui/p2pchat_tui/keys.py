"""Which key does what: the table of actions with the changes of the settings in it.

Nothing here loads Textual, so that ``p2pchat config check`` and the start can read the keys without a screen.
"""

from __future__ import annotations

import difflib
import string
from typing import TYPE_CHECKING, Final

from p2pchat_core.errors import ConfigError
from p2pchat_tui.bindings import ACTIONS, PALETTE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from p2pchat_tui.bindings import Action

__all__ = ["Keys", "checked_key", "key_label", "keys_of"]

_ACTIONS: Final[dict[str, Action]] = {action.name: action for action in (*ACTIONS, PALETTE)}
_MODIFIERS: Final = ("alt", "ctrl", "shift", "super")
"""In the order in which Textual names them."""
_NAMED: Final = {
    **{f"f{number}": f"F{number}" for number in range(1, 25)},
    **{"pageup": "PgUp", "pagedown": "PgDn", "insert": "Ins", "home": "Home", "end": "End"},
    **{"up": "Up", "down": "Down", "left": "Left", "right": "Right", "delete": "Del"},
}
_ALONE: Final = frozenset({f"f{number}" for number in range(1, 25)} | {"pageup", "pagedown", "insert"})
"""Keys that need no modifier, because no text field has a use for them."""
_SAME_AS: Final = {
    "ctrl+c": "the key that copies what is selected",
    "ctrl+h": "Backspace",
    "ctrl+i": "Tab",
    "ctrl+j": "the key for a new line",
    "ctrl+m": "Enter",
}
"""What terminals or text fields make of some keys."""


class Keys:
    """The key of every action.

    Args:
        changed: action name -> key, for those that are not to have their usual key.

    Raises:
        ConfigError: there is no such action or key, or two actions would have the same one; the sentence names it.
    """

    def __init__(self, changed: Mapping[str, str] | None = None) -> None:
        self._changed = {name: checked_key(name, key) for name, key in (changed or {}).items()}
        taken: dict[str, str] = {}
        for name in _ACTIONS:
            key = self.key(name)
            if not key:
                continue
            if key in taken:
                raise ConfigError(
                    f"keys.{name}: {key} is already the key of {taken[key]}; give one of them another key."
                )
            taken[key] = name

    def key(self, name: str) -> str:
        """Return the key of an action as Textual names it; "" if it has none."""
        return self._changed.get(name, _ACTIONS[name].key)

    def shown(self, name: str) -> str:
        """Return the key of an action as people read it; "" if it has none."""
        return key_label(self._changed[name]) if name in self._changed else _ACTIONS[name].shown

    def keymap(self) -> dict[str, str]:
        """Return what Textual's `App.set_keymap` wants: binding id -> key, for the changed ones."""
        return dict(self._changed)


def keys_of(app: object) -> Keys:
    """Return the keys of a running program, or the usual ones for any other Textual app."""
    keys = getattr(app, "keys", None)
    return keys if isinstance(keys, Keys) else Keys()


def key_label(key: str) -> str:
    """Return a key as people read it: `^O`, `F1`, `Alt+N`, `Ctrl+Shift+O`."""
    *modifiers, last = key.split("+")
    label = _NAMED.get(last, last.upper() if len(last) == 1 else last.replace("_", " ").title())
    if modifiers == ["ctrl"] and len(label) == 1:
        return f"^{label}"
    return "+".join([*(modifier.title() for modifier in modifiers), label])


def checked_key(name: str, written: str) -> str:
    """Return a key of the settings in the form Textual uses.

    Raises:
        ConfigError: there is no such action, or nobody could press this key for it.
    """
    if name not in _ACTIONS:
        near = difflib.get_close_matches(name, _ACTIONS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_ACTIONS)}."
        raise ConfigError(f"keys.{name}: there is no such action; {hint}")
    *given, last = written.lower().replace(" ", "").split("+") if written.strip() else ("",)
    if last not in _NAMED and not (len(last) == 1 and last in string.ascii_lowercase + string.digits):
        raise ConfigError(
            f"keys.{name}: there is no key {written!r}; a key is written like ctrl+o, alt+n, f5 or pageup."
        )
    if unknown := [modifier for modifier in given if modifier not in _MODIFIERS]:
        raise ConfigError(
            f"keys.{name}: {unknown[0]!r} in {written!r} is no modifier; there are {', '.join(_MODIFIERS)}."
        )
    key = "+".join([modifier for modifier in _MODIFIERS if modifier in given] + [last])
    if key in _SAME_AS:
        raise ConfigError(f"keys.{name}: {key} cannot be used; it is {_SAME_AS[key]}.")
    if last not in _ALONE and not {"ctrl", "alt", "super"} & set(given):
        raise ConfigError(
            f"keys.{name}: {key} is needed for typing; use it with ctrl or alt, or a function key."
        )
    return key

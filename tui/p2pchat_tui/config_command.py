"""``p2pchat config show|check|path``: what is set, where it comes from, and whether it can be used."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from p2pchat_core.errors import AddressError, ConfigError
from p2pchat_tui.options import check_options, effective, make_options
from p2pchat_tui.settings import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from p2pchat_tui.options import Arguments
    from p2pchat_tui.preferences import Preferences

__all__ = ["run", "shown"]

_OTHERS = ("P2PCHAT_CONFIG", "P2PCHAT_PROFILE", "P2PCHAT_DATA_DIR")
_HIDDEN = "(hidden)"


def run(arguments: Arguments) -> int:
    """Do what `arguments.config_action` says and return the exit code: 2 if the settings cannot be used."""
    if arguments.config_action == "path":
        print(arguments.config_file)  # noqa: T201
        return 0
    try:
        values, origins = effective(arguments)
        options = make_options(arguments, values)
        check_options(options, origins)
        _check_theme(options.preferences)
    except (AddressError, ConfigError) as error:
        print(f"p2pchat: {error}", file=sys.stderr)  # noqa: T201
        return 2
    if arguments.config_action == "show":
        print("\n".join(shown(arguments, values, origins)))  # noqa: T201
        return 0
    exists = arguments.config_file.exists()
    found = "is in order" if exists else "does not exist, so everything is as it is by default"
    print(f"The settings file {arguments.config_file} {found}.")  # noqa: T201
    for warning in _warnings(arguments):
        print(f"p2pchat: {warning}", file=sys.stderr)  # noqa: T201
    return 0


def _check_theme(preferences: Preferences) -> None:
    """Read the theme, if it is one of the user's.

    Raises:
        ConfigError: there is none of that name, or it cannot be used.
    """
    if preferences.theme in ("system", "dark", "light", "high-contrast"):
        return
    from textual.theme import BUILTIN_THEMES  # takes its time

    from p2pchat_tui.user_themes import load_theme

    if preferences.theme not in BUILTIN_THEMES:
        load_theme(preferences.themes, preferences.theme)


def shown(arguments: Arguments, values: Mapping[str, Any], origins: Mapping[str, str]) -> Iterator[str]:
    """Yield the effective settings as the lines of a settings file, with the origin of each. Passwords are hidden."""
    missing = "" if arguments.config_file.exists() else " (there is none)"
    yield f"# settings file: {arguments.config_file}{missing}"
    yield f"# profile: {arguments.profile or 'none'}"
    yield f"# data folder: {arguments.data_dir}"
    table = ""
    rows = [(key, value) for key, value in values.items() if key != "keys"]
    rows += [(f"keys.{name}", key) for name, key in values["keys"].items()]
    for key, value in sorted(rows, key=lambda row: ("." in row[0], row[0].partition(".")[0] == "keys")):
        section, _, name = key.rpartition(".")
        if section != table:
            table = section
            yield f"\n[{table}]"
        if value is None:  # TOML has no way to write it
            yield f"# {name} is not set  # {origins[key]}"
            continue
        written = _written([_turn(url) for url in value] if key == "turn" else value)
        yield f"{name} = {written}  # {origins[key]}"


def _turn(url: str) -> dict[str, str]:
    scheme, user, rest = url.split(":", 2)
    return {"url": f"{scheme}:{rest.rpartition('@')[2]}", "user": unquote(user), "password": _HIDDEN}


def _written(value: Any) -> str:
    """Return `value` as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_written(inner)}' for key, inner in value.items())} }}"
    plain = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in value)
    return f'"{"".join(plain)}"'


def _warnings(arguments: Arguments) -> Iterator[str]:
    """Yield what is no mistake, but most likely not meant."""
    for name in sorted(os.environ):
        ours = name.startswith("P2PCHAT_") and not name.startswith("P2PCHAT_RELAY_")
        if ours and name not in ENVIRONMENT and name not in _OTHERS:
            yield f"the variable {name} sets nothing."
    try:
        mode = arguments.config_file.stat().st_mode
        text = arguments.config_file.read_text(encoding="utf-8")
    except OSError:
        return
    if stat.S_ISREG(mode) and mode & 0o077 and "password" in text:
        yield f"others can read the passwords in {arguments.config_file}; run: chmod 600 {arguments.config_file}"

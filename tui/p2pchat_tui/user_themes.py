"""Themes of the user: TOML files in the folder ``themes`` beside the settings file, named after the theme.

::

    base = "dark"            # or "light", "high-contrast": what the file does not say is taken from there
    primary = "#5aa9e6"
    background = "#0f1419"

    [variables]              # the finer ones, see docs/configuration.md
    text-muted = "#8b99a8"
"""

from __future__ import annotations

import dataclasses
import tomllib
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from textual.color import Color, ColorParseError

from p2pchat_core import limits
from p2pchat_core.errors import ConfigError
from p2pchat_tui.themes import CONTRAST, DARK, LIGHT

if TYPE_CHECKING:
    from pathlib import Path

    from textual.theme import Theme

__all__ = ["BASES", "load_theme"]

BASES: Final = {"dark": DARK, "light": LIGHT, "high-contrast": CONTRAST}
"""What the settings call our own themes."""
_Color = Annotated[str, msgspec.Meta(max_length=64)]


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    base: Literal["dark", "light", "high-contrast"] = "dark"
    primary: _Color | None = None
    secondary: _Color | None = None
    accent: _Color | None = None
    foreground: _Color | None = None
    background: _Color | None = None
    surface: _Color | None = None
    panel: _Color | None = None
    success: _Color | None = None
    warning: _Color | None = None
    error: _Color | None = None
    variables: dict[str, _Color] = msgspec.field(default_factory=dict)


def load_theme(folder: Path, name: str) -> Theme:
    """Read the theme `name` from ``folder/name.toml``.

    Raises:
        ConfigError: there is no such file, or it cannot be used; the sentence names the file and the key.
    """
    path = folder / f"{name}.toml"
    try:
        with path.open("rb") as file:
            data = file.read(limits.SETTINGS_MAX_FILE)
        written = msgspec.convert(tomllib.loads(data.decode()), _File)
    except FileNotFoundError:
        raise ConfigError(f"There is no theme {name}: neither one of ours nor a file {path}.") from None
    except OSError as error:
        raise ConfigError(f"The theme {path} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from None
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {str(error).replace('`', '')}.") from None
    base = BASES[written.base]
    fields: dict[str, Any] = msgspec.to_builtins(written)
    colors: dict[str, Any] = {
        key: value for key, value in fields.items() if isinstance(value, str) and key != "base"
    }
    for key, value in (*colors.items(), *((f"variables.{k}", v) for k, v in written.variables.items())):
        name_of_variable = key.removeprefix("variables.")
        if key != name_of_variable and name_of_variable not in base.variables:
            raise ConfigError(
                f"{path}: {key}: there is no such variable; there are {', '.join(base.variables)}."
            )
        _check_color(path, key, value)
    return dataclasses.replace(base, name=name, variables=base.variables | written.variables, **colors)


def _check_color(path: Path, key: str, value: str) -> None:
    color, _, share = value.partition(" ")
    try:
        Color.parse(color)
    except ColorParseError:
        raise ConfigError(
            f"{path}: {key}: {value!r} is no color; one is written like #5aa9e6 or red."
        ) from None
    if share and not (share.endswith("%") and share[:-1].isdecimal()):
        raise ConfigError(f"{path}: {key}: after the color comes nothing or a share like 40%, not {share!r}.")

"""The settings file and the environment: read, checked, and put on top of each other.

Each layer is checked by itself, so that an error can name its file or variable and the key; the layers are then laid
over each other: defaults, the file, the file's section for the profile, the environment, the command line. This
module needs msgspec and a TOML reader, so it is imported only once there is something to read.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from urllib.parse import quote

import msgspec

from p2pchat_core import limits
from p2pchat_core.errors import ConfigError
from p2pchat_tui.keys import Keys, checked_key
from p2pchat_tui.preferences import DESKTOP, TIMESTAMPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = [
    "ENVIRONMENT",
    "Layer",
    "Notifications",
    "Resolved",
    "Settings",
    "TurnServer",
    "environment_layer",
    "file_layers",
    "resolve",
]


class TurnServer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A TURN server with its credentials."""

    url: Annotated[str, msgspec.Meta(pattern=r"^turns?:[^@]+$")]
    user: Annotated[str, msgspec.Meta(min_length=1)]
    password: str

    def joined(self) -> str:
        """Return it in one piece, as the command line writes it."""
        scheme, _, server = self.url.partition(":")
        return f"{scheme}:{quote(self.user, safe='')}:{quote(self.password, safe='')}@{server}"


class Notifications(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the user is told of messages that are not on the screen."""

    bell: bool = False
    desktop: Literal["off", "osc9", "osc777"] = "off"
    hide_text: bool = True


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set, with what it is if nobody sets it. The keys of a profile's section are the same."""

    name: Annotated[str, msgspec.Meta(max_length=limits.SETTINGS_MAX_NAME)] = ""
    share_name: bool = True
    ephemeral: bool = False
    retention_days: Annotated[int, msgspec.Meta(ge=1, le=limits.RETENTION_MAX_DAYS)] | None = None
    relays: tuple[str, ...] = ()
    embedded_relay: bool = True
    lan: bool = False
    stun: tuple[str, ...] = ()
    relay_stun: bool = True
    turn: tuple[TurnServer, ...] = ()
    theme: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")] = "system"
    reduced_motion: bool = False
    timestamps: Literal["off", "short", "long"] = "short"
    notifications: Notifications = Notifications()
    keys: dict[str, str] = msgspec.field(default_factory=dict)


ENVIRONMENT: Final = {
    f"P2PCHAT_{name.replace('.', '_').upper()}": name
    for name in (
        *("name", "share_name", "ephemeral", "retention_days"),
        *("relays", "embedded_relay", "lan", "stun", "relay_stun", "turn", "theme", "reduced_motion"),
        *("timestamps", "notifications.bell", "notifications.desktop", "notifications.hide_text"),
    )
}
"""Variable -> the setting it sets. The keys are the exception: they are a table, and belong into the file."""
_LISTS: Final = frozenset({"relays", "stun", "turn"})
_NUMBERS: Final = frozenset({"retention_days"})
_TEXTS: Final = frozenset({"name", "theme", "timestamps", "notifications.desktop"})
_TRUTH: Final = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_TURN: Final = re.compile(r"(turns?):([^:@/]+):([^@]*)@([^@]+)")
_TABLES: Final = frozenset({"notifications"})


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings from one place.

    Attributes:
        where: the file or option, as an error and `p2pchat config show` name it; for the environment, "environment".
        values: dotted name -> value as the file has it.
        names: dotted name -> where exactly, if `where` does not say it (variables, options).
    """

    where: str
    values: Mapping[str, Any]
    names: Mapping[str, str]

    def origin(self, key: str) -> str:
        """Return where the value of `key` comes from."""
        return self.names.get(key, self.where)


@dataclass(frozen=True, slots=True)
class Resolved:
    """The settings that count.

    Attributes:
        values: dotted name -> value, for every setting; `turn` in one piece each, `keys` as one mapping.
        origins: dotted name -> where its value comes from, "default" if nobody set it.
    """

    values: dict[str, Any]
    origins: dict[str, str]


def file_layers(path: Path, profile: str | None) -> list[Layer]:
    """Read a settings file: its own settings, then those of the profile's section if it has one.

    All sections are checked, whichever is used.

    Raises:
        ConfigError: it cannot be read, or a key is unknown or has a value that cannot be used.
    """
    document = _document(path)
    sections = document.pop("profiles", {})
    if not isinstance(sections, dict):
        raise ConfigError(f"{path}: profiles: expected a table for each profile, as in [profiles.work].")
    layers = [Layer(str(path), _checked(document, str(path)), {})]
    for name, section in sections.items():
        where = f"{path} [profiles.{name}]"
        if not isinstance(section, dict):
            raise ConfigError(f"{path}: profiles.{name}: expected a table.")
        checked = _checked(section, str(path), f"profiles.{name}.")
        if name == profile:
            layers.append(Layer(where, checked, {}))
    return layers


def environment_layer(environment: Mapping[str, str]) -> Layer:
    """Read the variables of `ENVIRONMENT`; an empty one counts as not set.

    Raises:
        ConfigError: one has a value that cannot be used.
    """
    values: dict[str, Any] = {}
    names: dict[str, str] = {}
    for variable, key in ENVIRONMENT.items():
        text = environment.get(variable, "").strip()
        if not text:
            continue
        value = _from_text(key, text)
        try:
            _convert(_nested({key: value}))
        except msgspec.ValidationError as error:
            raise ConfigError(f"{variable}: {_problem(error)[1]}.") from None
        values[key], names[key] = value, variable
    return Layer("environment", values, names)


def resolve(layers: list[Layer]) -> Resolved:
    """Lay `layers` over each other; the last one that sets a key wins. The keys of actions are merged one by one.

    Raises:
        ConfigError: the keys of actions collide, or one is none.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        for key, value in layer.values.items():
            values[key], origins[key] = value, layer.origin(key)
    settings = _convert(_nested(values))
    try:
        Keys(settings.keys)
    except ConfigError as error:
        # One of the two may have its usual key; the other one was set somewhere.
        changed = [origin for key, origin in origins.items() if key.startswith("keys.")]
        where = origins.get(str(error).partition(":")[0], changed[-1])
        raise ConfigError(f"{where}: {error}") from None
    effective: dict[str, Any] = {name: getattr(settings, name) for name in settings.__struct_fields__}
    shown = effective.pop("notifications")
    effective |= {f"notifications.{name}": getattr(shown, name) for name in shown.__struct_fields__}
    effective["turn"] = tuple(server.joined() for server in settings.turn)
    return Resolved(effective, {key: origins.get(key, "default") for key in (*effective, *origins)})


# --- reading ----------------------------------------------------------------------------------------------------------


def _document(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(limits.SETTINGS_MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(f"The settings file {path} cannot be read: {error.strerror}.") from error
    if len(data) > limits.SETTINGS_MAX_FILE:
        raise ConfigError(f"The settings file {path} is larger than {limits.SETTINGS_MAX_FILE} bytes.")
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not TOML: it is not UTF-8 text.") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from None


def _checked(document: dict[str, Any], where: str, prefix: str = "") -> dict[str, Any]:
    """Return the settings of one section by dotted name, if they can be used as they stand."""
    keys = document.get("keys", {})
    for name, key in keys.items() if isinstance(keys, dict) else ():
        if not isinstance(key, str):  # msgspec would not say which
            raise ConfigError(f'{where}: {prefix}keys.{name}: expected text, as in "ctrl+o".')
    try:
        settings = _convert(document)
    except msgspec.ValidationError as error:
        key, problem = _problem(error)
        raise ConfigError(f"{where}: {prefix}{key}: {problem}.") from None
    for name, key in settings.keys.items():
        try:
            checked_key(name, key)
        except ConfigError as error:
            raise ConfigError(f"{where}: {prefix}{error}") from None
    return dict(_flat(document))


def _convert(document: dict[str, Any]) -> Settings:
    return msgspec.convert(document, Settings)


def _from_text(key: str, text: str) -> Any:
    """Return what a variable's text means for a setting."""
    if key == "turn":
        return [_turn_from_text(word) for word in text.replace(",", " ").split()]
    if key in _LISTS:
        return text.replace(",", " ").split()
    if key in _NUMBERS:
        return int(text) if text.isdecimal() and len(text) < 10 else text
    return text if key in _TEXTS else _TRUTH.get(text.lower(), text)


def _turn_from_text(text: str) -> dict[str, str]:
    from urllib.parse import unquote

    match = _TURN.fullmatch(text)
    if match is None:  # the text may hold a password, so it is not repeated
        raise ConfigError("P2PCHAT_TURN: a TURN server is written as turn:user:password@host:port.")
    scheme, user, password, server = match.groups()
    return {"url": f"{scheme}:{server}", "user": unquote(user), "password": unquote(password)}


def _flat(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value); lists are values, the keys of actions are settings of their own."""
    for key, value in document.items():
        if key in _TABLES or key == "keys":
            for inner, setting in value.items():
                yield f"{key}.{inner}", setting
        else:
            yield key, value


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in values.items():
        table, _, inner = key.partition(".")
        if inner:
            document.setdefault(table, {})[inner] = value
        else:
            document[key] = value
    return document


# --- saying what is wrong ---------------------------------------------------------------------------------------------

_PATH: Final = re.compile(r"(.*?)(?: - at `\$\.?(.*)`)?", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(.*)`")
_KIND: Final = {
    "bool": "true or false",
    "str": "text",
    "int": "a number",
    "float": "a number",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}
_CHOICES: Final = {"timestamps": tuple(TIMESTAMPS), "notifications.desktop": DESKTOP}


def _problem(error: msgspec.ValidationError) -> tuple[str, str]:
    """Return the dotted key that msgspec complains about, and its complaint in words of the settings file."""
    match = _PATH.fullmatch(str(error))
    assert match is not None
    words, key = match[1], match[2] or ""
    if unknown := _UNKNOWN.fullmatch(words):
        name = f"{key}.{unknown[1]}" if key else unknown[1]
        return name, f"there is no such setting{_near(name)}"
    if missing := _MISSING.fullmatch(words):
        return key, f"{missing[1]} is missing"
    if expected := re.fullmatch(r"Expected `(\w+)`(?: .*)?, got `(\w+)`(?: .*)?", words):
        wanted, got = expected.groups()
        return key, f"expected {_KIND.get(wanted, wanted)}, not {_KIND.get(got, got)}"
    if key in _CHOICES:
        return key, f"it is one of {', '.join(_CHOICES[key])}"
    if key.startswith("turn"):
        return key, "expected turn:host:port"
    if key == "retention_days":
        return key, f"expected a number of days from 1 to {limits.RETENTION_MAX_DAYS}"
    if key == "theme":
        return key, "the name of a theme is made of small letters, digits and -"
    return key, words[:1].lower() + words[1:]


def _near(name: str) -> str:
    known = [key for key, _ in _flat(msgspec.to_builtins(Settings()))] + ["keys", "profiles", "notifications"]
    near = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {near[0]}?)" if near else ""

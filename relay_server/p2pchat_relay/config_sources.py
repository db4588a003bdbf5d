"""Where a configuration comes from: a TOML file, the environment, the command line; later ones win.

Every source sets values by their key, such as ``limits.max_circuits``. In the environment that is the variable
``P2PCHAT_RELAY_LIMITS_MAX_CIRCUITS``; lists are separated by commas or spaces there, or written as in JSON.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

import msgspec
import msgspec.structs

from p2pchat_core.errors import ConfigError
from p2pchat_relay.config import RelayConfig
from p2pchat_relay.limits import CONFIG_MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["CONFIG_VARIABLE", "PREFIX", "ConfigSources", "keys"]

PREFIX: Final = "P2PCHAT_RELAY_"
CONFIG_VARIABLE: Final = "P2PCHAT_RELAY_CONFIG"
_SEPARATORS: Final = re.compile(r"[\s,]+")
_PLACE: Final = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_UNKNOWN: Final = re.compile(r"^Object contains unknown field `(?P<name>.*)`$", re.DOTALL)
_EXPECTED: Final = re.compile(
    r"^Expected `(?P<wanted>[^`]*)`(?:, got `(?P<got>[^`]*)`)?(?P<rest>.*)$", re.DOTALL
)
_WORDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text in quotes",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
    "Path": "the name of a file",
}


@dataclass(frozen=True, slots=True)
class ConfigSources:
    """What to read a configuration from; `load` may be called again and again.

    Attributes:
        file: a TOML file, or ``None``.
        environment: of the process.
        options: key and value of each option given on the command line. A text is read as in the environment.
    """

    file: Path | None
    environment: Mapping[str, str]
    options: tuple[tuple[str, object], ...] = ()

    def load(self) -> RelayConfig:
        """Put the configuration together.

        Raises:
            ConfigError: a source cannot be read, or a value cannot be used; the message names the file or
                variable, and the key.
        """
        file = self.file
        if file is None and self.environment.get(CONFIG_VARIABLE):
            file = Path(self.environment[CONFIG_VARIABLE])
        raw: dict[str, Any] = {}
        if file is not None:
            raw = _read_file(file)
            _convert(raw, RelayConfig, f"{file}: ", base=file.parent)
            _make_absolute(raw, file.parent)
        known = keys()
        names = {PREFIX + key.replace(".", "_").upper(): key for key in known}
        for variable in sorted(self.environment):
            if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
                continue
            if variable not in names:
                raise ConfigError(f"{variable}: there is no such variable.{_suggest(variable, names)}")
            key = names[variable]
            _set(raw, key, _parse(self.environment[variable], known[key], f"{variable}: "))
        for key, value in self.options:
            if key not in known:
                raise ConfigError(f"{key}: there is no such key.{_suggest(key, known)}")
            _set(raw, key, _parse(value, known[key], f"{key}: ") if isinstance(value, str) else value)
        config: RelayConfig = _convert(raw, RelayConfig, "", base=Path())
        return config


def keys() -> dict[str, Any]:
    """Return every key that a configuration may have, with the type of its value."""
    return dict(_leaves(RelayConfig, ""))


def _leaves(struct: type[msgspec.Struct], prefix: str) -> Iterable[tuple[str, Any]]:
    for field in msgspec.structs.fields(struct):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from _leaves(field.type, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, field.type


def _read_file(path: Path) -> dict[str, Any]:
    try:
        # Not blocking, so that a pipe in place of a file does not hang us.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            data = file.read(CONFIG_MAX_BYTES + 1) or b""
    except OSError as error:
        raise ConfigError(f"The configuration file {path} cannot be read: {error.strerror}.") from error
    if len(data) > CONFIG_MAX_BYTES:
        raise ConfigError(f"The configuration file {path} is too large.")
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: this is not UTF-8 text (byte {error.start + 1}).") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: this is not valid TOML: {error}.") from error


def _convert(value: object, wanted: Any, prefix: str, *, base: Path, strict: bool = True) -> Any:
    def custom(kind: type, text: object) -> object:
        if kind is Path and isinstance(text, str) and text and "\0" not in text:
            return base / Path(text).expanduser()
        raise ValueError("Expected `Path`")

    try:
        return msgspec.convert(value, wanted, dec_hook=custom, strict=strict)
    except (msgspec.ValidationError, RuntimeError) as error:
        # RuntimeError: a home directory that is not known.
        raise ConfigError(prefix + _sentence(str(error), wanted, strict=strict)) from error


def _make_absolute(raw: dict[str, Any], base: Path) -> None:
    """Names of files in a configuration file are seen from where it is."""
    for key, kind in keys().items():
        table, name = _table(raw, key, create=False)
        if _is_path(kind) and isinstance(table.get(name), str):
            table[name] = str((base / Path(table[name]).expanduser()).absolute())


def _is_path(kind: Any) -> bool:
    return kind is Path or Path in get_args(kind)


def _parse(text: object, kind: Any, prefix: str) -> object:
    """Read a value given as text, and return it as TOML would have given it."""
    value = text
    if isinstance(text, str) and get_origin(kind) is tuple:
        if text.lstrip().startswith("["):
            try:
                value = msgspec.json.decode(text)
            except msgspec.DecodeError as error:
                raise ConfigError(f"{prefix}this is not a list in JSON: {error}.") from error
        else:
            value = [part for part in _SEPARATORS.split(text) if part]
    elif (
        isinstance(text, str) and text.lower() in ("true", "yes", "on", "false", "no", "off") and kind is bool
    ):
        value = text.lower() in ("true", "yes", "on")
    converted = _convert(value, kind, prefix, base=Path(), strict=False)
    return str(converted.absolute()) if isinstance(converted, Path) else converted


def _set(raw: dict[str, Any], key: str, value: object) -> None:
    table, name = _table(raw, key, create=True)
    table[name] = list(value) if isinstance(value, tuple) else value


def _table(raw: dict[str, Any], key: str, *, create: bool) -> tuple[dict[str, Any], str]:
    *parents, name = key.split(".")
    for parent in parents:
        raw = raw.setdefault(parent, {}) if create else raw.get(parent, {})
    return raw, name


def _sentence(message: str, kind: Any, *, strict: bool) -> str:
    """Say what msgspec says in the words of a configuration file, beginning with the key."""
    place = _PLACE.search(message)
    path, message = (place["path"], message[: place.start()]) if place else ("", message)
    if unknown := _UNKNOWN.match(message):
        key = f"{path}.{unknown['name']}" if path else unknown["name"]
        return f"{key}: there is no such key.{_suggest(key, [*keys(), *_tables()])}"
    if expected := _EXPECTED.match(message):
        wanted = " or ".join(_WORDS.get(word, word) for word in expected["wanted"].split(" | "))
        message = f"this must be {wanted}{expected['rest']}"
        if expected["got"] and strict:  # otherwise it came as text, which says nothing
            message += f", not {_WORDS.get(expected['got'], expected['got'])}"
    elif message.startswith("Invalid enum value"):
        message = f"this must be one of {', '.join(get_args(keys().get(path, kind)))}"
    else:
        message = message[:1].lower() + message[1:]
    return f"{path}: {message}." if path else f"{message}."


def _tables() -> list[str]:
    return sorted({key.rpartition(".")[0] for key in keys() if "." in key})


def _suggest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)
    return f" Did you mean {close[0]}?" if close else ""

"""The command line of ``p2pchat`` and ``p2pchat headless``: one set of options, checked before anything starts.

What the command line does not say comes from the environment, then from the settings file, then from the defaults.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from p2pchat_core import limits
from p2pchat_core.errors import AddressError, ConfigError
from p2pchat_tui.command_line import make_parser
from p2pchat_tui.preferences import Preferences

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from p2pchat_core.chat.model import ServiceConfig
    from p2pchat_core.identity.keys import PrivateKey

__all__ = [
    "CONFIG_ACTIONS",
    "Arguments",
    "Options",
    "check_options",
    "data_dir_of",
    "effective",
    "make_options",
    "options_of",
    "parse_options",
    "read_arguments",
]

CONFIG_ACTIONS: Final = ("show", "check", "path")
_HEADLESS: Final = "headless"
_CONFIG: Final = "config"
_CONFIG_VARIABLE: Final = "P2PCHAT_CONFIG"
_PROFILE_VARIABLE: Final = "P2PCHAT_PROFILE"
_DATA_DIR_VARIABLE: Final = "P2PCHAT_DATA_DIR"
_NO_SETTINGS: Final = frozenset({_CONFIG_VARIABLE, _PROFILE_VARIABLE, _DATA_DIR_VARIABLE})
_PROFILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line and the settings ask for.

    Attributes:
        headless: JSON lines instead of a screen.
        plain: the line mode instead of a screen.
        data_dir: where everything is kept.
        relays: multiaddrs of relays to reserve on.
        connect: whom to connect to at the start.
        embedded_relay: whether to run a relay of our own when `relays` is empty.
        lan: whether that relay listens on the local network too, not only on this machine.
        stun: STUN servers besides the relays' own; none by default.
        share_name: contacts may ask for `name`.
        ephemeral: nothing but the identity is written to the disk.
        retention_days: how long messages are kept, ``None`` for ever.
        relay_stun: whether relays are asked for our public address.
        log_file: where the log goes; ``None`` is standard error in headless mode and nowhere otherwise.
        preferences: what concerns the screen and the line mode only.
        config_file: where the settings are, or would be.
        passphrase_fd: where the passphrase of the key is read from; asked for if needed and not given.
        identity: the key, if it had to be opened before the start.
    """

    headless: bool
    data_dir: Path
    relays: tuple[str, ...] = ()
    connect: str | None = None
    embedded_relay: bool = True
    lan: bool = False
    stun: tuple[str, ...] = ()
    relay_stun: bool = True
    turn: tuple[str, ...] = ()
    name: str = ""
    share_name: bool = True
    ephemeral: bool = False
    retention_days: int | None = None
    contacts_only: bool = False
    log_file: Path | None = None
    log_level: str = "warning"
    plain: bool = False
    preferences: Preferences = field(default_factory=Preferences)
    config_file: Path | None = field(default=None, compare=False)
    passphrase_fd: int | None = None
    identity: PrivateKey | None = field(default=None, compare=False, repr=False)

    def service_config(self) -> ServiceConfig:
        """Return what the chat service is started with."""
        from p2pchat_core.chat.model import ServiceConfig

        return ServiceConfig(
            data_dir=self.data_dir,
            relays=self.relays,
            stun=self.stun,
            turn=self.turn,
            name=self.name,
            contacts_only=self.contacts_only,
            relay_stun=self.relay_stun,
            ephemeral=self.ephemeral,
            retention_days=self.retention_days,
            share_name=self.share_name,
            identity=self.identity,
        )


@dataclass(frozen=True, slots=True)
class Arguments:
    """The command line, read but not yet laid over the settings.

    Attributes:
        config_action: for ``p2pchat config``, one of `CONFIG_ACTIONS`; otherwise empty.
        flags: dotted name of a setting -> what the command line makes of it.
        flag_names: the same names -> the option, as errors and ``config show`` call it.
        config_file: the settings file to read; it need not exist unless `config_named`.
        profile: whose section and folder are used, or ``None``.
    """

    found: argparse.Namespace
    config_action: str
    headless: bool
    connect: str | None
    flags: dict[str, Any]
    flag_names: dict[str, str]
    config_file: Path
    config_named: bool
    profile: str | None
    data_dir: Path


def parse_options(argv: Sequence[str], *, default_data_dir: Path | None = None) -> Options:
    """Read the arguments after the program's name, the environment and the settings file.

    Args:
        default_data_dir: where state is kept without ``--data-dir``; the platform's place if not given.

    Raises:
        SystemExit: with code 2 after one sentence on standard error about what is wrong, or 0 after ``--help`` or
            ``--version``.
    """
    return options_of(read_arguments(argv, default_data_dir=default_data_dir))


def options_of(arguments: Arguments) -> Options:
    """Lay the command line over the settings, and check the result.

    Raises:
        SystemExit: as `parse_options`.
    """
    try:
        values, origins = effective(arguments)
        options = make_options(arguments, values)
        check_options(options, origins)
    except (AddressError, ConfigError) as error:
        make_parser().error(str(error))
    return options


def read_arguments(argv: Sequence[str], *, default_data_dir: Path | None = None) -> Arguments:
    """Read the command line alone.

    Raises:
        SystemExit: as `parse_options`, for mistakes that can be seen without the settings.
    """
    parser = make_parser()
    found = parser.parse_intermixed_args(list(argv))
    words: list[str] = found.words
    headless = words[:1] == [_HEADLESS]
    action = ""
    if words[:1] == [_CONFIG]:
        action = words[1] if len(words) == 2 else ""
        if action not in CONFIG_ACTIONS:
            parser.error("Say what to do with the settings: p2pchat config show, check or path.")
        words = []
    words = words[1:] if headless else words
    if found.connect is not None:
        words = [*words, found.connect]
    if len(words) > 1:
        parser.error(f"Only one address can be connected to at the start, but {len(words)} were given.")
    if found.contacts_only and not headless:
        parser.error("--contacts-only belongs to headless mode; the screen asks you about every stranger.")
    if found.plain and headless:
        parser.error("--plain and headless exclude each other.")
    days = found.retention_days
    if days is not None and not 1 <= days <= limits.RETENTION_MAX_DAYS:
        parser.error(f"--retention-days takes a number from 1 to {limits.RETENTION_MAX_DAYS}, not {days}.")
    if found.no_stun and found.stun:
        parser.error("--stun and --no-stun exclude each other.")
    profile = _profile(parser, found.profile)
    named = found.config or os.environ.get(_CONFIG_VARIABLE)
    flags, names = _flags(found)
    return Arguments(
        found=found,
        config_action=action,
        headless=headless,
        connect=words[0] if words else None,
        flags=flags,
        flag_names=names,
        config_file=Path(named).absolute() if named else _platform_config_file(),
        config_named=bool(named),
        profile=profile,
        data_dir=_data_dir(found.data_dir, profile, default_data_dir),
    )


def data_dir_of(parser: argparse.ArgumentParser, given: Path | None, profile: str | None) -> Path:
    """Return the folder that ``--data-dir`` and ``--profile``, or the environment, mean.

    Raises:
        SystemExit: the profile has no name that can be used.
    """
    return _data_dir(given, _profile(parser, profile), None)


def _profile(parser: argparse.ArgumentParser, given: str | None) -> str | None:
    profile = given or os.environ.get(_PROFILE_VARIABLE) or None
    if profile is not None and not _PROFILE.fullmatch(profile):
        parser.error(f"{profile!r} is no name for a profile; use letters, digits, - and _, 32 at most.")
    return profile


def effective(arguments: Arguments) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values of the settings, the command line over everything, and where each comes from.

    Settings that nobody set may be missing, so that a start without any need not load what reads them.

    Raises:
        ConfigError: the settings file, or a variable, cannot be used; it names the file and the key.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    has_file = arguments.config_named or arguments.config_file.exists()
    variables = {name for name in os.environ if name.startswith("P2PCHAT_")} - _NO_SETTINGS
    if has_file or variables or arguments.config_action:
        from p2pchat_tui import settings

        layers = settings.file_layers(arguments.config_file, arguments.profile) if has_file else []
        resolved = settings.resolve([*layers, settings.environment_layer(os.environ)])
        values, origins = resolved.values, resolved.origins
    return values | arguments.flags, origins | arguments.flag_names


def make_options(arguments: Arguments, values: Mapping[str, Any]) -> Options:
    """Return the options that `values`, as `effective` returns them, amount to."""
    found = arguments.found
    return Options(
        headless=arguments.headless,
        data_dir=arguments.data_dir,
        relays=tuple(dict.fromkeys(values.get("relays", ()))),
        connect=arguments.connect,
        embedded_relay=values.get("embedded_relay", True),
        lan=values.get("lan", False),
        stun=tuple(dict.fromkeys(values.get("stun", ()))),
        relay_stun=values.get("relay_stun", True),
        turn=tuple(dict.fromkeys(values.get("turn", ()))),
        name=values.get("name", ""),
        share_name=values.get("share_name", True),
        ephemeral=values.get("ephemeral", False),
        retention_days=values.get("retention_days"),
        contacts_only=found.contacts_only,
        log_file=found.log_file,
        log_level=found.log_level,
        plain=found.plain,
        preferences=_preferences(values, arguments.config_file.parent / "themes"),
        config_file=arguments.config_file,
        passphrase_fd=found.passphrase_fd,
    )


def _preferences(values: Mapping[str, Any], themes: Path) -> Preferences:
    dotted = {name: f"notifications.{name}" for name in ("bell", "desktop", "hide_text")}
    names = {one.name: dotted.get(one.name, one.name) for one in fields(Preferences)}
    return Preferences(**{name: values[key] for name, key in names.items() if key in values}, themes=themes)


def _flags(found: argparse.Namespace) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the settings that the command line makes, and the options that make them."""
    options = {
        "relays": ("--relay", found.relay or None),
        "embedded_relay": ("--embedded-relay", found.embedded_relay),
        "lan": ("--lan", found.lan),
        "stun": ("--stun", found.stun or None),
        "turn": ("--turn", found.turn or None),
        "name": ("--name", found.name),
        "share_name": ("--share-name", found.share_name),
        "ephemeral": ("--ephemeral", found.ephemeral),
        "retention_days": ("--retention-days", found.retention_days),
        "theme": ("--theme", found.theme),
    }
    flags = {key: value for key, (_, value) in options.items() if value is not None}
    names = {key: name for key, (name, _) in options.items() if key in flags}
    for key in ("embedded_relay", "lan", "share_name", "ephemeral"):
        if flags.get(key) is False:
            names[key] = names[key].replace("--", "--no-", 1)
    if found.no_stun:
        flags |= {"stun": [], "relay_stun": False}
        names |= {"stun": "--no-stun", "relay_stun": "--no-stun"}
    return flags, names


def _data_dir(given: Path | None, profile: str | None, default: Path | None) -> Path:
    if given is None and (named := os.environ.get(_DATA_DIR_VARIABLE)):
        given = Path(named)
    if given is not None:
        return given.absolute()
    folder = default or _platform_data_dir()
    return (folder / "profiles" / profile if profile is not None else folder).absolute()


def _platform_data_dir() -> Path:
    import platformdirs

    return platformdirs.user_data_path("p2pchat", appauthor=False)


def _platform_config_file() -> Path:
    import platformdirs

    return platformdirs.user_config_path("p2pchat", appauthor=False) / "config.toml"


def check_options(options: Options, origins: Mapping[str, str]) -> None:
    """Check what a wrong value of would only be found out later.

    Args:
        origins: as `effective` returns them; an error begins with what is named there.

    Raises:
        AddressError, ConfigError: an address or a server cannot be used.
    """
    if options.stun or options.turn:
        from p2pchat_core.chat.ice import ice_config

        for key, stun, turn in (("stun", options.stun, ()), ("turn", (), options.turn)):
            try:
                ice_config(stun, turn)
            except ConfigError as error:
                raise ConfigError(f"{_place(key, origins)}: {error}") from error
    for relay in options.relays:
        _check_address(_place("relays", origins), relay, relay=True)
    if options.connect is not None:
        _check_address("--connect", options.connect)


def _place(key: str, origins: Mapping[str, str]) -> str:
    """Return where a setting was made: an option or a variable says which setting, a file does not."""
    origin = origins.get(key, key)
    return origin if origin.startswith(("--", "P2PCHAT_")) else f"{origin}: {key}"


def _check_address(place: str, address: str, *, relay: bool = False) -> None:
    # Imported late: it takes longer than everything else here, and --version and --help need none of it.
    from p2pchat_core.wire.dial_target import CircuitTarget, parse_target

    try:
        target = parse_target(address)
    except AddressError as error:
        raise AddressError(f"{place} {address}: {error}") from error
    if relay and isinstance(target, CircuitTarget):
        raise AddressError(
            f"{place} {address}: this is the address of a person behind a relay; use --connect for it."
        )

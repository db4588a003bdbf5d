"""The command line of ``p2pchat`` and ``p2pchat headless``: one set of options, checked before anything starts."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from p2pchat_core import __version__
from p2pchat_core.errors import AddressError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from p2pchat_core.chat.model import ServiceConfig

__all__ = ["LOG_LEVELS", "Options", "parse_options"]

LOG_LEVELS: Final = ("debug", "info", "warning", "error")
_HEADLESS: Final = "headless"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for.

    Attributes:
        headless: JSON lines instead of a screen.
        data_dir: where everything is kept.
        relays: multiaddrs of relays to reserve on.
        connect: whom to connect to at the start.
        embedded_relay: whether to run a relay of our own when `relays` is empty.
        lan: whether that relay listens on the local network too, not only on this machine.
        stun: STUN servers besides the relays' own; none by default.
        relay_stun: whether relays are asked for our public address.
        log_file: where the log goes; ``None`` is standard error in headless mode and nowhere otherwise.
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
    contacts_only: bool = False
    log_file: Path | None = None
    log_level: str = "warning"

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
        )


def parse_options(argv: Sequence[str], *, default_data_dir: Path | None = None) -> Options:
    """Read the arguments after the program's name.

    Args:
        default_data_dir: where state is kept without ``--data-dir``; the platform's place if not given.

    Raises:
        SystemExit: with code 2 after one sentence on standard error about what is wrong, or 0 after ``--help`` or
            ``--version``.
    """
    parser = _parser()
    found = parser.parse_intermixed_args(list(argv))
    words: list[str] = found.words
    headless = words[:1] == [_HEADLESS]
    if headless:
        words = words[1:]
    if found.connect is not None:
        words.append(found.connect)
    if len(words) > 1:
        parser.error(f"Only one address can be connected to at the start, but {len(words)} were given.")
    if found.contacts_only and not headless:
        parser.error("--contacts-only belongs to headless mode; the screen asks you about every stranger.")
    if found.no_stun and found.stun:
        parser.error("--stun and --no-stun exclude each other.")
    options = Options(
        headless=headless,
        data_dir=(found.data_dir or default_data_dir or _platform_data_dir()).absolute(),
        relays=tuple(dict.fromkeys(found.relay)),
        connect=words[0] if words else None,
        embedded_relay=not found.no_embedded_relay,
        lan=found.lan,
        stun=tuple(dict.fromkeys(found.stun)),
        relay_stun=not found.no_stun,
        turn=tuple(dict.fromkeys(found.turn)),
        name=found.name,
        contacts_only=found.contacts_only,
        log_file=found.log_file,
        log_level=found.log_level,
    )
    try:
        _check(options)
    except (AddressError, ConfigError) as error:
        parser.error(str(error))
    return options


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage in front of it."""

    def error(self, message: str) -> NoReturn:
        """Print `message` as a sentence and exit with code 2."""
        sentence = message[:1].upper() + message[1:]
        self.exit(2, f"{self.prog}: {sentence if sentence.endswith(('.', '…')) else sentence + '.'}\n")


def _parser() -> _Parser:
    parser = _Parser(
        prog="p2pchat",
        usage="p2pchat [options] [ADDRESS]\n       p2pchat headless [options] [ADDRESS]",
        description="Chat directly, end to end encrypted, with whoever gives you their address.",
        epilog="With 'headless' there is no screen: JSON commands are read from standard input, one a line, and "
        "replies and events are written to standard output.",
        allow_abbrev=False,
    )
    parser.add_argument("words", nargs="*", metavar="ADDRESS", help="whom to connect to at the start")
    parser.add_argument("--version", action="version", version=f"p2pchat {__version__}")
    state = parser.add_argument_group("where things are kept")
    state.add_argument("--data-dir", type=Path, metavar="DIR", help="identity, history and everything else")
    state.add_argument("--name", default="", help="what you call yourself on your own screen")
    state.add_argument("--log-file", type=Path, metavar="FILE", help="write a log there")
    state.add_argument("--log-level", choices=LOG_LEVELS, default="warning", help="default: warning")
    network = parser.add_argument_group("network")
    network.add_argument(
        "--relay",
        action="append",
        default=[],
        metavar="ADDR",
        help="be reachable through this relay; repeatable",
    )
    network.add_argument("--connect", metavar="ADDR", help="the same as ADDRESS")
    network.add_argument(
        "--no-embedded-relay", action="store_true", help="without --relay, run none of our own"
    )
    network.add_argument("--lan", action="store_true", help="let our own relay serve the local network")
    network.add_argument(
        "--stun",
        action="append",
        default=[],
        metavar="URL",
        help="stun:host:port to learn our public address from, besides the relays; repeatable",
    )
    network.add_argument("--no-stun", action="store_true", help="do not ask the relays either")
    network.add_argument(
        "--turn", action="append", default=[], metavar="URL", help="turn:user:password@host:port; repeatable"
    )
    network.add_argument(
        "--contacts-only", action="store_true", help="headless: refuse those you have never connected to"
    )
    return parser


def _platform_data_dir() -> Path:
    import platformdirs

    return platformdirs.user_data_path("p2pchat", appauthor=False)


def _check(options: Options) -> None:
    if options.stun or options.turn:
        from p2pchat_core.chat.ice import ice_config

        ice_config(options.stun, options.turn)
    for relay in options.relays:
        _check_address("--relay", relay)
    if options.connect is not None:
        _check_address("--connect", options.connect)


def _check_address(option: str, address: str) -> None:
    # Imported late: it takes longer than everything else here, and --version and --help need none of it.
    from p2pchat_core.wire.dial_target import CircuitTarget, parse_target

    try:
        target = parse_target(address)
    except AddressError as error:
        raise AddressError(f"{option} {address}: {error}") from error
    if option == "--relay" and isinstance(target, CircuitTarget):
        raise AddressError(
            f"{option} {address}: this is the address of a person behind a relay; use --connect for it."
        )

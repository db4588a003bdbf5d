"""The `p2pchat-relay` command.

``run`` (also without that word) serves until it is told to stop. Standard output carries the relay's addresses,
one a line, and nothing else; everything else goes to standard error. ``check-config``, ``show-id`` and
``keygen`` do what they say and end. The exit code is 0 if all went well, 1 when the relay could not start here
and now, 2 when it was started or configured wrongly.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from p2pchat_core import __version__
from p2pchat_core.errors import ConfigError, P2PChatError
from p2pchat_relay import limits
from p2pchat_relay.errors import RelayStartError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from p2pchat_relay.config import RelayConfig
    from p2pchat_relay.config_sources import ConfigSources

__all__ = ["main"]

_PROGRAM: Final = "p2pchat-relay"
_LOG_LEVELS: Final = ("debug", "info", "warning", "error")
_FAILED: Final = 1
_BAD_USAGE: Final = 2
_DESCRIPTION: Final = "Introduces p2pchat and js-libp2p peers to each other: circuit relay v2, and STUN."
_EPILOG: Final = """commands:
  run           serve; the default
  check-config  read the configuration, say what is wrong with it, and end
  show-id       print the relay's PeerId
  keygen        make the relay's key if there is none, and print its PeerId

Every key of the configuration file can also be given in the environment (limits.max_circuits is
P2PCHAT_RELAY_LIMITS_MAX_CIRCUITS) or with --set. Options win over the environment, that over the file.

signals:
  HUP   read the configuration and the certificate again; nobody is cut off
  USR1  take nobody new, wait until the circuits have ended, end
  TERM  end within {deadline:g} seconds; twice: at once"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the summary of all options."""

    def error(self, message: str) -> NoReturn:
        self.exit(_BAD_USAGE, f"{self.prog}: {message}. See {self.prog} --help.\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says, and return the exit code."""
    options = _parser().parse_args(argv)
    try:
        sources = _sources(options)
        config = sources.load()
        _COMMANDS[options.command](sources, config)
    except ConfigError as error:
        return _fail(error, _BAD_USAGE)
    except P2PChatError as error:
        return _fail(error, _FAILED)
    return 0


# --- commands ---------------------------------------------------------------------------------------------------


def _run(sources: ConfigSources, config: RelayConfig) -> None:
    # The server brings the whole node with it; a wrong option should be told about without that.
    from p2pchat_relay.daemon import Daemon
    from p2pchat_relay.event_loop import run

    _set_up_log(config)
    run(Daemon(sources, config, on_config=_set_up_log).run())


def _check_config(_sources: ConfigSources, config: RelayConfig) -> None:
    import time

    from p2pchat_relay.server import Plan

    Plan(config, time.time())
    print("The configuration is good.")  # noqa: T201


def _show_id(_sources: ConfigSources, config: RelayConfig) -> None:
    from p2pchat_relay.state import identity_path

    if not os.path.lexists(identity_path(config.data_dir)):
        raise RelayStartError(
            f"There is no key in {config.data_dir} yet. It is made by the first start, or by {_PROGRAM} keygen."
        )
    _print_id(config)


def _keygen(_sources: ConfigSources, config: RelayConfig) -> None:
    _print_id(config)


_COMMANDS: Final[dict[str, Callable[[ConfigSources, RelayConfig], None]]] = {
    "run": _run,
    "check-config": _check_config,
    "show-id": _show_id,
    "keygen": _keygen,
}


def _print_id(config: RelayConfig) -> None:
    from p2pchat_core.identity.keystore import load_or_create_identity
    from p2pchat_relay.state import identity_path

    print(load_or_create_identity(identity_path(config.data_dir)).peer_id)  # noqa: T201


def _set_up_log(config: RelayConfig) -> None:
    from p2pchat_relay.logs import configure_logging

    configure_logging(config.log.level, style=config.log.format, peer_ids=config.log.peers)


# --- options ----------------------------------------------------------------------------------------------------


def _sources(options: argparse.Namespace) -> ConfigSources:
    from p2pchat_relay.config_sources import ConfigSources

    given: list[tuple[str, object]] = []
    for key, name in _OPTIONS.items():
        value = getattr(options, name)
        if value is not None:
            given.append((key, value))
    if options.no_stun:
        given.append(("stun.enabled", False))
    for text in options.set:
        key, separator, value = text.partition("=")
        if not separator:
            raise ConfigError(f"--set {text[:80]}: write it as key=value, such as limits.max_circuits=100.")
        given.append((key.strip(), value.strip()))
    return ConfigSources(options.config, os.environ, tuple(given))


_OPTIONS: Final = {
    "listen": "listen",
    "announce": "announce",
    "data_dir": "data_dir",
    "limits.max_reservations": "max_reservations",
    "limits.circuit_seconds": "circuit_seconds",
    "limits.circuit_bytes": "circuit_bytes",
    "log.level": "log_level",
}
"""Options that set one key of the configuration, by that key."""


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=_PROGRAM,
        allow_abbrev=False,
        description=_DESCRIPTION,
        epilog=_EPILOG.format(deadline=limits.STOP_DEADLINE),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "command", nargs="?", choices=tuple(_COMMANDS), default="run", help="see below (default: %(default)s)"
    )
    add("--config", metavar="FILE", type=Path, help="a configuration file in TOML (default: none)")
    add(
        "--listen",
        metavar="ADDR",
        action="append",
        help="where to listen; repeatable (default: /ip4/0.0.0.0/tcp/9001/ws); port 0: choose one, keep it",
    )
    add(
        "--announce",
        metavar="ADDR",
        action="append",
        help="a further address that leads here, such as that of a reverse proxy; repeatable",
    )
    add("--data-dir", metavar="DIR", help="where identity and ports are kept")
    add(
        "--max-reservations",
        metavar="N",
        type=_count,
        help=f"peers that can be reached through this relay at once (default: {limits.MAX_RESERVATIONS})",
    )
    add(
        "--circuit-seconds",
        metavar="N",
        type=_count,
        help=f"cut a circuit after this time, 0 for never (default: {limits.CIRCUIT_SECONDS})",
    )
    add(
        "--circuit-bytes",
        metavar="N",
        type=_count,
        help="cut a circuit that carried more than this in one direction, 0 for never"
        f" (default: {limits.CIRCUIT_BYTES})",
    )
    add("--set", metavar="KEY=VALUE", action="append", default=[], help="set any key; repeatable")
    add("--version", action="version", version=f"{_PROGRAM} {__version__}")
    add("--no-stun", action="store_true", help="do not answer STUN on UDP")
    add("--log-level", choices=_LOG_LEVELS, help="(default: info)")
    return parser


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > limits.MAX_COUNT_DIGITS:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number from 0 up")
    return int(text)


def _fail(error: Exception, code: int) -> int:
    print(f"{_PROGRAM}: {error}", file=sys.stderr)  # noqa: T201
    return code

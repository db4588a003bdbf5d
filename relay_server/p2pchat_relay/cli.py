"""The `p2pchat-relay` command.

Standard output carries the relay's addresses, one a line, and nothing else; everything else goes to standard
error. The exit code is 0 after SIGTERM or SIGINT, 1 when the relay could not start, 2 when it was started
wrongly.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from p2pchat_core import __version__
from p2pchat_core.errors import ConfigError, P2PChatError
from p2pchat_relay import limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from p2pchat_relay.server import RelayConfig, RelayServer

__all__ = ["main"]

logger = logging.getLogger(__name__)

_PROGRAM: Final = "p2pchat-relay"
_LOG_LEVELS: Final = ("debug", "info", "warning", "error")
_FAILED: Final = 1
_BAD_USAGE: Final = 2


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the summary of all options."""

    def error(self, message: str) -> NoReturn:
        self.exit(_BAD_USAGE, f"{self.prog}: {message}. See {self.prog} --help.\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the relay until it is told to stop, and return the exit code."""
    options = _parser().parse_args(argv)
    logging.basicConfig(
        stream=sys.stderr,
        level=options.log_level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
    )
    _allow_open_files()
    try:
        asyncio.run(_run(_config(options)))
    except ConfigError as error:
        return _fail(error, _BAD_USAGE)
    except P2PChatError as error:
        return _fail(error, _FAILED)
    return 0


async def _run(config: RelayConfig) -> None:
    # The server brings the whole node with it; a wrong option should be told about without that.
    from p2pchat_relay.server import RelayServer

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await RelayServer.start(config)
    try:
        _print_addresses(server)
        await stop.wait()
        logger.info("stopping")
    finally:
        await server.stop()


def _print_addresses(server: RelayServer) -> None:
    try:
        for address in server.addresses:
            print(address)  # noqa: T201
        sys.stdout.flush()
    except OSError as error:
        # Whoever started us does not want to know (any more); that is no reason not to serve.
        logger.warning("the addresses could not be printed: %s", error.strerror)
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _config(options: argparse.Namespace) -> RelayConfig:
    from p2pchat_relay.server import RelayConfig

    return RelayConfig(
        data_dir=options.data_dir if options.data_dir is not None else _default_data_dir(),
        listen=tuple(options.listen),
        announce=tuple(options.announce),
        max_reservations=options.max_reservations,
        circuit_seconds=options.circuit_seconds,
        circuit_bytes=options.circuit_bytes,
        stun=not options.no_stun,
    )


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.OPEN_FILES if hard == resource.RLIM_INFINITY else min(limits.OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # Without it the relay works, only for fewer at once.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _default_data_dir() -> Path:
    from platformdirs import user_data_path

    return user_data_path(_PROGRAM, appauthor=False)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=_PROGRAM,
        allow_abbrev=False,
        description="Introduces p2pchat and js-libp2p peers to each other: circuit relay v2, and STUN.",
    )
    add = parser.add_argument
    add(
        "--listen",
        metavar="ADDR",
        action="append",
        default=[],
        help="where to listen; repeatable (default: /ip4/0.0.0.0/tcp/9001/ws); port 0: choose one, keep it",
    )
    add(
        "--announce",
        metavar="ADDR",
        action="append",
        default=[],
        help="a further address that leads here, such as that of a reverse proxy; repeatable",
    )
    add("--data-dir", metavar="DIR", type=Path, help="where identity and ports are kept")
    add(
        "--max-reservations",
        metavar="N",
        type=_count,
        default=limits.MAX_RESERVATIONS,
        help="peers that can be reached through this relay at once (default: %(default)s)",
    )
    add(
        "--circuit-seconds",
        metavar="N",
        type=_count,
        default=limits.CIRCUIT_SECONDS,
        help="cut a circuit after this time, 0 for never (default: %(default)s)",
    )
    add(
        "--circuit-bytes",
        metavar="N",
        type=_count,
        default=limits.CIRCUIT_BYTES,
        help="cut a circuit that carried more than this in one direction, 0 for never (default: %(default)s)",
    )
    add("--version", action="version", version=f"{_PROGRAM} {__version__}")
    add("--no-stun", action="store_true", help="do not answer STUN on UDP")
    add("--log-level", choices=_LOG_LEVELS, default="info", help="(default: %(default)s)")
    return parser


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > limits.MAX_COUNT_DIGITS:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number from 0 up")
    return int(text)


def _fail(error: Exception, code: int) -> int:
    print(f"{_PROGRAM}: {error}", file=sys.stderr)  # noqa: T201
    return code

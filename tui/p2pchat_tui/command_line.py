"""The options of the command line and what ``--help`` says about them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final, NoReturn

from p2pchat_core import __version__

__all__ = ["LOG_LEVELS", "make_parser"]

LOG_LEVELS: Final = ("debug", "info", "warning", "error")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage in front of it."""

    def error(self, message: str) -> NoReturn:
        """Print `message` as a sentence and exit with code 2."""
        sentence = message[:1].upper() + message[1:]
        self.exit(2, f"{self.prog}: {sentence if sentence.endswith(('.', '…', '?')) else sentence + '.'}\n")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = _Parser(
        prog="p2pchat",
        usage="p2pchat [options] [ADDRESS]\n       p2pchat headless [options] [ADDRESS]\n"
        "       p2pchat config show|check|path [options]\n       p2pchat key show|passphrase|export|import [options]",
        description="Chat directly, end to end encrypted, with whoever gives you their address.",
        epilog="With 'headless' there is no screen: JSON commands are read from standard input, one a line, and "
        "replies and events are written to standard output. 'config' shows the settings that count and where "
        "each comes from, checks them, or says where their file is. 'key' shows who you are, gives your key a "
        "passphrase, and moves it to another machine.",
        allow_abbrev=False,
    )
    parser.add_argument("words", nargs="*", metavar="ADDRESS", help="whom to connect to at the start")
    parser.add_argument("--version", action="version", version=f"p2pchat {__version__}")
    parser.add_argument(
        "--plain",
        action="store_true",
        help="lines instead of a screen, for screen readers and dumb terminals",
    )
    parser.add_argument("--theme", metavar="NAME", help="system, dark, light, high-contrast or one of yours")
    parser.add_argument("--name", help="what you call yourself; contacts are told")
    parser.add_argument(
        "--share-name",
        action=argparse.BooleanOptionalAction,
        help="tell contacts your name; on unless said otherwise",
    )
    state = parser.add_argument_group("where things are kept")
    state.add_argument("--config", type=Path, metavar="FILE", help="the settings, instead of the usual file")
    state.add_argument(
        "--profile", metavar="NAME", help="another identity, history and section of the settings"
    )
    state.add_argument("--data-dir", type=Path, metavar="DIR", help="identity, history and everything else")
    state.add_argument(
        "--ephemeral",
        action=argparse.BooleanOptionalAction,
        help="write nothing but your identity; what is said is gone when you leave",
    )
    state.add_argument(
        "--retention-days", type=int, metavar="N", help="delete messages older than this; for ever by default"
    )
    state.add_argument(
        "--passphrase-fd",
        type=int,
        metavar="N",
        help="read the passphrase of the key from this open descriptor",
    )
    state.add_argument("--log-file", type=Path, metavar="FILE", help="write a log there")
    state.add_argument("--log-level", choices=LOG_LEVELS, default="warning", help="default: warning")
    _add_network(parser.add_argument_group("network"))
    return parser


def _add_network(network: argparse._ArgumentGroup) -> None:
    network.add_argument(
        "--relay",
        action="append",
        metavar="ADDR",
        help="be reachable through this relay; repeatable",
    )
    network.add_argument("--connect", metavar="ADDR", help="the same as ADDRESS")
    network.add_argument(
        "--embedded-relay",
        action=argparse.BooleanOptionalAction,
        help="without any other relay, run one of our own; on unless said otherwise",
    )
    network.add_argument(
        "--lan", action=argparse.BooleanOptionalAction, help="let our own relay serve the local network"
    )
    network.add_argument(
        "--stun",
        action="append",
        metavar="URL",
        help="stun:host:port to learn our public address from, besides the relays; repeatable",
    )
    network.add_argument("--no-stun", action="store_true", help="do not ask the relays either")
    network.add_argument(
        "--turn",
        action="append",
        metavar="URL",
        help="turn:user:password@host:port; repeatable; safer in the settings, as command lines can be read",
    )
    network.add_argument(
        "--contacts-only", action="store_true", help="headless: refuse those you have never connected to"
    )

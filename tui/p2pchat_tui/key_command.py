"""``p2pchat key show|passphrase|export|import``: the identity, and how it moves to another machine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from p2pchat_core.chat.data_dir import DataDir
from p2pchat_core.errors import ConfigError, IdentityError, P2PChatError
from p2pchat_core.identity.keystore import identity_is_sealed, load_identity, write_identity
from p2pchat_tui.options import data_dir_of
from p2pchat_tui.passphrase import ask, ask_new, read_descriptor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from p2pchat_core.identity.keys import PrivateKey

__all__ = ["ACTIONS", "main", "run"]

ACTIONS = ("show", "passphrase", "export", "import")
_WITH_FILE = ("export", "import")


def main(argv: Sequence[str]) -> int:
    """Run ``p2pchat key`` with the arguments behind it and return the exit code."""
    parser = _parser()
    found = parser.parse_args(argv)
    if (found.file is not None) != (found.action in _WITH_FILE):
        parser.error(
            f"Say which file to {found.action} {'to' if found.action == 'export' else 'from'}."
            if found.action in _WITH_FILE
            else f"'key {found.action}' takes no file."
        )
    folder = data_dir_of(parser, found.data_dir, found.profile)
    return run(
        found.action,
        folder,
        found.file,
        descriptor=found.passphrase_fd,
        no_passphrase=found.no_passphrase,
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"p2pchat: {message[:1].upper()}{message[1:].removesuffix('.')}.\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="p2pchat key",
        description="Show who you are; give your key another passphrase; write it to a file; take it from one.",
        allow_abbrev=False,
    )
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("file", nargs="?", type=Path, help="where to export to, or what to import")
    parser.add_argument("--data-dir", type=Path, metavar="DIR")
    parser.add_argument("--profile", metavar="NAME")
    parser.add_argument(
        "--passphrase-fd",
        type=int,
        metavar="N",
        help="read passphrases from this open descriptor, one a line: first the one that opens the key, if it has "
        "one, then the new one",
    )
    parser.add_argument("--no-passphrase", action="store_true", help="write the key without a passphrase")
    return parser


def run(
    action: str, data_dir: Path, file: Path | None, *, descriptor: int | None, no_passphrase: bool
) -> int:
    """Do what `action` says with the key in `data_dir` and return the exit code: 1 if it could not be done.

    Args:
        file: where to export to or import from.
        descriptor: where passphrases are read from, one a line, instead of asking.
        no_passphrase: leave what is written open to whoever can read the file.
    """
    try:
        # The lock keeps a running chat from using the key that is being changed.
        held = DataDir.open(data_dir)
        try:
            _COMMANDS[action](_Key(held.identity, file, descriptor, no_passphrase))
        finally:
            held.close()
    except P2PChatError as error:
        print(f"p2pchat: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


class _Key:
    """The key file and how to open it."""

    def __init__(self, path: Path, file: Path | None, descriptor: int | None, no_passphrase: bool) -> None:
        self.path = path
        self.file = file
        self._descriptor = descriptor
        self._no_passphrase = no_passphrase

    @property
    def other(self) -> Path:
        """The file that was named."""
        if self.file is None:
            raise ConfigError("Name a file.")
        return self.file

    def load(self, path: Path) -> PrivateKey:
        """Return the key in a file, asking for its passphrase if it has one."""
        if not identity_is_sealed(path):
            return load_identity(path)
        return load_identity(path, self._given(f"Passphrase of {path}: "))

    def new_passphrase(self) -> bytes | None:
        """Return the passphrase for what is to be written."""
        if self._no_passphrase:
            return None
        return ask_new() if self._descriptor is None else read_descriptor(self._descriptor)

    def _given(self, prompt: str) -> bytes:
        return ask(prompt) if self._descriptor is None else read_descriptor(self._descriptor)


def _show(key: _Key) -> None:
    sealed = identity_is_sealed(key.path)
    print(f"peer id     {key.load(key.path).peer_id}")  # noqa: T201
    print(f"key file    {key.path}")  # noqa: T201
    print(f"passphrase  {'yes' if sealed else 'no'}")  # noqa: T201


def _passphrase(key: _Key) -> None:
    loaded = key.load(key.path)
    write_identity(key.path, loaded, key.new_passphrase(), replace=True)
    done = (
        "is kept under the new passphrase" if identity_is_sealed(key.path) else "has no passphrase any more"
    )
    print(f"The key {done}.")  # noqa: T201


def _export(key: _Key) -> None:
    loaded = key.load(key.path)
    write_identity(key.other, loaded, key.new_passphrase(), replace=False)
    print(f"The key of {loaded.peer_id} is in {key.other}. Whoever has it, and its passphrase, is you.")  # noqa: T201


def _import(key: _Key) -> None:
    loaded = key.load(key.other)
    if key.path.exists():
        raise IdentityError(
            f"There is a key in {key.path} already. Move it away first, or use another --profile or --data-dir."
        )
    write_identity(key.path, loaded, key.new_passphrase(), replace=False)
    print(f"You are {loaded.peer_id} from now on. Do not run it in two places at once.")  # noqa: T201


_COMMANDS = {"show": _show, "passphrase": _passphrase, "export": _export, "import": _import}

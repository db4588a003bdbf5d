"""Passphrases: asked for on the terminal, or read from a file descriptor; never an argument or a variable."""

from __future__ import annotations

import getpass
import os
import sys
from typing import TYPE_CHECKING, Final

from p2pchat_core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from p2pchat_core.identity.keys import PrivateKey

__all__ = ["ask", "ask_new", "read_descriptor", "unlock"]

_MAX: Final = 1024
_TRIES: Final = 3
_SEALED: Final = b"-----BEGIN P2PCHAT SEALED KEY-----"


def unlock(path: Path, descriptor: int | None) -> PrivateKey | None:
    """Return the key in the file `path` if a passphrase is needed for it, asking for that; ``None`` if not.

    A file that cannot be read, or is no key, is left to those who read it next and say so.

    Raises:
        ConfigError: the passphrase cannot be had.
        IdentityError: it is wrong, or the file cannot be used.
    """
    if descriptor is None and not _looks_sealed(path):
        return None
    # Only now: a start without a passphrase need not load this before the first frame.
    from p2pchat_core.errors import WrongPassphraseError
    from p2pchat_core.identity.keystore import load_identity, load_or_create_identity

    if descriptor is not None:
        return load_or_create_identity(path, read_descriptor(descriptor))
    for tries_left in reversed(range(_TRIES)):
        try:
            return load_identity(path, ask(f"Passphrase of {path}: "))
        except WrongPassphraseError:
            if not tries_left:
                raise
            print("That is not it.", file=sys.stderr)  # noqa: T201
    raise AssertionError("unreachable")


def ask(prompt: str) -> bytes:
    """Ask on the terminal, without showing what is typed.

    Raises:
        ConfigError: there is no terminal, or the user gave up.
    """
    if not sys.stdin.isatty():
        raise ConfigError(
            "The key needs a passphrase and there is no terminal to ask on; use --passphrase-fd."
        )
    try:
        typed = getpass.getpass(prompt)
    except (EOFError, KeyboardInterrupt):
        raise ConfigError("No passphrase was given.") from None
    return _checked(typed.encode("utf-8", "surrogateescape"))


def ask_new() -> bytes:
    """Ask for a new passphrase, twice.

    Raises:
        ConfigError: the two differ, it is empty, or it cannot be asked for.
    """
    first = ask("New passphrase: ")
    if ask("Once more: ") != first:
        raise ConfigError("The two passphrases differ; nothing was changed.")
    return first


def read_descriptor(descriptor: int) -> bytes:
    """Return the next line of what can be read from an open file descriptor, and leave the rest in it.

    Raises:
        ConfigError: it is not open for reading, or has no line of at most 1024 bytes.
    """
    line = bytearray()
    try:
        while len(line) <= _MAX and (byte := os.read(descriptor, 1)) not in (b"", b"\n"):
            line += byte
    except OSError as error:
        raise ConfigError(
            f"The passphrase cannot be read from descriptor {descriptor}: {error.strerror}."
        ) from error
    return _checked(bytes(line).removesuffix(b"\r"))


def _checked(passphrase: bytes) -> bytes:
    if not passphrase:
        raise ConfigError("The passphrase is empty.")
    if len(passphrase) > _MAX:
        raise ConfigError(f"The passphrase is longer than {_MAX} bytes.")
    return passphrase


def _looks_sealed(path: Path) -> bool:
    """Look at the first bytes; who uses the file checks the rest."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.read(descriptor, len(_SEALED)) == _SEALED
    except OSError:
        return False
    finally:
        os.close(descriptor)

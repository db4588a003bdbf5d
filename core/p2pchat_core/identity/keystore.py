"""The key file: our identity, kept so that nobody else on the machine can read it.

The file holds the private key in libp2p's protobuf form, as other implementations write it, or the same sealed with a
passphrase (`identity/sealed_key.py`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shlex
import stat
from typing import TYPE_CHECKING, Final

from p2pchat_core.errors import IdentityError, PassphraseNeededError, WrongPassphraseError
from p2pchat_core.identity.keys import KeyType, PrivateKey
from p2pchat_core.identity.sealed_key import NONCE_SIZE, SALT_SIZE, is_sealed, open_sealed_key, seal_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["identity_is_sealed", "load_identity", "load_or_create_identity", "write_identity"]

_MAX_FILE: Final = 16 * 1024
_NO_LINKS: Final = frozenset(
    {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK}
)
"""What file systems without hard links answer; there the file is renamed instead."""
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def load_or_create_identity(path: Path, passphrase: bytes | None = None) -> PrivateKey:
    """Return the key in the file `path`, or create the file with a new Ed25519 key.

    Blocks for a few file operations, and with a passphrase for a second. A new file appears whole or not at all, and
    never replaces one that exists; when two processes create it at once, both return the same key.

    Args:
        passphrase: opens the file, or seals the new one.

    Raises:
        PassphraseNeededError: the file is sealed and there is no passphrase.
        WrongPassphraseError: the passphrase does not open it.
        IdentityError: the file is damaged, a link, of somebody else, or open to others (the message names the
            command that closes it), it is not sealed although there is a passphrase, or it cannot be read or written.
    """
    with _sentences(path):
        key = _load(path, passphrase)
        if key is not None:
            return key
        _make_directory(path.parent)
        _create(path, _encode(PrivateKey.generate(), passphrase))
        key = _load(path, passphrase)
    if key is None:
        raise IdentityError(f"The key file {path} vanished while it was being created. Start again.")
    return key


def load_identity(path: Path, passphrase: bytes | None = None) -> PrivateKey:
    """Return the key in the file `path`, which must exist; else as `load_or_create_identity`."""
    with _sentences(path):
        key = _load(path, passphrase)
    if key is None:
        raise IdentityError(f"There is no key file {path}.")
    return key


def identity_is_sealed(path: Path) -> bool:
    """Return whether the file `path` exists and wants a passphrase.

    Raises:
        IdentityError: it cannot be read, or must not be used, as for `load_or_create_identity`.
    """
    with _sentences(path):
        data = _read(path)
    return data is not None and is_sealed(data)


def write_identity(path: Path, key: PrivateKey, passphrase: bytes | None = None, *, replace: bool) -> None:
    """Write `key` to the file `path`, sealed if there is a passphrase; at any moment the file is whole.

    Args:
        replace: an existing file is replaced; otherwise it is an error.

    Raises:
        IdentityError: there is a file already, or it cannot be written.
    """
    data = _encode(key, passphrase)
    with _sentences(path):
        _make_directory(path.parent)
        if replace:
            draft = _draft(path, data)
            draft.rename(path)
            _sync_directory(path.parent)
        elif not _create(path, data):
            raise IdentityError(f"The file {path} exists already and is not replaced.")


@contextlib.contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Say what the operating system says as one sentence about `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise IdentityError(f"The key file {path} cannot be read or written: {reason}.") from error


def _load(path: Path, passphrase: bytes | None) -> PrivateKey | None:
    """Return the key in the file, or ``None`` when there is none."""
    data = _read(path)
    return None if data is None else _decode(path, data, passphrase)


def _read(path: Path) -> bytes | None:
    """Return what is in the file, or ``None`` when there is none."""
    try:
        # Not blocking, so a named pipe laid in the way does not hang us; it is refused below.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise IdentityError(
                f"The key file {path} is a symbolic link. Use the file it points to."
            ) from error
        raise
    try:
        _check_file(path, os.fstat(descriptor))
        _check_directory(path.parent)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(_MAX_FILE + 1)
    finally:
        os.close(descriptor)


def _check_file(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise IdentityError(f"The key file {path} is not a regular file.")
    if status.st_uid != os.geteuid():
        raise IdentityError(f"The key file {path} belongs to another user. Use a directory of your own.")
    if status.st_mode & _OTHERS:
        raise IdentityError(
            f"The key file {path} is open to other users of this machine. "
            f"If you trust all of them, run: chmod 600 {shlex.quote(str(path))}; "
            "otherwise delete it to get a new identity."
        )


def _check_directory(directory: Path) -> None:
    """Refuse a directory in which others could replace the file (the sticky bit forbids them that)."""
    mode = directory.stat().st_mode
    if mode & _OTHERS_WRITE and not mode & stat.S_ISVTX:
        raise IdentityError(
            f"Other users of this machine may change files in {directory}, where the key is kept. "
            f"Run: chmod 700 {shlex.quote(str(directory))}"
        )


def _encode(key: PrivateKey, passphrase: bytes | None) -> bytes:
    if passphrase is None:
        return key.to_protobuf()
    return seal_key(
        key, passphrase, salt=secrets.token_bytes(SALT_SIZE), nonce=secrets.token_bytes(NONCE_SIZE)
    )


def _decode(path: Path, data: bytes, passphrase: bytes | None) -> PrivateKey:
    advice = "Restore it from a backup, or move it away to get a new identity (and a new peer id)."
    if not data:
        raise IdentityError(f"The key file {path} is empty. {advice}")
    if len(data) > _MAX_FILE:
        raise IdentityError(f"The key file {path} is too large to be a key. {advice}")
    if is_sealed(data) and passphrase is None:
        raise PassphraseNeededError(f"The key file {path} is kept under a passphrase, and none was given.")
    if not is_sealed(data) and passphrase is not None:
        raise IdentityError(
            f"The key file {path} is not kept under a passphrase, although one was given. "
            "Give none, or give the key one first."
        )
    try:
        key = open_sealed_key(data, passphrase) if passphrase is not None else PrivateKey.from_protobuf(data)
    except WrongPassphraseError:
        raise
    except IdentityError as error:
        raise IdentityError(f"The key file {path} is damaged. {advice}") from error
    if key.type is not KeyType.ED25519:
        raise IdentityError(
            f"The key in {path} is of kind {key.type.name}; only ED25519 is used here. {advice}"
        )
    return key


def _make_directory(directory: Path) -> None:
    """Create the directory and what is missing above it, closed to others."""
    if directory.is_dir():
        _check_directory(directory)
        return
    if directory.parent != directory and not directory.parent.is_dir():
        _make_directory(directory.parent)
    directory.mkdir(mode=0o700, exist_ok=True)


def _create(path: Path, data: bytes) -> bool:
    """Write a file beside `path` and link it there when it is safely on the disk; return whether it was the first."""
    draft = _draft(path, data)
    try:
        created = _publish(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    _sync_directory(path.parent)
    return created


def _draft(path: Path, data: bytes) -> Path:
    """Write `data` to a new file beside `path`, safely on the disk, and return it."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft


def _publish(draft: Path, path: Path) -> bool:
    """Give the finished file its name, unless another process was faster: then that one's key counts."""
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS or os.path.lexists(path):
            raise
        draft.rename(path)
    return True


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

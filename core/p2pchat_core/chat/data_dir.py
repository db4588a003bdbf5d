"""The folder in which one identity lives, used by one program at a time."""

from __future__ import annotations

import fcntl
import os
import shlex
from typing import TYPE_CHECKING, Self

from p2pchat_core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DataDir"]


class DataDir:
    """A locked data directory. Two programs with one identity would take each other's reservations away.

    Attributes:
        path: the directory, readable by its owner only if it was made here.
    """

    def __init__(self, path: Path, lock: int) -> None:
        """Not called directly: see `open`."""
        self.path = path
        self._lock: int | None = lock

    @classmethod
    def open(cls, path: Path) -> Self:
        """Create `path` if need be and lock it. Blocks for a few file operations.

        Raises:
            ConfigError: it cannot be used, or another program uses it at the moment.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"The data directory {path} cannot be used: {error.strerror}.") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if not isinstance(error, BlockingIOError):
                raise ConfigError(f"The data directory {path} cannot be locked: {error.strerror}.") from error
            other = shlex.quote(f"{path}-2")
            raise ConfigError(
                f"Another p2pchat is running with the data directory {path}; to run a second one beside it, "
                f"give it its own: --data-dir {other}"
            ) from None
        return cls(path, lock)

    @property
    def identity(self) -> Path:
        """The key file."""
        return self.path / "identity.key"

    @property
    def history(self) -> Path:
        """The message history."""
        return self.path / "history.sqlite3"

    def close(self) -> None:
        """Let others use it. Calling it again does nothing."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

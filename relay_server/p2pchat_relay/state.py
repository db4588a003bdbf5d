"""The relay's directory: its identity, the ports it chose, and the lock that keeps it to one relay."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import TYPE_CHECKING, Final

from p2pchat_core.errors import ConfigError
from p2pchat_relay.errors import RelayStartError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["StateDirectory", "identity_path"]

_IDENTITY: Final = "identity.key"
_PORTS: Final = "ports.json"
_LOCK: Final = "relay.lock"
_MAX_PORTS_FILE: Final = 64 * 1024


def identity_path(directory: Path) -> Path:
    """Return where the key is kept in the relay's directory."""
    return directory / _IDENTITY


class StateDirectory:
    """What a relay keeps between two starts. Locked from `open` to `close`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock

    @classmethod
    def open(cls, path: Path) -> StateDirectory:
        """Create the directory if need be, for its owner only, and lock it.

        Raises:
            RelayStartError: another relay runs with it, or it cannot be created or written.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise RelayStartError(
                f"The directory {path} cannot be used ({error.strerror}). Give another one with --data-dir."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise RelayStartError(
                f"Another relay already runs with the directory {path}. Stop it, or give another --data-dir."
            ) from error
        return cls(path, lock)

    @property
    def identity_path(self) -> Path:
        """Where the key is kept."""
        return identity_path(self.path)

    def remembered_port(self, listen: str) -> int | None:
        """Return the port that was chosen for a listen address, if one was.

        Raises:
            ConfigError: the file is damaged.
        """
        return self._read().get(listen)

    def remember_port(self, listen: str, port: int) -> None:
        """Keep the port chosen for a listen address, so that the addresses given out stay good after a
        restart.

        Raises:
            RelayStartError: it cannot be written.
        """
        ports = self._read()
        if ports.get(listen) == port:
            return
        ports[listen] = port
        temporary = self.path / f"{_PORTS}.new"
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(ports, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path / _PORTS)
        except OSError as error:
            raise RelayStartError(f"The port cannot be kept in {self.path} ({error.strerror}).") from error

    def close(self) -> None:
        """Unlock. Calling it again does nothing."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _read(self) -> dict[str, int]:
        path = self.path / _PORTS
        text = "{}"
        with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(_MAX_PORTS_FILE)
        try:
            ports = json.loads(text)
        except ValueError:
            ports = None
        if not isinstance(ports, dict) or not all(type(p) is int and 0 < p < 65536 for p in ports.values()):
            raise ConfigError(f"{path} is damaged. Delete it, and ports are chosen anew.")
        return ports

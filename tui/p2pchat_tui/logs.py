"""Where the log goes. Text from peers may be in it, so nothing in it can reach a terminal as a control sequence."""

from __future__ import annotations

import logging
import os
import sys
import unicodedata
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING, Final, TextIO

from p2pchat_core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from p2pchat_tui.options import Options

__all__ = ["configure_logging"]

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_MAX_BYTES: Final = 10 * 1024 * 1024
_BACKUPS: Final = 4
_OURS: Final = ("p2pchat_core", "p2pchat_relay", "p2pchat_tui")


class _SafeFormatter(logging.Formatter):
    """Escapes what a terminal would obey: control characters, and marks that reorder or hide text."""

    def format(self, record: logging.LogRecord) -> str:
        return "".join(
            char
            if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs")
            else ascii(char)[1:-1]
            for char in super().format(record)
        )


class _PrivateFileHandler(RotatingFileHandler):
    """Creates its files so that only their owner can read them."""

    def _open(self) -> TextIO:  # type: ignore[override]
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return open(descriptor, "a", encoding="utf-8", errors="backslashreplace")


def configure_logging(options: Options) -> None:
    """Send the log to ``--log-file``, or in headless mode to standard error, or nowhere.

    Raises:
        ConfigError: the file cannot be written.
    """
    if options.log_file is not None:
        handler: logging.Handler = _file_handler(options.log_file)
    elif options.headless:
        handler = logging.StreamHandler(sys.stderr)
    else:
        handler = logging.NullHandler()
    handler.setFormatter(_SafeFormatter(_FORMAT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    level = options.log_level.upper()
    # Libraries are noisy at debug level; they are heard from warning on.
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    for name in _OURS:
        logging.getLogger(name).setLevel(level)


def _file_handler(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _PrivateFileHandler(path, maxBytes=_MAX_BYTES, backupCount=_BACKUPS)
    except OSError as error:
        raise ConfigError(f"The log file {path} cannot be written: {error.strerror}.") from error

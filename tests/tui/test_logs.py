"""The log can be read in a terminal by whoever keeps it, and by nobody else."""

from __future__ import annotations

import logging
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from p2pchat_core.errors import ConfigError
from p2pchat_tui.logs import configure_logging
from p2pchat_tui.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(
        headless=True, data_dir=tmp_path, log_file=tmp_path / "logs" / "p2pchat.log", log_level="info"
    )


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_nothing_in_it_is_obeyed_by_a_terminal(options: Options) -> None:
    configure_logging(options)
    logging.getLogger("p2pchat_core.test").info("bob said %s", "\x1b]0;x\x07 \x9b1m \u202e \u200b \ud800 ☃")
    assert options.log_file is not None
    text = options.log_file.read_text(encoding="utf-8")
    assert "bob said \\x1b]0;x\\x07 \\x9b1m \\u202e \\u200b \\ud800 ☃" in text
    assert stat.S_IMODE(options.log_file.stat().st_mode) == 0o600


def test_levels(options: Options) -> None:
    configure_logging(options)
    logging.getLogger("p2pchat_core.test").debug("too much detail")
    logging.getLogger("websockets").info("somebody else's detail")
    logging.getLogger("websockets").warning("somebody else's warning")
    assert options.log_file is not None
    text = options.log_file.read_text(encoding="utf-8")
    assert "detail" not in text
    assert "somebody else's warning" in text


def test_without_a_file_headless_logs_to_standard_error_and_the_screen_nowhere(
    options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(replace(options, log_file=None))
    logging.getLogger("p2pchat_core.test").warning("hello")
    out, err = capsys.readouterr()
    assert out == ""
    assert "hello" in err
    configure_logging(replace(options, log_file=None, headless=False))
    logging.getLogger("p2pchat_core.test").warning("hello")
    assert capsys.readouterr() == ("", "")


def test_a_file_that_cannot_be_written(options: Options, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        configure_logging(replace(options, log_file=tmp_path))

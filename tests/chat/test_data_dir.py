"""One identity, one program."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from p2pchat_core.chat.data_dir import DataDir
from p2pchat_core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_made_private_and_locked(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    before = os.umask(0)
    try:
        first = DataDir.open(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    with pytest.raises(ConfigError, match="--data-dir") as caught:
        DataDir.open(path)
    assert str(path) in str(caught.value)
    first.close()
    first.close()
    DataDir.open(path).close()


def test_an_unusable_place_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot be used"):
        DataDir.open(tmp_path / "file")
    with pytest.raises(ConfigError, match="cannot be used"):
        DataDir.open(tmp_path / "file" / "below")


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError):
        DataDir.open(tmp_path)
    assert not (tmp_path / "elsewhere").exists()

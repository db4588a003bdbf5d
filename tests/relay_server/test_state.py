from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from p2pchat_core.errors import ConfigError
from p2pchat_relay.errors import RelayStartError
from p2pchat_relay.state import StateDirectory

if TYPE_CHECKING:
    from pathlib import Path

LISTEN = "/ip4/127.0.0.1/tcp/0/ws"


def test_ports_are_remembered(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    state = StateDirectory.open(path)
    assert state.remembered_port(LISTEN) is None
    state.remember_port(LISTEN, 4001)
    state.remember_port("/ip6/::/tcp/0/ws", 4002)
    state.close()
    state.close()
    again = StateDirectory.open(path)
    assert again.remembered_port(LISTEN) == 4001
    assert again.remembered_port("/ip6/::/tcp/0/ws") == 4002
    again.remember_port(LISTEN, 4003)
    assert again.remembered_port(LISTEN) == 4003
    again.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_one_relay_per_directory(tmp_path: Path) -> None:
    state = StateDirectory.open(tmp_path)
    with pytest.raises(RelayStartError, match="Another relay"):
        StateDirectory.open(tmp_path)
    state.close()
    StateDirectory.open(tmp_path).close()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"a": "b"}', '{"a": 0}', '{"a": 65536}', '{"a": true}', "\x00\xff"]
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "ports.json").write_text(text, encoding="latin-1")
    state = StateDirectory.open(tmp_path)
    with pytest.raises(ConfigError, match=r"ports\.json is damaged. Delete it"):
        state.remembered_port(LISTEN)
    state.close()


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RelayStartError, match="cannot be used"):
        StateDirectory.open(tmp_path / "file" / "below")


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    os.symlink(tmp_path / "elsewhere", tmp_path / "relay.lock")
    with pytest.raises(RelayStartError, match="cannot be used"):
        StateDirectory.open(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = StateDirectory.open(tmp_path)
    state.remember_port(LISTEN, 4001)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RelayStartError, match="No space left"):
        state.remember_port(LISTEN, 4002)
    assert state.remembered_port(LISTEN) == 4001
    state.close()

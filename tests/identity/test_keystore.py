from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from p2pchat_core.errors import IdentityError
from p2pchat_core.identity.keys import PrivateKey
from p2pchat_core.identity.keystore import load_or_create_identity
from tests.support.vectors import vectors

if TYPE_CHECKING:
    from pathlib import Path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "identity.key"


def write(path: Path, data: bytes, permissions: int = 0o600) -> None:
    path.write_bytes(data)
    path.chmod(permissions)


def test_created_once_and_then_loaded(path: Path) -> None:
    key = load_or_create_identity(path)
    assert load_or_create_identity(path).peer_id == key.peer_id
    assert path.read_bytes() == key.to_protobuf()
    assert list(path.parent.iterdir()) == [path]  # no drafts left


def test_closed_to_others_whatever_the_umask(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        load_or_create_identity(tmp_path / "state" / "p2pchat" / "identity.key")
    finally:
        os.umask(previous)
    assert mode(tmp_path / "state" / "p2pchat" / "identity.key") == 0o600
    assert mode(tmp_path / "state" / "p2pchat") == 0o700
    assert mode(tmp_path / "state") == 0o700


def test_a_key_made_elsewhere(path: Path) -> None:
    vector = vectors("ed25519")[0]
    write(path, bytes.fromhex(vector["private_protobuf"]), 0o400)
    assert str(load_or_create_identity(path).peer_id) == vector["peer_id_base58"]


@pytest.mark.parametrize("permissions", [0o644, 0o640, 0o604, 0o620, 0o610])
def test_open_to_others(path: Path, permissions: int) -> None:
    write(path, PrivateKey.generate().to_protobuf(), permissions)
    with pytest.raises(IdentityError) as caught:
        load_or_create_identity(path)
    assert f"run: chmod 600 {path}" in str(caught.value)


def test_command_to_run_is_quoted(tmp_path: Path) -> None:
    path = tmp_path / "my key; rm"
    write(path, PrivateKey.generate().to_protobuf(), 0o644)
    with pytest.raises(IdentityError) as caught:
        load_or_create_identity(path)
    assert f"chmod 600 '{path}'" in str(caught.value)


def test_directory_in_which_others_may_replace_the_key(tmp_path: Path) -> None:
    directory = tmp_path / "shared"
    directory.mkdir()
    directory.chmod(0o770)
    with pytest.raises(IdentityError, match=f"chmod 700 {directory}"):
        load_or_create_identity(directory / "identity.key")
    assert list(directory.iterdir()) == []
    directory.chmod(0o1777)
    key = load_or_create_identity(directory / "identity.key")
    directory.chmod(0o722)
    with pytest.raises(IdentityError, match="chmod 700"):
        load_or_create_identity(directory / "identity.key")
    directory.chmod(0o755)
    assert load_or_create_identity(directory / "identity.key").peer_id == key.peer_id


def test_symbolic_links_are_not_followed(path: Path) -> None:
    target = path.with_name("target")
    path.symlink_to(target)
    with pytest.raises(IdentityError, match="symbolic link"):
        load_or_create_identity(path)
    assert not target.exists()
    write(target, PrivateKey.generate().to_protobuf())
    with pytest.raises(IdentityError, match="symbolic link"):
        load_or_create_identity(path)


def test_not_a_file(path: Path) -> None:
    path.mkdir()
    with pytest.raises(IdentityError, match="not a regular file"):
        load_or_create_identity(path)


def test_a_pipe_does_not_hang_us(path: Path) -> None:
    os.mkfifo(path, 0o600)
    with pytest.raises(IdentityError, match="not a regular file"):
        load_or_create_identity(path)


def test_file_of_another_user(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_or_create_identity(path)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(IdentityError, match="belongs to another user"):
        load_or_create_identity(path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"rubbish", "is damaged"),
        (PrivateKey.from_seed(bytes(32)).to_protobuf()[:-1], "is damaged"),
        (PrivateKey.from_seed(bytes(32)).public_key.to_protobuf(), "is damaged"),
        (bytes(20_000), "is too large"),
        (bytes.fromhex(vectors("keys")[1]["private_protobuf"]), "is of kind SECP256K1"),
    ],
)
def test_damaged_files_are_reported_and_kept(path: Path, data: bytes, reason: str) -> None:
    write(path, data)
    with pytest.raises(IdentityError, match=f"{reason}.*Restore it from a backup"):
        load_or_create_identity(path)
    assert path.read_bytes() == data


def test_damaged_key_is_not_shown(path: Path) -> None:
    data = PrivateKey.from_seed(b"secret seed of thirty-two bytes!").to_protobuf()
    write(path, data[:-1])
    with pytest.raises(IdentityError) as caught:
        load_or_create_identity(path)
    assert "secret" not in str(caught.value)


def test_unusable_paths(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(IdentityError, match="cannot be read or written: Not a directory"):
        load_or_create_identity(tmp_path / "file" / "identity.key")


def test_full_disk_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(IdentityError, match="No space left on device"):
        load_or_create_identity(path)
    assert list(path.parent.iterdir()) == []


def test_the_faster_process_wins(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    winner = PrivateKey.generate()
    link = os.link

    def late(source: Path, target: Path) -> None:
        write(path, winner.to_protobuf())  # another process got there between our look and our link
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert load_or_create_identity(path).peer_id == winner.peer_id
    assert list(path.parent.iterdir()) == [path]


def test_file_system_without_links(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    key = load_or_create_identity(path)
    assert load_or_create_identity(path).peer_id == key.peer_id
    assert list(path.parent.iterdir()) == [path]
    assert mode(path) == 0o600

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from p2pchat_core.errors import ConfigError, WrongPassphraseError
from p2pchat_core.identity import sealed_key
from p2pchat_core.identity.keystore import load_identity, load_or_create_identity
from p2pchat_tui import cli, key_command, passphrase

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_key, "_COST", 14)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Type these lines when a passphrase is asked for; then the input ends."""

    def types(*lines: str) -> None:
        waiting = list(lines)

        def typed(_prompt: str) -> str:
            if not waiting:
                raise EOFError
            return waiting.pop(0)

        monkeypatch.setattr(passphrase.getpass, "getpass", typed)
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True)

    return types


def pipe(data: bytes) -> int:
    """Return a descriptor from which `data` can be read, and no more."""
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    return reading


# --- reading --------------------------------------------------------------------------------------------------------


def test_one_line_for_each_question() -> None:
    descriptor = pipe("first ü\r\nsecond\nthird".encode())
    assert passphrase.read_descriptor(descriptor) == "first ü".encode()
    assert passphrase.read_descriptor(descriptor) == b"second"
    assert passphrase.read_descriptor(descriptor) == b"third"
    with pytest.raises(ConfigError, match="empty"):
        passphrase.read_descriptor(descriptor)
    os.close(descriptor)
    with pytest.raises(ConfigError, match="cannot be read"):
        passphrase.read_descriptor(descriptor)


def test_a_line_without_end_is_not_read_to_its_end() -> None:
    descriptor = pipe(b"x" * 5000)
    with pytest.raises(ConfigError, match="longer than"):
        passphrase.read_descriptor(descriptor)
    assert len(os.read(descriptor, 5000)) > 3900
    os.close(descriptor)


def test_no_terminal_to_ask_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(ConfigError, match="--passphrase-fd"):
        passphrase.ask("?")


# --- at the start ---------------------------------------------------------------------------------------------------


def test_nothing_is_asked_without_need(tmp_path: Path) -> None:
    assert passphrase.unlock(tmp_path / "identity.key", None) is None
    load_or_create_identity(tmp_path / "identity.key")
    assert passphrase.unlock(tmp_path / "identity.key", None) is None
    (tmp_path / "link").symlink_to("identity.key")
    assert passphrase.unlock(tmp_path / "link", None) is None


def test_three_tries(
    tmp_path: Path, terminal: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "identity.key"
    key = load_or_create_identity(path, b"secret")
    terminal("wrong", "wrong again", "secret")
    unlocked = passphrase.unlock(path, None)
    assert unlocked is not None
    assert unlocked.peer_id == key.peer_id
    assert capsys.readouterr().err.count("not it") == 2
    terminal("1", "2", "3", "secret")
    with pytest.raises(WrongPassphraseError):
        passphrase.unlock(path, None)
    terminal()
    with pytest.raises(ConfigError, match="No passphrase"):
        passphrase.unlock(path, None)


def test_a_first_start_with_a_passphrase_makes_a_sealed_key(tmp_path: Path) -> None:
    path = tmp_path / "data" / "identity.key"
    unlocked = passphrase.unlock(path, pipe(b"secret\n"))
    assert unlocked is not None
    assert load_identity(path, b"secret").peer_id == unlocked.peer_id


# --- p2pchat key ----------------------------------------------------------------------------------------------------


def test_from_one_machine_to_another(
    tmp_path: Path, terminal: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    key = load_or_create_identity(tmp_path / "old" / "identity.key")
    terminal("secret", "secret")
    file = tmp_path / "moved.key"
    assert key_command.run("export", tmp_path / "old", file, descriptor=None, no_passphrase=False) == 0
    terminal("secret", "other", "other")
    assert key_command.run("import", tmp_path / "new", file, descriptor=None, no_passphrase=False) == 0
    assert load_identity(tmp_path / "new" / "identity.key", b"other").peer_id == key.peer_id
    capsys.readouterr()
    terminal("other")
    assert key_command.run("show", tmp_path / "new", None, descriptor=None, no_passphrase=False) == 0
    shown = capsys.readouterr().out
    assert str(key.peer_id) in shown
    assert "yes" in shown


def test_a_passphrase_comes_changes_and_goes(tmp_path: Path, terminal: Callable[..., None]) -> None:
    path = tmp_path / "identity.key"
    load_or_create_identity(path)
    terminal("one", "one")
    assert key_command.run("passphrase", tmp_path, None, descriptor=None, no_passphrase=False) == 0
    descriptor = pipe(b"one\ntwo\n")
    assert key_command.run("passphrase", tmp_path, None, descriptor=descriptor, no_passphrase=False) == 0
    load_identity(path, b"two")
    terminal("two")
    assert key_command.run("passphrase", tmp_path, None, descriptor=None, no_passphrase=True) == 0
    load_identity(path)


@pytest.mark.parametrize("typed", [("one", "two"), ("",), ()])
def test_a_slip_changes_nothing(
    tmp_path: Path, terminal: Callable[..., None], typed: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    load_or_create_identity(tmp_path / "identity.key")
    before = (tmp_path / "identity.key").read_bytes()
    terminal(*typed)
    assert key_command.run("passphrase", tmp_path, None, descriptor=None, no_passphrase=False) == 1
    assert (tmp_path / "identity.key").read_bytes() == before
    assert capsys.readouterr().err.startswith("p2pchat: ")


def test_nothing_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_or_create_identity(tmp_path / "a" / "identity.key")
    load_or_create_identity(tmp_path / "b" / "identity.key")
    before = (tmp_path / "b" / "identity.key").read_bytes()
    other = tmp_path / "a" / "identity.key"
    assert key_command.run("import", tmp_path / "b", other, descriptor=None, no_passphrase=True) == 1
    assert "already" in capsys.readouterr().err
    assert (tmp_path / "b" / "identity.key").read_bytes() == before
    target = tmp_path / "b" / "identity.key"
    assert key_command.run("export", tmp_path / "a", target, descriptor=None, no_passphrase=True) == 1
    assert "not replaced" in capsys.readouterr().err


def test_a_running_chat_keeps_its_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_or_create_identity(tmp_path / "identity.key")
    held = key_command.DataDir.open(tmp_path)
    assert key_command.run("passphrase", tmp_path, None, descriptor=None, no_passphrase=True) == 1
    assert "Another p2pchat is running" in capsys.readouterr().err
    held.close()


# --- the command line -----------------------------------------------------------------------------------------------


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = load_or_create_identity(tmp_path / "identity.key")
    assert cli.main(["key", "show", "--data-dir", str(tmp_path)]) == 0
    assert str(key.peer_id) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["export"], "Say which file to export to."),
        (["import"], "Say which file to import from."),
        (["show", "x.key"], "'key show' takes no file."),
        (["burn"], "invalid choice"),
        ([], "required"),
        (["show", "--profile", "../up"], "no name for a profile"),
    ],
)
def test_slips_on_the_command_line(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["key", *words])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("p2pchat: ")
    assert sentence in error
    assert error.count("\n") == 1


def test_headless_with_a_passphrase(tmp_path: Path) -> None:
    """The whole program: sealed at the first start, opened at the second, refused with another passphrase."""
    command = [
        sys.executable,
        "-m",
        "p2pchat_tui",
        "headless",
        "--data-dir",
        str(tmp_path / "d"),
        "--passphrase-fd",
    ]

    def start(passphrase: bytes) -> subprocess.CompletedProcess[str]:
        descriptor = pipe(passphrase)
        try:
            return subprocess.run(
                [*command, str(descriptor)],
                input='{"cmd": "quit", "id": 1}\n',
                capture_output=True,
                text=True,
                pass_fds=[descriptor],
                check=False,
            )
        finally:
            os.close(descriptor)

    first, second, third = start(b"secret\n"), start(b"secret\n"), start(b"Secret\n")
    assert (
        json.loads(first.stdout.splitlines()[0])["peer_id"]
        == json.loads(second.stdout.splitlines()[0])["peer_id"]
    )
    assert (third.returncode, third.stdout) == (1, "")
    assert third.stderr == "p2pchat: The passphrase of the key is wrong.\n"
    assert b"SEALED" in (tmp_path / "d" / "identity.key").read_bytes()

"""Which face is started, and with what."""

from __future__ import annotations

import resource
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from p2pchat_tui import cli

if TYPE_CHECKING:
    from pathlib import Path

    from p2pchat_tui.options import Options


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Options]]:
    """Put recorders in place of both faces."""
    calls: list[tuple[str, Options]] = []
    for name, code in (("headless", 0), ("app", 7)):
        face = ModuleType(f"p2pchat_tui.{name}")

        def run(options: Options, name: str = name, code: int = code) -> int:
            calls.append((name, options))
            return code

        face.run = run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, f"p2pchat_tui.{name}", face)
        monkeypatch.setattr(f"p2pchat_tui.{name}", face, raising=False)
    monkeypatch.setattr("p2pchat_tui.logs.configure_logging", lambda _options: None)
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    return calls


def test_the_screen_is_the_default(
    started: list[tuple[str, Options]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "no_screen", lambda: "")
    assert cli.main(["--data-dir", str(tmp_path)]) == 7
    ((name, options),) = started
    assert name == "app"
    assert options.data_dir == tmp_path


def test_headless_is_asked_for(started: list[tuple[str, Options]], tmp_path: Path) -> None:
    assert cli.main(["headless", "--data-dir", str(tmp_path)]) == 0
    assert [name for name, _ in started] == ["headless"]


def test_mistakes_start_nothing(started: list[tuple[str, Options]]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--relay", "nonsense"])
    assert caught.value.code == 2
    assert started == []


def test_a_log_that_cannot_be_written_starts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    code = cli.main(["headless", "--data-dir", str(tmp_path), "--log-file", str(tmp_path)])
    assert code == 2
    assert "cannot be written" in capsys.readouterr().err


def test_no_core_files_are_written(
    started: list[tuple[str, Options]], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda *arguments: set_to.append(arguments))
    cli.main(["headless"])
    assert set_to == [(resource.RLIMIT_CORE, (0, 0))]
    assert started

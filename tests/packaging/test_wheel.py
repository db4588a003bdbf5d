"""The wheel holds the three packages and nothing else, and is the same whoever builds it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {"core": "p2pchat_core", "tui": "p2pchat_tui", "relay_server": "p2pchat_relay"}
WHAT_IS_SHIPPED = {".py", ".pyi", ".proto", ".typed", ".tcss", ".txt"}


def copy(to: Path) -> Path:
    """Copy what a build looks at, and what it must leave out."""
    for name in (*SOURCES, "packaging"):
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / name, to / name)
    (to / "core" / "p2pchat_core" / "__pycache__").mkdir()
    (to / "core" / "p2pchat_core" / "__pycache__" / "limits.cpython-311.pyc").write_bytes(b"not code")
    (to / "secret.key").write_bytes(b"not for others")
    return to


def build(source: Path, kind: str = "wheel") -> Path:
    out = source / "dist"
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", out],
        cwd=source,
        check=True,
        capture_output=True,
        env={name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"},
    )
    (artifact,) = out.iterdir()
    return artifact


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(copy(tmp_path_factory.mktemp("first") / "p2pchat"))


def test_it_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        str(path.relative_to(ROOT / root))
        for root, package in SOURCES.items()
        for path in (ROOT / root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert found == expected
    assert {Path(name).suffix for name in found} <= WHAT_IS_SHIPPED


def test_what_it_says_of_itself(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
        commands = archive.read(name.replace("METADATA", "entry_points.txt")).decode()
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    assert {"p2pchat", "p2pchat-relay"} <= {line.split(" ")[0] for line in commands.splitlines()}
    assert wheel.name.endswith("-py3-none-any.whl")


def test_two_builds_are_equal(wheel: Path, tmp_path: Path) -> None:
    """Another place, other times of the files, another umask: the same bytes."""
    before = os.umask(0o077)
    try:
        source = copy(tmp_path / "elsewhere" / "p2pchat")
        for path in source.rglob("*"):
            os.utime(path, (1_000_000_000, 1_000_000_000))
        again = build(source)
    finally:
        os.umask(before)
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(wheel.read_bytes()).digest()


def test_the_lock_names_a_hash_for_everything() -> None:
    for lock in ROOT.glob("requirements*.lock"):
        pinned = [
            line for line in lock.read_text().splitlines() if line and not line.startswith((" ", "#", "-"))
        ]
        assert pinned
        text = lock.read_text()
        for line in pinned:
            name = line.split("==")[0]
            assert "==" in line, f"{name} is not pinned in {lock.name}"
            entry = text[text.index(line) :].split("\n")
            assert entry[1].lstrip().startswith("--hash=sha256:"), f"{name} has no hash in {lock.name}"
        assert "://" not in text, f"{lock.name} names a place to download from"

"""The wheel installs from the locked packages into a clean environment of every Python there is, and runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.test_wheel import build, copy

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_28_aarch64", "macosx_14_0_arm64")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(copy(tmp_path_factory.mktemp("wheel") / "p2pchat"))


def interpreter(version: str) -> str | None:
    """Return a Python of this version: on the path, or one that pyenv keeps."""
    candidates = [shutil.which(f"python{version}"), sys.executable]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates += [str(path / "bin" / "python") for path in sorted(pyenv.glob(f"{version}.*"))]
    for candidate in candidates:
        if candidate is None:
            continue
        asked = subprocess.run(
            [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.stdout.strip() == version:
            return candidate
    return None


@pytest.mark.parametrize("version", VERSIONS)
def test_installs_and_runs(version: str, wheel: Path, tmp_path: Path) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"Python {version} is not installed")
    venv = tmp_path / "venv"
    subprocess.run([python, "-m", "venv", venv], check=True)
    pip = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", ROOT / "requirements.lock"], check=True)
    subprocess.run([*pip, "--no-deps", wheel], check=True)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"}

    def run(*command: str, text: str = "") -> str:
        return subprocess.run(
            [venv / "bin" / command[0], *command[1:]],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
            env=environment,
            timeout=60,
        ).stdout

    assert run("p2pchat", "--version").startswith("p2pchat ")
    assert run("p2pchat-relay", "--version").startswith("p2pchat-relay ")
    run("p2pchat-relay", "keygen", "--data-dir", "relay")
    assert run("p2pchat-relay", "show-id", "--data-dir", "relay").startswith("12D3KooW")
    quit_at_once = json.dumps({"cmd": "quit", "id": 1}) + "\n"
    first = json.loads(run("p2pchat", "headless", "--data-dir", "chat", text=quit_at_once).splitlines()[0])
    assert first["event"] == "ready"
    run("python", "-c", "import p2pchat_core.net.webrtc.peer_connection")
    run("python", "-m", "pip", "check")


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_locked_package_has_a_wheel(version: str, platform: str, tmp_path: Path) -> None:
    """Nobody needs a compiler."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run"),
            *("--python-version", version, "--only-binary=:all:", "--platform", platform),
            *(
                ["--platform", "manylinux2014_" + platform.split("_", 3)[3]]
                if platform.startswith("many")
                else []
            ),
            *("--target", tmp_path, "--require-hashes", "-r", ROOT / "requirements.lock"),
        ],
        check=True,
    )

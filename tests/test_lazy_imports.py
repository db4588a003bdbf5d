"""What is loaded when: the expensive modules only by whoever needs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

# Packages, and those parts of the standard library and of ours that are felt at a start.
WEBRTC = {"aiortc", "aioice", "av", "dns", "pylibsrtp", "OpenSSL", "p2pchat_core.net.webrtc.transport"}
SCREEN = {"textual", "rich"}
NETWORK = {"asyncio", "ssl", "websockets", "p2pchat_core.net"}
CRYPTOGRAPHY = {"cryptography", "google.protobuf"}
HISTORY = {"sqlite3", "p2pchat_core.chat.service", "p2pchat_core.chat.store"}
RELAY = {"p2pchat_relay", "p2pchat_relay.server"}
LOOP, METRICS, QR_CODES, SETTINGS = {"uvloop"}, {"prometheus_client"}, {"segno"}, {"msgspec", "tomllib"}
EXPENSIVE = WEBRTC | SCREEN | NETWORK | CRYPTOGRAPHY | HISTORY | RELAY | LOOP | METRICS | QR_CODES | SETTINGS

# Ends a command where it would begin to serve, and tells what has been loaded until then.
TELL = """
import atexit, json, sys
atexit.register(lambda: print("loaded", json.dumps(sorted(sys.modules))))
"""
COMMANDS = {
    "p2pchat --version": ("import p2pchat_tui.cli as c; c.main(['--version'])", set()),
    "p2pchat --help": ("import p2pchat_tui.cli as c; c.main(['--help'])", set()),
    "p2pchat, a mistake": ("import p2pchat_tui.cli as c; c.main(['--nonsense'])", set()),
    "p2pchat headless": (
        "import p2pchat_tui.headless",
        NETWORK | CRYPTOGRAPHY | HISTORY | RELAY | SETTINGS - {"tomllib"},
    ),
    "p2pchat --plain": (
        "import p2pchat_tui.plain",
        # The words it shares with the screen are made of the screen library's text.
        NETWORK | CRYPTOGRAPHY | HISTORY | RELAY | SCREEN | SETTINGS - {"tomllib"},
    ),
    "p2pchat-relay --version": (
        "import p2pchat_relay.cli as c; c.main(['--version'])",
        {"p2pchat_relay", "msgspec"},
    ),
    "p2pchat-relay": (
        "import p2pchat_relay.cli, p2pchat_relay.daemon, p2pchat_relay.event_loop",
        NETWORK | CRYPTOGRAPHY | RELAY | SETTINGS,
    ),
}
# Like `p2pchat`, but tells what has been loaded when the first frame goes to the terminal.
FIRST_FRAME = """
import json, pathlib, sys
from textual.drivers.linux_driver import LinuxDriver

write = LinuxDriver.write
def look(driver, data):
    path = pathlib.Path({path!r})
    if "Your address" in data and not path.exists():
        path.with_suffix(".new").write_text(json.dumps(sorted(sys.modules)))
        path.with_suffix(".new").rename(path)
    write(driver, data)
LinuxDriver.write = look

from p2pchat_tui.cli import main
main(["--data-dir", {data_dir!r}])
"""


def environment(home: Path) -> dict[str, str]:
    """What a start with nothing configured finds."""
    return {
        "PYTHONPATH": os.pathsep.join(sys.path),
        **{name: str(home) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")},
    }


@pytest.mark.parametrize(("code", "allowed"), COMMANDS.values(), ids=COMMANDS)
def test_a_command_loads_what_it_needs(code: str, allowed: set[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TELL + code],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(tmp_path),
    )
    loaded = json.loads(done.stdout.rpartition("loaded ")[2])
    assert EXPENSIVE & set(loaded) <= allowed


async def test_the_first_frame_waits_for_no_network_and_no_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("P2PCHAT_CONFIG", raising=False)  # reading one loads the reader
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    told = tmp_path / "loaded"
    code = FIRST_FRAME.format(path=str(told), data_dir=str(tmp_path / "data"))
    async with Terminal([sys.executable, "-c", code]) as terminal:
        await terminal.until(lambda _: told.exists(), "the first frame", 60)
    loaded = set(json.loads(told.read_text()))
    assert {"textual", "p2pchat_tui.screens.main"} <= loaded
    # protobuf: 3 ms, to refuse its unsafe form before the screen is there.
    assert EXPENSIVE & loaded <= SCREEN | {"asyncio", "ssl", "google.protobuf"}


def test_every_expensive_module_exists() -> None:
    """Or a name that is misspelt would never be found."""
    code = (
        "import importlib.util, sys; print([n for n in sys.argv[1:] if importlib.util.find_spec(n) is None])"
    )
    argv = [sys.executable, "-c", code, *sorted(EXPENSIVE)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"

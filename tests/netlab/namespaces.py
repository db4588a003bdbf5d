"""Network namespaces that do not outlive us, whatever happens.

All names begin with `PREFIX` and the process id. A reaper process waits at the other end of a pipe: when we end, even
by SIGKILL, it removes what is left.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Final

__all__ = ["PREFIX", "LabError", "Namespace", "remove_namespaces", "run", "start_reaper", "why_not"]

PREFIX: Final = "p2plab"
_TOOLS: Final = ("ip", "nft", "conntrack")
_SYSTEM_TOOLS: Final = "/usr/sbin:/sbin"
_numbers: Final = itertools.count(1)
_reaper: subprocess.Popen[bytes] | None = None


class LabError(Exception):
    """The laboratory cannot do what was asked of it."""


def run(*argv: str | Path, stdin: str | None = None) -> str:
    """Run a command to its end and return its output.

    Raises:
        LabError: it failed.
    """
    done = subprocess.run(list(map(str, argv)), input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(map(str, argv))}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def why_not() -> str | None:
    """Return why there can be no laboratory here, in one sentence, or ``None`` if there can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces exist on Linux only"
    # Where the tools are, and not every user's path leads.
    if _SYSTEM_TOOLS not in os.environ.get("PATH", ""):
        os.environ["PATH"] = f"{os.environ.get('PATH', '')}:{_SYSTEM_TOOLS}"
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} not installed (Debian: iproute2 nftables conntrack)"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun, which the cables are made of, may not be opened"
    name = f"{PREFIX}{os.getpid()}-try"
    try:
        run("ip", "netns", "add", name)
    except LabError:
        return "no network namespace may be made here (needs root, or user namespaces)"
    try:
        run("ip", "netns", "exec", name, "nft", "add table ip attempt")
    except LabError:
        return "no packet filter may be set up in a network namespace here"
    finally:
        run("ip", "netns", "del", name)
    return None


class Namespace:
    """One network namespace."""

    def __init__(self, label: str) -> None:
        """Make it, with loopback up and no IPv6.

        Raises:
            LabError: that is not possible here.
        """
        start_reaper()
        self.label = label
        self.name = f"{PREFIX}{os.getpid()}-{next(_numbers)}{label}"
        run("ip", "netns", "add", self.name)
        self.ip("link set lo up")
        self.run("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 2>/dev/null || true")

    def argv(self, *argv: str | Path) -> list[str | Path]:
        """Return the command line that runs `argv` inside."""
        return ["ip", "netns", "exec", self.name, *argv]

    def run(self, *argv: str | Path, stdin: str | None = None) -> str:
        """Run a command inside to its end and return its output; see `run`."""
        return run(*self.argv(*argv), stdin=stdin)

    def ip(self, *commands: str) -> None:
        """Run commands of ``ip`` inside."""
        run("ip", "-n", self.name, "-batch", "-", stdin="\n".join(commands) + "\n")

    def nft(self, rules: str) -> None:
        """Load nftables rules inside."""
        self.run("nft", "-f", "-", stdin=rules)

    def popen(self, *argv: str | Path, stdin: int | IO[bytes] | None = None) -> subprocess.Popen[str]:
        """Start a command inside; text goes in and out through pipes."""
        pipe = subprocess.PIPE
        return subprocess.Popen(list(map(str, self.argv(*argv))), stdin=pipe, stdout=pipe, text=True)

    def remove(self) -> None:
        """End every process inside and remove it."""
        _remove(self.name)


def remove_namespaces(pid: int) -> None:
    """Remove every namespace of the process `pid`."""
    for name in _names():
        if name.startswith(f"{PREFIX}{pid}-"):
            _remove(name)


def start_reaper() -> None:
    """Start the process that cleans up after us, unless it runs; also clean up after those who had none."""
    global _reaper
    if _reaper is not None and _reaper.poll() is None:
        return
    for name in _names():
        owner = name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            _remove(name)
    # Its own session: a Ctrl-C at the terminal must not end it before us.
    _reaper = subprocess.Popen(
        [sys.executable, __file__, str(os.getpid())], stdin=subprocess.PIPE, start_new_session=True
    )


def _names() -> list[str]:
    listed = [line.split()[0] for line in run("ip", "netns", "list").splitlines() if line]
    return [name for name in listed if name.startswith(PREFIX)]


def _remove(name: str) -> None:
    for _ in range(50):
        inside = run("ip", "netns", "pids", name).split()
        if not inside:
            break
        for pid in inside:
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)
    run("ip", "netns", "del", name)


def _reap(owner: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while sys.stdin.buffer.read(1):  # ends when the last holder of the pipe does
        pass
    remove_namespaces(owner)


if __name__ == "__main__":
    _reap(int(sys.argv[1]))

"""Runs every benchmark, one after the other, and writes what they print into docs/performance.md.

    python bench/report.py [--quick] [--only start dial ...] [--page docs/performance.md]

Each part is a command of its own with a time limit, and its output goes between the markers on the page that bear its
name, with the date and the command. A part that fails or takes too long leaves a sentence there instead. `--quick` is
for seeing whether all of it works: its sizes are too small for figures that mean anything.
"""

from __future__ import annotations

import argparse
import datetime
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from common import ROOT, machine

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- {name}: made by bench/report.py -->", "<!-- end of {name} -->"
LAST_SAID = 400
"""Characters of what a failed part said last."""


@dataclass(frozen=True)
class Part:
    """One benchmark.

    Attributes:
        name: of its markers on the page.
        script: in this folder.
        full: its arguments for figures that count.
        quick: its arguments to see that it works.
        seconds: how long it may take.
        as_root: it needs network namespaces.
    """

    name: str
    script: str
    full: str
    quick: str
    seconds: int
    as_root: bool = False


PARTS = (
    Part("start", "start.py", "--runs 4", "--runs 1", 100),
    Part("imports", "imports.py", "--runs 4", "--runs 1", 40),
    Part("message", "message.py", "--messages 60", "--messages 5", 50),
    Part("screen", "screen.py", "--runs 1", "--messages 5000 --conversations 50 --keys 5 --runs 1", 65),
    Part("dial", "dial.py", "--rounds 30 --dead-stun", "--rounds 2 --dead-stun", 145),
    Part("direct", "direct.py", "--rounds 3 --megabytes 16", "--rounds 1 --megabytes 4 --pings 50", 65),
    Part(
        "lab", "direct_lab.py", "--rounds 1 --seconds 4", "--rounds 1 --seconds 1 --loss 0", 80, as_root=True
    ),
    Part("stack", "stack.py", "--rounds 3 --megabytes 32", "--rounds 1 --megabytes 4", 40),
    Part(
        "relay",
        "relay.py",
        "--rounds 3 --megabytes 32 --reservations 1000",
        "--rounds 1 --megabytes 8 --reservations 200",
        95,
    ),
    Part("many", "many.py", "--connections 200 --seconds 10", "--connections 10 --seconds 2", 40),
)


def run(part: Part, *, quick: bool) -> str:
    """Run one part and return what stands between its markers."""
    arguments = part.quick if quick else part.full
    command = f"{'sudo ' * part.as_root}python bench/{part.script} {arguments}"
    today = f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}"
    note = " (small sizes, which only prove that it works)" if quick else ""
    if part.as_root and os.geteuid() != 0:
        return f"{today}, `{command}`: not measured; it needs root."
    outcome, output = finish(
        [sys.executable, str(ROOT / "bench" / part.script), *arguments.split()], part.seconds
    )
    if outcome:
        return f"{today}, `{command}`: not measured; {outcome}."
    about, _, tables = output.strip().partition("\n\n")
    lines = [line for line in about.splitlines() if line != machine()]
    return "\n".join([f"{today}, `{command}`{note}. {'. '.join(lines)}".rstrip(".") + ".", "", tables])


def finish(argv: list[str], seconds: int) -> tuple[str, str]:
    """Run a command to its end; return what went wrong, if anything, and its output."""
    path = os.pathsep.join([str(ROOT / name) for name in ("core", "tui", "relay_server")])
    process = subprocess.Popen(
        argv,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        # First so that it ends what it has started; a laboratory would stay behind otherwise.
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        return f"it took longer than {seconds} seconds", ""
    if process.returncode:
        print(errors[-LAST_SAID:], file=sys.stderr)
        said = errors.strip().splitlines()
        return f"it ended with {process.returncode} ({said[-1] if said else 'and said nothing'})", ""
    return "", output


def write(page: Path, name: str, text: str) -> None:
    """Replace what stands between two markers.

    Raises:
        ValueError: the page does not have them.
    """
    before = page.read_text(encoding="utf-8")
    begin, end = BEGIN.format(name=name), END.format(name=name)
    if begin not in before or end not in before:
        raise ValueError(f"{page} has no markers for {name}")
    head, _, rest = before.partition(begin)
    tail = rest.partition(end)[2]
    page.write_text(f"{head}{begin}\n\n{text.strip()}\n\n{end}{tail}", encoding="utf-8")


def main() -> None:
    """Run the parts that are wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--only", nargs="+", choices=[part.name for part in PARTS], help="these parts alone")
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args()
    parts = [part for part in PARTS if not arguments.only or part.name in arguments.only]
    print(f"{machine()}; at most {sum(part.seconds for part in parts) / 60:.0f} minutes", flush=True)
    write(arguments.page, "machine", f"Measured on: {machine()}.")
    for number, part in enumerate(parts, 1):
        print(f"{number}/{len(parts)} {part.name} (at most {part.seconds} s) ...", end=" ", flush=True)
        started = time.monotonic()
        text = run(part, quick=arguments.quick)
        write(arguments.page, part.name, text)
        failed = text.partition(": not measured; ")[2]
        print(f"{time.monotonic() - started:.0f} s{', not measured: ' * bool(failed)}{failed}", flush=True)


if __name__ == "__main__":
    main()

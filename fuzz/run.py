"""Fuzz the targets of `fuzz/targets.py` with atheris: ``python fuzz/run.py [TARGET ...] [--runs N] [--seconds N]``.

Each target runs in a process of its own, from the recorded vectors and what earlier runs found interesting (kept in
``fuzz/corpus``, which is not part of the repository). An input that breaks a target is written to ``fuzz/crashes``; put
it into ``fuzz/regressions/<target>/`` with the correction, where the tests try it for ever.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SOURCES = [ROOT, ROOT / "core", ROOT / "tui", ROOT / "relay_server"]


def main() -> int:
    """Fuzz what is asked for, one target after another, and print a table."""
    parser = argparse.ArgumentParser(description="Fuzz everything that reads what a remote peer wrote.")
    parser.add_argument("targets", nargs="*", help="all of them unless named")
    parser.add_argument(
        "--runs", type=int, default=10_000_000, help="executions of each target (%(default)s)"
    )
    parser.add_argument("--seconds", type=int, default=0, help="stop a target after this long; 0 for never")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path[:0] = map(str, SOURCES)
    if options.child:
        fuzz(options.targets[0], options.runs, options.seconds)
    from fuzz.targets import TARGETS

    unknown = set(options.targets) - set(TARGETS)
    if unknown:
        parser.error(f"there is no target {', '.join(sorted(unknown))}; choose from {', '.join(TARGETS)}")
    failed = False
    print(
        f"{'target':<16} {'executions':>11} {'a second':>9} {'peak MB':>8} {'edges':>6}  result", flush=True
    )
    for name in options.targets or TARGETS:
        failed |= not supervise(name, options.runs, options.seconds)
    return 1 if failed else 0


def fuzz(name: str, runs: int, seconds: int) -> None:
    """Become the fuzzer of one target. Does not return."""
    import atheris

    with atheris.instrument_imports(include=["p2pchat_core", "p2pchat_relay", "p2pchat_tui"]):
        from fuzz.targets import TARGETS, seeds
    corpus, crashes = HERE / "corpus" / name, HERE / "crashes" / name
    for directory in (corpus, crashes):
        directory.mkdir(parents=True, exist_ok=True)
    wire = json.loads((ROOT / "tests" / "vectors" / "wire.json").read_text(encoding="utf-8"))["vectors"]
    for seed in seeds(name, wire):
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    known = HERE / "regressions" / name
    arguments = [
        sys.argv[0],
        str(corpus),
        *([str(known)] if known.is_dir() else []),
        f"-runs={runs}",
        f"-max_total_time={seconds}",
        f"-max_len={TARGETS[name].max_length}",
        f"-artifact_prefix={crashes}{os.sep}",
        "-timeout=5",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
    ]
    atheris.Setup(arguments, TARGETS[name].run)
    atheris.Fuzz()


def supervise(name: str, runs: int, seconds: int) -> bool:
    """Run the fuzzer of one target and print its line. Return whether nothing was found."""
    command = [sys.executable, __file__, name, "--child", f"--runs={runs}", f"--seconds={seconds}"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, SOURCES))}
    started = time.monotonic()
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    elapsed = time.monotonic() - started
    # A fuzzer that reaches its number of runs prints no statistics in Python; its last line has the count.
    counts = [int(count) for count in re.findall(r"(?:Done |#)(\d+)", done.stderr)]
    executions = max(counts, default=0)
    peak = max(
        (int(found) for found in re.findall(r"(?:rss: |peak_rss_mb:\s*)(\d+)", done.stderr)), default=0
    )
    edges = max((int(found) for found in re.findall(r"cov: (\d+)", done.stderr)), default=0)
    result = "ok" if done.returncode == 0 else "FOUND SOMETHING"
    rate = executions / elapsed
    print(f"{name:<16} {executions:>11,} {rate:>9,.0f} {peak:>8} {edges:>6}  {result}", flush=True)
    if done.returncode:
        print(done.stderr[-4000:], flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())

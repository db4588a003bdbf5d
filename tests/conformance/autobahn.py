"""Run the fuzzing client of Autobahn against our WebSocket listener: ``python -m tests.conformance.autobahn``.

The client is a program for Python 2.7 of its own, set up once from `autobahn.lock` in a folder of its own. What each
case has to end in stands in `autobahn.json`: everything is OK but what is listed there with its reason. The listener
is tried twice: as the program has it, where text is refused, and with text let through, because Autobahn does most of
its framing, fragmenting and closing with text. Sections 12 and 13 are about compression, which we do not offer;
section 6 is about the validity of text, so that it is tried only where text is refused.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import fnmatch
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tests.conformance.autobahn_echo import serving

HERE: Final = Path(__file__).resolve().parent
EXPECTED: Final[dict[str, Any]] = json.loads((HERE / "autobahn.json").read_text(encoding="utf-8"))
_AGENT: Final = "p2pchat"
_LIMIT: Final = 600.0
"""Seconds for one run; it takes one or two minutes."""


def main() -> int:
    """Set up, run, compare, print; return the exit code."""
    parser = argparse.ArgumentParser(description="Try our WebSocket listener with the cases of Autobahn.")
    parser.add_argument("--python", help="a Python 2.7; by default one is looked for")
    parser.add_argument(
        "--cache",
        type=Path,
        default=HERE.parents[1] / ".venv" / "autobahn",
        help="where it is set up (%(default)s)",
    )
    options = parser.parse_args()
    python = options.python or _python()
    if python is None:
        print("Autobahn needs Python 2.7, and none was found: its cases will be skipped", file=sys.stderr)
        return 0
    client = _set_up(python, options.cache)
    wrong = 0
    for name, run in EXPECTED["runs"].items():
        report = options.cache / name.replace(" ", "-")
        results = asyncio.run(_run(client, report, run["cases"], text=run["text"]))
        counts = collections.Counter(result["behavior"] for result in results.values())
        print(
            f"{name}: {len(results)} cases, {', '.join(f'{n} {kind}' for kind, n in sorted(counts.items()))}"
        )
        problems = unexpected(run, results)
        for problem in problems:
            print(f"  {problem}")
        wrong += len(problems)
    print(f"{wrong} not as expected" if wrong else "all as expected (tests/conformance/autobahn.json)")
    return 1 if wrong else 0


def unexpected(run: dict[str, Any], results: dict[str, dict[str, Any]]) -> list[str]:
    """Compare the results of a run with the table; return a line for each difference."""
    problems = []
    if len(results) != run["number"]:
        problems.append(f"{len(results)} cases were run, and {run['number']} should be")
    for case, result in sorted(results.items()):
        behavior, close = result["behavior"], result["remoteCloseCode"]
        reason = next(
            (key for pattern, key in run["expected"].items() if fnmatch.fnmatch(case, pattern)), None
        )
        if reason is None:
            right = behavior == result["behaviorClose"] == "OK"
        else:
            allowed = EXPECTED["reasons"][reason]
            right = behavior in allowed["behavior"] and close in allowed["close"]
        if not right:
            problems.append(f"{case}: {behavior}, closed with {close}, {result['behaviorClose']} ({reason})")
    return problems


def _python() -> str | None:
    """Find a Python 2.7."""
    found = shutil.which("python2.7")
    if (
        found is not None
        and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0
    ):
        return found  # and not a stand-in that only says which versions there are
    installed = sorted(Path.home().glob(".pyenv/versions/2.7.*/bin/python2.7"))
    return str(installed[-1]) if installed else None


def _set_up(python: str, cache: Path) -> Path:
    """Install the client unless it is there already; return its command."""
    environment, ready = cache / "environment", cache / "ready"
    wanted = (HERE / "autobahn.lock").read_text(encoding="utf-8")
    if not ready.is_file() or ready.read_text(encoding="utf-8") != wanted:
        print(f"setting up Autobahn in {cache}")
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(parents=True)
        tool = cache / "virtualenv"
        _pip(python, "--target", tool, "-r", HERE / "autobahn-bootstrap.lock")
        make = [python, "-m", "virtualenv", "--quiet", str(environment)]
        subprocess.run(make, check=True, env={"PYTHONPATH": str(tool), "PATH": "/usr/bin:/bin"})
        _pip(environment / "bin" / "python", "--no-deps", "-r", HERE / "autobahn.lock")
        ready.write_text(wanted, encoding="utf-8")
    return environment / "bin" / "wstest"


def _pip(python: str | Path, *arguments: str | Path) -> None:
    quiet = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    command = [str(python), "-W", "ignore", "-m", "pip", *quiet, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"Autobahn could not be set up:\n{done.stderr}")


async def _run(client: Path, report: Path, cases: list[str], *, text: bool) -> dict[str, dict[str, Any]]:
    """Serve, let the client try `cases`, and return what it found for each."""
    shutil.rmtree(report, ignore_errors=True)
    async with serving(text=text) as port:
        setting = {
            "outdir": str(report),
            "servers": [{"agent": _AGENT, "url": f"ws://127.0.0.1:{port}"}],
            "cases": cases,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        written = report.with_suffix(".json")
        written.write_text(json.dumps(setting), encoding="utf-8")
        with report.with_suffix(".log").open("w") as log:
            process = await asyncio.create_subprocess_exec(
                client, "-m", "fuzzingclient", "-s", written, stdout=log, stderr=log
            )
            try:
                async with asyncio.timeout(_LIMIT):
                    await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
    found: dict[str, dict[str, dict[str, Any]]] = json.loads(
        (report / "index.json").read_text(encoding="utf-8")
    )
    return found[_AGENT]


if __name__ == "__main__":
    raise SystemExit(main())

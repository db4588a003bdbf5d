"""What is delivered around the relay: it names what exists, and what it must not bring is not in it."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from p2pchat_relay.config_sources import ConfigSources
from p2pchat_relay.metrics import RelayMetrics
from p2pchat_relay.observer import Level
from p2pchat_relay.server import Plan

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"


def full_metrics() -> RelayMetrics:
    metrics = RelayMetrics()
    metrics.request_refused("reserve", "x", "x")
    metrics.circuit_ended("x", 1.0)
    metrics.connection_refused("x")
    metrics.connection_cut("x")
    metrics.handshake_failed("x")
    metrics.stun_answered("x")
    metrics.stun_dropped("x")
    metrics.watch_certificate(lambda: 1.0)
    metrics.watch_draining(lambda: False)
    metrics.watch_levels(lambda: [Level("x", 1, 2)])
    return metrics


def every_metric() -> set[str]:
    lines = full_metrics().render().decode().splitlines()
    return {re.split(r"[{ ]", line, maxsplit=1)[0] for line in lines if not line.startswith("#")}


def test_the_dashboard_shows_metrics_that_exist_and_all_of_them() -> None:
    dashboard = json.loads((PACKAGING / "grafana-dashboard.json").read_text())
    shown = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"\b(?:p2pchat_relay|process)_\w+", target["expr"])
    }
    existing = every_metric()
    assert {name for name in shown if not name.startswith("process_")} <= existing
    internal = {
        "p2pchat_relay_info",
        "p2pchat_relay_circuits_opened_total",
        "p2pchat_relay_last_render_seconds",
    }
    ours = {name for name in existing if name.startswith("p2pchat_relay") and not name.endswith("_created")}
    histograms = {name.removesuffix("_bucket") for name in ours if name.endswith("_bucket")}
    counted = {name for name in ours if name.removesuffix("_sum").removesuffix("_count") not in histograms}
    assert counted - shown == internal


def labels_of_every_metric() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    metrics = full_metrics().render().decode().splitlines()
    for name, labels in (
        re.match(r"(\w+)(?:\{(.*)\})? ", line).groups("") for line in metrics if line[0] != "#"
    ):  # type: ignore[union-attr]
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def test_the_dashboard_asks_for_labels_that_exist() -> None:
    dashboard = json.loads((PACKAGING / "grafana-dashboard.json").read_text())
    existing = labels_of_every_metric()
    from_prometheus = {"job", "instance"}
    for expression in (target["expr"] for panel in dashboard["panels"] for target in panel["targets"]):
        assert expression.count("(") == expression.count(")")
        known = set(from_prometheus)
        for name, selector in re.findall(r"\b((?:p2pchat_relay|process)_\w+)\{(.*?)\}", expression):
            known |= existing[name]
            assert set(re.findall(r'(\w+)=~?"', selector)) <= existing[name] | from_prometheus, expression
        for wanted in re.findall(r"\b(?:by|on) ?\(([\w,]+)\)", expression):
            assert set(wanted.split(",")) <= known, expression


def test_panels_do_not_overlap_and_have_numbers_of_their_own() -> None:
    panels = json.loads((PACKAGING / "grafana-dashboard.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def locked(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


def test_the_relay_is_installed_without_webrtc_and_screen() -> None:
    relay, everything = locked("requirements-relay.lock"), locked("requirements.lock")
    assert not relay.keys() & {"av", "aiortc", "aioice", "textual", "rich"}
    assert {
        "websockets",
        "cryptography",
        "msgspec",
        "protobuf",
        "prometheus-client",
        "uvloop",
    } <= relay.keys()
    assert all(everything.get(name, version) == version for name, version in relay.items())


def test_what_the_relay_needs_is_what_the_project_names() -> None:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    known = {*project["project"]["dependencies"], *extras["metrics"], *extras["fast"]}
    assert set(project["dependency-groups"]["relay"]) <= known


def test_the_containerfile_copies_what_exists_and_nothing_else() -> None:
    text = (PACKAGING / "Containerfile").read_text()
    sources = [
        line.split()[1] for line in text.splitlines() if line.startswith("COPY ") and "--from" not in line
    ]
    assert sources == ["requirements-relay.lock", "core/p2pchat_core", "relay_server/p2pchat_relay"]
    assert all((ROOT / source).exists() for source in sources)
    assert "\nUSER relay\n" in text


def test_the_example_configuration_is_good(tmp_path: Path) -> None:
    config = ConfigSources(PACKAGING / "relay.toml", {}, (("data_dir", str(tmp_path)),)).load()
    plan = Plan(config, 0.0)
    assert [listen.address.names[-1] for listen in plan.listens] == ["ws", "ws", "tcp"]
    commented = (PACKAGING / "relay.toml").read_text()
    for name in re.findall(r"^# (\w+) = \d+$", commented, re.MULTILINE):
        assert f"# {name} = {getattr(config.limits, name)}\n" in commented, (
            "what is shown as the default is it"
        )


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_the_unit_well_hardened() -> None:
    """What docs/relay.md says of it, and not worse."""
    argv = ["systemd-analyze", "security", "--offline=true", str(PACKAGING / "p2pchat-relay.service")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    if "Overall exposure level" not in done.stdout:
        pytest.skip(f"it cannot tell: {done.stderr.strip()}")
    found = re.search(r"Overall exposure level.*?: ([0-9.]+) ", done.stdout)
    assert found is not None
    documented = re.search(r"exposure level of ([0-9.]+)", (ROOT / "docs" / "relay.md").read_text())
    assert documented is not None
    assert float(found[1]) <= float(documented[1])


def test_the_unit_asks_for_what_the_relay_gives() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(PACKAGING / "p2pchat-relay.service")
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["WatchdogSec"] == "30s"
    assert "-HUP" in service["ExecReload"]
    for hardening in ("DynamicUser", "NoNewPrivileges", "MemoryDenyWriteExecute", "ProtectKernelTunables"):
        assert service[hardening] == "yes"
    assert "ProcSubset" not in service, "resident memory is read from /proc/stat and /proc/self"

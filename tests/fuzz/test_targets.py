"""Every fuzz target holds on its seeds, on what was found before, and on a few inputs of hypothesis."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS, seeds

ROOT = Path(__file__).resolve().parents[2]
WIRE = json.loads((ROOT / "tests" / "vectors" / "wire.json").read_text(encoding="utf-8"))["vectors"]
REGRESSIONS = sorted((ROOT / "fuzz" / "regressions").glob("*/*"))


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name: str) -> None:
    for seed in seeds(name, WIRE):
        TARGETS[name].run(seed)
        TARGETS[name].run(seed[:-1])


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=50, deadline=None)
@given(data=st.binary(max_size=80), index=st.integers(0), mask=st.integers(1, 255))
def test_any_bytes_and_damaged_seeds(name: str, data: bytes, index: int, mask: int) -> None:
    TARGETS[name].run(data)
    known = list(seeds(name, WIRE))
    if known:
        damaged = bytearray(known[index % len(known)])
        if damaged:
            damaged[index % len(damaged)] ^= mask
            TARGETS[name].run(bytes(damaged))


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_stays_mended(path: Path) -> None:
    TARGETS[path.parent.name].run(path.read_bytes())


def test_every_regression_belongs_to_a_target() -> None:
    assert {path.parent.name for path in REGRESSIONS} <= set(TARGETS)

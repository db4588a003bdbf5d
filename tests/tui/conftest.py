"""The screen's tests wait for the program to be idle, in turns of four milliseconds instead of Textual's twenty."""

from __future__ import annotations

import pytest
from textual import _wait


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_wait, "SLEEP_GRANULARITY", 0.004)

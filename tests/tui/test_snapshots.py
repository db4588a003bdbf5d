"""Every screen and state, at three sizes, looks as its file in `snapshots/` says."""

from __future__ import annotations

import pytest

from tests.tui.snapshot_files import FOLDER, difference, draw
from tests.tui.states import STATES


@pytest.mark.parametrize("name", STATES)
async def test_it_looks_as_it_did(name: str) -> None:
    differs = difference(name, await draw(name))
    assert not differs, f"{differs}\n\nIf that is meant: python -m tests.tui.snapshot_files {name}"


def test_there_is_a_file_for_every_state_and_no_other() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(STATES)

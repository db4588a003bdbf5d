"""The rows of the fault table that are quick enough to run each time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.netlab.fault_table import FAULTS
from tests.netlab.faults import judge, run_fault
from tests.netlab.side_by_side import side_by_side

if TYPE_CHECKING:
    from tests.netlab.faults import Fault, Outcome

pytestmark = [pytest.mark.netlab, pytest.mark.timeout(600)]  # for all rows together

ROWS = [
    pytest.param(
        fault, id=fault.name, marks=pytest.mark.skipif(bool(fault.why_not()), reason=str(fault.why_not()))
    )
    for fault in FAULTS
    if not fault.slow
]
AT_ONCE = 4


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Outcome | Exception]:
    """What the rows that were chosen measured, several at a time."""
    chosen = [item.callspec.params["fault"] for item in request.session.items if _is_row(item)]
    base = tmp_path_factory.mktemp("faults")
    jobs = {fault.name: partial(run_fault, fault, base / str(index)) for index, fault in enumerate(chosen)}
    return side_by_side(jobs, AT_ONCE)


def _is_row(item: pytest.Item) -> bool:
    return getattr(item, "originalname", "") == "test_fault" and not item.get_closest_marker("skipif").args[0]


@pytest.mark.parametrize("fault", ROWS)
def test_fault(fault: Fault, outcomes: dict[str, Outcome | Exception]) -> None:
    outcome = outcomes[fault.name]
    if isinstance(outcome, Exception):
        raise outcome
    assert judge(fault, outcome) == []
